// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "str.h"

enum {
	// Units in units of containers are deeper than anybody's slices.
	DEPTH_MAX = 64,
	PROCS_MAX_BYTES = 16 << 20, // four million processes
};

/// One walk through the groups.
struct walk {
	const struct unit_walk *want;
	const char *unit; ///< whose groups these are; NULL: still in slices
	unsigned int depth;
};

/// The processes in the group itself. 0 stands for one that is in no namespace of ours.
static int read_procs(const struct walk *w, int group)
{
	_cleanup_free_ char *text = NULL;
	ssize_t n = snap_read_file_at(group, "cgroup.procs", PROCS_MAX_BYTES, &text);
	if (n < 0)
		return n == -ENOENT || n == -EOPNOTSUPP || n == -ENODEV ? 0 : (int)n;
	char *save;
	int r = 0;
	for (char *line = strtok_r(text, "\n", &save); line && !r;
	     line = strtok_r(NULL, "\n", &save)) {
		uint64_t pid;
		if (snap_parse_u64(line, &pid) == 0 && pid && pid <= INT32_MAX)
			r = w->want->process(w->want->userdata, w->unit, (pid_t)pid);
	}
	return r;
}

static int look_at(struct walk *w, int parent, const char *name);

/// Calls look_at() for each folder in @dirfd, until it returns something else than 0.
// NOLINTNEXTLINE(misc-no-recursion): a tree, not deeper than DEPTH_MAX
static int each_folder(struct walk *w, int dirfd)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		snap_closep(&copy);
		return errno == ENOENT ? 0 : -errno;
	}
	for (const struct dirent *d; !r && (d = readdir(dir));)
		if (d->d_name[0] != '.' && (d->d_type == DT_DIR || d->d_type == DT_UNKNOWN))
			r = look_at(w, dirfd, d->d_name);
	(void)closedir(dir);
	return r;
}

/// Units are below slices only: what a unit has below itself is named by whoever it belongs to.
// NOLINTNEXTLINE(misc-no-recursion): as above
static int look_at(struct walk *w, int parent, const char *name)
{
	size_t len = strlen(name);
	bool within = w->unit, begins = !within && w->want->wants(w->want->userdata, name);
	bool slice = len >= 6 && !strcmp(name + len - 6, ".slice");
	if ((!within && !begins && !slice) || w->depth >= DEPTH_MAX)
		return 0;
	_cleanup_close_ int fd =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0; // it has gone
	if (begins)
		w->unit = name;
	int r = w->unit ? read_procs(w, fd) : 0;
	w->depth++;
	if (r == 0)
		r = each_folder(w, fd);
	w->depth--;
	if (begins)
		w->unit = NULL;
	return r;
}

int unit_walk(const struct unit_walk *want)
{
	// With cgroup v2 alone, beside v1, and v1 alone.
	static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd",
					     "/sys/fs/cgroup" };
	int r = 0;
	for (size_t i = 0; !r && i < ARRAY_SIZE(roots); i++) {
		struct walk w = { .want = want };
		_cleanup_close_ int fd = open(roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			r = each_folder(&w, fd);
	}
	return r;
}

// ---- one unit ------------------------------------------------------------------------------

struct search {
	const char *unit;
	pid_t *pids;
	size_t n;
	bool found;
};

static bool is_searched(void *userdata, const char *name)
{
	struct search *s = userdata;
	bool same = !strcmp(name, s->unit);
	s->found |= same;
	return same;
}

static int add_process(void *userdata, const char *unit _unused_, pid_t pid)
{
	struct search *s = userdata;
	pid_t *larger = reallocarray(s->pids, s->n + 1, sizeof(pid_t));
	if (!larger)
		return -ENOMEM;
	s->pids = larger;
	s->pids[s->n++] = pid;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
	return (x > y) - (x < y);
}

/// The name as the group has it; owned by the caller.
static char *full_name(const char *name)
{
	char *unit = NULL;
	return asprintf(&unit, "%s%s", name, strchr(name, '.') ? "" : ".service") < 0 ? NULL : unit;
}

bool unit_has(const char *name, pid_t pid)
{
	char path[32];
	_cleanup_free_ char *text = NULL, *unit = full_name(name);
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	if (!unit || snap_read_file_at(AT_FDCWD, path, 64 << 10, &text) < 0)
		return false;
	for (char *p = text; (p = strstr(p, unit)); p++) {
		char end = p[strlen(unit)];
		if (p > text && p[-1] == '/' && (end == '/' || end == '\n'))
			return true;
	}
	return false;
}

/// Sorts, and drops what is there twice: a unit has a group in each of two hierarchies.
static size_t sort(pid_t *pids, size_t n)
{
	size_t kept = 0;
	if (n)
		qsort(pids, n, sizeof(pid_t), compare);
	for (size_t i = 0; i < n; i++)
		if (!i || pids[i] != pids[i - 1])
			pids[kept++] = pids[i];
	return kept;
}

struct snap_error *unit_processes(const char *name, pid_t **ret, size_t *ret_n)
{
	_cleanup_free_ char *unit = full_name(name), *shown = snap_escape(name, strlen(name));
	if (!shown || !unit)
		return snap_error_oom();
	struct search s = { .unit = unit };
	const struct unit_walk want = { is_searched, add_process, &s };
	int r = strchr(unit, '/') ? 0 : unit_walk(&want);
	if (r == 0 && s.n) {
		*ret_n = sort(s.pids, s.n);
		*ret = s.pids;
		return NULL;
	}
	free(s.pids);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot list the processes of '%s'",
					shown);
	return snap_error_new(SNAP_NO_PROCESS,
			      s.found ? "the unit '%s' has no processes" :
					"there is no process and no unit '%s' that runs",
			      shown);
}
