// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dumpname.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

enum {
	// The text of the largest part, a COMM of which every byte is escaped.
	PART_MAX = 4 * DUMPNAME_COMM_MAX,
};

/// As systemd's xescape(comm, "./ ") does.
static bool is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '\\' && c != '.' && c != '/';
}

static void escape_comm(const char *comm, char ret[static PART_MAX + 1])
{
	static const char digits[] = "0123456789abcdef";
	for (const char *p = comm; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (is_plain(c)) {
			*ret++ = *p;
			continue;
		}
		*ret++ = '\\';
		*ret++ = 'x';
		*ret++ = digits[c >> 4];
		*ret++ = digits[c & 0xf];
	}
	*ret = '\0';
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int unescape_comm(const char *text, char ret[static DUMPNAME_COMM_MAX + 1])
{
	size_t n = 0;
	while (*text) {
		if (n == DUMPNAME_COMM_MAX)
			return -EINVAL;
		if (*text != '\\') {
			ret[n++] = *text++;
			continue;
		}
		int high = text[1] == 'x' ? hex_value(text[2]) : -1;
		int low = high >= 0 ? hex_value(text[3]) : -1;
		int c = low >= 0 ? high * 16 + low : 0;
		if (!c) // no escape, or that of a NUL
			return -EINVAL;
		ret[n++] = (char)c;
		text += 4;
	}
	ret[n] = '\0';
	return 0;
}

static bool is_boot_id(const char *text)
{
	for (size_t i = 0; i < DUMPNAME_BOOT_ID_CHARS; i++)
		if (hex_value(text[i]) < 0)
			return false;
	return !text[DUMPNAME_BOOT_ID_CHARS];
}

int dumpname_make(const struct dumpname *name, char ret[static DUMPNAME_MAX + 1])
{
	char comm[PART_MAX + 1];
	if (!is_boot_id(name->boot_id) || name->pid <= 0 || name->uid == (uid_t)-1 ||
	    name->usec > INT64_MAX)
		return -EINVAL;
	escape_comm(name->comm, comm);
	(void)snprintf(ret, DUMPNAME_MAX + 1, "core.%s.%u.%s.%d.%llu%s", comm, name->uid,
		       name->boot_id, name->pid, (unsigned long long)name->usec,
		       name->compressed ? ".zst" : "");
	return 0;
}

/// Copies the part up to the next dot, or the end, and steps over it; -EINVAL when it is too long.
static int next_part(const char **text, char ret[static PART_MAX + 1])
{
	const char *dot = strchrnul(*text, '.');
	size_t len = (size_t)(dot - *text);
	if (len > PART_MAX)
		return -EINVAL;
	memcpy(ret, *text, len);
	ret[len] = '\0';
	*text = *dot ? dot + 1 : dot;
	return 0;
}

/// The same for a number of at most @max.
static int next_number(const char **text, uint64_t max, uint64_t *ret)
{
	char part[PART_MAX + 1];
	int r = next_part(text, part);
	if (r < 0)
		return r;
	r = snap_parse_u64(part, ret);
	return r < 0 || *ret > max ? -EINVAL : 0;
}

static int parse_parts(const char *text, struct dumpname *name)
{
	char part[PART_MAX + 1];
	uint64_t uid = 0, pid = 0;
	if (strncmp(text, "core.", 5) != 0)
		return -EINVAL;
	text += 5;
	int r = next_part(&text, part);
	if (r == 0)
		r = unescape_comm(part, name->comm);
	if (r == 0)
		r = next_number(&text, UINT32_MAX - 1, &uid);
	if (r == 0)
		r = next_part(&text, part);
	if (r < 0 || !is_boot_id(part))
		return -EINVAL;
	memcpy(name->boot_id, part, sizeof(name->boot_id));
	r = next_number(&text, INT_MAX, &pid);
	if (r == 0)
		r = next_number(&text, INT64_MAX, &name->usec);
	if (r < 0)
		return r;
	name->uid = (uid_t)uid;
	name->pid = (pid_t)pid;
	name->compressed = *text != '\0';
	return 0;
}

int dumpname_parse(const char *text, struct dumpname *ret)
{
	// Leading zeros, needless escapes, what follows ".zst": all that differs from what would
	// have been made of these parts.
	struct dumpname name = { 0 };
	char again[DUMPNAME_MAX + 1] = "";
	int r = parse_parts(text, &name);
	if (r == 0)
		r = dumpname_make(&name, again);
	if (r < 0 || strcmp(again, text) != 0)
		return -EINVAL;
	*ret = name;
	return 0;
}

void dumpname_set_comm(struct dumpname *name, const char *comm)
{
	size_t len = comm ? strnlen(comm, DUMPNAME_COMM_MAX) : 0;
	if (len)
		memcpy(name->comm, comm, len);
	name->comm[len] = '\0';
}
