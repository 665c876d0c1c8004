// SPDX-License-Identifier: LGPL-2.1-or-later
#include "capture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/str.h"
#include "backing.h"
#include "deadman.h"
#include "denial.h"
#include "feature.h"
#include "freeze.h"
#include "headroom.h"
#include "livemem.h"
#include "process.h"
#include "procfs.h"
#include "sweep.h"
#include "track.h"
#include "twin.h"

enum {
	// How often the tracer looks for progress and sets the dead-man timer anew.
	WATCH_NS = 100 * 1000 * 1000,
	// The dead-man timer leaves the tracer this much time to keep a pause budget by itself.
	BUDGET_SLACK_NS = 250 * 1000 * 1000,
	ATTEMPTS = 10,
	ATTEMPT_NS = 2 * 1000 * 1000,
	// A zombie that is left is gone when a thread can be used for that; in most cases at once.
	REAP_TRIES = 20,
	LEFT_MAX = 64,
	REAP_RETRY_NS = 100 * 1000 * 1000,
	TASK_KTHREAD = 0x00200000, // PF_KTHREAD, include/linux/sched.h
};

enum phase { PHASE_IDLE, PHASE_TAKING, PHASE_HELD, PHASE_RELEASED };

struct capture {
	const struct pidref *ref;
	struct capture_options options;
	int procfd, piddir; ///< /proc/PID, and /proc/TID of a thread with memory
	struct strbuf scratch;
	struct freeze *freeze;
	struct livemem *mem;
	struct backings later; ///< what is read after the release
	struct track *track; ///< NULL: writes are not followed
	const struct snapshot *known; ///< borrowed, with track or fork
	struct snapshot *snap; ///< borrowed, while the tracer fills it
	bool ready; ///< nothing has to be made ready any more
	bool littered; ///< code of killed workers lies behind its vDSO
	bool fork, must_fork;
	bool fork_again; ///< it might work when the process has run a little
	bool forked; ///< twin is, or was, there
	struct twin twin; ///< the tracer's
	pid_t twin_tid, tracer_tid;
	int twindir; ///< /proc/TID of it
	struct snapshot there; ///< its mappings
	struct livemem *twin_mem;
	pthread_t tracer;
	bool tracer_started;

	pthread_mutex_t lock; ///< protects what follows
	pthread_cond_t changed;
	enum phase phase;
	bool release_asked, end_asked;
	bool twin_done; ///< nothing can be read from it any more
	struct snap_error *error; ///< why taking failed, or the budget that ran out
	struct snap_error *twin_error; ///< why it had to be ended early
	uint64_t ended_ns;
};

struct snap_error *capture_create(const struct pidref *ref, const struct capture_options *options,
				  struct capture **ret)
{
	_cleanup_(capture_destroyp) struct capture *c = calloc(1, sizeof(*c));
	if (!c)
		return snap_error_oom();
	c->ref = ref;
	c->options = *options;
	backings_init(&c->later);
	c->piddir = -EBADF;
	c->twindir = -EBADF;
	(void)pthread_mutex_init(&c->lock, NULL); // cannot fail with these attributes
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	c->procfd = pidref_open_proc(ref);
	if (c->procfd == -ESRCH)
		return snap_error_new(SNAP_NO_PROCESS, "there is no process %d", ref->pid);
	if (c->procfd < 0)
		return snap_error_errno(SNAP_FAILED, -c->procfd, "cannot open /proc/%d", ref->pid);
	*ret = TAKE_PTR(c);
	return NULL;
}

static void tracer_join(struct capture *c)
{
	if (!c->tracer_started)
		return;
	(void)pthread_mutex_lock(&c->lock);
	c->release_asked = true;
	c->end_asked = true;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	(void)pthread_join(c->tracer, NULL);
	c->tracer_started = false;
}

void capture_destroy(struct capture *c)
{
	if (!c)
		return;
	if (c->forked)
		snap_error_destroy(capture_end_rest(c, NULL));
	tracer_join(c);
	freeze_destroy(c->freeze);
	track_end(c->track);
	livemem_destroy(c->mem);
	livemem_destroy(c->twin_mem);
	backings_deinit(&c->later);
	snapshot_deinit(&c->there);
	snap_closep(&c->twindir);
	snap_error_destroy(c->twin_error);
	snap_closep(&c->procfd);
	snap_closep(&c->piddir);
	strbuf_deinit(&c->scratch);
	snap_error_destroy(c->error);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/// (Re)opens the memory and /proc of @tid, a thread of the process that cannot end now.
static struct snap_error *open_memory(struct capture *c, pid_t tid)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", tid);
	snap_closep(&c->piddir);
	c->piddir = tid == c->ref->pid ? fcntl(c->procfd, F_DUPFD_CLOEXEC, 3) :
					 open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->piddir < 0)
		return denial_from_errno(c->ref->pid, c->procfd, errno, "look at");
	livemem_destroy(c->mem);
	c->mem = NULL;
	return livemem_create(tid, c->piddir, &c->mem);
}

/// Some thread that has memory, for looking at a process that runs: its leader may have ended.
static pid_t living_thread(const struct capture *c)
{
	struct procfs_stat st;
	if (procfs_read_stat(c->procfd, "stat", &st) < 0 || st.state != 'Z')
		return c->ref->pid;
	int fd = openat(c->procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	pid_t found = c->ref->pid;
	for (struct dirent *d; dir && (d = readdir(dir));) {
		char path[300];
		(void)snprintf(path, sizeof(path), "task/%s/stat", d->d_name);
		if (procfs_read_stat(c->procfd, path, &st) == 0 && st.state != 'Z')
			found = st.pid;
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

/// There are processes without memory; say so before the kernel says something else.
static struct snap_error *check_kind(const struct capture *c)
{
	struct procfs_stat st;
	int r = procfs_read_stat(c->procfd, "stat", &st);
	if (r < 0)
		return denial_from_errno(c->ref->pid, c->procfd, -r, "look at");
	if (st.flags & TASK_KTHREAD)
		return snap_error_new(SNAP_FAILED,
				      "process %d is a kernel thread and has no memory of its own",
				      c->ref->pid);
	if (st.state == 'Z' && living_thread(c) == c->ref->pid)
		return snap_error_new(SNAP_NO_PROCESS,
				      "process %d has ended; its parent has not noticed yet "
				      "(a zombie)",
				      c->ref->pid);
	return NULL;
}

/**
 * Did it only seem to be gone? In the middle of an execve() a process has no memory for a moment,
 * and its threads change their numbers.
 */
static bool seemed_gone(const struct capture *c, const struct snap_error *err, int attempt)
{
	struct procfs_stat st;
	if (!err || err->code != SNAP_NO_PROCESS || attempt >= ATTEMPTS)
		return false;
	snap_sleep_ns(ATTEMPT_NS);
	return pidref_verify(c->ref) == 0 && procfs_read_stat(c->procfd, "stat", &st) == 0 &&
	       (st.state != 'Z' || living_thread(c) != c->ref->pid);
}

static struct snap_error *inspect(struct capture *c, struct snapshot *snap,
				  struct memsource **ret_source)
{
	struct procfs_status st;
	struct snap_error *kind = check_kind(c);
	if (kind)
		return kind;
	int r = procfs_read_status(c->procfd, "status", &st);
	if (r < 0)
		return denial_from_errno(c->ref->pid, c->procfd, -r, "look at");
	if (st.tracer_pid)
		return denial_traced(c->ref->pid, st.tracer_pid);
	struct snap_error *err = open_memory(c, living_thread(c));
	if (!err)
		err = process_read(c->ref->pid, c->procfd, c->piddir, &c->scratch, snap);
	if (err)
		return err;
	*ret_source = livemem_source(c->mem);
	c->littered = sweep_finds(snap, *ret_source);
	return NULL;
}

/// The time until the worker counts as dead, from now.
static uint64_t deadman_ns(const struct capture *c)
{
	uint64_t ns = c->options.stall_ns;
	uint64_t started = c->freeze ? freeze_started_ns(c->freeze) : 0;
	if (c->options.max_pause_ns && started) {
		uint64_t end = started + c->options.max_pause_ns + BUDGET_SLACK_NS;
		uint64_t now = snap_now_ns();
		ns = MIN(ns, end > now ? end - now : 1);
	}
	return ns;
}

struct snap_error *capture_inspect(struct capture *c, struct snapshot *snap,
				   struct memsource **ret_source)
{
	for (int attempt = 1;; attempt++) {
		struct snap_error *err = inspect(c, snap, ret_source);
		if (!seemed_gone(c, err, attempt))
			return err;
		snap_error_destroy(err);
	}
}

struct snap_error *capture_can_follow(struct capture *c, const struct snapshot *known)
{
	return track_check(c->procfd, known);
}

uint64_t capture_followed_bytes(const struct snapshot *known)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < known->n_mappings; i++)
		if (track_follows(&known->mappings[i]))
			bytes += known->mappings[i].anon_bytes + known->mappings[i].swap_bytes;
	return bytes;
}

struct snap_error *capture_follow(struct capture *c, const struct snapshot *known)
{
	struct snap_error *err = deadman_create();
	if (err)
		return err;
	if (c->track) // what cannot be followed in addition is for the pause
		snap_error_destroy(track_extend(c->track, known));
	else
		err = track_begin(c->ref, c->procfd, known, &c->track);
	if (err)
		return err;
	c->known = known;
	livemem_set_mode(c->mem, LIVEMEM_FOLLOW, track_reports_holes(c->track));
	return NULL;
}

void capture_unfollow(struct capture *c)
{
	track_end(TAKE_PTR(c->track));
	c->known = NULL;
	livemem_set_mode(c->mem, LIVEMEM_ALL, false);
}

/// Reads what the process maps, of which most is known already.
static struct snap_error *read_mappings(struct capture *c)
{
	struct snap_error *err =
		process_read_again(c->ref->pid, c->procfd, c->piddir, &c->scratch, c->known, c->mem,
				   c->snap);
	// Another program by now? The vector has addresses that are random for each execve().
	const struct snap_process *was = &c->known->process, *is = &c->snap->process;
	if (!err && (was->auxv_size != is->auxv_size ||
		     memcmp(was->auxv, is->auxv, is->auxv_size) != 0))
		err = process_read(c->ref->pid, c->procfd, c->piddir, &c->scratch, c->snap);
	return err;
}

/// Has the process fork, or reads all of it while it stands still.
static struct snap_error *make_twin(struct capture *c)
{
	size_t n;
	struct tracee *threads = freeze_tracees(c->freeze, &n);
	bool again;
	// Nothing can be done about a budget before it returns.
	deadman_arm(c->options.stall_ns);
	struct snap_error *err = twin_make(c->snap, c->piddir, threads, n, c->options.stall_ns,
					   &c->twin, &again);
	deadman_arm(deadman_ns(c));
	if (!err) {
		c->forked = true;
		c->twin_tid = c->twin.tracee.tid;
		c->tracer_tid = gettid();
		livemem_set_mode(c->mem, LIVEMEM_FORKED, false);
		return NULL;
	}
	c->fork_again = again || err->code == SNAP_CANCELLED;
	if (c->must_fork || c->fork_again)
		return snap_error_wrap(err, "process %d cannot be made to fork", c->ref->pid);
	snap_error_destroy(err);
	free(c->snap->mode);
	c->snap->mode = strdup("copy");
	return c->snap->mode ? NULL : snap_error_oom();
}

/// With what the process maps, and all threads stopped.
static void sweep_up(struct capture *c)
{
	size_t n;
	const struct tracee *threads = freeze_tracees(c->freeze, &n);
	c->littered = !sweep(c->snap, livemem_source(c->mem), threads, n);
	deadman_arm(deadman_ns(c));
}

static struct snap_error *take(struct capture *c)
{
	struct snap_error *err = freeze_stop(c->freeze);
	if (err)
		return err;
	c->snap->realtime_ns = snap_clock_ns(CLOCK_REALTIME);
	c->snap->monotonic_ns = snap_now_ns();
	err = freeze_collect(c->freeze, c->snap);
	deadman_arm(deadman_ns(c));
	// What /proc says now is that it is being traced; what it was doing is what counts.
	for (size_t i = 0; !err && i < c->snap->n_threads; i++)
		if (c->snap->threads[i].tid == c->ref->pid)
			c->snap->process.state = c->snap->threads[i].state;
	if (!err)
		err = open_memory(c, freeze_memory_tid(c->freeze));
	if (err)
		return err;
	err = c->known ? read_mappings(c) :
			 process_read(c->ref->pid, c->procfd, c->piddir, &c->scratch, c->snap);
	if (!err && c->littered)
		sweep_up(c);
	if (c->track)
		livemem_set_mode(c->mem, LIVEMEM_CHANGED, track_reports_holes(c->track));
	return err || !c->fork ? err : make_twin(c);
}

/// Holds the process until the release is asked for or the budget is spent. Called locked.
static void hold(struct capture *c)
{
	uint64_t seen = livemem_activity(c->mem);
	uint64_t end = c->options.max_pause_ns ?
			       freeze_started_ns(c->freeze) + c->options.max_pause_ns :
			       UINT64_MAX;
	while (!c->release_asked) {
		uint64_t now = snap_now_ns();
		if (now >= end) {
			char buf[16];
			c->error = snap_error_new(
				SNAP_PAUSE_EXCEEDED,
				"copying process %d took longer than a pause of %s allows; it was "
				"let go and runs on unharmed",
				c->ref->pid, snap_format_ns(c->options.max_pause_ns, buf));
			return;
		}
		uint64_t active = livemem_activity(c->mem);
		if (active != seen) {
			seen = active;
			deadman_arm(deadman_ns(c));
		}
		struct timespec until = snap_timespec(MIN(now + WATCH_NS, end));
		(void)pthread_cond_timedwait(&c->changed, &c->lock, &until);
	}
}

/// Memory must not run out because of the child.
static struct snap_error *check_headroom(const struct capture *c)
{
	struct snap_error *err = headroom_check(c->procfd, 0, 0);
	return err ? snap_error_wrap(err,
				     "the copy of process %d was given up before it was read, and "
				     "the process itself runs on unharmed",
				     c->ref->pid) :
		     NULL;
}

static struct snap_error *killed_error(const struct capture *c)
{
	return snap_error_new(SNAP_FAILED,
			      "the copy of process %d was killed before it was read; the process "
			      "itself runs on unharmed",
			      c->ref->pid);
}

/**
 * Does whoever has ended the process wait for the end of the child? systemd does that, which sends
 * SIGTERM to all of a service, and starts it again when nothing of it is left.
 */
static bool is_waited_for(const struct capture *c)
{
	struct pollfd ended = { .fd = c->ref->pidfd, .events = POLLIN };
	return poll(&ended, 1, 0) == 1 && twin_is_asked_to_end(&c->twin);
}

static struct snap_error *stopped_error(const struct capture *c)
{
	return snap_error_new(SNAP_FAILED,
			      "the copy of process %d was told to end, as the process was, before "
			      "it was read",
			      c->ref->pid);
}

/**
 * The process runs, and its child is read. Called locked, with a child that has settled.
 *
 * The process may end meanwhile: the child has what it had.
 */
static void keep_twin(struct capture *c)
{
	while (!c->end_asked && !c->twin_error) {
		struct timespec until = snap_timespec(snap_now_ns() + WATCH_NS);
		c->twin_error = !twin_lives(&c->twin) ? killed_error(c) :
				is_waited_for(c)      ? stopped_error(c) :
							check_headroom(c);
		if (!c->twin_error)
			(void)pthread_cond_timedwait(&c->changed, &c->lock, &until);
	}
	// It may be dying just now.
	if (!c->twin_error && c->twin_mem && !livemem_lives(c->twin_mem))
		c->twin_error = killed_error(c);
}

static void end_twin(struct capture *c)
{
	bool settled = twin_settle(&c->twin);
	(void)pthread_mutex_lock(&c->lock);
	if (!settled)
		c->twin_error = snap_error_new(
			SNAP_FAILED,
			"the copy of process %d could not be kept without its descriptors; the "
			"process itself runs on unharmed",
			c->ref->pid);
	keep_twin(c);
	c->twin_done = true;
	if (c->twin_mem)
		livemem_release(c->twin_mem);
	(void)pthread_mutex_unlock(&c->lock);
	twin_kill(&c->twin);
}

static void *tracer_main(void *userdata)
{
	struct capture *c = userdata;
	deadman_arm(deadman_ns(c));
	struct snap_error *err = freeze_seize(c->freeze);
	if (!err) {
		deadman_arm(deadman_ns(c));
		err = take(c);
	}
	(void)pthread_mutex_lock(&c->lock);
	c->error = err;
	c->phase = err ? PHASE_RELEASED : PHASE_HELD;
	(void)pthread_cond_broadcast(&c->changed);
	if (!err)
		hold(c);
	if (c->mem)
		livemem_release(c->mem); // before anything can change the memory
	(void)pthread_mutex_unlock(&c->lock);

	freeze_release(c->freeze);
	deadman_disarm();

	(void)pthread_mutex_lock(&c->lock);
	c->ended_ns = snap_now_ns();
	c->phase = PHASE_RELEASED;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	if (c->forked)
		end_twin(c);
	return NULL;
}

struct snap_error *capture_can_fork(struct capture *c, const struct snapshot *known)
{
	return twincheck(c->piddir, known); // of a thread that has memory
}

struct forked_bytes capture_forked_bytes(const struct snapshot *known)
{
	return twincheck_bytes(known);
}

void capture_fork(struct capture *c, const struct snapshot *known, bool must)
{
	c->known = known;
	c->fork = true;
	c->must_fork = must;
}

void capture_make_ready(struct capture *c)
{
	// Our own pages must not have to come from swap while the process waits. Limits may forbid
	// it, which is no reason not to dump.
	if (!c->ready)
		(void)mlockall(MCL_CURRENT | MCL_ONFAULT);
	c->ready = true;
}

static struct snap_error *take_once(struct capture *c, struct snapshot *snap,
				    struct memsource **ret_source)
{
	struct snap_error *err = deadman_create();
	if (!err)
		err = freeze_create(c->ref, c->procfd, c->options.max_pause_ns, &c->freeze);
	if (err)
		return err;
	snap->mode = strdup(c->track ? "precopy" : c->fork ? "fork" : "copy");
	if (!snap->mode)
		return snap_error_oom();
	c->snap = snap;
	c->phase = PHASE_TAKING;
	capture_make_ready(c);
	int r = pthread_create(&c->tracer, NULL, tracer_main, c);
	if (r)
		return snap_error_errno(SNAP_FAILED, r, "cannot start a thread");
	c->tracer_started = true;

	(void)pthread_mutex_lock(&c->lock);
	while (c->phase == PHASE_TAKING)
		(void)pthread_cond_wait(&c->changed, &c->lock);
	bool held = c->phase == PHASE_HELD;
	(void)pthread_mutex_unlock(&c->lock);
	if (!held) {
		tracer_join(c);
		return TAKE_PTR(c->error);
	}
	*ret_source = livemem_source(c->mem);
	return NULL;
}

struct snap_error *capture_take(struct capture *c, struct snapshot *snap,
				struct memsource **ret_source)
{
	for (int attempt = 1;; attempt++) {
		struct snap_error *err = take_once(c, snap, ret_source);
		bool again = err && c->fork_again && attempt < ATTEMPTS;
		if (again) {
			snap_sleep_ns(ATTEMPT_NS);
			// Rather than never.
			c->fork = c->must_fork || attempt + 1 < ATTEMPTS;
		} else if (!seemed_gone(c, err, attempt)) {
			return err;
		}
		c->fork_again = false;
		snap_error_destroy(err);
		snapshot_deinit(snap);
		freeze_destroy(TAKE_PTR(c->freeze));
		c->release_asked = false;
		c->end_asked = false;
	}
}

bool capture_can_postpone(struct capture *c, const struct snap_mapping *map)
{
	int fd = feature_masked("map_files") ? -EPERM : backing_open(c->piddir, map);
	bool can = fd >= 0;
	snap_closep(&fd);
	return can;
}

bool capture_postpone(struct capture *c, const struct snap_mapping *map)
{
	return !feature_masked("map_files") && backings_add(&c->later, c->piddir, map);
}

struct memsource *capture_postponed(struct capture *c)
{
	return c->later.n ? &c->later.source : NULL;
}

struct snap_error *capture_release(struct capture *c, uint64_t *ret_pause_ns)
{
	if (!c->forked)
		tracer_join(c);
	(void)pthread_mutex_lock(&c->lock);
	c->release_asked = true;
	(void)pthread_cond_broadcast(&c->changed);
	while (c->phase != PHASE_RELEASED)
		(void)pthread_cond_wait(&c->changed, &c->lock);
	struct snap_error *err = TAKE_PTR(c->error);
	(void)pthread_mutex_unlock(&c->lock);
	(void)munlockall();
	c->ready = false;
	track_end(TAKE_PTR(c->track));
	*ret_pause_ns = c->ended_ns - freeze_started_ns(c->freeze);
	return err;
}

/// Opens the memory of the child, and reads what it maps.
static struct snap_error *open_twin(struct capture *c, struct livemem **ret)
{
	char path[32];
	struct procfs_status status;
	(void)snprintf(path, sizeof(path), "/proc/%d", c->twin_tid);
	c->twindir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	// Should it have been killed, its number may be another's already.
	if (c->twindir < 0 || procfs_read_status(c->twindir, "status", &status) < 0 ||
	    status.tracer_pid != c->tracer_tid)
		return killed_error(c);
	struct snap_error *err = livemem_create(c->twin_tid, c->twindir, ret);
	if (!err)
		err = process_read(c->twin_tid, c->twindir, c->twindir, &c->scratch, &c->there);
	return err;
}

struct snap_error *capture_rest(struct capture *c, struct memsource **ret_source)
{
	_cleanup_(livemem_destroyp) struct livemem *mem = NULL;
	*ret_source = NULL;
	if (!c->forked)
		return NULL;
	struct snap_error *err = open_twin(c, &mem);
	if (err && err->code == SNAP_NO_PROCESS) { // the child, whose number nobody knows
		snap_error_destroy(err);
		return killed_error(c);
	}
	if (err)
		return err;
	livemem_set_child(mem, &c->there);
	(void)pthread_mutex_lock(&c->lock);
	c->twin_mem = TAKE_PTR(mem);
	if (c->twin_done)
		livemem_release(c->twin_mem);
	(void)pthread_mutex_unlock(&c->lock);
	*ret_source = livemem_source(c->twin_mem);
	return NULL;
}

struct reaper {
	const struct capture *capture;
	const struct snapshot *snap; ///< a look at the process
	pid_t ns_pid;
	struct snap_error *error;
};

static void *reaper_main(void *userdata)
{
	struct reaper *r = userdata;
	const struct capture *c = r->capture;
	r->error = twin_reap(c->ref, c->procfd, r->snap, r->ns_pid);
	return NULL;
}

/// Has the process reap a child. Each try has a thread of its own, as with it ends the tracing.
static struct snap_error *reap(struct capture *c, pid_t ns_pid, int tries)
{
	struct snapshot now = { 0 };
	struct memsource *source;
	struct reaper reaper = { .capture = c, .snap = c->known, .ns_pid = ns_pid };
	for (int i = 0; i < tries; i++) {
		pthread_t thread;
		if (i)
			snap_sleep_ns(REAP_RETRY_NS);
		snap_error_destroy(TAKE_PTR(reaper.error));
		if (i == 1) { // it may be another program by now
			snap_error_destroy(inspect(c, &now, &source));
			reaper.snap = &now;
		}
		int r = pthread_create(&thread, NULL, reaper_main, &reaper);
		if (r)
			reaper.error = snap_error_errno(SNAP_FAILED, r, "no thread for it");
		else
			(void)pthread_join(thread, NULL);
		if (!reaper.error || pidref_verify(c->ref) < 0)
			break;
	}
	snapshot_deinit(&now);
	return reaper.error;
}

/// Those that a worker left that was killed.
static void reap_left(struct capture *c)
{
	pid_t left[LEFT_MAX];
	size_t n = twin_find_left(c->procfd, TWIN_LEFT_ALL, left, LEFT_MAX);
	for (size_t i = 0; i < n; i++)
		snap_error_destroy(reap(c, left[i], 1)); // else the next dump may
}

/// Stops all threads for that.
static struct snap_error *sweep_left(struct capture *c)
{
	struct snapshot snap = { 0 };
	struct memsource *source;
	uint64_t pause_ns;
	struct snap_error *err = capture_take(c, &snap, &source);
	if (!err)
		err = capture_release(c, &pause_ns);
	if (!err && c->littered)
		err = snap_error_new(SNAP_FAILED, "one of its threads may come back to it");
	snapshot_deinit(&snap);
	return err;
}

struct snap_error *capture_clean_left(struct capture *c, struct snapshot *known,
				      struct capture_left *ret)
{
	pid_t left[LEFT_MAX];
	struct memsource *source;
	*ret = (struct capture_left){ 0 };
	struct snap_error *err = capture_inspect(c, known, &source);
	if (!err)
		err = deadman_create();
	if (err)
		return err;
	size_t n = twin_find_left(c->procfd, TWIN_LEFT_NAMED, left, LEFT_MAX);
	c->known = known;
	for (size_t i = 0; i < n && !err; i++) {
		err = reap(c, left[i], REAP_TRIES);
		ret->zombies += !err;
	}
	if (err)
		err = snap_error_wrap(err,
				      "process %d cannot be made to reap a zombie that a killed "
				      "worker has left",
				      c->ref->pid);
	c->known = NULL;
	if (err || !c->littered)
		return err;
	err = sweep_left(c);
	ret->thunks = !err;
	return err ? snap_error_wrap(err,
				     "code that a killed worker has left behind the vDSO of "
				     "process %d stays",
				     c->ref->pid) :
		     NULL;
}

struct snap_error *capture_end_rest(struct capture *c, struct snapshot *snap)
{
	if (!c->forked)
		return NULL;
	tracer_join(c);
	c->forked = false;
	struct snap_error *err = NULL;
	if (pidref_verify(c->ref) == 0) {
		err = reap(c, c->twin.ns_pid, REAP_TRIES);
		reap_left(c);
	}
	if (err && pidref_verify(c->ref) == 0 && snap)
		snapshot_warn(snap,
			      "a zombie, process %d, is left until process %d ends: %s",
			      c->twin_tid, c->ref->pid, err->message);
	snap_error_destroy(err);
	return TAKE_PTR(c->twin_error);
}
