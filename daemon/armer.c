// SPDX-License-Identifier: LGPL-2.1-or-later
#include "armer.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <syslog.h>

#include "common/armed.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/str.h"
#include "common/unit.h"
#include "daemon/armjob.h"
#include "daemon/manager.h"

#define SECOND_NS 1000000000ULL
// A walk takes some 10 us for each slice, and a look at a process as much.
#define INTERVAL_NS (2 * SECOND_NS)
// Looking and writing take some tenths of a second in large programs.
#define DEADLINE_NS (60 * SECOND_NS)

enum {
	PROCESSES_MAX = 1024, // each takes a descriptor, of which the daemon has 8192
	// A unit that starts processes all the time gets no more than a part of one processor.
	JOBS_PER_INTERVAL = 16,
	// What is no Go program after that becomes one only by execve().
	ATTEMPTS_OF_OTHERS = 2,
	AUXV_MAX_BYTES = 64 << 10,
};

/// Pauses after the attempts that have failed; then it is left alone.
static const uint64_t waits_ns[] = { 4 * SECOND_NS, 15 * SECOND_NS, 60 * SECOND_NS };

struct watched {
	TAILQ_ENTRY(watched) entry;
	struct pidref ref;
	char *unit;
	const char *pattern; ///< of the configuration
	uint64_t program; ///< 0: unknown
	unsigned int attempts; ///< that have failed, or are under way
	uint64_t due_ns; ///< UINT64_MAX: never
	bool armed, seen;
};

struct armer {
	struct jobs *jobs; ///< borrowed
	const struct config *config;
	sd_event_source *timer;
	TAILQ_HEAD(watched_list, watched) list;
	size_t n;
	struct armjob *job;
	struct watched *working; ///< whose job that is; NULL: it is not there any more
	uint64_t began_ns; ///< when
	unsigned int jobs_left; ///< in this interval
	bool full_told, stopped;
};

static void begin_next(struct armer *armer);

// ---- processes that are known --------------------------------------------------------------

static void forget(struct armer *armer, struct watched *w)
{
	struct armed armed = { .dirfd = -EBADF };
	if (armer->working == w)
		armer->working = NULL;
	TAILQ_REMOVE(&armer->list, w, entry);
	armer->n--;
	// What was kept of one that has ended is about nothing any more.
	if (w->armed && pidref_verify(&w->ref) < 0) {
		struct snap_error *err = armed_open(&armed);
		if (!err)
			armed_drop_ended(&armed, w->ref.pid);
		snap_error_destroy(err);
		armed_close(&armed);
	}
	pidref_deinit(&w->ref);
	free(w->unit);
	free(w);
}

static struct watched *find(const struct armer *armer, pid_t pid)
{
	struct watched *w;
	TAILQ_FOREACH(w, &armer->list, entry)
	if (w->ref.pid == pid)
		return w;
	return NULL;
}

/// Where the kernel has put random bytes for its program; 0 when nobody knows.
static uint64_t program_of(const struct pidref *ref)
{
	_cleanup_close_ int piddir = pidref_open_proc(ref);
	_cleanup_free_ char *auxv = NULL;
	ssize_t n = piddir < 0 ? -1 : snap_read_file_at(piddir, "auxv", AUXV_MAX_BYTES, &auxv);
	for (size_t i = 0; n > 0 && i + sizeof(Elf64_auxv_t) <= (size_t)n;
	     i += sizeof(Elf64_auxv_t)) {
		Elf64_auxv_t entry;
		memcpy(&entry, auxv + i, sizeof(entry));
		if (entry.a_type == AT_RANDOM)
			return entry.a_un.a_val;
	}
	return 0;
}

/// A program that was not there before: it is looked at in the next interval.
static void begin_anew(struct watched *w, uint64_t program)
{
	w->program = program;
	w->attempts = 0;
	w->armed = false;
	w->due_ns = snap_clock_ns(CLOCK_BOOTTIME) + INTERVAL_NS / 2;
}

static int add(struct armer *armer, const char *unit, pid_t pid)
{
	if (armer->n >= PROCESSES_MAX) {
		if (!armer->full_told)
			manager_log(LOG_WARNING,
				    "the units of Arm= have more than %d processes; the others "
				    "are not armed",
				    PROCESSES_MAX);
		armer->full_told = true;
		return 0;
	}
	struct watched *w = calloc(1, sizeof(*w));
	if (w)
		w->ref = PIDREF_NULL;
	if (!w || !(w->unit = strdup(unit)) || pidref_open(pid, &w->ref) < 0) {
		if (w)
			free(w->unit);
		free(w);
		return 0; // it has ended, or is found in the next interval
	}
	w->seen = true;
	begin_anew(w, program_of(&w->ref));
	TAILQ_INSERT_TAIL(&armer->list, w, entry);
	armer->n++;
	return 0;
}

static int on_process(void *userdata, const char *unit, pid_t pid)
{
	struct armer *armer = userdata;
	struct watched *w = find(armer, pid);
	if (w && pidref_verify(&w->ref) < 0) { // the number is another's by now
		forget(armer, w);
		w = NULL;
	}
	if (!w)
		return add(armer, unit, pid);
	if (w->seen)
		return 0;
	w->seen = true;
	uint64_t program = program_of(&w->ref);
	if (program && program != w->program && armer->working != w)
		begin_anew(w, program);
	return 0;
}

static bool is_wanted(void *userdata, const char *unit)
{
	const struct armer *armer = userdata;
	return unitpatterns_find(&armer->config->arm, unit);
}

static void look_around(struct armer *armer)
{
	const struct unit_walk want = { is_wanted, on_process, armer };
	struct watched *w, *next;
	TAILQ_FOREACH(w, &armer->list, entry)
	w->seen = false;
	(void)unit_walk(&want); // what cannot be read now may be in the next interval
	for (w = TAILQ_FIRST(&armer->list); w; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (!w->seen)
			forget(armer, w);
	}
}

// ---- one process ---------------------------------------------------------------------------

_printf_(4, 5) static void tell(const struct watched *w, int level, const struct json *found,
				const char *fmt, ...)
{
	const char *comm = json_get_text(found, "comm");
	_cleanup_free_ char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	manager_log(level, "process %d%s%s%s of %s (Arm=%s) %s", w->ref.pid, comm ? " (" : "",
		    comm ? comm : "", comm ? ")" : "", w->unit, w->pattern ? w->pattern : "?",
		    n < 0 ? "?" : text);
	if (n < 0)
		text = NULL;
}

static void tell_armed(const struct watched *w, const struct json *found)
{
	_cleanup_(json_destroyp) struct json *warnings = json_new_array();
	const char *version = json_get_text(found, "version");
	armstate_warn(found, warnings);
	const char *warning = json_text_value(json_at(warnings, 0));
	tell(w, warning ? LOG_WARNING : LOG_NOTICE, found, "is armed, %s%s%s",
	     version ? version : "of an unknown version", warning ? "; but " : "",
	     warning ? warning : "");
}

/// It did not work. The reason is told when there is no other attempt.
static void try_later(struct watched *w, const struct json *found, const char *why, bool others)
{
	bool last = w->attempts > ARRAY_SIZE(waits_ns) ||
		    (others && w->attempts >= ATTEMPTS_OF_OTHERS);
	w->due_ns = last ? UINT64_MAX : snap_clock_ns(CLOCK_BOOTTIME) + waits_ns[w->attempts - 1];
	if (last)
		tell(w, others ? LOG_INFO : LOG_WARNING, found, "is not armed: %s", why);
}

static void settle(struct watched *w, const struct json *found, enum armstate state)
{
	const char *refused = json_get_text(found, "refused");
	if (state == ARMSTATE_SKIPPED || state == ARMSTATE_REFUSED) {
		try_later(w, found, refused ? refused : "?", state == ARMSTATE_SKIPPED);
		return;
	}
	w->due_ns = UINT64_MAX;
	w->armed = state == ARMSTATE_ARMED || state == ARMSTATE_ALREADY;
	if (state == ARMSTATE_ARMED)
		tell_armed(w, found);
	else
		tell(w, LOG_INFO, found, "%s", armstate_text(state));
}

static void on_end(void *userdata, const struct snap_error *err, const struct json *found,
		   enum armstate state)
{
	struct armer *armer = userdata;
	struct watched *w = armer->working;
	armer->job = NULL;
	armer->working = NULL;
	if (w && err && err->code == SNAP_NO_PROCESS)
		forget(armer, w);
	else if (w && err)
		try_later(w, NULL, err->message, false);
	else if (w)
		settle(w, found, state);
	begin_next(armer);
}

/// Not if somebody has disarmed it, or it has left the unit since it was seen there.
static bool may_arm(struct watched *w)
{
	_cleanup_armed_ struct armed armed = { .dirfd = -EBADF };
	struct snap_error *err = armed_open(&armed);
	bool disarmed = !err && armed_is_disarmed(&armed, w->ref.pid);
	snap_error_destroy(err); // the job has the same
	if (disarmed) {
		w->due_ns = UINT64_MAX;
		tell(w, LOG_INFO, NULL, "is not armed: it was disarmed");
		return false;
	}
	return unit_has(w->unit, w->ref.pid) && pidref_verify(&w->ref) == 0;
}

static void begin(struct armer *armer, struct watched *w)
{
	struct armjob_request request = {
		.what = ARMJOB_ARM,
		.background = true,
		.unit = w->unit,
		.pattern = w->pattern = unitpatterns_find(&armer->config->arm, w->unit),
		.callbacks = { .end = on_end },
		.userdata = armer,
	};
	w->due_ns = UINT64_MAX;
	if (!w->pattern || !may_arm(w))
		return;
	w->attempts++;
	int r = pidref_dup(&w->ref, &request.ref);
	struct snap_error *err =
		r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot hold process %d", w->ref.pid) :
			armjob_begin(armer->jobs, &request, &armer->job);
	if (err)
		try_later(w, NULL, err->message, false);
	snap_error_destroy(err);
	if (!armer->job)
		return;
	armer->working = w;
	armer->began_ns = snap_clock_ns(CLOCK_BOOTTIME);
	armer->jobs_left--;
}

/// The one that has waited for longest.
static void begin_next(struct armer *armer)
{
	uint64_t now = snap_clock_ns(CLOCK_BOOTTIME);
	while (!armer->job && !armer->stopped && armer->jobs_left) {
		struct watched *w, *first = NULL;
		TAILQ_FOREACH(w, &armer->list, entry)
		if (w->due_ns <= now && (!first || w->due_ns < first->due_ns))
			first = w;
		if (!first)
			return;
		begin(armer, first);
	}
}

// ---- all of them ---------------------------------------------------------------------------

static void set_timer(struct armer *armer, uint64_t usec)
{
	uint64_t now = 0;
	(void)sd_event_now(sd_event_source_get_event(armer->timer), CLOCK_BOOTTIME, &now);
	(void)sd_event_source_set_time(armer->timer, now + usec);
	(void)sd_event_source_set_enabled(armer->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	struct armer *armer = userdata;
	if (armer->stopped || !armer->config->arm.n)
		return 0;
	if (armer->job && snap_clock_ns(CLOCK_BOOTTIME) - armer->began_ns > DEADLINE_NS)
		armjob_cancel(armer->job);
	armer->jobs_left = JOBS_PER_INTERVAL;
	look_around(armer);
	begin_next(armer);
	set_timer(armer, INTERVAL_NS / 1000);
	return 0;
}

struct snap_error *armer_create(sd_event *event, struct jobs *jobs, struct armer **ret)
{
	struct armer *armer = calloc(1, sizeof(*armer));
	if (!armer)
		return snap_error_oom();
	armer->jobs = jobs;
	TAILQ_INIT(&armer->list);
	int r = sd_event_add_time(event, &armer->timer, CLOCK_BOOTTIME, UINT64_MAX,
				  INTERVAL_NS / 1000 / 4, on_timer, armer);
	if (r < 0) {
		free(armer);
		return snap_error_errno(SNAP_FAILED, -r, "cannot set a timer");
	}
	(void)sd_event_source_set_enabled(armer->timer, SD_EVENT_OFF);
	*ret = armer;
	return NULL;
}

static void forget_all(struct armer *armer)
{
	struct watched *w;
	while ((w = TAILQ_FIRST(&armer->list)))
		forget(armer, w);
}

void armer_destroy(struct armer *armer)
{
	if (!armer)
		return;
	forget_all(armer);
	armjob_destroy(armer->job);
	sd_event_source_disable_unref(armer->timer);
	free(armer);
}

void armer_configure(struct armer *armer, const struct config *config)
{
	struct watched *w;
	armer->config = config;
	TAILQ_FOREACH(w, &armer->list, entry)
	w->pattern = unitpatterns_find(&config->arm, w->unit);
	if (!config->arm.n)
		forget_all(armer);
	else
		set_timer(armer, 0);
}

void armer_stop(struct armer *armer)
{
	armer->stopped = true;
	if (armer->job)
		armjob_cancel(armer->job);
}

struct armer_counts armer_count(const struct armer *armer)
{
	struct armer_counts counts = { .patterns = armer->config->arm.n, .processes = armer->n };
	_cleanup_armed_ struct armed armed = { .dirfd = -EBADF };
	const struct watched *w;
	struct snap_error *err = armer->n ? armed_open(&armed) : NULL;
	TAILQ_FOREACH(w, &armer->list, entry)
	if (w->armed && !err && !armed_is_disarmed(&armed, w->ref.pid))
		counts.armed++;
	snap_error_destroy(err);
	return counts;
}
