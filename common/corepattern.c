// SPDX-License-Identifier: LGPL-2.1-or-later
#include "corepattern.h"

#include <string.h>

#include "str.h"

// Process, user, group, signal, time; between them RLIMIT_CORE; dumpable, pidfd, thread, host name.
// A kernel that does not know %F makes an empty argument of it.
static const char facts[] = "%P %u %g %s %t", more_facts[] = "%d %F %I %h";

enum { LIMIT_DIGITS = 20 }; // of UINT64_MAX

static const struct {
	const char *name, *text;
} owners[COREPATTERN_OWNER_MAX] = {
	[COREPATTERN_OURS_PIPE] = { "procsnap-pipe", "procsnap, through a pipe" },
	[COREPATTERN_OURS_SOCKET] = { "procsnap-socket", "procsnap, through a socket" },
	[COREPATTERN_SYSTEMD] = { "systemd-coredump", "systemd-coredump" },
	[COREPATTERN_APPORT] = { "apport", "apport" },
	[COREPATTERN_ABRT] = { "abrt", "abrt" },
	[COREPATTERN_NOBODY] = { "nobody", "nobody: cores are thrown away" },
	[COREPATTERN_FILE] = { "file", "nobody: the kernel writes files" },
	[COREPATTERN_OTHER_PIPE] = { "other-pipe", "another program" },
	[COREPATTERN_OTHER_SOCKET] = { "other-socket", "another program, through a socket" },
};

const char *corepattern_owner_name(enum corepattern_owner owner)
{
	return owner < COREPATTERN_OWNER_MAX ? owners[owner].name : "?";
}

const char *corepattern_owner_text(enum corepattern_owner owner)
{
	return owner < COREPATTERN_OWNER_MAX ? owners[owner].text : "?";
}

/// Is the last part of the path of @len bytes @name?
static bool has_base_name(const char *path, size_t len, const char *name)
{
	size_t n = strlen(name);
	return len >= n && !memcmp(path + len - n, name, n) &&
	       (len == n || path[len - n - 1] == '/');
}

static enum corepattern_owner owner_of_pipe(const char *program)
{
	static const struct {
		const char *name;
		enum corepattern_owner owner;
	} known[] = {
		{ COREPATTERN_HOOK, COREPATTERN_OURS_PIPE },
		{ "systemd-coredump", COREPATTERN_SYSTEMD },
		{ "apport", COREPATTERN_APPORT },
		{ "abrt-hook-ccpp", COREPATTERN_ABRT },
		{ "false", COREPATTERN_NOBODY },
		{ "true", COREPATTERN_NOBODY },
	};
	size_t len = strcspn(program, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (has_base_name(program, len, known[i].name))
			return known[i].owner;
	return COREPATTERN_OTHER_PIPE;
}

static enum corepattern_owner owner_of_socket(const char *path)
{
	static const char systemd[] = "/run/systemd/";
	if (!strcmp(path, COREPATTERN_SOCKET_PATH))
		return COREPATTERN_OURS_SOCKET;
	return strncmp(path, systemd, sizeof(systemd) - 1) == 0 ? COREPATTERN_SYSTEMD :
								  COREPATTERN_OTHER_SOCKET;
}

/// The path after @ or @@.
static const char *socket_path(const char *pattern)
{
	return pattern + 1 + (pattern[1] == '@');
}

enum corepattern_owner corepattern_owner(const char *pattern)
{
	if (*pattern == '|')
		return owner_of_pipe(pattern + 1 + strspn(pattern + 1, " \t"));
	if (*pattern == '@')
		return owner_of_socket(socket_path(pattern));
	return COREPATTERN_FILE;
}

char *corepattern_target(const char *pattern)
{
	if (*pattern == '@')
		return strdup(socket_path(pattern));
	if (*pattern != '|')
		return NULL;
	const char *program = pattern + 1 + strspn(pattern + 1, " \t");
	return strndup(program, strcspn(program, " \t"));
}

char *corepattern_store(const char *pattern)
{
	static const char blanks[] = " \t";
	if (corepattern_owner(pattern) != COREPATTERN_OURS_PIPE)
		return NULL;
	const char *program = pattern + 1 + strspn(pattern + 1, blanks);
	const char *store = program + strcspn(program, blanks);
	store += strspn(store, blanks);
	return *store ? strndup(store, strcspn(store, blanks)) : NULL;
}

/// Blanks part arguments, % begins what the kernel fills in, and a newline ends the pattern.
static bool fits_in(const char *path)
{
	if (*path != '/')
		return false;
	for (const char *p = path; *p; p++)
		if (*p == '%' || (unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	return true;
}

static struct snap_error *does_not_fit(const char *path)
{
	_cleanup_free_ char *shown = snap_escape(path, strlen(path));
	return snap_error_new(SNAP_FAILED,
			      "'%s' cannot be in kernel.core_pattern: it must be an absolute path "
			      "without blanks, percent signs and control characters",
			      shown ? shown : "?");
}

char *corepattern_limit(const char *pattern)
{
	// The program, and what 50-coredump.conf has had before the limit since 229.
	enum { BEFORE = 6 };
	if (corepattern_owner(pattern) != COREPATTERN_SYSTEMD || *pattern != '|')
		return NULL;
	const char *word = pattern + 1;
	for (int i = 0; i <= BEFORE; i++) {
		word += strspn(word, " \t");
		if (i < BEFORE)
			word += strcspn(word, " \t");
	}
	size_t len = strcspn(word, " \t"), digits = strspn(word, "0123456789");
	return len && len == digits && len <= LIMIT_DIGITS ? strndup(word, len) : NULL;
}

struct snap_error *corepattern_make_pipe(const char *hook, const char *store, const char *limit,
					 char **ret)
{
	char *pattern;
	if (!fits_in(hook))
		return does_not_fit(hook);
	if (!fits_in(store))
		return does_not_fit(store);
	int n = asprintf(&pattern, "|%s %s %s %s %s", hook, store, facts, limit ? limit : "%c",
			 more_facts);
	if (n < 0)
		return snap_error_oom();
	if (n > COREPATTERN_MAX) {
		free(pattern);
		return snap_error_new(SNAP_FAILED,
				      "kernel.core_pattern takes %d bytes, and '%s' with the store "
				      "'%s' makes %d; use shorter paths",
				      COREPATTERN_MAX, hook, store, n);
	}
	*ret = pattern;
	return NULL;
}
