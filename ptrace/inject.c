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
#include "seccomp.h"
#include "tracee.h"

enum {
	// Threads that are looked at, and of these tried.
	CANDIDATES = 64,
	TRIES = 8,
	PLACES = 4, // for thunks
	POLL_NS = 200 * 1000,
	// A thread that sleeps stops at once; one that runs when it has a CPU.
	STOP_NS = 100 * 1000 * 1000,
	// By then a worker has proved stuck that has stopped a thread: several such stops.
	STUCK_NS = 1000 * 1000 * 1000,
	SYSCALL_STOP = SIGTRAP | 0x80, // PTRACE_O_TRACESYSGOOD
	EVENT_STOP = SIGTRAP | PTRACE_EVENT_STOP << 8,
};

struct injection {
	const struct pidref *ref;
	const struct arch_call *call;
	pid_t self; ///< as TracerPid says it
	uint64_t room; ///< the end of the vDSO
	uint64_t cave; ///< where the thunk goes
	bool left; ///< a thread has yet to run the rest of its thunk
	struct tracee tracee;
	struct arch_regs home; ///< with which the thread goes on
	const char *why; ///< a thread was not used
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
		*why = "a signal is about to be delivered";
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

/// Waits until the thread stops. False when it has ended or does not stop in time.
static bool wait_stop(struct tracee *t)
{
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	uint64_t begin = snap_now_ns();
	t->state = TRACEE_INTERRUPTED;
	for (;;) {
		tracee_poll(t);
		if (t->state != TRACEE_INTERRUPTED || snap_now_ns() - begin > STOP_NS)
			return t->state == TRACEE_STOPPED;
		struct timespec ts = { .tv_nsec = POLL_NS };
		(void)sigtimedwait(&chld, NULL, &ts);
	}
}

/// Lets the thread go on to its next stop, which must be a @wanted one.
static bool run_to(struct tracee *t, int request, int wanted)
{
	return ptrace((enum __ptrace_request)request, t->tid, NULL, NULL) == 0 && wait_stop(t) &&
	       t->stop == wanted;
}

/// Lets it begin the next system call, and end it.
static bool run_to_end(struct tracee *t)
{
	bool begun = run_to(t, PTRACE_SYSCALL, SYSCALL_STOP);
	return begun && run_to(t, PTRACE_SYSCALL, SYSCALL_STOP);
}

static bool peek_word(pid_t tid, uint64_t addr, uint64_t *ret)
{
	errno = 0;
	*ret = (uint64_t)ptrace(PTRACE_PEEKDATA, tid, (void *)(uintptr_t)addr, NULL);
	return !errno;
}

/// Writes also where the process itself may not: into its private copy of the page.
static bool poke(pid_t tid, uint64_t addr, const uint8_t code[ARCH_THUNK_BYTES])
{
	for (size_t i = 0; i < ARCH_THUNK_BYTES; i += sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, code + i, sizeof(word));
		if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(addr + i),
			   (void *)(uintptr_t)word) < 0)
			return false;
	}
	return true;
}

/// The other way round, so that what is left of a thunk always begins like one.
static bool erase(pid_t tid, uint64_t addr)
{
	for (size_t i = ARCH_THUNK_BYTES; i > 0; i -= sizeof(uint64_t))
		if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(addr + i - sizeof(uint64_t)),
			   NULL) < 0)
			return false;
	return true;
}

enum cave { CAVE_FREE, CAVE_THUNK, CAVE_OTHER };

static enum cave look_into(pid_t tid, uint64_t addr)
{
	static const uint8_t nothing[ARCH_THUNK_BYTES];
	uint8_t code[ARCH_THUNK_BYTES];
	for (size_t i = 0; i < sizeof(code); i += sizeof(uint64_t)) {
		uint64_t word;
		if (!peek_word(tid, addr + i, &word))
			return CAVE_OTHER;
		memcpy(code + i, &word, sizeof(word));
	}
	return !memcmp(code, nothing, sizeof(code)) ? CAVE_FREE :
	       arch_is_thunk(code)		    ? CAVE_THUNK :
						      CAVE_OTHER;
}

/**
 * Finds a place for a thunk. Returns 0 when there is none.
 *
 * A thunk that was left may still be needed: by a thread that a signal interrupted in it, and whose
 * handler has not come back yet. So it is only replaced when there is no room elsewhere.
 */
static uint64_t find_place(pid_t tid, uint64_t end)
{
	enum cave last = CAVE_OTHER;
	for (uint64_t i = 1; i <= PLACES; i++) {
		enum cave found = look_into(tid, end - i * ARCH_THUNK_BYTES);
		if (found == CAVE_FREE)
			return end - i * ARCH_THUNK_BYTES;
		if (found == CAVE_OTHER)
			break;
		last = found;
	}
	return last == CAVE_THUNK ? end - ARCH_THUNK_BYTES : 0;
}

/// struct ptrace_rseq_configuration, which glibc 2.36 does not declare.
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};

/// struct ptrace_sud_config.
struct sud_config {
	uint64_t mode, selector, offset, len;
};

/// Is the thread, stopped outside of a system call, in the middle of a restartable sequence?
static bool in_rseq(pid_t tid, uint64_t pc)
{
	struct rseq_configuration conf;
	if (ptrace((enum __ptrace_request)PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(conf),
		   &conf) < 0)
		return errno != EIO; // EIO: a kernel without; it has none to ask about
	uint64_t descriptor, start, length;
	if (!conf.pointer)
		return false;
	// struct rseq has the address of a struct rseq_cs at 8, which has start_ip at 8 and
	// post_commit_offset at 16 (include/uapi/linux/rseq.h).
	if (!peek_word(tid, conf.pointer + 8, &descriptor))
		return true;
	if (!descriptor)
		return false;
	if (!peek_word(tid, descriptor + 8, &start) || !peek_word(tid, descriptor + 16, &length))
		return true;
	return pc - start < length;
}

/// Do its seccomp filters let it make the calls of a thunk?
static int ask_filters(const struct injection *in)
{
	// Of what it closes the number is not known; of nothing, when it was refused.
	const struct arch_call calls[] = { *in->call,
					   { .nr = arch_nr_close },
					   { .nr = arch_nr_close, .arg = (uint32_t)-EPERM } };
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(calls) && r == 0; i++) {
		struct seccomp_data data;
		arch_seccomp_data(&in->home, in->cave, &calls[i], &data);
		r = seccomp_ask(in->tracee.tid, &data);
	}
	return r;
}

/// Can the thread, which has stopped, be used? If not, in->why says why.
static bool suits(struct injection *in, bool filtered)
{
	struct tracee *t = &in->tracee;
	struct sud_config sud;
	if (t->stop != EVENT_STOP || t->signal) {
		in->why = "a signal has just come";
		return false;
	}
	// From here on the thread has what it will go on with, should we end at any moment.
	tracee_rewind(t);
	if (!t->regs_known || arch_get_regs(t->tid, &in->home) < 0) {
		in->why = "its registers cannot be read";
		return false;
	}
	if (!arch_can_inject(&in->home)) {
		in->why = "it runs 32-bit code";
		return false;
	}
	if (!arch_in_syscall(&in->home) && in_rseq(t->tid, arch_pc(&in->home))) {
		in->why = "it is in a restartable sequence";
		return false;
	}
	if (ptrace((enum __ptrace_request)PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, t->tid,
		   sizeof(sud), &sud) == 0 &&
	    sud.mode) {
		in->why = "it dispatches its system calls itself";
		return false;
	}
	in->cave = find_place(t->tid, in->room);
	if (!in->cave) {
		in->why = "its vDSO has no room";
		return false;
	}
	if (filtered && ask_filters(in) < 0) {
		in->why = "a seccomp filter might kill it for userfaultfd()";
		return false;
	}
	return true;
}

/**
 * Runs the thunk in a thread that suits.
 *
 * Wherever this ends early, the thread has a signal to handle or is about to end. It is let go as
 * it is then: with its own registers, or with those of a thunk that gives it its own.
 */
static void run_thunk(struct injection *in)
{
	struct tracee *t = &in->tracee;
	uint8_t code[ARCH_THUNK_BYTES];
	struct arch_regs regs;
	arch_thunk(&in->home, in->cave, in->call, code, &regs);
	if (!poke(t->tid, in->cave, code)) {
		in->why = "its vDSO cannot be written to";
		(void)erase(t->tid, in->cave);
		return;
	}
	in->why = "it was interrupted";
	if (arch_set_regs(t->tid, &regs) < 0)
		return;
	in->left = true;
	// Two stops for a system call: when it begins and when it ends.
	if (!run_to(t, PTRACE_SYSCALL, SYSCALL_STOP)) {
		// It has done nothing yet, and gets its signal as if we had not been there.
		if (t->state == TRACEE_STOPPED && arch_set_regs(t->tid, &in->home) == 0)
			in->left = !erase(t->tid, in->cave);
		return;
	}
	if (!run_to(t, PTRACE_SYSCALL, SYSCALL_STOP) || arch_get_regs(t->tid, &regs) < 0)
		return;
	int64_t result = arch_result(&regs);
	if (result >= 0) {
		in->fd = (int)syscall(SYS_pidfd_getfd, in->ref->pidfd, (int)result, 0);
		if (in->fd < 0)
			in->why = "its descriptor could not be taken";
	} else {
		in->why = result == -EPERM  ? "it may not use userfaultfd()" :
			  result == -ENOSYS ? "the kernel has no userfaultfd()" :
			  result == -EMFILE ? "it has no descriptor left" :
					      "userfaultfd() failed in it";
	}
	// Now the call that closes it. With the interrupt the thread stops once more on its way
	// out, where the kernel looks whether a system call is to be made again.
	if (!run_to_end(t) || ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0 ||
	    !run_to(t, PTRACE_CONT, EVENT_STOP))
		return;
	if (arch_set_regs(t->tid, &in->home) == 0)
		in->left = !erase(t->tid, in->cave);
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
static bool try_thread(struct injection *in, int procfd, pid_t tid, bool filtered)
{
	uintptr_t options = PTRACE_O_TRACESYSGOOD;
	if (filtered) // held off, as long as we live
		options |= PTRACE_O_SUSPEND_SECCOMP;
	in->tracee = (struct tracee){ .tid = tid };
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)options) < 0) {
		in->why = filtered ? "its seccomp filter cannot be held off" :
				     "it cannot be attached to";
		return true;
	}
	if (!alone(in, procfd)) {
		in->why = "somebody else traces it";
		return false;
	}
	deadman_arm(STUCK_NS);
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0 && wait_stop(&in->tracee) &&
	    suits(in, filtered))
		run_thunk(in);
	if (in->tracee.state == TRACEE_INTERRUPTED)
		in->why = "it does not stop";
	if (in->tracee.state == TRACEE_STOPPED)
		tracee_release(&in->tracee);
	deadman_disarm();
	return in->tracee.state == TRACEE_GONE && in->fd < 0 && !in->left;
}

/// The room behind the image of the vDSO ends with its mapping. 0: there is no vDSO.
static uint64_t find_room(const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		if (map->flags & SNAP_MAP_SPECIAL && map->flags & SNAP_MAP_EXEC &&
		    !strcmp(snap_mapping_name(snap, map), "[vdso]"))
			return map->end;
	}
	return 0;
}

const char *inject_obstacle(int procfd, const struct snapshot *snap)
{
	struct candidate list[CANDIDATES];
	const char *why = "it has no thread to do it";
	if (!find_room(snap))
		return "it has no vDSO";
	return find_candidates(procfd, list, &why) ? NULL : why;
}

struct snap_error *inject_descriptor(const struct pidref *ref, int procfd,
				     const struct snapshot *snap, const struct arch_call *call,
				     int *ret_fd)
{
	struct injection in = {
		.ref = ref, .call = call,
		.self = gettid(), .room = find_room(snap), .fd = -EBADF,
		.why = "it has no thread to do it"
	};
	struct candidate list[CANDIDATES];
	if (!in.room)
		return snap_error_new(SNAP_FAILED, "it has no vDSO");
	size_t n = find_candidates(procfd, list, &in.why);
	bool more = true;
	for (size_t i = 0; i < MIN(n, (size_t)TRIES) && more; i++)
		more = try_thread(&in, procfd, list[i].tid, list[i].rank & 1);
	if (in.fd < 0)
		return snap_error_new(SNAP_FAILED, "%s", in.why);
	*ret_fd = in.fd;
	return NULL;
}
