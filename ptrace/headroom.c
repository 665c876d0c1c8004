// SPDX-License-Identifier: LGPL-2.1-or-later
#include "headroom.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/str.h"

enum {
	LEAST_BYTES = 64 << 20,
	SHARE = 20,
	TEXT_MAX = 64 << 10,
	NEEDED_PROCESSES = 2, // the child, and somebody who comes first
};

/// The files of a control group, in the two versions there are.
struct tree {
	const char *root; ///< where it is mounted
	const char *line; ///< how the line in /proc/PID/cgroup goes on after its number
	const char *limit, *used, *cached; ///< the last one is a key in memory.stat
};
static const struct tree memory_trees[] = {
	{ "/sys/fs/cgroup", ":", "memory.max", "memory.current", "inactive_file" },
	{ "/sys/fs/cgroup/unified", ":", "memory.max", "memory.current", "inactive_file" },
	{ "/sys/fs/cgroup/memory", "memory:", "memory.limit_in_bytes", "memory.usage_in_bytes",
	  "total_inactive_file" },
};
static const struct tree pids_trees[] = {
	{ "/sys/fs/cgroup", ":", "pids.max", "pids.current", NULL },
	{ "/sys/fs/cgroup/unified", ":", "pids.max", "pids.current", NULL },
	{ "/sys/fs/cgroup/pids", "pids:", "pids.max", "pids.current", NULL },
};

uint64_t headroom_number(const char *text, const char *key, uint64_t unit)
{
	uint64_t value;
	return text && snap_line_u64(text, key, &value) == 0 ? value * unit : UINT64_MAX;
}

/// A file with one number; UINT64_MAX when it says "max", or nothing.
static uint64_t read_number(int dirfd, const char *name)
{
	_cleanup_free_ char *text = NULL;
	uint64_t value;
	if (snap_read_file_at(dirfd, name, 64, &text) <= 0)
		return UINT64_MAX;
	text[strcspn(text, "\n")] = '\0';
	return snap_parse_u64(text, &value) < 0 ? UINT64_MAX : value;
}

static struct snap_error *lack(const char *of, uint64_t left, uint64_t need)
{
	char a[16], b[16];
	return snap_error_new(SNAP_NO_SPACE, "%s has only %s of memory left, and %s may be needed",
			      of, snap_format_bytes(left, a), snap_format_bytes(need, b));
}

/// What one group has left beyond what it must keep; UINT64_MAX: it has no limit.
static uint64_t group_left(int dirfd, const struct tree *tree)
{
	_cleanup_free_ char *stat = NULL;
	uint64_t limit = read_number(dirfd, tree->limit), used = read_number(dirfd, tree->used);
	if (limit >= INT64_MAX / 2 || used == UINT64_MAX)
		return UINT64_MAX;
	uint64_t left = limit > used ? limit - used : 0;
	if (tree->cached && snap_read_file_at(dirfd, "memory.stat", TEXT_MAX, &stat) > 0) {
		uint64_t cached = headroom_number(stat, tree->cached, 1);
		left += cached == UINT64_MAX ? 0 : MIN(cached, used);
	}
	if (!tree->cached)
		return left;
	uint64_t keep = MAX(limit / SHARE, (uint64_t)LEAST_BYTES);
	return left > keep ? left - keep : 0;
}

/// The path of the group in one tree, from /proc/PID/cgroup, owned by the caller; NULL: none.
static char *group_path(const char *text, const struct tree *tree)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *colon = strchr(line, ':');
		size_t len = strlen(tree->line), end = strcspn(line, "\n");
		if (!colon || colon >= line + end || strncmp(colon + 1, tree->line, len) != 0)
			continue;
		const char *path = colon + 1 + len;
		char *full;
		if (asprintf(&full, "%s%.*s", tree->root, (int)(line + end - path), path) < 0)
			return NULL;
		return full;
	}
	return NULL;
}

typedef bool (*group_fn)(int dirfd, const struct tree *tree, void *userdata);

/// Calls @fn for the groups of the process and those around them, until it returns false.
static void walk_groups(int procfd, const struct tree *trees, size_t n, group_fn fn,
			void *userdata)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(procfd, "cgroup", TEXT_MAX, &text) <= 0)
		return;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *path = group_path(text, &trees[i]);
		size_t root = strlen(trees[i].root);
		while (path && strlen(path) >= root) {
			_cleanup_close_ int dirfd =
				open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (dirfd >= 0 && !fn(dirfd, &trees[i], userdata))
				return;
			*strrchr(path, '/') = '\0';
		}
	}
}

struct memory_question {
	uint64_t need, whole;
	bool together; ///< a group we have passed is killed as a whole when one around it is full
	struct snap_error *error;
};

static bool ask_memory(int dirfd, const struct tree *tree, void *userdata)
{
	struct memory_question *q = userdata;
	uint64_t left = group_left(dirfd, tree);
	if (read_number(dirfd, "memory.oom.group") == 1)
		q->together = true;
	uint64_t need = q->together ? MAX(q->whole, q->need) : q->need;
	if (left < need || !left)
		q->error = lack("its control group", left, need);
	return !q->error;
}

struct snap_error *headroom_check(int procfd, uint64_t need, uint64_t whole)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(AT_FDCWD, "/proc/meminfo", TEXT_MAX, &text) > 0) {
		uint64_t left = headroom_number(text, "MemAvailable:", 1024);
		uint64_t all = headroom_number(text, "MemTotal:", 1024);
		uint64_t keep = all == UINT64_MAX ? 0 : MAX(all / SHARE, (uint64_t)LEAST_BYTES);
		left = left > keep ? left - keep : 0;
		if (left < need || !left)
			return lack("the machine", left, need);
	}
	struct memory_question q = { .need = need, .whole = whole };
	walk_groups(procfd, memory_trees, ARRAY_SIZE(memory_trees), ask_memory, &q);
	return q.error;
}

static bool ask_process(int dirfd, const struct tree *tree, void *userdata)
{
	bool *full = userdata;
	*full = group_left(dirfd, tree) < NEEDED_PROCESSES;
	return !*full;
}

const char *headroom_process(int procfd)
{
	bool full = false;
	walk_groups(procfd, pids_trees, ARRAY_SIZE(pids_trees), ask_process, &full);
	return full ? "its control group may not have more processes" : NULL;
}
