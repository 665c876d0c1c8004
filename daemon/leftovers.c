// SPDX-License-Identifier: LGPL-2.1-or-later
#include "leftovers.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <syslog.h>

#include "common/fd.h"
#include "common/str.h"
#include "daemon/manager.h"

enum {
	// Twice what a kernel has by default. Each takes some microseconds.
	ENTRIES_MAX = 65536,
	// Workers that were killed together; the rest is for the next start.
	FOUND_MAX = 64,
	STATUS_MAX = 64 << 10,
	MAPS_MAX = 1 << 20, // of our own
	AUXV_MAX = 4096,
	// What is looked at in front of the end of the vDSO: all that is ever written to.
	ROOM_BYTES = 512,
};

/// The processes that something was left in.
struct found {
	pid_t list[FOUND_MAX];
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

/// The vDSO, of which the kernel gives the same to all 64-bit processes.
struct vdso {
	const char *room; ///< ROOM_BYTES as they are; NULL: there is none
	uint64_t at; ///< in it
};

/// Our own, which nobody has written to.
static struct vdso find_vdso(void)
{
	_cleanup_free_ char *maps = NULL;
	uint64_t start = getauxval(AT_SYSINFO_EHDR);
	uint64_t end;
	char begin[32], number[32];
	if (!start || snap_read_file_at(AT_FDCWD, "/proc/self/maps", MAPS_MAX, &maps) <= 0)
		return (struct vdso){ 0 };
	(void)snprintf(begin, sizeof(begin), "%llx-", (unsigned long long)start);
	const char *line = strstr(maps, begin);
	if (!line)
		return (struct vdso){ 0 };
	line += strlen(begin);
	(void)snprintf(number, sizeof(number), "0x%.*s", (int)strcspn(line, " "), line);
	if (snap_parse_u64(number, &end) < 0 || end < start + ROOM_BYTES)
		return (struct vdso){ 0 };
	return (struct vdso){ (const char *)(uintptr_t)(end - ROOM_BYTES),
			      end - ROOM_BYTES - start };
}

/// Is the room behind the vDSO of @name not as the kernel has made it?
static bool is_littered(int proc, const char *name, const struct vdso *vdso)
{
	_cleanup_free_ char *auxv = NULL;
	char path[300], room[ROOM_BYTES];
	uint64_t start = 0;
	(void)snprintf(path, sizeof(path), "%s/auxv", name);
	ssize_t n = vdso->room ? snap_read_file_at(proc, path, AUXV_MAX, &auxv) : 0;
	for (ssize_t i = 0; i + (ssize_t)sizeof(Elf64_auxv_t) <= n;
	     i += (ssize_t)sizeof(Elf64_auxv_t)) {
		Elf64_auxv_t entry;
		memcpy(&entry, auxv + i, sizeof(entry));
		if (entry.a_type == AT_SYSINFO_EHDR)
			start = entry.a_un.a_val;
	}
	if (!start || start + vdso->at < start) // also one of 32 bits, which never has any
		return false;
	(void)snprintf(path, sizeof(path), "%s/mem", name);
	_cleanup_close_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 &&
	       snap_pread_full(fd, room, sizeof(room), start + vdso->at) == (ssize_t)sizeof(room) &&
	       memcmp(room, vdso->room, sizeof(room)) != 0;
}

static void add(struct found *found, pid_t pid)
{
	for (size_t i = 0; i < found->n; i++)
		if (found->list[i] == pid)
			return;
	if (found->n < FOUND_MAX)
		found->list[found->n++] = pid;
}

static void find(struct found *found)
{
	const struct vdso vdso = find_vdso();
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;
	for (struct dirent *d; dir && n < ENTRIES_MAX && (d = readdir(dir));) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		n++;
		pid_t parent = parent_of_zombie(fd, d->d_name);
		int64_t pid;
		if (parent)
			add(found, parent);
		else if (is_littered(fd, d->d_name, &vdso) && snap_parse_i64(d->d_name, &pid) == 0)
			add(found, (pid_t)pid);
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
	if (err) {
		if (err->code != SNAP_NO_PROCESS) // with it is gone what was left
			manager_log(LOG_WARNING, "%s, ignoring", err->message);
		return;
	}
	uint64_t n = json_get_u64(result, "reaped", 0), pid = json_get_u64(result, "pid", 0);
	const char *comm = json_get_text(result, "comm");
	if (n)
		manager_log(LOG_NOTICE,
			    "process %llu (%s) was made to reap %llu zombies that killed workers "
			    "have left",
			    (unsigned long long)pid, comm ? comm : "?", (unsigned long long)n);
	if (json_get_bool(result, "erased", false))
		manager_log(LOG_NOTICE,
			    "code that a killed worker has left behind the vDSO of process %llu "
			    "(%s) was erased",
			    (unsigned long long)pid, comm ? comm : "?");
}

static struct snap_error *begin(struct jobs *jobs, pid_t pid)
{
	struct job_run *run;
	struct job_request request = {
		.job = { .flags = JOB_CLEAN, .pid = pid },
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
	struct found found = { 0 };
	find(&found);
	for (size_t i = 0; i < found.n; i++) {
		struct snap_error *err = begin(jobs, found.list[i]);
		if (err)
			manager_log(
				LOG_WARNING,
				"what killed workers have left of process %d stays, ignoring: %s",
				found.list[i], err->message);
		snap_error_destroy(err);
	}
}
