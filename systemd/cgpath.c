// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cgpath.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

#define DIGITS "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

enum {
	UNIT_NAME_MAX = 256, // with the NUL, as systemd counts
	// What decodes to a unit is not shorter (cg_path_decode_unit()).
	COMPONENT_MIN = 3,
};

/// One name between slashes; borrowed.
struct component {
	const char *name;
	size_t len;
};

static struct component component_at(const char *path)
{
	path += strspn(path, "/");
	return (struct component){ path, strcspn(path, "/") };
}

static bool begins(struct component c, const char *prefix)
{
	return c.len >= strlen(prefix) && !memcmp(c.name, prefix, strlen(prefix));
}

static bool ends(struct component c, const char *suffix)
{
	size_t len = strlen(suffix);
	return c.len >= len && !memcmp(c.name + c.len - len, suffix, len);
}

// ---- names of units ----------------------------------------------------------------------------

enum unit_kinds {
	UNIT_PLAIN = 1U << 0, ///< "a.service"
	UNIT_INSTANCE = 1U << 1, ///< "a@b.service"
};

static bool is_unit_type(const char *type, size_t len)
{
	static const char *const types[] = { "service",	  "mount", "swap", "socket",
					     "target",	  "device", "automount", "timer",
					     "path",	  "slice", "scope" };
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strlen(types[i]) == len && !memcmp(types[i], type, len))
			return true;
	return false;
}

static bool is_unit_name(struct component c, enum unit_kinds kinds)
{
	static const char valid[] = "@" DIGITS LETTERS ":-_.\\";
	const char *dot = c.len ? memrchr(c.name, '.', c.len) : NULL;
	if (!dot || dot == c.name || c.len >= UNIT_NAME_MAX)
		return false;
	if (!is_unit_type(dot + 1, (size_t)(c.name + c.len - dot - 1)))
		return false;
	size_t prefix = (size_t)(dot - c.name);
	if (strspn(c.name, valid) < prefix || *c.name == '@')
		return false;
	const char *at = memchr(c.name, '@', prefix);
	return at ? kinds & UNIT_INSTANCE && at + 1 < dot : kinds & UNIT_PLAIN;
}

/// systemd puts a "_" before names that the kernel may use for files, such as "cgroup.slice".
static struct component unescape(struct component c)
{
	return c.len && *c.name == '_' ? (struct component){ c.name + 1, c.len - 1 } : c;
}

static bool is_slice(struct component c)
{
	return c.len >= strlen("x.slice") && ends(c, ".slice") &&
	       is_unit_name(unescape(c), UNIT_PLAIN);
}

static const char *skip_slices(const char *path)
{
	struct component c = component_at(path);
	while (is_slice(c))
		c = component_at(c.name + c.len);
	return c.name;
}

static int copy(struct component c, char **ret)
{
	char *text = strndup(c.name, c.len);
	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}

/// The unit at the beginning of @path, behind slices; not valid: one without a name.
static struct component find_unit(const char *path)
{
	struct component c = component_at(skip_slices(path));
	struct component name = unescape(c);
	bool valid = c.len >= COMPONENT_MIN && is_unit_name(name, UNIT_PLAIN | UNIT_INSTANCE) &&
		     !ends(name, ".slice");
	return valid ? name : (struct component){ NULL, 0 };
}

int cgpath_unit(const char *path, char **ret)
{
	struct component unit = find_unit(path);
	return unit.name ? copy(unit, ret) : -ENXIO;
}

// ---- users and sessions ------------------------------------------------------------------------

/// A decimal user id as systemd's parse_uid() takes it: no sign, no zero before it.
static int parse_uid(struct component c, uid_t *ret)
{
	char text[12];
	uint64_t uid;
	if (!c.len || c.len >= sizeof(text) || strspn(c.name, DIGITS) < c.len ||
	    (*c.name == '0' && c.len > 1))
		return -ENXIO;
	memcpy(text, c.name, c.len);
	text[c.len] = '\0';
	// What -1 is in 16 and in 32 bits is nobody's.
	if (snap_parse_u64(text, &uid) < 0 || uid >= UINT32_MAX || uid == UINT16_MAX)
		return -ENXIO;
	*ret = (uid_t)uid;
	return 0;
}

/// What is between @prefix and @suffix; empty when they are not there.
static struct component between(struct component c, const char *prefix, const char *suffix)
{
	size_t around = strlen(prefix) + strlen(suffix);
	if (c.len <= around || !begins(c, prefix) || !ends(c, suffix))
		return (struct component){ c.name, 0 };
	return (struct component){ c.name + strlen(prefix), c.len - around };
}

static struct component session_of(struct component c)
{
	struct component id = between(c, "session-", ".scope");
	if (strspn(id.name, DIGITS LETTERS) < id.len)
		id.len = 0;
	return id;
}

/// What is inside the manager of a user, or else in a session; NULL for neither.
static const char *skip_user(const char *path)
{
	struct component c = component_at(skip_slices(path));
	uid_t uid;
	bool manager = parse_uid(between(c, "user@", ".service"), &uid) == 0;
	return manager || session_of(c).len ? c.name + c.len : NULL;
}

int cgpath_user_unit(const char *path, char **ret)
{
	const char *inside = skip_user(path);
	return inside ? cgpath_unit(inside, ret) : -ENXIO;
}

int cgpath_session(const char *path, char **ret)
{
	struct component unit = find_unit(path);
	struct component id = unit.name ? session_of(unit) : unit;
	return id.len ? copy(id, ret) : -ENXIO;
}

int cgpath_slice(const char *path, char **ret)
{
	struct component last = { "-.slice", strlen("-.slice") }, c = component_at(path);
	for (; is_slice(c); c = component_at(c.name + c.len))
		last = unescape(c);
	return copy(last, ret);
}

int cgpath_owner_uid(const char *path, uid_t *ret)
{
	_cleanup_free_ char *slice = NULL;
	int r = cgpath_slice(path, &slice);
	if (r < 0)
		return r;
	return parse_uid(between((struct component){ slice, strlen(slice) }, "user-", ".slice"),
			 ret);
}

// ---- /proc/PID/cgroup --------------------------------------------------------------------------

/// What follows @key in the line that begins with it, or that has it behind a number.
static struct component find_line(const char *text, size_t len, const char *key, bool numbered)
{
	for (const char *p = text, *end = text + len; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end, *q = p;
		while (numbered && q < stop && *q >= '0' && *q <= '9')
			q++;
		struct component rest = { q, (size_t)(stop - q) };
		if (begins(rest, key))
			return (struct component){ q + strlen(key), rest.len - strlen(key) };
		p = stop + 1;
	}
	return (struct component){ NULL, 0 };
}

static struct component find_path(const char *text, size_t len)
{
	static const char deleted[] = " (deleted)";
	struct component path = find_line(text, len, "0::", false);
	if (path.len <= 1) {
		struct component named = find_line(text, len, ":name=systemd:", true);
		path = named.len > 1 ? named : path;
	}
	if (ends(path, deleted)) // by the kernel, of a group that was removed meanwhile
		path.len -= strlen(deleted);
	return path;
}

int cgpath_from_text(const char *text, size_t len, char **ret)
{
	struct component path = find_path(text, len);
	if (!path.len || *path.name != '/')
		return -ENXIO;
	return copy(path, ret);
}

const char *cgpath_below_root(const char *path, const char *root_text, size_t root_len)
{
	static const char *const own[] = { "/init.scope", "/system.slice", "/system" };
	struct component root = find_path(root_text, root_len);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (!ends(root, own[i]))
			continue;
		root.len -= strlen(own[i]);
		break;
	}
	while (root.len && root.name[root.len - 1] == '/')
		root.len--;
	if (root.len && !strncmp(path, root.name, root.len) && path[root.len] == '/')
		return path + root.len;
	return path;
}
