// SPDX-License-Identifier: LGPL-2.1-or-later
#include "twin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/compat.h"
#include "common/fd.h"
#include "common/str.h"
#include "inject.h"
#include "procfs.h"
#include "thunk.h"
#include "twincheck.h"

enum {
	TRIES = 8, // threads
	NEVER_EXECED = 0x40, // PF_FORKNOEXEC, include/linux/sched.h
	CHILDREN_MAX = 1 << 20, // bytes of text
	SIGNALS_MAX = 1000, // that come while it settles
	NAME_OFFSET = 112, // in the cave, behind the thunk
	UNSHARE_RANGE = 1 << 1, // CLOSE_RANGE_UNSHARE
	ERESTARTNOINTR = 513, // include/linux/errno.h
	BIRTH_NS = 2 * 1000 * 1000 * 1000LL,
};

static const uint8_t twin_name[16] = "procsnap-copy"; // as /proc/PID/comm has it

/// Threads in a system call first: nothing needs to be known of their code.
static int rank(const struct tracee *t)
{
	return t->state != TRACEE_STOPPED || t->stop != THUNK_EVENT_STOP ? -1 :
	       t->regs_known && !arch_regs_compat(&t->regs) && arch_in_syscall(&t->regs) ? 0 :
											 1;
}

/// What the process would not notice: signals are kept for a tracee also when they are ignored.
static uint64_t ignored_signals(const struct procfs_status *status)
{
	const uint64_t by_default = 1ULL << (SIGCHLD - 1) | 1ULL << (SIGURG - 1) |
				    1ULL << (SIGWINCH - 1);
	return status->sig_ignored | (by_default & ~status->sig_caught);
}

/// Has it a signal that the kernel would deliver before it does anything else?
static bool is_wanted_by_signal(const struct procfs_status *status)
{
	return (status->sig_pending | status->sig_shared_pending) & ~status->sig_blocked &
	       ~ignored_signals(status);
}

/// Waits for the stop with which the child begins, and sees to it that it does not outlive us.
static bool adopt(struct twin *twin, pid_t tid, uintptr_t options)
{
	char path[32];
	struct procfs_status status;
	twin->tracee = (struct tracee){ .tid = tid };
	(void)snprintf(path, sizeof(path), "/proc/%d/status", tid);
	if (!thunk_wait(&twin->tracee, BIRTH_NS) ||
	    ptrace(PTRACE_SETOPTIONS, tid, NULL, (void *)(options | PTRACE_O_EXITKILL)) < 0 ||
	    procfs_read_status(AT_FDCWD, path, &status) < 0)
		return false;
	twin->ns_pid = status.ns_pid ? status.ns_pid : tid;
	return true;
}

/// The call has failed. Returns whether it might not in another thread.
static bool explain(struct thunk *thunk)
{
	struct arch_regs regs;
	int64_t result = arch_get_regs(thunk->tracee->tid, &regs) == 0 ? arch_result(&regs) : 0;
	if (result == -ERESTARTNOINTR) {
		thunk->why = thunk_signal_due;
		return true;
	}
	thunk->why = result == -EAGAIN ? "it may not have more processes" :
		     result == -ENOMEM ? "there is too little memory for it to fork" :
		     result == -EPERM  ? "it may not fork" :
					 "it cannot fork";
	return false;
}

/// Lets the thread, which has begun the call, do it. Returns whether another thread may be tried.
static bool let_fork(struct thunk *thunk, struct twin *ret, uintptr_t options)
{
	struct tracee *t = thunk->tracee;
	unsigned long tid = 0;
	bool more = true;
	bool born = thunk_run_to(thunk, PTRACE_SYSCALL, THUNK_CLONE_STOP) &&
		    ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &tid) == 0 && tid;
	if (!born && (t->state != TRACEE_STOPPED || t->stop != THUNK_SYSCALL_STOP))
		return false;
	if (!born)
		more = explain(thunk);
	else if (!adopt(ret, (pid_t)tid, options))
		twin_kill(ret);
	return thunk_finish(thunk) && more;
}

/// Makes @t fork. Returns whether another thread may be tried.
static bool try_thread(struct thunk *thunk, int procfd, const struct snapshot *snap,
		       struct twin *ret)
{
	char path[32];
	struct procfs_status status;
	struct tracee *t = thunk->tracee;
	(void)snprintf(path, sizeof(path), "task/%d", t->tid);
	_cleanup_close_ int taskfd = openat(procfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (taskfd < 0 || procfs_read_status(taskfd, "status", &status) < 0)
		return true;
	// Each thread has its own.
	if (twincheck_has_namespace(taskfd)) {
		thunk->why = "its children get namespaces of their own";
		return true;
	}
	if (is_wanted_by_signal(&status)) {
		thunk->why = thunk_signal_due;
		return true;
	}
	thunk->ignored = ignored_signals(&status);
	ret->filtered = status.seccomp;
	uintptr_t options = PTRACE_O_TRACESYSGOOD;
	if (ret->filtered)
		options |= PTRACE_O_SUSPEND_SECCOMP;
	// The event is the way to learn the number of the child, also in other pid namespaces.
	if (ptrace(PTRACE_SETOPTIONS, t->tid, NULL, (void *)(options | PTRACE_O_TRACECLONE)) < 0) {
		thunk->why = "its seccomp filter cannot be held off";
		return true;
	}
	bool more = true;
	if (thunk_suits(thunk, procfd, snap, ret->filtered)) {
		if (thunk_begin(thunk))
			more = let_fork(thunk, ret, options);
		else if (t->signal)
			thunk->why = thunk_signal_due;
	}
	ret->cave = thunk->cave;
	(void)ptrace(PTRACE_SETOPTIONS, t->tid, NULL, NULL);
	return more && !ret->tracee.tid && !thunk->left;
}

struct snap_error *twin_make(const struct snapshot *snap, int procfd, struct tracee *threads,
			     size_t n, uint64_t patience_ns, struct twin *ret, bool *ret_again)
{
	// No exit signal in the lowest byte: see above. The table of descriptors is shared, since
	// a copy of it would have to be made in the pause.
	const struct arch_call call = { .kind = ARCH_THUNK_FORK,
					.nr = arch_nr_clone,
					.arg = CLONE_FILES };
	struct thunk thunk = { .call = &call,
			       .room = thunk_room(snap),
			       .patience_ns = patience_ns,
			       .why = "it has no thread to do it" };
	bool more = true;
	unsigned int tries = 0;
	*ret = (struct twin){ 0 };
	*ret_again = false;
	if (!thunk.room)
		return snap_error_new(SNAP_FAILED, "it has no vDSO");
	if (twincheck_has_huge_files(snap)) // by now
		return snap_error_new(SNAP_FAILED, "it has huge pages of hugetlbfs of its own");
	// It may hold what fork() waits for.
	for (size_t i = 0; i < n; i++)
		if (threads[i].state == TRACEE_STUCK)
			return snap_error_new(SNAP_FAILED, "a thread does not stop");
	for (int wanted = 0; wanted <= 1; wanted++) {
		for (size_t i = 0; i < n && more && tries < TRIES; i++) {
			if (rank(&threads[i]) != wanted)
				continue;
			tries++;
			thunk.tracee = &threads[i];
			more = try_thread(&thunk, procfd, snap, ret);
		}
	}
	if (ret->tracee.tid && !thunk.left)
		return NULL;
	if (ret->tracee.tid)
		twin_kill(ret);
	*ret_again = thunk.why == thunk_signal_due || !tries;
	return snap_error_new(thunk.left ? SNAP_CANCELLED : SNAP_FAILED, "%s", thunk.why);
}

bool twin_lives(struct twin *twin)
{
	if (twin->tracee.tid && twin->tracee.state != TRACEE_GONE)
		tracee_poll(&twin->tracee);
	return twin->tracee.tid && twin->tracee.state != TRACEE_GONE;
}

/// Runs the child to the next beginning or end of a system call. Signals for it are nobody's.
static bool run_on(struct twin *twin)
{
	struct tracee *t = &twin->tracee;
	for (int i = 0; i < SIGNALS_MAX; i++) {
		if (ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL) < 0 || !thunk_wait(t, BIRTH_NS))
			return false;
		if (t->stop == THUNK_SYSCALL_STOP)
			return true;
	}
	return false;
}

/// Makes the child do a call. It has stopped at its end then, and returns nowhere.
static int64_t make_call(struct twin *twin, const struct arch_call *call)
{
	struct arch_regs regs;
	pid_t tid = twin->tracee.tid;
	if (arch_get_regs(tid, &regs) < 0)
		return -ESRCH;
	arch_enter_call(&regs, twin->cave, call, &regs);
	if (arch_set_regs(tid, &regs) < 0 || !run_on(twin) || !run_on(twin) ||
	    arch_get_regs(tid, &regs) < 0)
		return -ESRCH;
	return arch_result(&regs);
}

bool twin_settle(struct twin *twin)
{
	pid_t tid = twin->tracee.tid;
	const uint64_t name = twin->cave + NAME_OFFSET;
	const struct arch_call naming = { .kind = ARCH_THUNK_CALL,
					  .nr = arch_nr_prctl,
					  .arg = PR_SET_NAME,
					  .arg2 = name };
	const struct arch_call closing = { .kind = ARCH_THUNK_CALL,
					   .nr = arch_nr_close_range,
					   .arg2 = UINT32_MAX,
					   .arg3 = UNSHARE_RANGE };
	char path[48];
	// If somebody has to die for memory, then not the process.
	(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", tid);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)snap_write_all(fd, "1000", 4);
	if (thunk_poke(tid, name, twin_name, sizeof(twin_name)))
		(void)make_call(twin, &naming);
	return make_call(twin, &closing) == 0;
}

bool twin_is_asked_to_end(const struct twin *twin)
{
	const uint64_t requests = 1U << (SIGTERM - 1) | 1U << (SIGINT - 1) | 1U << (SIGHUP - 1) |
				  1U << (SIGQUIT - 1);
	char path[32];
	struct procfs_status status;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", twin->tracee.tid);
	return procfs_read_status(AT_FDCWD, path, &status) == 0 &&
	       (status.sig_pending | status.sig_shared_pending) & requests;
}

void twin_kill(struct twin *twin)
{
	pid_t tid = twin->tracee.tid;
	siginfo_t si;
	if (!tid)
		return;
	// It is our tracee until it has been waited for, so the number is still its own.
	if (twin->tracee.state != TRACEE_GONE && kill(tid, SIGKILL) == 0)
		while (waitid(P_PID, (id_t)tid, &si, WEXITED | __WALL) < 0 && errno == EINTR)
			;
	twin->tracee = (struct tracee){ 0 };
}

struct snap_error *twin_reap(const struct pidref *ref, int procfd, const struct snapshot *snap,
			     pid_t ns_pid)
{
	const struct arch_call call = { .kind = ARCH_THUNK_CALL,
					.nr = arch_nr_wait4,
					.arg = (uint64_t)ns_pid,
					.arg3 = __WALL | WNOHANG };
	int64_t result;
	struct snap_error *err = inject_call(ref, procfd, snap, &call, &result);
	if (err)
		return err;
	if (result != ns_pid && result != -ECHILD)
		return snap_error_new(SNAP_FAILED, "it cannot wait for its child %d", ns_pid);
	return NULL;
}

/**
 * Was this zombie one of ours? Of those without an exit signal, it is one that never was another
 * program and has our name, or ended as the thunk ends it, or was killed before it ran at all.
 */
static bool is_left(const struct procfs_stat *stat, enum twin_left which)
{
	if (stat->state != 'Z' || stat->exit_signal != 0 || !(stat->flags & NEVER_EXECED))
		return false;
	bool named = !strcmp(stat->comm, (const char *)twin_name);
	if (named || which == TWIN_LEFT_NAMED)
		return named;
	return stat->exit_code == ARCH_THUNK_FORK_STATUS << 8 ||
	       (stat->exit_code == SIGKILL && !stat->utime);
}

static size_t find_left_of(const char *text, enum twin_left which, pid_t *ret, size_t max)
{
	size_t n = 0;
	while (n < max) {
		char path[32];
		struct procfs_stat stat;
		struct procfs_status status;
		int64_t pid;
		text += strspn(text, " ");
		size_t len = strcspn(text, " ");
		_cleanup_free_ char *digits = strndup(text, len);
		if (!digits || snap_parse_i64(digits, &pid) < 0 || pid <= 0 || pid > INT32_MAX)
			return n;
		text += len;
		(void)snprintf(path, sizeof(path), "/proc/%d/stat", (pid_t)pid);
		if (procfs_read_stat(AT_FDCWD, path, &stat) < 0 || !is_left(&stat, which))
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/status", (pid_t)pid);
		if (procfs_read_status(AT_FDCWD, path, &status) == 0)
			ret[n++] = status.ns_pid ? status.ns_pid : (pid_t)pid;
	}
	return n;
}

size_t twin_find_left(int procfd, enum twin_left which, pid_t *ret, size_t max)
{
	int fd = openat(procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;
	for (struct dirent *d; dir && n < max && (d = readdir(dir));) {
		_cleanup_free_ char *text = NULL;
		char path[300];
		(void)snprintf(path, sizeof(path), "%s/children", d->d_name);
		if (d->d_name[0] != '.' && snap_read_file_at(fd, path, CHILDREN_MAX, &text) > 0)
			n += find_left_of(text, which, ret + n, max - n);
	}
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&fd);
	return n;
}
