// SPDX-License-Identifier: LGPL-2.1-or-later
#include "procfs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"

/// The next decimal number of a blank-separated list; false when there is none.
static bool next_i64(const char **p, int64_t *ret)
{
	while (**p == ' ' || **p == '\t')
		(*p)++;
	if (!isdigit((unsigned char)**p) && **p != '-')
		return false;
	errno = 0;
	char *end;
	long long v = strtoll(*p, &end, 10);
	if (errno == ERANGE) {
		// Unsigned fields (flags, signals) may use the upper half.
		errno = 0;
		v = (long long)strtoull(*p, &end, 10);
	}
	if (errno || end == *p)
		return false;
	*p = end;
	*ret = v;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; // the kernel writes no capitals
}

static bool next_hex(const char **p, uint64_t *ret)
{
	while (**p == ' ' || **p == '\t')
		(*p)++;
	uint64_t v = 0;
	const char *begin = *p;
	for (int digit; (digit = hex_digit(**p)) >= 0; (*p)++) {
		if (v >> 60)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	*ret = v;
	return *p != begin;
}

static bool take(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/// The small number that is number @n of what @p still has; -1: there is none.
static int later_field(const char *p, int n)
{
	int64_t v;
	for (; n > 1; n--) {
		while (*p == ' ')
			p++;
		p += strcspn(p, " ");
	}
	return next_i64(&p, &v) && v >= 0 && v <= INT32_MAX ? (int)v : -1;
}

int procfs_parse_stat(const char *text, struct procfs_stat *ret)
{
	struct procfs_stat st = { 0 };
	const char *open = strchr(text, '(');
	const char *close = strrchr(text, ')');
	if (!open || !close || close < open)
		return -EBADMSG;

	const char *p = text;
	int64_t v[23]; // fields 4 to 22, proc_pid_stat(5) counts from 1
	if (!next_i64(&p, &v[0]) || v[0] <= 0 || v[0] > INT32_MAX)
		return -EBADMSG;
	st.pid = (pid_t)v[0];
	size_t len = MIN((size_t)(close - open - 1), sizeof(st.comm) - 1);
	memcpy(st.comm, open + 1, len);

	p = close + 1;
	if (!take(&p, ' ') || !isalpha((unsigned char)*p))
		return -EBADMSG;
	st.state = *p++;
	for (int i = 4; i <= 22; i++)
		if (!next_i64(&p, &v[i]))
			return -EBADMSG;
	st.ppid = (pid_t)v[4];
	st.pgrp = (pid_t)v[5];
	st.sid = (pid_t)v[6];
	st.flags = (uint64_t)v[9];
	st.utime = (uint64_t)v[14];
	st.stime = (uint64_t)v[15];
	st.cutime = (uint64_t)v[16];
	st.cstime = (uint64_t)v[17];
	st.nice = (int)v[19];
	st.start_time = (uint64_t)v[22];
	st.exit_signal = later_field(p, 38 - 22);
	st.exit_code = later_field(p, 52 - 22);
	*ret = st;
	return 0;
}

/// The number number @index (from 0) of the line with @key, decimal.
static bool status_number(const char *text, const char *key, int index, int64_t *ret)
{
	const char *p = snap_line_value(text, key);
	if (!p)
		return false;
	for (int i = 0; i <= index; i++)
		if (!next_i64(&p, ret))
			return false;
	return true;
}

/// How many process ids the line with @key has; @ret is the last one, untouched when there is none.
static unsigned int status_ids(const char *text, const char *key, pid_t *ret)
{
	enum { LEVELS = 33 }; // MAX_PID_NS_LEVEL is 32
	const char *p = snap_line_value(text, key);
	unsigned int n = 0;
	int64_t v;
	while (p && n < LEVELS && next_i64(&p, &v) && v >= 0 && v <= INT32_MAX) {
		*ret = (pid_t)v;
		n++;
	}
	return n;
}

static uint64_t status_mask(const char *text, const char *key)
{
	const char *p = snap_line_value(text, key);
	uint64_t v = 0;
	return p && next_hex(&p, &v) ? v : 0;
}

int procfs_parse_status(const char *text, struct procfs_status *ret)
{
	struct procfs_status st = { 0 };
	int64_t uid, gid, fsuid, tracer, threads, v;
	if (!status_number(text, "Uid:", 0, &uid) || !status_number(text, "Uid:", 3, &fsuid) ||
	    !status_number(text, "Gid:", 0, &gid) ||
	    !status_number(text, "TracerPid:", 0, &tracer) ||
	    !status_number(text, "Threads:", 0, &threads))
		return -EBADMSG;
	if (tracer < 0 || tracer > INT32_MAX || threads < 0)
		return -EBADMSG;
	st.uid = (uid_t)uid;
	st.fsuid = (uid_t)fsuid;
	st.gid = (gid_t)gid;
	st.tracer_pid = (pid_t)tracer;
	st.threads = (uint64_t)threads;
	st.ns_levels = status_ids(text, "NSpid:", &st.ns_pid);
	(void)status_ids(text, "NSpgid:", &st.ns_pgrp);
	(void)status_ids(text, "NSsid:", &st.ns_sid);
	if (status_number(text, "VmRSS:", 0, &v) && v >= 0 && v < INT64_MAX / 1024)
		st.rss_bytes = (uint64_t)v * 1024;
	if (status_number(text, "VmPin:", 0, &v) && v >= 0 && v < INT64_MAX / 1024)
		st.pinned_bytes = (uint64_t)v * 1024;
	if (status_number(text, "Seccomp:", 0, &v) && v >= 0 && v <= INT32_MAX)
		st.seccomp = (int)v;
	st.sig_pending = status_mask(text, "SigPnd:");
	st.sig_shared_pending = status_mask(text, "ShdPnd:");
	st.sig_blocked = status_mask(text, "SigBlk:");
	st.sig_ignored = status_mask(text, "SigIgn:");
	st.sig_caught = status_mask(text, "SigCgt:");
	*ret = st;
	return 0;
}

int procfs_parse_syscall(const char *text, struct procfs_syscall *ret)
{
	struct procfs_syscall sc = { 0 };
	const char *p = text;
	if (!strncmp(p, "running", 7))
		return -EAGAIN;
	if (!next_i64(&p, &sc.nr))
		return -EBADMSG;
	uint64_t v[8];
	int n = sc.nr < 0 ? 2 : 8;
	for (int i = 0; i < n; i++) {
		while (*p == ' ')
			p++;
		if (p[0] != '0' || p[1] != 'x')
			return -EBADMSG;
		p += 2;
		if (hex_digit(*p) < 0 || !next_hex(&p, &v[i]) ||
		    (*p && *p != ' ' && *p != '\n'))
			return -EBADMSG;
	}
	if (n == 8)
		memcpy(sc.args, v, sizeof(sc.args));
	sc.sp = v[n - 2];
	sc.pc = v[n - 1];
	*ret = sc;
	return 0;
}

static const struct {
	char name[3];
	uint32_t flag;
} vm_flags[] = {
	{ "dd", SNAP_MAP_DONTDUMP },  { "io", SNAP_MAP_IO },	     { "pf", SNAP_MAP_PFN },
	{ "ht", SNAP_MAP_HUGETLB },   { "dc", SNAP_MAP_DONTFORK }, { "wf", SNAP_MAP_WIPEONFORK },
	{ "ss", SNAP_MAP_SHADOWSTACK }, { "ac", SNAP_MAP_COUNTED },
};

static uint32_t parse_vm_flags(const char *p, const char *eol)
{
	uint32_t flags = 0;
	while (eol - p >= 2) {
		if (*p == ' ') {
			p++;
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(vm_flags); i++)
			if (!strncmp(p, vm_flags[i].name, 2))
				flags |= vm_flags[i].flag;
		p += 2;
	}
	return flags;
}

/// "start-end perms offset major:minor inode", without the name.
static bool parse_maps_head(const char **pp, struct snap_mapping *map)
{
	static const char letters[] = "rwxs";
	const char *p = *pp;
	uint64_t major, minor;
	int64_t inode;
	if (!next_hex(&p, &map->start) || !take(&p, '-') || !next_hex(&p, &map->end) ||
	    !take(&p, ' ') || map->start >= map->end)
		return false;
	for (int i = 0; i < 4; i++, p++) {
		if (*p == letters[i])
			map->flags |= 1U << i; // SNAP_MAP_READ, WRITE, EXEC, SHARED
		else if (*p != (i == 3 ? 'p' : '-'))
			return false;
	}
	if (!take(&p, ' ') || !next_hex(&p, &map->offset) || !take(&p, ' ') ||
	    !next_hex(&p, &major) || !take(&p, ':') || !next_hex(&p, &minor) || !take(&p, ' ') ||
	    !next_i64(&p, &inode))
		return false;
	map->dev_major = (uint32_t)major;
	map->dev_minor = (uint32_t)minor;
	map->inode = (uint64_t)inode;
	*pp = p;
	return true;
}

/// Adds the name that ends at @eol, NUL-terminated, newlines restored.
static int add_name(struct strbuf *names, const char *p, const char *eol, uint32_t *ret)
{
	if (!names->len) {
		int r = strbuf_add(names, "", 1); // offset 0 is the empty name
		if (r < 0)
			return r;
	}
	while (p < eol && *p == ' ')
		p++;
	if (p == eol) {
		*ret = 0;
		return 0;
	}
	if (names->len > UINT32_MAX - 65536)
		return -ENOMEM;
	int r = strbuf_reserve(names, (size_t)(eol - p) + 2);
	if (r < 0)
		return r;
	size_t start = names->len;
	for (; p < eol; p++) {
		char c = *p;
		if (eol - p >= 4 && !memcmp(p, "\\012", 4)) {
			c = '\n';
			p += 3;
		}
		names->data[names->len++] = c;
	}
	names->data[names->len++] = '\0';
	names->data[names->len] = '\0'; // as strbuf promises; the one before ends the name
	*ret = (uint32_t)start;
	return 0;
}

/// One "Key:  N kB" line of smaps, or its VmFlags line.
static void parse_maps_detail(const char *p, const char *eol, struct procfs_maps *walk,
			      struct snap_mapping *map)
{
	static const struct {
		const char *key;
		size_t offset;
	} sizes[] = {
		{ "Rss:", offsetof(struct snap_mapping, rss_bytes) },
		// Huge page files are in neither Rss nor Anonymous, but here.
		{ "Private_Hugetlb:", offsetof(struct snap_mapping, rss_bytes) },
		{ "Shared_Hugetlb:", offsetof(struct snap_mapping, rss_bytes) },
		{ "Anonymous:", offsetof(struct snap_mapping, anon_bytes) },
		{ "AnonHugePages:", offsetof(struct snap_mapping, huge_bytes) },
		{ "Swap:", offsetof(struct snap_mapping, swap_bytes) },
	};

	if (!strncmp(p, "VmFlags:", 8)) {
		map->flags |= parse_vm_flags(p + 8, eol);
		walk->vm_flags = true;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t len = strlen(sizes[i].key);
		if (strncmp(p, sizes[i].key, len) != 0)
			continue;
		p += len;
		int64_t kib;
		if (next_i64(&p, &kib) && kib >= 0 && kib < INT64_MAX / 1024)
			*(uint64_t *)((char *)map + sizes[i].offset) += (uint64_t)kib * 1024;
		return;
	}
}

static bool names_special(const char *name)
{
	// Mappings that the kernel makes and always dumps, fs/coredump.c always_dump_vma().
	return !strcmp(name, "[vdso]") || !strcmp(name, "[vsyscall]") || !strcmp(name, "[vvar]") ||
	       !strcmp(name, "[vvar_vclock]") || !strcmp(name, "[uprobes]") ||
	       !strcmp(name, "[sigpage]");
}

int procfs_maps_next(struct procfs_maps *walk, struct strbuf *names, struct snap_mapping *ret)
{
	const char *p = walk->next;
	if (!p || !*p)
		return 0;
	struct snap_mapping map = { 0 };
	if (!parse_maps_head(&p, &map))
		return -EBADMSG;
	const char *eol = strchrnul(p, '\n');
	int r = add_name(names, p, eol, &map.name);
	if (r < 0)
		return r;
	const char *name = names->data + map.name;
	if (names_special(name))
		map.flags |= SNAP_MAP_SPECIAL;
	size_t len = strlen(name);
	if (len >= 10 && !strcmp(name + len - 10, " (deleted)"))
		map.flags |= SNAP_MAP_UNLINKED;
	if (!(map.flags & SNAP_MAP_SHARED) && !strcmp(name, "/anon_hugepage (deleted)"))
		map.flags |= SNAP_MAP_ANON_HUGETLB;

	walk->vm_flags = false;
	for (p = eol; *p == '\n' && isupper((unsigned char)p[1]); p = eol) {
		eol = strchrnul(p + 1, '\n');
		parse_maps_detail(p + 1, eol, walk, &map);
	}
	if (*p == '\n')
		p++;
	walk->next = p;
	*ret = map;
	return 1;
}

uint64_t procfs_ticks_to_usec(uint64_t ticks)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	return ticks / hz * 1000000 + ticks % hz * 1000000 / hz;
}

int procfs_read_stat(int dirfd, const char *path, struct procfs_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	ssize_t n = snap_read_file_at(dirfd, path, 65536, &text);
	if (n < 0)
		return (int)n;
	return procfs_parse_stat(text, ret);
}

int procfs_read_status(int dirfd, const char *path, struct procfs_status *ret)
{
	_cleanup_free_ char *text = NULL;
	ssize_t n = snap_read_file_at(dirfd, path, 65536, &text);
	if (n < 0)
		return (int)n;
	return procfs_parse_status(text, ret);
}
