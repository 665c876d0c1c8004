// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/compat.h"
#include "common/fd.h"
#include "common/str.h"
#include "deadman.h"
#include "procfs.h"
#include "thunk.h"
#include "tracee.h"

enum {
	// Threads that are looked at, and of these tried.
	CANDIDATES = 64,
	TRIES = 8,
	// Again, when it was only that signals were due: soon they are handled.
	ROUNDS = 5,
	ROUND_NS = 2 * 1000 * 1000,
	// By then a worker has proved stuck that has stopped a thread: several times what a stop
	// may take.
	STUCK_NS = 3000 * 1000 * 1000LL,
};

struct injection {
	const struct pidref *ref;
	int procfd;
	const struct snapshot *snap;
	pid_t self; ///< as TracerPid says it
	struct tracee tracee;
	struct thunk thunk;
	bool done; ///< the call has returned
	int64_t result;
	int fd;
};

struct candidate {
	pid_t tid;
	int rank; ///< the lower the better
};

static int by_rank(const void *a, const void *b)
{
	return ((const struct candidate *)a)->rank - ((const struct candidate *)b)->rank;
}

/// How well a thread suits, before it is stopped; negative: not at all.
static int rank(int taskfd, pid_t tid, const char **why)
{
	char path[32];
	struct procfs_stat stat;
	struct procfs_status status;
	(void)snprintf(path, sizeof(path), "%d/stat", tid);
	if (procfs_read_stat(taskfd, path, &stat) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%d/status", tid);
	if (procfs_read_status(taskfd, path, &status) < 0)
		return -1;
	if (stat.state != 'S' && stat.state != 'R') {
		*why = stat.state == 'T' ? "it is stopped" : "its threads are in states that must "
							     "not be disturbed";
		return -1;
	}
	if ((status.sig_pending | status.sig_shared_pending) & ~status.sig_blocked) {
		*why = thunk_signal_due;
		return -1;
	}
	return (stat.state == 'S' ? 0 : 2) + (status.seccomp ? 1 : 0);
}

static size_t find_candidates(int procfd, struct candidate *list, const char **why)
{
	int taskfd = openat(procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = taskfd < 0 ? NULL : fdopendir(taskfd);
	size_t n = 0;
	for (struct dirent *d; dir && n < CANDIDATES && (d = readdir(dir));) {
		int64_t tid;
		if (snap_parse_i64(d->d_name, &tid) < 0 || tid <= 0 || tid > INT32_MAX)
			continue;
		int r = rank(taskfd, (pid_t)tid, why);
		if (r >= 0)
			list[n++] = (struct candidate){ (pid_t)tid, r };
	}
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&taskfd);
	qsort(list, n, sizeof(*list), by_rank);
	return n;
}

/// One more step was made: that is not what being stuck is like, however long it took.
static void go_on(void)
{
	deadman_arm(STUCK_NS);
}

/// Takes the descriptor that the call has opened, and has the process close its own.
static void take_descriptor(struct injection *in, int64_t result)
{
	struct thunk *thunk = &in->thunk;
	int64_t closed;
	if (result >= 0) {
		in->fd = (int)syscall(SYS_pidfd_getfd, in->ref->pidfd, (int)result, 0);
		if (in->fd < 0)
			thunk->why = "its descriptor could not be taken";
	} else {
		thunk->why = result == -EPERM  ? "it may not use userfaultfd()" :
			     result == -ENOSYS ? "the kernel has no userfaultfd()" :
			     result == -EMFILE ? "it has no descriptor left" :
						 "userfaultfd() failed in it";
	}
	// Two stops for a system call: when it begins and when it ends.
	if (thunk_run_to(thunk, PTRACE_SYSCALL, THUNK_SYSCALL_STOP) && thunk_do(thunk, &closed)) {
		go_on();
		(void)thunk_finish(thunk);
	}
}

/// Runs the thunk in a thread that suits.
static void run_thunk(struct injection *in)
{
	int64_t result;
	go_on();
	if (!thunk_begin(&in->thunk))
		return;
	go_on();
	if (!thunk_do(&in->thunk, &result))
		return;
	go_on();
	in->done = true;
	in->result = result;
	if (in->thunk.call->kind == ARCH_THUNK_OPEN)
		take_descriptor(in, result);
	else
		(void)thunk_finish(&in->thunk);
}

/**
 * Are we the only one who traces a thread of the process?
 *
 * Two workers must not use the same room at once. Each seizes its thread before it looks at the
 * others, so one of them at least sees the other.
 */
static bool alone(const struct injection *in, int procfd)
{
	int taskfd = openat(procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = taskfd < 0 ? NULL : fdopendir(taskfd);
	bool found = false;
	for (struct dirent *d; dir && !found && (d = readdir(dir));) {
		char path[300];
		struct procfs_status status;
		(void)snprintf(path, sizeof(path), "%s/status", d->d_name);
		found = d->d_name[0] != '.' && procfs_read_status(taskfd, path, &status) == 0 &&
			status.tracer_pid && status.tracer_pid != in->self;
	}
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&taskfd);
	return dir && !found;
}

/**
 * Tries one thread. It runs on in any case: at the latest when we end, which lets go of one that
 * was too slow to stop. Returns whether another one may be tried.
 */
static bool try_thread(struct injection *in, pid_t tid, bool filtered)
{
	uintptr_t options = PTRACE_O_TRACESYSGOOD;
	if (filtered) // held off, as long as we live
		options |= PTRACE_O_SUSPEND_SECCOMP;
	in->tracee = (struct tracee){ .tid = tid };
	deadman_arm(STUCK_NS);
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)options) < 0) {
		deadman_disarm();
		in->thunk.why = filtered ? "its seccomp filter cannot be held off" :
					   "it cannot be attached to";
		return true;
	}
	if (!alone(in, in->procfd)) {
		deadman_disarm();
		in->thunk.why = "somebody else traces it";
		return false;
	}
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0 && thunk_wait(&in->tracee, 0)) {
		go_on();
		if (thunk_suits(&in->thunk, in->procfd, in->snap, filtered))
			run_thunk(in);
	}
	if (in->tracee.state == TRACEE_INTERRUPTED)
		in->thunk.why = "it does not stop";
	if (in->tracee.state == TRACEE_STOPPED)
		tracee_release(&in->tracee);
	deadman_disarm();
	return in->tracee.state == TRACEE_GONE && !in->done && !in->thunk.left;
}

const char *inject_obstacle(int procfd, const struct snapshot *snap)
{
	struct candidate list[CANDIDATES];
	const char *why = "it has no thread to do it";
	if (!thunk_room(snap))
		return "it has no vDSO";
	return find_candidates(procfd, list, &why) ? NULL : why;
}

/// Tries threads until one has done it, or none is left.
static struct snap_error *inject(struct injection *in, const struct arch_call *call)
{
	struct candidate list[CANDIDATES];
	in->self = gettid();
	in->fd = -EBADF;
	in->thunk = (struct thunk){ .tracee = &in->tracee,
				    .call = call,
				    .room = thunk_room(in->snap),
				    .why = "it has no thread to do it" };
	if (!in->thunk.room)
		return snap_error_new(SNAP_FAILED, "it has no vDSO");
	bool more = true;
	for (int round = 0; more && round < ROUNDS; round++) {
		if (round)
			snap_sleep_ns(ROUND_NS);
		size_t n = find_candidates(in->procfd, list, &in->thunk.why);
		for (size_t i = 0; i < MIN(n, (size_t)TRIES) && more; i++)
			more = try_thread(in, list[i].tid, list[i].rank & 1);
		more &= in->thunk.why == thunk_signal_due;
	}
	return in->done ? NULL : snap_error_new(SNAP_FAILED, "%s", in->thunk.why);
}

struct snap_error *inject_descriptor(const struct pidref *ref, int procfd,
				     const struct snapshot *snap, const struct arch_call *call,
				     int *ret_fd)
{
	struct injection in = { .ref = ref, .procfd = procfd, .snap = snap };
	struct snap_error *err = inject(&in, call);
	if (err)
		return err;
	if (in.fd < 0)
		return snap_error_new(SNAP_FAILED, "%s", in.thunk.why);
	*ret_fd = in.fd;
	return NULL;
}

struct snap_error *inject_call(const struct pidref *ref, int procfd, const struct snapshot *snap,
			       const struct arch_call *call, int64_t *ret_result)
{
	struct injection in = { .ref = ref, .procfd = procfd, .snap = snap };
	struct snap_error *err = inject(&in, call);
	if (!err)
		*ret_result = in.result;
	return err;
}
