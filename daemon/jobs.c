// SPDX-License-Identifier: LGPL-2.1-or-later
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/ipc.h"
#include "common/jobstart.h"

/// How long a cancelled worker has to end by itself.
#define CANCEL_USEC (2 * 1000000ULL)

struct job_run {
	TAILQ_ENTRY(job_run) entry;
	struct jobs *jobs;
	struct job_request request;
	pid_t pid; ///< 0 while it waits
	int sock;
	sd_event_source *child, *io, *timer;
	struct json *last; ///< its last message
	size_t position; ///< that was told last
	uint64_t round; ///< when it is its user's turn; see enqueue()
	bool cancelled, late;
	bool skipped; ///< cancelled while it waited
};

TAILQ_HEAD(run_list, job_run);

struct jobs {
	sd_event *event;
	const struct config *config;
	struct run_list waiting, running; ///< waiting: in the order of their rounds
	uint64_t round; ///< of the job that began last
	sd_event_source *turn; ///< starts jobs, from the loop
	bool stopped;
};

static void request_deinit(struct job_request *request)
{
	snap_closep(&request->spool);
	snap_closep(&request->output);
	if (request->job.flags & JOB_PACKED)
		snap_closep(&request->part);
	pidref_deinit(&request->ref);
	json_destroy(request->owner);
}

static void run_destroy(struct job_run *run)
{
	sd_event_source_disable_unref(run->child);
	sd_event_source_disable_unref(run->io);
	sd_event_source_disable_unref(run->timer);
	if (run->pid > 0) { // its end was not seen yet
		(void)kill(run->pid, SIGKILL);
		(void)waitpid(run->pid, NULL, 0);
	}
	snap_closep(&run->sock);
	request_deinit(&run->request);
	json_destroy(run->last);
	free(run);
}

static void want_turn(struct jobs *jobs)
{
	(void)sd_event_source_set_enabled(jobs->turn, SD_EVENT_ONESHOT);
}

// ---- the end -------------------------------------------------------------------------------

static struct snap_error *cancel_error(const struct job_run *run)
{
	pid_t pid = run->request.ref.pid;
	if (run->request.job.flags & JOB_FINISH)
		return run->late ?
			       snap_error_new(SNAP_FAILED,
					      "the work on the core of process %d took longer "
					      "than JobTimeout= allows",
					      pid) :
			       snap_error_new(SNAP_CANCELLED,
					      "the work on the core of process %d was ended", pid);
	if (run->late)
		return snap_error_new(SNAP_FAILED,
				      "the job took longer than JobTimeout= allows; process %d "
				      "runs on unharmed",
				      pid);
	return snap_error_new(SNAP_CANCELLED,
			      "the %s of process %d was cancelled; it runs on unharmed",
			      run->request.job.flags & JOB_ARM	? "arming" :
			      run->request.job.flags & JOB_CLEAN ? "cleaning" :
								  "dump",
			      pid);
}

/// Why a worker ended without a last word.
static struct snap_error *death_error(const struct job_run *run, const siginfo_t *si)
{
	bool of_core = run->request.job.flags & JOB_FINISH;
	if (run->cancelled)
		return cancel_error(run);
	if (si->si_code != CLD_EXITED)
		return snap_error_new(SNAP_FAILED,
				      "procsnap-worker was killed by signal %d (%s) while it "
				      "worked on %sprocess %d%s",
				      si->si_status, strsignal(si->si_status),
				      of_core ? "the core of " : "", run->request.ref.pid,
				      of_core ? "" : ", which runs on unharmed");
	return snap_error_new(SNAP_FAILED, "procsnap-worker ended with status %d", si->si_status);
}

/// Takes it out of its list and tells whoever asked.
static void finish(struct job_run *run, struct run_list *list, const siginfo_t *si)
{
	struct jobs *jobs = run->jobs;
	struct snap_error *err = run->last ? job_error_from_json(run->last) :
				 si	   ? death_error(run, si) :
					     cancel_error(run);
	struct json *result = err ? NULL : json_get_mutable(run->last, "result");
	if (err && run->late &&
	    err->code == SNAP_CANCELLED) { // it does not know why it was told to
		snap_error_destroy(err);
		err = cancel_error(run);
	}
	TAILQ_REMOVE(list, run, entry);
	if (!err && !result)
		err = snap_error_new(SNAP_FAILED, "procsnap-worker answers nonsense");
	run->request.callbacks.end(run->request.userdata, err, result);
	snap_error_destroy(err);
	run_destroy(run);
	want_turn(jobs);
}

static int on_child(sd_event_source *source _unused_, const siginfo_t *si, void *userdata)
{
	struct job_run *run = userdata;
	run->pid = 0; // sd-event waits for it
	// What it said before it ended is still in the socket.
	while (!run->last) {
		int fds[IPC_MAX_FDS];
		struct json *json;
		if (ipc_recv(run->sock, &json, fds) < 0)
			break;
		for (int i = 0; i < IPC_MAX_FDS; i++)
			snap_closep(&fds[i]);
		if (json_get(json, "progress"))
			json_destroy(json);
		else
			run->last = json;
	}
	finish(run, &run->jobs->running, si);
	return 0;
}

// ---- while it runs -------------------------------------------------------------------------

static int on_message(sd_event_source *source, int fd, uint32_t events _unused_, void *userdata)
{
	struct job_run *run = userdata;
	struct json *json;
	int fds[IPC_MAX_FDS];
	if (run->last || ipc_recv(fd, &json, fds) < 0) {
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF); // its end comes now
		return 0;
	}
	for (int i = 0; i < IPC_MAX_FDS; i++)
		snap_closep(&fds[i]);
	const struct json *p = json_get(json, "progress");
	if (!p) {
		run->last = json;
		return 0;
	}
	const char *phase = json_get_text(p, "phase");
	run->request.callbacks.progress(run->request.userdata, 0, phase ? phase : "",
					json_get_u64(p, "done", 0), json_get_u64(p, "total", 0));
	json_destroy(json);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
	struct job_run *run = userdata;
	if (run->cancelled) {
		(void)kill(run->pid, SIGKILL); // our child, not yet waited for
		return 0;
	}
	run->late = true;
	job_cancel(run);
	(void)source;
	return 0;
}

static void set_timer(struct job_run *run, uint64_t usec)
{
	uint64_t now;
	(void)sd_event_now(run->jobs->event, CLOCK_MONOTONIC, &now);
	if (run->timer) {
		(void)sd_event_source_set_time(run->timer, now + usec);
		(void)sd_event_source_set_enabled(run->timer, SD_EVENT_ONESHOT);
		return;
	}
	(void)sd_event_add_time(run->jobs->event, &run->timer, CLOCK_MONOTONIC, now + usec, 0,
				on_timer, run);
}

static struct snap_error *watch(struct job_run *run)
{
	sd_event *event = run->jobs->event;
	int pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	if (pidfd < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot watch procsnap-worker");
	int r = sd_event_add_child_pidfd(event, &run->child, pidfd, WEXITED, on_child, run);
	if (r < 0) {
		snap_closep(&pidfd);
		return snap_error_errno(SNAP_FAILED, -r, "cannot watch procsnap-worker");
	}
	(void)sd_event_source_set_child_pidfd_own(run->child, 1);
	r = sd_event_add_io(event, &run->io, run->sock, EPOLLIN, on_message, run);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot listen to procsnap-worker") : NULL;
}

/// Limits the memory that the worker and the analyzer have of their own. Not a control group: that
/// would count the pages of the core's file as well, and make the process wait for the disk.
static void limit_memory(const struct job_run *run)
{
	struct sysinfo si;
	uint64_t total = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : UINT64_MAX;
	uint64_t bytes = config_size_bytes(run->jobs->config->job_memory, total);
	const struct rlimit limit = { bytes, bytes };
	if (bytes != CONFIG_INFINITY) // ended already: then that is what is told
		(void)prlimit(run->pid, RLIMIT_DATA, &limit, NULL);
}

static struct snap_error *start(struct job_run *run)
{
	const struct job_request *request = &run->request;
	uint64_t timeout_ns = run->jobs->config->job_timeout_ns;
	struct snap_error *err = job_start(&run->pid, &run->sock);
	if (!err)
		limit_memory(run);
	if (!err && request->background) // who ended already needs none
		(void)setpriority(PRIO_PROCESS, (id_t)run->pid, 10);
	if (!err) {
		(void)fcntl(run->sock, F_SETFL, O_NONBLOCK);
		err = watch(run);
	}
	if (!err)
		err = job_send(run->sock, &request->job,
			       (const int[JOB_FD_MAX]){
				       request->ref.pidfd, request->spool, request->output,
				       request->job.flags & JOB_PACKED ? request->part : -EBADF });
	if (!err && timeout_ns != CONFIG_INFINITY)
		set_timer(run, timeout_ns / 1000);
	return err;
}

// ---- whose turn it is ----------------------------------------------------------------------

static size_t count_of_user(const struct run_list *list, uid_t uid)
{
	const struct job_run *run;
	size_t n = 0;
	TAILQ_FOREACH(run, list, entry)
	n += run->request.uid == uid;
	return n;
}

/// The last round that the user has a job in.
static uint64_t last_round(const struct run_list *list, uid_t uid, uint64_t last)
{
	const struct job_run *run;
	TAILQ_FOREACH(run, list, entry)
	if (run->request.uid == uid)
		last = MAX(last, run->round);
	return last;
}

/**
 * Puts it where it is its user's turn: each user has one job in each round, and whoever comes
 * begins with the next one. So a user waits for one job of each of the others, however many they
 * have.
 */
static void enqueue(struct jobs *jobs, struct job_run *run)
{
	struct job_run *before;
	uint64_t last = last_round(&jobs->waiting, run->request.uid, jobs->round);
	run->round = last_round(&jobs->running, run->request.uid, last) + 1;
	TAILQ_FOREACH_REVERSE(before, &jobs->waiting, run_list, entry)
	if (before->round <= run->round)
		break;
	if (before)
		TAILQ_INSERT_AFTER(&jobs->waiting, before, run, entry);
	else
		TAILQ_INSERT_HEAD(&jobs->waiting, run, entry);
}

/// The first whose user may start one more; NULL when nobody may.
static struct job_run *next(const struct jobs *jobs)
{
	struct job_run *run;
	if (jobs_count(jobs).running >= jobs->config->max_jobs)
		return NULL;
	TAILQ_FOREACH(run, &jobs->waiting, entry)
	if (count_of_user(&jobs->running, run->request.uid) < jobs->config->max_jobs_per_user)
		return run;
	return NULL;
}

static void tell_positions(struct jobs *jobs)
{
	struct job_run *run;
	size_t position = 0;
	TAILQ_FOREACH(run, &jobs->waiting, entry)
	{
		if (run->position != ++position)
			run->request.callbacks.progress(run->request.userdata,
							run->position = position, NULL, 0, 0);
	}
}

static struct job_run *first_skipped(const struct jobs *jobs)
{
	struct job_run *run;
	TAILQ_FOREACH(run, &jobs->waiting, entry)
	if (run->skipped)
		return run;
	return NULL;
}

static int on_turn(sd_event_source *source _unused_, void *userdata)
{
	struct jobs *jobs = userdata;
	struct job_run *run;
	while ((run = first_skipped(jobs)))
		finish(run, &jobs->waiting, NULL);
	while (!jobs->stopped && (run = next(jobs))) {
		TAILQ_REMOVE(&jobs->waiting, run, entry);
		TAILQ_INSERT_TAIL(&jobs->running, run, entry);
		jobs->round = MAX(jobs->round, run->round);
		struct snap_error *err = start(run);
		if (!err)
			continue;
		run->last = job_error_to_json(err);
		snap_error_destroy(err);
		if (!run->child) // else its end is seen
			finish(run, &jobs->running, NULL);
		else
			(void)kill(run->pid, SIGKILL);
	}
	tell_positions(jobs);
	return 0;
}

// ---- from outside --------------------------------------------------------------------------

struct snap_error *jobs_create(sd_event *event, struct jobs **ret)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	if (!jobs)
		return snap_error_oom();
	jobs->event = sd_event_ref(event);
	TAILQ_INIT(&jobs->waiting);
	TAILQ_INIT(&jobs->running);
	int r = sd_event_add_defer(event, &jobs->turn, on_turn, jobs);
	if (r < 0) {
		jobs_destroy(jobs);
		return snap_error_errno(SNAP_FAILED, -r, "cannot make the queue of jobs");
	}
	(void)sd_event_source_set_enabled(jobs->turn, SD_EVENT_OFF);
	*ret = jobs;
	return NULL;
}

static void destroy_all(struct run_list *list)
{
	struct job_run *run;
	while ((run = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, run, entry);
		run_destroy(run);
	}
}

void jobs_destroy(struct jobs *jobs)
{
	if (!jobs)
		return;
	destroy_all(&jobs->running);
	destroy_all(&jobs->waiting);
	sd_event_source_disable_unref(jobs->turn);
	sd_event_unref(jobs->event);
	free(jobs);
}

void jobs_configure(struct jobs *jobs, const struct config *config)
{
	jobs->config = config;
	want_turn(jobs);
}

static struct snap_error *check_room(const struct jobs *jobs, uid_t uid, bool of_crash)
{
	const struct config *config = jobs->config;
	size_t waiting = jobs_count(jobs).waiting;
	// A user alone gets no more than half of the queue; root may have all of it.
	size_t own = uid ? count_of_user(&jobs->waiting, uid) : 0;
	// Those that begin in this turn of the loop are in the list too, but do not wait.
	size_t running = jobs_count(jobs).running;
	size_t running_own = count_of_user(&jobs->running, uid);
	size_t all = config->max_jobs > running ? config->max_jobs - running : 0;
	size_t of_user = config->max_jobs_per_user > running_own ?
				 config->max_jobs_per_user - running_own :
				 0;
	size_t begin = MIN(all, of_user);
	if (jobs->stopped)
		return snap_error_new(SNAP_FAILED, "procsnapd is about to end");
	if (of_crash) // they wait elsewhere, and what users ask for must not cost them their core
		return NULL;
	if (waiting >= config->max_queue + begin || own >= config->max_queue / 2 + 1 + begin)
		return snap_error_new(SNAP_FAILED,
				      "%zu jobs wait already, %zu of them of user %u; try again "
				      "later, or see MaxQueue= in procsnap.conf(5)",
				      waiting, own, uid);
	return NULL;
}

struct snap_error *jobs_add(struct jobs *jobs, struct job_request *request, struct job_run **ret)
{
	struct job_run *run = calloc(1, sizeof(*run));
	struct snap_error *err =
		run ? check_room(jobs, request->uid, request->job.flags & JOB_FINISH) :
		      snap_error_oom();
	if (err || !run) {
		request_deinit(request);
		free(run);
		return err;
	}
	run->jobs = jobs;
	run->request = *request;
	run->sock = -EBADF;
	enqueue(jobs, run);
	want_turn(jobs);
	*ret = run;
	return NULL;
}

void job_cancel(struct job_run *run)
{
	if (run->cancelled)
		return;
	run->cancelled = true;
	if (!run->pid) {
		run->skipped = true;
		want_turn(run->jobs);
		return;
	}
	(void)kill(run->pid, SIGTERM);
	// With JOB_KEEP_PARTIAL it has all the time it needs to finish what it has.
	if (!(run->request.job.flags & JOB_KEEP_PARTIAL) || run->late)
		set_timer(run, CANCEL_USEC);
}

void jobs_stop(struct jobs *jobs)
{
	struct job_run *run;
	jobs->stopped = true;
	TAILQ_FOREACH(run, &jobs->running, entry)
	job_cancel(run);
	TAILQ_FOREACH(run, &jobs->waiting, entry)
	job_cancel(run);
}

struct jobs_counts jobs_count(const struct jobs *jobs)
{
	const struct job_run *run;
	struct jobs_counts counts = { 0 };
	TAILQ_FOREACH(run, &jobs->running, entry)
	counts.running++;
	TAILQ_FOREACH(run, &jobs->waiting, entry)
	counts.waiting++;
	return counts;
}
