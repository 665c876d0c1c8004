// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/str.h"

enum arg {
	ARG_STORE = 1,
	ARG_PID,
	ARG_UID,
	ARG_GID,
	ARG_SIGNAL,
	ARG_TIME,
	ARG_RLIMIT,
	ARG_DUMPABLE,
	ARG_PIDFD,
	ARG_TID,
	ARG_HOSTNAME
};

static uint64_t number(char *const argv[], enum arg i, uint64_t max, uint64_t fallback)
{
	uint64_t value;
	return snap_parse_u64(argv[i], &value) == 0 && value <= max ? value : fallback;
}

/// To the second the kernel's time is right; below it, and to order crashes, our own.
static uint64_t time_usec(char *const argv[])
{
	uint64_t now = snap_clock_ns(CLOCK_REALTIME) / 1000;
	uint64_t sec = number(argv, ARG_TIME, UINT64_MAX / 1000000, now / 1000000);
	return now / 1000000 == sec ? now : sec * 1000000;
}

struct snap_error *crash_from_args(int argc, char *argv[], struct crash *ret)
{
	*ret = (struct crash){ .ref = PIDREF_NULL };
	if (argc != CRASH_ARGS || argv[ARG_STORE][0] != '/')
		return snap_error_new(SNAP_USAGE,
				      "procsnap-corehook is started by the kernel, as "
				      "kernel.core_pattern says; see snapctl(1), handler");
	pid_t pid = (pid_t)number(argv, ARG_PID, INT_MAX, 0);
	if (!pid)
		return snap_error_new(SNAP_USAGE, "kernel.core_pattern names no process");
	ret->store = argv[ARG_STORE];
	ret->uid = (uid_t)number(argv, ARG_UID, UINT32_MAX, UINT32_MAX);
	ret->gid = (gid_t)number(argv, ARG_GID, UINT32_MAX, UINT32_MAX);
	ret->signal = (int)number(argv, ARG_SIGNAL, 64, 0);
	ret->usec = time_usec(argv);
	ret->rlimit = number(argv, ARG_RLIMIT, UINT64_MAX, UINT64_MAX);
	ret->dumpable = (int)number(argv, ARG_DUMPABLE, 2, (uint64_t)-1);
	ret->tid = (pid_t)number(argv, ARG_TID, INT_MAX, 0);
	ret->hostname = argv[ARG_HOSTNAME];
	if (number(argv, ARG_PIDFD, INT_MAX, 0) == CRASH_PIDFD)
		ret->by_pidfd = pidref_from_fd(CRASH_PIDFD, &ret->ref) == 0 && ret->ref.pid == pid;
	else
		(void)pidref_open(pid, &ret->ref);
	// It may have been killed since, and its number may be another one's by now
	// (CVE-2025-4598): a number that the pidfd does not confirm is not looked up.
	if (ret->ref.pid != pid)
		pidref_deinit(&ret->ref);
	ret->ref.pid = pid;
	return NULL;
}

int crash_open_proc(const struct crash *crash, pid_t *ret_tid)
{
	char link[2], path[32];
	_cleanup_close_ int piddir = pidref_open_proc(&crash->ref);
	*ret_tid = crash->ref.pid;
	// A leader that has ended by itself has no memory any more, and no program.
	if (piddir < 0 || !crash->tid || crash->tid == crash->ref.pid ||
	    readlinkat(piddir, "exe", link, sizeof(link)) >= 0)
		return piddir < 0 ? piddir : TAKE_FD(piddir);
	(void)snprintf(path, sizeof(path), "task/%d", crash->tid);
	int thread = openat(piddir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (thread < 0)
		return TAKE_FD(piddir);
	*ret_tid = crash->tid;
	return thread;
}

bool crash_is_held(void)
{
	struct pollfd pfd = { .fd = CRASH_STREAM_FD };
	return poll(&pfd, 1, 0) >= 0 && !(pfd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

void crash_add_head(struct crash *crash, const struct snapshot *snap,
		    const struct stream_facts *facts)
{
	if (!crash->signal)
		crash->signal = facts->signal;
	// Numbers in the core are those of the process's own pid namespace.
	if (!crash->tid && snap->n_threads == 1)
		crash->tid = crash->ref.pid;
}

struct json *crash_to_json(const struct crash *crash)
{
	struct json *json = json_new_object();
	json_set_u64(json, "pid", (uint64_t)crash->ref.pid);
	json_set_u64(json, "tid", (uint64_t)crash->tid);
	json_set_u64(json, "uid", crash->uid);
	json_set_u64(json, "gid", crash->gid);
	json_set_u64(json, "signal", (uint64_t)crash->signal);
	json_set_u64(json, "usec", crash->usec);
	json_set_u64(json, "rlimit", crash->rlimit);
	if (crash->dumpable >= 0)
		json_set_u64(json, "dumpable", (uint64_t)crash->dumpable);
	json_set_bool(json, "by_pidfd", crash->by_pidfd);
	if (crash->hostname)
		json_set_message(json, "hostname", crash->hostname);
	return json;
}
