// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * procsnap-worker: takes one dump of one process, told by the job on its socket, and exits.
 *
 * It has a process of its own because ptrace belongs to a thread: when the worker dies, whatever
 * the reason, the kernel lets the traced process go.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/worker/arm.h"
#include "cmd/worker/attach.h"
#include "cmd/worker/deliver.h"
#include "cmd/worker/describe.h"
#include "cmd/worker/finish.h"
#include "cmd/worker/leftovers.h"
#include "cmd/worker/live.h"
#include "cmd/worker/owner.h"
#include "cmd/worker/precopy.h"
#include "cmd/worker/rest.h"
#include "cmd/worker/strategy.h"
#include "common/clock.h"
#include "common/cpus.h"
#include "common/fd.h"
#include "common/ipc.h"
#include "common/job.h"
#include "common/str.h"
#include "dumper/core.h"
#include "dumper/plan.h"
#include "ptrace/capture.h"

enum {
	// A worker that copies nothing for so long is stuck, in a hung disk for example.
	STALL_NS = 5 * 1000 * 1000 * 1000LL,
	REPORT_NS = 100 * 1000 * 1000,
	// Two frames of compressed memory.
	HEADROOM_BYTES = 2 << 20,
	// Headers and notes of an ordinary process.
	OVERHEAD_BYTES = 1 << 20,
	// Of a copy in memory that is only made to be analysed: half a second, or a pause of 5 ms.
	ANALYZE_PRECOPY_BYTES = 512 << 20,
	ANALYZE_COPY_BYTES = 32 << 20,
	// Shared memory that is copied while the process stands still: 10 ms. Others may change it
	// even then, and of a database it would be seconds.
	SHARED_BYTES = 64 << 20,
};

struct worker {
	struct job job;
	struct pidref ref;
	int spool, output;
	int stacks, part; ///< of JOB_FINISH, else -EBADF
	struct json *message; ///< that the job came in
	struct json *go; ///< what the Go analyzer found, or NULL
	struct capture *capture;
	uint64_t plain_uid; ///< see owner.h, or UINT64_MAX
	struct reserve reserve;
	struct forecast forecast;
	struct precopy precopy; ///< looks at the running process, also when all is copied later
	uint64_t first_offset; ///< of the segments in the core
	bool short_of_space; ///< the core that is wanted has no room
	struct core *core;
	const char *phase;
	uint64_t total_bytes;
	atomic_uint_fast64_t reported_ns;
};

// For the signal handler: SIGTERM ends the copy, now or as soon as it begins.
static volatile sig_atomic_t terminated;
static struct core *volatile abort_on_term;

static void on_term(int sig _unused_)
{
	terminated = 1;
	if (abort_on_term)
		core_abort(abort_on_term);
}

/// Tells how far we are, at most ten times a second, and never waits for the reader.
static void report(struct worker *w, uint64_t done)
{
	uint64_t now = snap_now_ns(), last = w->reported_ns;
	if (now - last < REPORT_NS || !atomic_compare_exchange_strong(&w->reported_ns, &last, now))
		return;
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	struct json *inner = json_new_object();
	json_set_text(inner, "phase", w->phase);
	json_set_u64(inner, "done", done);
	json_set_u64(inner, "total", w->total_bytes);
	json_set(json, "progress", inner);
	(void)ipc_send(JOB_SOCKET_FD, json, NULL, 0, MSG_DONTWAIT); // nobody reads: nobody to tell
}

static void on_progress(void *userdata, uint64_t done)
{
	report(userdata, done);
}

static void on_phase(void *userdata, const char *phase, uint64_t total)
{
	struct worker *w = userdata;
	w->phase = phase;
	w->total_bytes = total;
}

static uint32_t plan_flags(const struct job *job)
{
	return (job->flags & JOB_ALL ? PLAN_ALL : 0U) |
	       (job->flags & JOB_WITH_BINARIES ? PLAN_WITH_BINARIES : 0U) |
	       (job->flags & JOB_STACKS ? PLAN_STACKS : 0U);
}

static uint32_t effective_filter(const struct job *job, const struct snapshot *snap)
{
	if (job->flags & JOB_ALL)
		return FILTER_MASK;
	if (job->flags & JOB_STACKS)
		return FILTER_ANON_PRIVATE | FILTER_ELF_HEADERS;
	return job->flags & JOB_HAS_FILTER ? job->filter : snap->process.coredump_filter;
}

static struct snap_error *make_plan(const struct worker *w, const struct snapshot *snap,
				    struct memsource *source, const struct plan *before,
				    struct plan **ret)
{
	return plan_create_again(snap, source, effective_filter(&w->job, snap), plan_flags(&w->job),
				 before, ret);
}

/// Has what is too much of shared memory read when the process runs again, as far as that @can be.
static void postpone(const struct worker *w, struct plan *plan,
		     bool (*can)(struct capture *capture, const struct snap_mapping *map))
{
	plan_postpone(plan, SHARED_BYTES);
	for (size_t i = 0; i < plan->n; i++)
		if (plan->segments[i].later && !can(w->capture, plan->segments[i].map))
			plan_unpostpone(plan, i);
}

static struct snap_error *check_space(struct worker *w, const struct plan *plan)
{
	uint64_t need = plan->data_bytes + OVERHEAD_BYTES;
	w->short_of_space = w->job.free_bytes && need > w->job.free_bytes;
	if (!w->short_of_space || w->job.flags & JOB_KEEP_PARTIAL)
		return NULL;
	char a[16], b[16];
	return snap_error_new(SNAP_NO_SPACE,
			      "process %d needs about %s for its core, but only %s are free; "
			      "nothing was done to it",
			      w->ref.pid, snap_format_bytes(need, a),
			      snap_format_bytes(w->job.free_bytes, b));
}

static uint64_t count_tasks(const struct worker *w)
{
	char path[64];
	struct stat st;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", w->ref.pid);
	return stat(path, &st) == 0 && st.st_nlink > 2 ? st.st_nlink - 2 : 1;
}

/**
 * Sets aside what compressing needs before it can give back the first of the raw core: when that is
 * partial it may have taken all there was.
 */
static void reserve_headroom(struct worker *w)
{
	uint64_t bytes = HEADROOM_BYTES;
	struct stat st;
	if (w->job.free_bytes)
		bytes = MIN(bytes, w->job.free_bytes / 4);
	if (w->job.flags & JOB_KEEP_PARTIAL && w->job.flags & JOB_COMPRESS &&
	    fstat(w->output, &st) == 0 && S_ISREG(st.st_mode) && !st.st_size)
		(void)fallocate(w->output, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes);
}

/**
 * Reserves page cache for the core that the process would give now, or, of one that is copied in
 * advance, for what cannot be.
 *
 * Not where it must be shared out by use, since which stacks are in use is known only when the
 * process stands still; and not where a part of each stack is wanted, for the same reason.
 */
static struct snap_error *reserve_room(struct worker *w, struct core *core,
				       struct memsource *source)
{
	if (ftruncate(w->spool, (off_t)core_size(core)) < 0)
		return NULL; // the real copy will say what is wrong
	reserve_headroom(w);
	w->phase = "reserving";
	if (w->short_of_space || w->job.flags & JOB_STACKS) {
		core_reserve_head(core, w->spool);
		reserve_init(&w->reserve, w->spool, 0); // it still has a spill
		return NULL;
	}
	reserve_init(&w->reserve, w->spool, core_size(core));
	struct snap_error *err = core_reserve(core, source, cpus_to_copy(),
					      w->forecast.best != STRATEGY_COPY, &w->reserve);
	if (!err && w->reserve.failed && w->job.flags & JOB_KEEP_PARTIAL) {
		reserve_abandon(&w->reserve, w->first_offset);
		w->short_of_space = true;
		w->forecast.best = STRATEGY_COPY;
	}
	return err;
}

/// Why this dump cannot be made in that way, "it" being the process; NULL: it can.
static const char *obstacle(const struct worker *w, enum strategy strategy)
{
	const struct snap_error *veto = w->forecast.veto[strategy];
	if (strategy == STRATEGY_COPY)
		return NULL;
	// What has the priority is known only when it stands still.
	return w->short_of_space	     ? "there is too little space" :
	       w->job.flags & JOB_STACKS ? "only stacks are wanted" :
	       veto			     ? veto->message :
					       NULL;
}

/// Decides how the memory is frozen. An error when the way that was asked for cannot be used.
static struct snap_error *choose_strategy(struct worker *w, const struct snapshot *known,
					  const struct plan *plan)
{
	struct forecast *f = &w->forecast;
	const uint32_t flags = w->job.flags;
	forecast_make(f, w->capture, known, plan, count_tasks(w),
		      (flags & JOB_DRY_RUN ? FORECAST_ALL : 0U) |
			      (flags & (JOB_PRECOPY | JOB_ANALYZE) ? FORECAST_PRECOPY : 0U) |
			      (flags & JOB_FORK ? FORECAST_FORK : 0U));
	if (flags & JOB_COPY)
		f->best = STRATEGY_COPY;
	else if (flags & JOB_PRECOPY)
		f->best = STRATEGY_PRECOPY;
	else if (flags & JOB_FORK)
		f->best = STRATEGY_FORK;
	const char *why = obstacle(w, f->best);
	if (why && !(flags & JOB_MODES))
		f->best = STRATEGY_COPY;
	else if (why && f->best == STRATEGY_PRECOPY)
		return snap_error_new(SNAP_FAILED,
				      "the memory of process %d cannot be copied in advance: %s; "
				      "without --mode=precopy it is copied while it stands still",
				      w->ref.pid, why);
	else if (why)
		return snap_error_new(SNAP_FAILED,
				      "process %d cannot be made to fork: %s; without --mode=fork "
				      "its memory is copied in another way",
				      w->ref.pid, why);
	return NULL;
}

/// What was mapped since the first look is copied in advance too.
static struct snap_error *look_again(struct worker *w, struct memsource **ret_source)
{
	struct precopy *p = &w->precopy;
	const struct look *before = precopy_look(p);
	struct look *look = &p->looks[p->n_looks++];
	struct snap_error *err = capture_inspect(w->capture, &look->known, ret_source);
	if (!err)
		err = capture_follow(w->capture, &look->known);
	if (!err)
		err = make_plan(w, &look->known, *ret_source, before->plan, &look->plan);
	if (!err)
		postpone(w, look->plan, capture_can_postpone);
	if (!err)
		err = plan_cut_along(look->plan, before->plan);
	return err ? err : core_create_over(&look->known, look->plan, before->core, &look->core);
}

/// @source becomes that of the last look.
static struct snap_error *copy_rounds(struct worker *w, struct memsource **source)
{
	struct precopy *p = &w->precopy;
	struct core_progress progress = { on_progress, w };
	bool again;
	w->phase = "copying in advance";
	w->total_bytes = precopy_look(p)->plan->dump_bytes;
	abort_on_term = precopy_look(p)->core;
	if (terminated)
		core_abort(precopy_look(p)->core);
	struct snap_error *err = precopy_first(p, *source, w->spool, cpus_to_copy(), &progress,
					       &again);
	abort_on_term = NULL; // the rest does not take long
	if (!err && again)
		err = look_again(w, source);
	return err ? err : precopy_rest(p, *source, w->spool, cpus_to_copy());
}

/**
 * It writes faster than can be copied: what was copied in advance is of no use, and it forks.
 *
 * The layout is that of a dump that begins so, and room is made ready for that.
 */
static struct snap_error *fork_after_all(struct worker *w, struct memsource *source)
{
	capture_unfollow(w->capture);
	reserve_deinit(&w->reserve);
	// Also what lies behind the end of the first layout.
	if (ftruncate(w->spool, 0) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot begin anew");
	return reserve_room(w, w->precopy.looks[0].core, source);
}

/// All that takes time, and then once more what was written during it.
static struct snap_error *get_ready(struct worker *w, struct memsource *source)
{
	reserve_set_spill(&w->reserve, precopy_spill_bytes(&w->precopy));
	capture_make_ready(w->capture);
	return precopy_last(&w->precopy, source, w->spool, cpus_to_copy());
}

/// Copies in advance what can be. Falls back to copying while it stands still, if it may.
static struct snap_error *copy_in_advance(struct worker *w, struct memsource *source)
{
	struct look *look = precopy_look(&w->precopy);
	struct snap_error *err = capture_follow(w->capture, &look->known);
	if (err && w->job.flags & JOB_PRECOPY)
		return snap_error_wrap(err, "the memory of process %d cannot be copied in advance",
				       w->ref.pid);
	if (err) {
		snap_error_destroy(err);
		w->forecast.best = STRATEGY_COPY;
		plan_postpone_nothing(look->plan);
		return core_reserve(look->core, source, cpus_to_copy(), false, &w->reserve);
	}
	err = copy_rounds(w, &source);
	look = precopy_look(&w->precopy);
	if (!err && !(w->job.flags & (JOB_MODES | JOB_ANALYZE)) &&
	    forecast_turn_to_fork(&w->forecast, w->capture, &look->known, w->precopy.left_bytes))
		return fork_after_all(w, source);
	if (err && err->code == SNAP_NO_SPACE && w->job.flags & JOB_KEEP_PARTIAL) {
		// What is most useful gets the room there is, and that is found out later.
		snap_error_destroy(err);
		capture_unfollow(w->capture);
		reserve_abandon(&w->reserve, w->first_offset);
		w->short_of_space = true;
		w->forecast.best = STRATEGY_COPY;
		return NULL;
	}
	return err ? err : get_ready(w, source);
}

/// Makes all ready that can be before the process is stopped.
static struct snap_error *prepare(struct worker *w, struct memsource *source)
{
	struct look *look = precopy_look(&w->precopy);
	uint64_t first = core_first_offset(&look->known, count_tasks(w));
	// The layout cannot change any more when there are more threads or mappings later.
	w->first_offset = w->forecast.best == STRATEGY_PRECOPY ? 2 * first : first;
	struct snap_error *err =
		core_create(&look->known, look->plan, w->first_offset, &look->core);
	if (!err)
		err = reserve_room(w, look->core, source);
	if (!err && w->forecast.best == STRATEGY_PRECOPY)
		err = copy_in_advance(w, source);
	if (!err && w->forecast.best == STRATEGY_FORK)
		capture_fork(w->capture, &precopy_look(&w->precopy)->known,
			     w->job.flags & JOB_FORK);
	return err;
}

/// Looks at the running process, and decides how to go on.
static struct snap_error *look_first(struct worker *w, struct memsource **ret_source)
{
	w->precopy.n_looks = 1;
	struct look *look = precopy_look(&w->precopy);
	struct snap_error *err = capture_inspect(w->capture, &look->known, ret_source);
	if (!err)
		err = make_plan(w, &look->known, *ret_source, NULL, &look->plan);
	if (!err && !(w->job.flags & JOB_DRY_RUN))
		err = check_space(w, look->plan);
	if (err)
		return err;
	postpone(w, look->plan, capture_can_postpone);
	err = choose_strategy(w, &look->known, look->plan);
	if (w->forecast.best == STRATEGY_COPY)
		plan_postpone_nothing(look->plan);
	return err;
}

/// What a core that may not become whole has first.
static struct snap_error *set_priorities(struct worker *w, const struct snapshot *snap)
{
	_cleanup_priorities_ struct priorities priorities = { 0 };
	struct snap_error *err = priorities_find(snap, &priorities);
	return err ? err : core_set_priorities(w->core, &priorities);
}

static uint32_t partial_flag(const struct worker *w)
{
	return w->job.flags & JOB_KEEP_PARTIAL ? CORE_KEEP_PARTIAL : 0;
}

/// What happens between stopping the process and letting it go.
static struct snap_error *copy_while_held(struct worker *w, const struct snapshot *snap,
					  struct memsource *source, struct plan **ret_plan)
{
	bool again = w->forecast.best == STRATEGY_PRECOPY;
	const struct look *look = precopy_look(&w->precopy);
	struct snap_error *err = make_plan(w, snap, source, look->plan, ret_plan);
	if (!err && strcmp(snap->mode, strategy_name(STRATEGY_COPY)) != 0)
		postpone(w, *ret_plan, capture_postpone);
	if (!err && again)
		err = plan_cut_along(*ret_plan, look->plan);
	if (!err)
		err = again ? core_create_over(snap, *ret_plan, look->core, &w->core) :
			      core_create(snap, *ret_plan, w->first_offset, &w->core);
	if (err)
		return err;
	if (w->job.flags & JOB_KEEP_PARTIAL)
		err = set_priorities(w, snap);
	if (err)
		return err;
	w->phase = "copying";
	w->total_bytes = (*ret_plan)->dump_bytes;
	abort_on_term = w->core;
	if (terminated)
		core_abort(w->core);
	struct core_progress progress = { on_progress, w };
	bool is_short = w->short_of_space && w->job.flags & JOB_KEEP_PARTIAL;
	return core_copy(w->core, source, w->spool, is_short ? NULL : &w->reserve, cpus_to_copy(),
			 partial_flag(w) | (is_short ? CORE_SHORT_OF_SPACE : 0U) |
				 (again ? CORE_AGAIN : 0U),
			 &progress);
}

/// What is left when the process runs again.
static struct snap_error *copy_afterwards(struct worker *w, struct snapshot *snap,
					  struct snap_error *before)
{
	const struct core_progress progress = { on_progress, w };
	const struct rest rest = { .capture = w->capture,
				   .snap = snap,
				   .core = w->core,
				   .fd = w->spool,
				   .reserve = &w->reserve,
				   .flags = partial_flag(w),
				   .progress = &progress };
	struct snap_error *err = rest_copy(&rest, before);
	return err ? err : rest_copy_postponed(&rest);
}

/// Adds what the goroutines of a Go program did. A core is good without it.
static void summarize(struct worker *w, struct snapshot *snap)
{
	w->phase = "analysing";
	struct snap_error *err = attach_summary(w->spool, w->spool, &w->ref, NULL, &w->go);
	if (err)
		snapshot_warn(snap, "no summary of goroutines is attached: %s", err->message);
	snap_error_destroy(err);
}

/// What the process says of its newest mappings was not looked at while it stood still.
static void leave_out(struct worker *w, struct plan *plan)
{
	struct snapshot later = { 0 };
	struct memsource *source;
	struct snap_error *err = capture_inspect(w->capture, &later, &source);
	if (!err) // else it has ended, and nobody can be asked
		core_leave_out(w->core, plan, &later);
	snap_error_destroy(err);
	snapshot_deinit(&later);
}

static uint64_t predicted_ns(const struct worker *w)
{
	return w->forecast.pause_ns[w->forecast.best];
}

/// The raw core of the process, complete in the spool. @ret_plan is what w->core was made with.
static struct snap_error *take_core(struct worker *w, struct snapshot *snap,
				    struct plan **ret_plan, uint64_t *ret_pause_ns)
{
	struct memsource *source;
	struct snap_error *err = capture_take(w->capture, snap, &source);
	if (err)
		return err;
	w->plain_uid = owner_find(&w->ref);
	err = copy_while_held(w, snap, source, ret_plan);
	struct snap_error *late = capture_release(w->capture, ret_pause_ns);
	if (late && w->core && w->job.flags & JOB_KEEP_PARTIAL) {
		snapshot_warn(snap, "%s", late->message);
		snap_error_destroy(late);
	} else if (late) { // the reason why copying was cancelled
		snap_error_destroy(err);
		err = late;
	}
	err = copy_afterwards(w, snap, err);
	if (!err && core_has_young(w->core) && !(w->job.flags & JOB_ALL))
		leave_out(w, *ret_plan);
	if (!err)
		err = core_finish(w->core, w->spool,
				  &(struct core_facts){ .pause_ns = *ret_pause_ns,
							.predicted_pause_ns = predicted_ns(w),
							.coredump_filter =
								effective_filter(&w->job, snap) });
	reserve_deinit(&w->reserve);
	return err;
}

static void forget_core(struct worker *w)
{
	abort_on_term = NULL;
	core_destroy(w->core);
	w->core = NULL;
}

static struct snap_error *dump(struct worker *w, struct snapshot *snap, struct json **ret)
{
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	uint64_t pause_ns = 0;
	struct snap_error *err = take_core(w, snap, &plan, &pause_ns);
	if (!err && !(w->job.flags & JOB_NO_SUMMARY))
		summarize(w, snap);
	if (!err)
		err = deliver(&(struct delivery){ &w->job, w->spool, w->output, cpus_to_copy(),
						  on_phase, on_progress, w });
	if (!err) {
		int final_fd = w->output >= 0 && w->job.flags & JOB_COMPRESS ? w->output : w->spool;
		*ret = describe_dump(snap, &(struct dump_made){ w->core, w->go, w->spool, final_fd,
								w->plain_uid, pause_ns,
								predicted_ns(w) });
	}
	forget_core(w);
	return err;
}

/**
 * Can the process be analysed from a copy of its memory? That stops it for less time than reading
 * it while it stands still, but takes longer, and memory.
 */
static bool can_analyze_copy(const struct worker *w, const struct plan *plan)
{
	_cleanup_free_ char *text = NULL;
	uint64_t available = 0;
	if (snap_read_file_at(AT_FDCWD, "/proc/meminfo", 64 << 10, &text) > 0)
		(void)snap_line_kib(text, "MemAvailable:", &available);
	uint64_t most = w->forecast.best == STRATEGY_PRECOPY ? ANALYZE_PRECOPY_BYTES :
							       ANALYZE_COPY_BYTES;
	return plan->data_bytes <= most && plan->data_bytes <= available / 4;
}

static struct snap_error *analyze_copy(struct worker *w, struct memsource *source, int lines_fd,
				       struct json **ret)
{
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	struct snapshot snap = { 0 };
	uint64_t pause_ns = 0;
	struct snap_error *err = prepare(w, source);
	if (!err)
		err = take_core(w, &snap, &plan, &pause_ns);
	forget_core(w);
	w->phase = "analysing";
	if (!err)
		err = live_analyze_core(&w->job, &w->ref, &snap, w->spool, lines_fd, pause_ns, ret);
	snapshot_deinit(&snap);
	return err;
}

/// What JOB_ANALYZE asks for.
static struct snap_error *analyze(struct worker *w, struct json **ret)
{
	struct memsource *source;
	int lines_fd = w->spool;
	// What Go keeps its state in, whatever the process would have in a core.
	w->job.flags |= JOB_HAS_FILTER;
	w->job.filter = FILTER_ANON_PRIVATE | FILTER_ANON_SHARED | FILTER_ELF_HEADERS;
	struct snap_error *err = look_first(w, &source);
	if (err)
		return err;
	if (!w->forecast.veto[STRATEGY_PRECOPY])
		w->forecast.best = STRATEGY_PRECOPY;
	_cleanup_close_ int core = can_analyze_copy(w, precopy_look(&w->precopy)->plan) ?
					   memfd_create("procsnap-core", MFD_CLOEXEC) :
					   -EBADF;
	if (core < 0)
		return live_analyze(&w->job, &w->ref, w->capture, lines_fd, ret);
	w->spool = core;
	err = analyze_copy(w, source, lines_fd, ret);
	w->spool = lines_fd;
	return err;
}

static struct snap_error *run(struct worker *w, struct json **ret)
{
	if (w->job.flags & JOB_FINISH)
		return finish(&(struct delivery){ &w->job, w->spool, w->output, cpus_to_copy(),
						  on_phase, on_progress, w },
			      w->stacks, w->part, ret);
	const struct capture_options options = { .max_pause_ns = w->job.max_pause_ns,
						 .stall_ns = STALL_NS };
	struct snap_error *err = capture_create(&w->ref, &options, &w->capture);
	w->phase = "looking";
	if (!err && w->job.flags & (JOB_ARM | JOB_CLEAN)) {
		err = w->job.flags & JOB_ARM ? arm_process(&w->job, &w->ref, w->capture, ret) :
					       leftovers_clean(w->capture, ret);
		capture_destroy(w->capture);
		return err;
	}
	struct memsource *source;
	bool dry = w->job.flags & JOB_DRY_RUN, analyzes = w->job.flags & JOB_ANALYZE;
	if (!err && analyzes)
		err = analyze(w, ret);
	else if (!err)
		err = look_first(w, &source);
	if (!err && !dry && !analyzes)
		err = prepare(w, source);
	if (!err && terminated && !analyzes)
		err = snap_error_new(SNAP_CANCELLED, "the dump of process %d was cancelled",
				     w->ref.pid);
	if (!err && dry) {
		const struct look *look = precopy_look(&w->precopy);
		*ret = describe_plan(&look->known, look->plan, &w->forecast,
				     count_tasks(w));
	} else if (!err && !analyzes) {
		struct snapshot snap = { 0 };
		err = dump(w, &snap, ret);
		capture_destroy(TAKE_PTR(w->capture));
		snapshot_deinit(&snap);
	}
	if (w->reserve.fd >= 0)
		reserve_deinit(&w->reserve);
	capture_destroy(w->capture);
	precopy_deinit(&w->precopy);
	forecast_deinit(&w->forecast);
	return err;
}

/// Becomes who the job says, for good.
static struct snap_error *become(const struct json *identity)
{
	const struct json *list = json_get(identity, "groups");
	uint64_t uid = json_get_u64(identity, "uid", 0), gid = json_get_u64(identity, "gid", 0);
	size_t n = json_length(list);
	_cleanup_free_ gid_t *groups = calloc(n + 1, sizeof(*groups));
	if (!groups)
		return snap_error_oom();
	for (size_t i = 0; i < n; i++)
		groups[i] = (gid_t)json_u64_value(json_at(list, i), (gid_t)-1);
	// (uid_t)-1 would leave everything as it is.
	if (!uid || uid >= (uid_t)-1 || gid >= (gid_t)-1)
		return snap_error_new(SNAP_FAILED, "procsnap-worker cannot become user %llu",
				      (unsigned long long)uid);
	if (setgroups(n, groups) < 0 || setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) < 0 ||
	    setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "procsnap-worker cannot become user %u",
					(uid_t)uid);
	// The kernel has forgotten it, and has made us not dumpable: that user cannot trace us.
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return NULL;
}

static struct snap_error *receive_job(struct worker *w)
{
	int fds[IPC_MAX_FDS];
	int r = ipc_recv(JOB_SOCKET_FD, &w->message, fds);
	if (r == 0)
		r = job_from_json(w->message, &w->job);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r,
					"procsnap-worker got no job it understands; it is started "
					"by snapctl, of the same version");
	w->spool = fds[JOB_FD_SPOOL];
	w->output = fds[JOB_FD_OUTPUT];
	if (w->job.flags & JOB_FINISH) {
		w->stacks = fds[JOB_FD_STACKS];
		w->part = fds[JOB_FD_PART];
		return NULL;
	}
	r = pidref_from_fd(fds[JOB_FD_PIDFD], &w->ref);
	if (r < 0)
		return snap_error_new(SNAP_NO_PROCESS, "process %d ended before it could be dumped",
				      w->job.pid);
	return w->job.identity ? become(w->job.identity) : NULL;
}

static void set_up_signals(void)
{
	// The wait for stops uses SIGCHLD with sigtimedwait(); threads inherit the mask.
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &chld, NULL);
	struct sigaction sa = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	(void)sigaction(SIGTERM, &sa, NULL);
	sigset_t term; // blocked until now (common/jobstart.c)
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_UNBLOCK, &term, NULL);
	sa.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &sa, NULL);
	(void)sigaction(SIGXFSZ, &sa, NULL); // write() says EFBIG then
	// Without whoever asked there is nobody to publish the result.
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int main(int argc, char *argv[])
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("procsnap-worker %s\n", PROCSNAP_VERSION);
		return 0;
	}
	if (argc != 1) {
		fprintf(stderr, "procsnap-worker is started by snapctl; see snapctl(1)\n");
		return SNAP_USAGE;
	}
	set_up_signals();
	struct worker w = { .ref = PIDREF_NULL,
			    .reserve.fd = -EBADF,
			    .spool = -EBADF,
			    .output = -EBADF,
			    .stacks = -EBADF,
			    .part = -EBADF };
	_cleanup_(json_destroyp) struct json *reply = NULL;
	struct json *result = NULL;
	struct snap_error *err = receive_job(&w);
	if (!err)
		err = run(&w, &result);
	if (err) {
		reply = job_error_to_json(err);
	} else {
		reply = json_new_object();
		json_set(reply, "result", result);
	}
	int r = ipc_send(JOB_SOCKET_FD, reply, NULL, 0, 0);
	int status = err ? (int)err->code : r < 0 ? SNAP_FAILED : 0;
	snap_error_destroy(err);
	json_destroy(w.go);
	json_destroy(w.message);
	pidref_deinit(&w.ref);
	return status;
}
