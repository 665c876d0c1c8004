// SPDX-License-Identifier: LGPL-2.1-or-later
#include "freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch.h"
#include "common/clock.h"
#include "common/compat.h"
#include "common/fd.h"
#include "common/str.h"
#include "denial.h"
#include "procfs.h"
#include "tracee.h"

enum {
	TID_LIMIT = 4 * 1024 * 1024, // PID_MAX_LIMIT of 64-bit kernels, include/linux/threads.h
	GETDENTS_SIZE = 65536,
	POLL_NS = 500 * 1000,
	// How long the other threads wait for one in uninterruptible sleep. A vfork() or a disk
	// read is over by then; a hung file system never is.
	UNINTERRUPTIBLE_NS = 50 * 1000 * 1000,
	// A thread that is runnable stops as soon as it gets a CPU; on a machine so busy that this
	// takes longer than this, holding all others would be the greater harm.
	RUNNABLE_NS = 2 * 1000 * 1000 * 1000LL,
	REAP_INTERVAL_NS = 2 * 1000 * 1000,
	// Passes over the thread list while the threads still run; the rest is found when stopped.
	SEIZE_PASSES = 3,
	SEIZE_RETRIES = 5,
	SEIZE_RETRY_NS = 1000 * 1000,
};

struct freeze {
	pid_t pid;
	int pidfd; ///< borrowed
	int procfd; ///< borrowed
	int taskfd; ///< /proc/PID/task
	uint64_t max_pause_ns, started_ns;
	struct tracee *tracees;
	size_t n, size;
	size_t attached; ///< how many threads were seized so far
	uint8_t *known; ///< one bit a tid
	char *dents;
	pthread_t reaper;
	bool reaper_runs;
	atomic_bool reaper_stop;
	pthread_mutex_t reaper_lock; ///< protects seizing; the list while that is not 0
	uint64_t seizing, seize_calls; ///< number of the call under way, and of calls so far
};

struct snap_error *freeze_create(const struct pidref *ref, int procfd, uint64_t max_pause_ns,
				 struct freeze **ret)
{
	_cleanup_(freeze_destroyp) struct freeze *f = calloc(1, sizeof(*f));
	if (!f)
		return snap_error_oom();
	(void)pthread_mutex_init(&f->reaper_lock, NULL); // cannot fail without attributes
	f->pid = ref->pid;
	f->pidfd = ref->pidfd;
	f->procfd = procfd;
	f->max_pause_ns = max_pause_ns;
	f->known = calloc(TID_LIMIT / 8, 1);
	f->dents = malloc(GETDENTS_SIZE);
	f->size = 1024;
	f->tracees = calloc(f->size, sizeof(*f->tracees));
	f->taskfd = openat(procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!f->known || !f->dents || !f->tracees)
		return snap_error_oom();
	if (f->taskfd < 0)
		return denial_from_errno(f->pid, procfd, errno, "list the threads");
	*ret = TAKE_PTR(f);
	return NULL;
}

static void reaper_end(struct freeze *f)
{
	if (!f->reaper_runs)
		return;
	f->reaper_stop = true;
	(void)pthread_join(f->reaper, NULL);
	f->reaper_runs = false;
}

void freeze_destroy(struct freeze *f)
{
	if (!f)
		return;
	reaper_end(f);
	(void)pthread_mutex_destroy(&f->reaper_lock);
	snap_closep(&f->taskfd);
	free(f->known);
	free(f->dents);
	free(f->tracees);
	free(f);
}

/**
 * Reaps tracees that end while the tracer is blocked in PTRACE_SEIZE.
 *
 * A thread in execve() holds cred_guard_mutex and waits for its siblings to be reaped, which only
 * their tracer can do; PTRACE_SEIZE waits for the same mutex. Without this thread both would wait
 * for each other for ever. The list does not change while seizing is set.
 */
static void *reaper_main(void *userdata)
{
	struct freeze *f = userdata;
	uint64_t seen = 0;
	while (!f->reaper_stop) {
		snap_sleep_ns(REAP_INTERVAL_NS);
		(void)pthread_mutex_lock(&f->reaper_lock);
		// The same call for a whole interval: it hangs.
		for (size_t i = 0; f->seizing && f->seizing == seen && i < f->n; i++)
			(void)tracee_reap_ended(f->tracees[i].tid); // the tracer sees ECHILD
		seen = f->seizing;
		(void)pthread_mutex_unlock(&f->reaper_lock);
	}
	return NULL;
}

/// PTRACE_SEIZE, watched by the reaper. Returns 0 or a negative errno.
static int seize_watched(struct freeze *f, pid_t tid)
{
	(void)pthread_mutex_lock(&f->reaper_lock);
	f->seizing = ++f->seize_calls;
	(void)pthread_mutex_unlock(&f->reaper_lock);
	int r = ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ? -errno : 0;
	(void)pthread_mutex_lock(&f->reaper_lock);
	f->seizing = 0;
	(void)pthread_mutex_unlock(&f->reaper_lock);
	return r;
}

static struct snap_error *reaper_begin(struct freeze *f)
{
	int r = pthread_create(&f->reaper, NULL, reaper_main, f);
	if (r)
		return snap_error_errno(SNAP_FAILED, r, "cannot start a thread");
	f->reaper_runs = true;
	return NULL;
}

static bool tid_known(const struct freeze *f, pid_t tid)
{
	return f->known[tid / 8] & (1U << (tid % 8));
}

static bool process_gone(const struct freeze *f)
{
	return syscall(SYS_pidfd_send_signal, f->pidfd, 0, NULL, 0) < 0 && errno == ESRCH;
}

static struct snap_error *gone_error(const struct freeze *f)
{
	return snap_error_new(SNAP_NO_PROCESS, "process %d ended before it could be dumped",
			      f->pid);
}

/// Does task/@tid still belong to our process?
static bool tid_is_ours(const struct freeze *f, pid_t tid)
{
	char name[16];
	(void)snprintf(name, sizeof(name), "%d", tid);
	return faccessat(f->taskfd, name, F_OK, 0) == 0;
}

static int tid_stat(const struct freeze *f, pid_t tid, struct procfs_stat *ret)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "%d/stat", tid);
	return procfs_read_stat(f->taskfd, path, ret);
}

static struct tracee *tracee_add(struct freeze *f, pid_t tid)
{
	if (f->n == f->size) {
		struct tracee *bigger = reallocarray(f->tracees, f->size * 2, sizeof(*bigger));
		if (!bigger)
			return NULL;
		f->tracees = bigger;
		f->size *= 2;
	}
	f->tracees[f->n] = (struct tracee){ .tid = tid };
	return &f->tracees[f->n++];
}

/// Who traces a thread (a tid); 0: nobody.
static pid_t tid_tracer(const struct freeze *f, pid_t tid)
{
	char path[32];
	struct procfs_status st;
	(void)snprintf(path, sizeof(path), "%d/status", tid);
	return procfs_read_status(f->taskfd, path, &st) < 0 ? 0 : st.tracer_pid;
}

static struct snap_error *seize_one(struct freeze *f, pid_t tid)
{
	struct tracee *t = tracee_add(f, tid);
	if (!t)
		return snap_error_oom();
	int r = tid_stat(f, tid, &t->stat);
	if (r < 0 || t->stat.state == 'Z' || t->stat.state == 'X') {
		t->state = TRACEE_GONE;
		return NULL;
	}
	int errnum = -seize_watched(f, tid);
	// A tracer that is just leaving: it is not to be found any more, but was there still.
	pid_t tracer = 0;
	for (int i = 0; errnum == EPERM && i <= SEIZE_RETRIES; i++) {
		tracer = tid_tracer(f, tid);
		if (tracer || i == SEIZE_RETRIES)
			break;
		snap_sleep_ns(SEIZE_RETRY_NS);
		errnum = -seize_watched(f, tid);
	}
	// After an execve() by another thread than the leader, that one has the leader's number
	// and is our tracee already.
	if (errnum == EPERM && f->attached && tracer == gettid())
		errnum = 0;
	if (errnum) {
		struct procfs_stat now;
		t->state = TRACEE_GONE;
		if (errnum == ESRCH || tid_stat(f, tid, &now) < 0 || now.state == 'Z' ||
		    now.state == 'X')
			return NULL;
		return tracer ? denial_traced(f->pid, tracer) :
				denial_from_errno(f->pid, f->procfd, errnum, "attach to");
	}
	f->attached++;
	if (!tid_is_ours(f, tid))
		tracee_expel(t);
	return NULL;
}

/// struct linux_dirent64, which glibc does not declare.
struct dirent_head {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/**
 * Seizes the threads in one reading of /proc/PID/task that are not known yet.
 *
 * @ret_listed is the number of entries read.
 */
static struct snap_error *scan_tasks(struct freeze *f, size_t *ret_new, size_t *ret_listed)
{
	size_t fresh = 0, listed = 0;
	if (lseek(f->taskfd, 0, SEEK_SET) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot list the threads of %d",
					f->pid);
	for (;;) {
		long n = syscall(SYS_getdents64, f->taskfd, f->dents, GETDENTS_SIZE);
		if (n < 0 && errno != ENOENT)
			return snap_error_errno(SNAP_FAILED, errno, "cannot list the threads of %d",
						f->pid);
		if (n <= 0)
			break;
		for (long pos = 0; pos < n;) {
			const struct dirent_head *d = (const void *)(f->dents + pos);
			pos += d->reclen;
			int64_t tid;
			if (snap_parse_i64(d->name, &tid) < 0 || tid <= 0 || tid >= TID_LIMIT)
				continue;
			listed++;
			if (tid_known(f, (pid_t)tid))
				continue;
			f->known[tid / 8] |= (uint8_t)(1U << (tid % 8));
			struct snap_error *err = seize_one(f, (pid_t)tid);
			if (err)
				return err;
			fresh += f->tracees[f->n - 1].state == TRACEE_SEIZED;
		}
	}
	*ret_new = fresh;
	*ret_listed = listed;
	return NULL;
}

struct snap_error *freeze_seize(struct freeze *f)
{
	struct snap_error *err = reaper_begin(f);
	size_t fresh = 1, listed;
	for (int i = 0; !err && fresh && i < SEIZE_PASSES; i++)
		err = scan_tasks(f, &fresh, &listed);
	if (!err && process_gone(f))
		err = gone_error(f);
	return err;
}

static void interrupt_seized(struct freeze *f)
{
	// Those that run first: they change memory, the others only might wake up.
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < f->n; i++) {
			struct tracee *t = &f->tracees[i];
			if (t->state != TRACEE_SEIZED || (!pass && t->stat.state != 'R'))
				continue;
			t->state = ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0 ?
					   TRACEE_GONE :
					   TRACEE_INTERRUPTED;
		}
	}
}

/// A thread that is known but ended may have given its number to a new one: look again at those.
static void forget_gone(struct freeze *f)
{
	size_t kept = 0;
	for (size_t i = 0; i < f->n; i++) {
		struct tracee *t = &f->tracees[i];
		if (t->state == TRACEE_GONE)
			f->known[t->tid / 8] &= (uint8_t)~(1U << (t->tid % 8));
		else
			f->tracees[kept++] = *t;
	}
	f->n = kept;
}

static struct snap_error *budget_error(const struct freeze *f)
{
	char buf[16];
	return snap_error_new(
		SNAP_PAUSE_EXCEEDED,
		"process %d could not be dumped within a pause of %s; it runs on unharmed", f->pid,
		snap_format_ns(f->max_pause_ns, buf));
}

static bool budget_spent(const struct freeze *f)
{
	return f->max_pause_ns && snap_now_ns() - f->started_ns >= f->max_pause_ns;
}

/// Judges the threads that have not stopped for a while: stuck ones are given up on.
static struct snap_error *judge_unstopped(struct freeze *f, uint64_t waited_ns)
{
	for (size_t i = 0; i < f->n; i++) {
		struct tracee *t = &f->tracees[i];
		if (t->state != TRACEE_INTERRUPTED)
			continue;
		struct procfs_stat st;
		if (tid_stat(f, t->tid, &st) < 0 || st.state == 'Z' || st.state == 'X') {
			tracee_poll(t);
			if (t->state == TRACEE_INTERRUPTED && waited_ns > RUNNABLE_NS)
				t->state = TRACEE_GONE;
			continue;
		}
		if (st.state == 'D')
			t->state = TRACEE_STUCK;
		else if (waited_ns > RUNNABLE_NS)
			return snap_error_new(SNAP_FAILED,
					      "thread %d of process %d did not stop within %d s "
					      "(state %c); the machine may be overloaded",
					      t->tid, f->pid, (int)(RUNNABLE_NS / 1000000000),
					      st.state);
	}
	return NULL;
}

/// Waits until every thread that was interrupted has stopped, ended, or proved stuck.
static struct snap_error *wait_stopped(struct freeze *f)
{
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);

	uint64_t begin = snap_now_ns();
	size_t first = 0;
	for (;;) {
		size_t left = 0;
		for (size_t i = first; i < f->n; i++) {
			struct tracee *t = &f->tracees[i];
			if (t->state == TRACEE_INTERRUPTED)
				tracee_poll(t);
			if (t->state != TRACEE_INTERRUPTED)
				continue;
			if (!left++)
				first = i;
			// The first one that is late is what everything waits for; looking at
			// the others meanwhile would only take the CPU away from it.
			break;
		}
		if (!left)
			return NULL;
		if (budget_spent(f))
			return budget_error(f);
		uint64_t waited = snap_now_ns() - begin;
		if (waited > UNINTERRUPTIBLE_NS) {
			struct snap_error *err = judge_unstopped(f, waited);
			if (err)
				return err;
		}
		struct timespec ts = { .tv_nsec = POLL_NS };
		(void)sigtimedwait(&chld, NULL, &ts); // woken by any stop, or looks again
	}
}

static bool any_stopped(const struct freeze *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].state == TRACEE_STOPPED || f->tracees[i].state == TRACEE_STUCK)
			return true;
	return false;
}

/// Hides our interruption from every stopped thread, before anything that takes time.
static void rewind_all(struct freeze *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].state == TRACEE_STOPPED)
			tracee_rewind(&f->tracees[i]);
}

struct snap_error *freeze_stop(struct freeze *f)
{
	f->started_ns = snap_now_ns();
	for (;;) {
		interrupt_seized(f);
		struct snap_error *err = wait_stopped(f);
		if (err)
			return err;
		forget_gone(f);
		rewind_all(f);
		// All that we know have stopped, so whoever is new now was made before that. When
		// nobody is, and the kernel counts no more than it lists, nobody runs any more.
		size_t fresh = 0, listed = 0;
		err = scan_tasks(f, &fresh, &listed);
		if (err)
			return err;
		struct procfs_status status;
		if (!fresh && (procfs_read_status(f->procfd, "status", &status) < 0 ||
			       status.threads <= listed))
			break;
		if (budget_spent(f))
			return budget_error(f);
		if (snap_now_ns() - f->started_ns > RUNNABLE_NS)
			return snap_error_new(SNAP_FAILED,
					      "process %d makes threads faster than they can be "
					      "stopped",
					      f->pid);
	}
	// Zombies are listed, seized by nobody, and forgotten; a leader among them is fine.
	forget_gone(f);
	if (!any_stopped(f))
		return gone_error(f);
	return NULL;
}

static pid_t read_ns_tid(const struct freeze *f, pid_t tid)
{
	char path[32];
	struct procfs_status st;
	(void)snprintf(path, sizeof(path), "%d/status", tid);
	return procfs_read_status(f->taskfd, path, &st) < 0 || !st.ns_pid ? tid : st.ns_pid;
}

static void collect_stuck(const struct freeze *f, const struct tracee *t, bool compat,
			  struct snap_thread *thread)
{
	char path[32];
	_cleanup_free_ char *text = NULL;
	struct procfs_syscall sc = { .nr = -1 };
	(void)snprintf(path, sizeof(path), "%d/syscall", t->tid);
	if (snap_read_file_at(f->taskfd, path, 4096, &text) > 0)
		(void)procfs_parse_syscall(text, &sc); // no luck: zeros, and marked as partial
	struct arch_regs regs;
	arch_regs_from_syscall(&sc, compat, &regs);
	void *data = malloc(regs.size);
	if (!data)
		return;
	memcpy(data, regs.words, regs.size);
	thread->flags |= SNAP_THREAD_PARTIAL;
	thread->n_regsets = 1;
	thread->regsets[0] = (struct snap_regset){
		.type = NT_PRSTATUS,
		.size = (uint32_t)regs.size,
		.stored = (uint32_t)regs.size,
		.data = data
	};
}

static struct snap_error *collect_one(struct tracee *t, struct snap_thread *thread)
{
	*thread = (struct snap_thread){
		.tid = t->tid,
		.ns_tid = t->tid,
		.state = t->stat.state,
		.utime_usec = procfs_ticks_to_usec(t->stat.utime),
		.stime_usec = procfs_ticks_to_usec(t->stat.stime),
	};
	if (t->state == TRACEE_STUCK)
		return NULL; // filled in later, when the width of the others is known
	int r = t->regs_known ? 0 : arch_get_regs(t->tid, &t->regs);
	if (r == 0)
		r = arch_collect_regsets(t->tid, &t->regs, thread);
	if (r == -ENOMEM)
		return snap_error_oom();
	if (r == -ESRCH) { // killed while stopped
		t->state = TRACEE_GONE;
		return NULL;
	}
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot read the registers of thread %d",
					t->tid);
	uint64_t blocked = 0;
	if (ptrace(PTRACE_GETSIGMASK, t->tid, (void *)sizeof(blocked), &blocked) == 0)
		thread->sighold = blocked;
	thread->sigpend = tracee_queued_signals(t->tid);
	return NULL;
}

static bool same_pid_namespace(const struct freeze *f)
{
	_cleanup_free_ char *mine = NULL, *theirs = NULL;
	if (snap_readlink_at(AT_FDCWD, "/proc/self/ns/pid", &mine) < 0 ||
	    snap_readlink_at(f->procfd, "ns/pid", &theirs) < 0)
		return false;
	return !strcmp(mine, theirs);
}

/// Threads that run first (state R, then the leader) are what debuggers should select first.
static size_t first_thread(const struct freeze *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].tid == f->pid && f->tracees[i].state == TRACEE_STOPPED)
			return i;
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].state == TRACEE_STOPPED)
			return i;
	return 0;
}

struct snap_error *freeze_collect(struct freeze *f, struct snapshot *snap)
{
	size_t first = first_thread(f);
	if (first) {
		struct tracee t = f->tracees[first];
		memmove(f->tracees + 1, f->tracees, first * sizeof(t));
		f->tracees[0] = t;
	}
	snap->threads = calloc(f->n, sizeof(*snap->threads));
	if (!snap->threads)
		return snap_error_oom();
	for (size_t i = 0; i < f->n; i++) {
		struct snap_error *err = collect_one(&f->tracees[i], &snap->threads[i]);
		snap->n_threads = i + 1;
		if (err)
			return err;
	}
	bool compat = f->tracees[0].state == TRACEE_STOPPED &&
		      arch_regs_compat(&f->tracees[0].regs);
	bool same_ns = same_pid_namespace(f);
	size_t kept = 0;
	for (size_t i = 0; i < f->n; i++) {
		struct snap_thread *thread = &snap->threads[i];
		if (f->tracees[i].state == TRACEE_GONE)
			continue;
		if (f->tracees[i].state == TRACEE_STUCK)
			collect_stuck(f, &f->tracees[i], compat, thread);
		if (!same_ns)
			thread->ns_tid = read_ns_tid(f, thread->tid);
		if (thread->n_regsets)
			snap->threads[kept++] = *thread;
	}
	snap->n_threads = kept;
	return kept ? NULL : gone_error(f);
}

void freeze_release(struct freeze *f)
{
	// Some may have stopped late, or the freeze may have failed half-way.
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].state == TRACEE_INTERRUPTED ||
		    f->tracees[i].state == TRACEE_STUCK)
			tracee_poll(&f->tracees[i]);
	rewind_all(f);
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].state == TRACEE_STOPPED)
			tracee_release(&f->tracees[i]);
}

struct tracee *freeze_tracees(struct freeze *f, size_t *ret_n)
{
	*ret_n = f->n;
	return f->tracees;
}

uint64_t freeze_started_ns(const struct freeze *f)
{
	return f->started_ns;
}

pid_t freeze_memory_tid(const struct freeze *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].tid == f->pid && f->tracees[i].state != TRACEE_GONE)
			return f->pid;
	for (size_t i = 0; i < f->n; i++)
		if (f->tracees[i].state != TRACEE_GONE)
			return f->tracees[i].tid;
	return f->pid;
}
