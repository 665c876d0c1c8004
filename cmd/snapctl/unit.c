// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/str.h"

enum {
	// Units in units of containers are deeper than anybody's slices.
	DEPTH_MAX = 64,
	PROCS_MAX_BYTES = 16 << 20, // four million processes
};

struct pids {
	pid_t *list;
	size_t n;
};

static int add(struct pids *pids, uint64_t pid)
{
	pid_t *larger = reallocarray(pids->list, pids->n + 1, sizeof(pid_t));
	if (!larger)
		return -ENOMEM;
	pids->list = larger;
	pids->list[pids->n++] = (pid_t)pid;
	return 0;
}

/// The processes in the group itself. 0 stands for one that is in no namespace of ours.
static int read_procs(int group, struct pids *pids)
{
	_cleanup_free_ char *text = NULL;
	ssize_t r = snap_read_file_at(group, "cgroup.procs", PROCS_MAX_BYTES, &text);
	if (r < 0)
		return r == -ENOENT || r == -EOPNOTSUPP || r == -ENODEV ? 0 : (int)r;
	char *save;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint64_t pid;
		if (snap_parse_u64(line, &pid) == 0 && pid && pid <= INT32_MAX &&
		    add(pids, pid) < 0)
			return -ENOMEM;
	}
	return 0;
}

/// Calls @fn for each folder in @dirfd, until it returns something else than 0.
static int each_folder(int dirfd, int (*fn)(void *userdata, int fd, const char *name),
		       void *userdata)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		snap_closep(&copy);
		return errno == ENOENT ? 0 : -errno;
	}
	for (const struct dirent *d; !r && (d = readdir(dir));) {
		if (d->d_name[0] == '.' || (d->d_type != DT_DIR && d->d_type != DT_UNKNOWN))
			continue;
		_cleanup_close_ int fd = openat(dirfd, d->d_name,
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			r = fn(userdata, fd, d->d_name);
	}
	(void)closedir(dir);
	return r;
}

struct search {
	const char *unit;
	struct pids pids;
	unsigned int depth;
	bool found;
};

static int take_group(void *userdata, int fd, const char *name _unused_)
{
	struct search *s = userdata;
	if (s->depth >= DEPTH_MAX)
		return 0;
	int r = read_procs(fd, &s->pids);
	s->depth++;
	if (r == 0)
		r = each_folder(fd, take_group, s);
	s->depth--;
	return r;
}

/// Below slices only: what a unit has below itself is named by whoever it belongs to.
static int look_for(void *userdata, int fd, const char *name)
{
	struct search *s = userdata;
	size_t len = strlen(name);
	if (!strcmp(name, s->unit)) {
		s->found = true;
		return take_group(s, fd, name);
	}
	if (len < 6 || strcmp(name + len - 6, ".slice") != 0 || s->depth >= DEPTH_MAX)
		return 0;
	s->depth++;
	int r = each_folder(fd, look_for, s);
	s->depth--;
	return r;
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

struct snap_error *unit_processes(const char *name, pid_t **ret, size_t *ret_n)
{
	// With cgroup v2 alone, beside v1, and v1 alone.
	static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd",
					     "/sys/fs/cgroup" };
	_cleanup_free_ char *unit = full_name(name), *shown = snap_escape(name, strlen(name));
	if (!shown || !unit)
		return snap_error_oom();
	struct search s = { .unit = unit };
	int r = 0;
	for (size_t i = 0; !r && !s.found && !strchr(unit, '/') && i < ARRAY_SIZE(roots); i++) {
		_cleanup_close_ int fd = open(roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			r = each_folder(fd, look_for, &s);
	}
	if (r == 0 && s.pids.n) {
		qsort(s.pids.list, s.pids.n, sizeof(pid_t), compare);
		*ret = s.pids.list;
		*ret_n = s.pids.n;
		return NULL;
	}
	free(s.pids.list);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot list the processes of '%s'",
					shown);
	return snap_error_new(SNAP_NO_PROCESS,
			      s.found ? "the unit '%s' has no processes" :
					"there is no process and no unit '%s' that runs",
			      shown);
}
