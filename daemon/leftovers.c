// SPDX-License-Identifier: LGPL-2.1-or-later
#include "leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "common/fd.h"
#include "common/str.h"
#include "daemon/manager.h"

enum {
	// Twice what a kernel has by default. Each takes some microseconds.
	ENTRIES_MAX = 65536,
	// Workers that were killed together; the rest is for the next start.
	PARENTS_MAX = 64,
	STATUS_MAX = 64 << 10,
};

struct parents {
	pid_t list[PARENTS_MAX];
	size_t n;
};

/// The parent of @name below /proc, if it is a zombie and called as our children are; else 0.
static pid_t parent_of_zombie(int proc, const char *name)
{
	_cleanup_free_ char *comm = NULL, *status = NULL;
	char path[300];
	uint64_t ppid;
	(void)snprintf(path, sizeof(path), "%s/comm", name);
	if (snap_read_file_at(proc, path, 64, &comm) <= 0 || strcmp(comm, "procsnap-copy\n") != 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/status", name);
	if (snap_read_file_at(proc, path, STATUS_MAX, &status) <= 0)
		return 0;
	const char *state = snap_line_value(status, "State:");
	bool known = snap_line_u64(status, "PPid:", &ppid) == 0 && ppid <= INT32_MAX;
	return state && *state == 'Z' && known ? (pid_t)ppid : 0;
}

static void add(struct parents *parents, pid_t pid)
{
	for (size_t i = 0; i < parents->n; i++)
		if (parents->list[i] == pid)
			return;
	if (parents->n < PARENTS_MAX)
		parents->list[parents->n++] = pid;
}

static void find_parents(struct parents *parents)
{
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;
	for (struct dirent *d; dir && n < ENTRIES_MAX && (d = readdir(dir));) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		n++;
		pid_t parent = parent_of_zombie(fd, d->d_name);
		if (parent)
			add(parents, parent);
	}
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&fd);
}

static void on_progress(void *userdata _unused_, size_t position _unused_,
			const char *phase _unused_, uint64_t done _unused_, uint64_t total _unused_)
{
}

static void on_end(void *userdata _unused_, const struct snap_error *err, struct json *result)
{
	uint64_t n = err ? 0 : json_get_u64(result, "reaped", 0);
	const char *comm = err ? NULL : json_get_text(result, "comm");
	if (err && err->code != SNAP_NO_PROCESS) // with it the zombie is gone
		manager_log(LOG_WARNING, "%s, ignoring", err->message);
	else if (n)
		manager_log(LOG_NOTICE,
			    "process %llu (%s) was made to reap %llu zombies that killed workers "
			    "have left",
			    (unsigned long long)json_get_u64(result, "pid", 0), comm ? comm : "?",
			    (unsigned long long)n);
}

static struct snap_error *begin(struct jobs *jobs, pid_t pid)
{
	struct job_run *run;
	struct job_request request = {
		.job = { .flags = JOB_REAP, .pid = pid },
		.ref = PIDREF_NULL,
		.spool = -EBADF,
		.output = -EBADF,
		.background = true,
		.callbacks = { .progress = on_progress, .end = on_end },
	};
	// Else it has ended, and its children are another's, who reaps them.
	return pidref_open(pid, &request.ref) < 0 ? NULL : jobs_add(jobs, &request, &run);
}

void leftovers_begin(struct jobs *jobs)
{
	struct parents parents = { 0 };
	find_parents(&parents);
	for (size_t i = 0; i < parents.n; i++) {
		struct snap_error *err = begin(jobs, parents.list[i]);
		if (err)
			manager_log(
				LOG_WARNING,
				"what killed workers have left of process %d stays, ignoring: %s",
				parents.list[i], err->message);
		snap_error_destroy(err);
	}
}
