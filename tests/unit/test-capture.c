// SPDX-License-Identifier: LGPL-2.1-or-later
#include "victim.h"

#include "common/fd.h"
#include "ptrace/capture.h"

/*
 * A capture has a dead-man timer that would end the tests with it, so each test is a process of its
 * own, which answers with the number of the check that failed.
 */

#define CHECK(number, condition)     \
	do {                         \
		if (!(condition))    \
			return number; \
	} while (0)

static const uint64_t ms = 1000000;

struct work {
	struct victim *v;
	struct pidref ref;
	struct capture *capture;
	struct snapshot snap;
	struct memsource *source;
};

static int begin(struct work *w, struct victim *v, uint64_t max_pause_ns, uint64_t stall_ns)
{
	const struct capture_options options = { max_pause_ns, stall_ns };
	*w = (struct work){ .v = v };
	CHECK(101, pidref_open(v->pid, &w->ref) == 0);
	CHECK(102, !capture_create(&w->ref, &options, &w->capture));
	return 0;
}

static bool is_code(struct snap_error *err, enum snap_code code)
{
	bool right = (err ? err->code : SNAP_OK) == code;
	if (!right)
		print_error("%s\n", err ? err->message : "no error");
	snap_error_destroy(err);
	return right;
}

/// The mapping at @p, which the process has at the same place as we.
static const struct snap_mapping *find(const struct snapshot *snap, const void *p)
{
	for (size_t i = 0; i < snap->n_mappings; i++)
		if (snap->mappings[i].start <= (uintptr_t)p && (uintptr_t)p < snap->mappings[i].end)
			return &snap->mappings[i];
	return NULL;
}

/// Reads the page that is shared with the process.
static ssize_t read_shared(const struct work *w, void *buf)
{
	const struct snap_mapping *map = find(&w->snap, w->v->page);
	struct mem_range range;
	if (!map || memsource_scan(w->source, map, (uintptr_t)w->v->page,
				   (uintptr_t)w->v->page + TEST_PAGE, &range, 1) < 1)
		return -1;
	return memsource_read(w->source, map, range.kind, range.start, buf, TEST_PAGE);
}

static void end(struct work *w)
{
	capture_destroy(w->capture);
	snapshot_deinit(&w->snap);
	pidref_deinit(&w->ref);
}

static int take_and_release(void *userdata)
{
	struct work w;
	struct victim_page page;
	char buf[TEST_PAGE];
	int r = begin(&w, userdata, 0, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(2, w.snap.n_threads == VICTIM_THREADS && w.snap.n_mappings > 5);
	CHECK(3, w.snap.process.pid == w.v->pid && w.snap.process.ns_ppid == getppid());
	CHECK(4, strchr("SR", w.snap.process.state)); // not 't'
	CHECK(5, !strcmp(w.snap.mode, "copy"));
	CHECK(6, w.snap.monotonic_ns && snap_now_ns() - w.snap.monotonic_ns < 10000 * ms);
	uint64_t spins = w.v->page->spins, pause_ns = 0;
	snap_sleep_ns(30 * ms);
	CHECK(7, w.v->page->spins == spins);
	CHECK(8, read_shared(&w, buf) == TEST_PAGE);
	memcpy(&page, buf, sizeof(page));
	CHECK(9, page.words[3] == 0x0123456789abcdef + 3 && page.spins == spins);
	CHECK(10, is_code(capture_release(w.capture, &pause_ns), SNAP_OK));
	CHECK(11, pause_ns >= 30 * ms && pause_ns < 10000 * ms);
	CHECK(12, read_shared(&w, buf) == -ECANCELED);
	CHECK(13, victim_runs(w.v));
	end(&w);
	return 0;
}

/// Looking stops nobody.
static int inspect(void *userdata)
{
	struct work w;
	char buf[TEST_PAGE];
	int r = begin(&w, userdata, 0, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_inspect(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(2, !w.snap.n_threads && w.snap.n_mappings > 5);
	CHECK(3, read_shared(&w, buf) == TEST_PAGE);
	CHECK(4, victim_runs(w.v));
	CHECK(5, is_code(capture_inspect(w.capture, &w.snap, &w.source), SNAP_OK));
	snapshot_deinit(&w.snap);
	CHECK(6, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(7, read_shared(&w, buf) == TEST_PAGE);
	end(&w); // without a release, which it does then
	CHECK(8, victim_runs(userdata));
	return 0;
}

/// The budget runs out while the process is held.
static int exceed(void *userdata)
{
	struct work w;
	char buf[TEST_PAGE];
	uint64_t pause_ns = 0;
	int r = begin(&w, userdata, 300 * ms, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(2, read_shared(&w, buf) == TEST_PAGE);
	snap_sleep_ns(400 * ms);
	CHECK(3, victim_runs(w.v));
	CHECK(4, read_shared(&w, buf) == -ECANCELED);
	CHECK(5, is_code(capture_release(w.capture, &pause_ns), SNAP_PAUSE_EXCEEDED));
	CHECK(6, pause_ns >= 300 * ms && pause_ns < 350 * ms);
	end(&w);
	return 0;
}

static int within_budget(void *userdata)
{
	struct work w;
	uint64_t pause_ns = 0;
	int r = begin(&w, userdata, 2000 * ms, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(2, is_code(capture_release(w.capture, &pause_ns), SNAP_OK));
	CHECK(3, pause_ns < 2000 * ms);
	end(&w);
	snap_sleep_ns(2200 * ms); // the timer is disarmed
	return 0;
}

/// Nobody reads: the worker counts as stuck, and is killed.
static int stall(void *userdata)
{
	struct work w;
	int r = begin(&w, userdata, 0, 300 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	snap_sleep_ns(5000 * ms);
	return 2;
}

/// Also when it was stopped itself.
static int stall_stopped(void *userdata)
{
	struct work w;
	int r = begin(&w, userdata, 0, 300 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	(void)raise(SIGSTOP);
	return 2;
}

/// One that reads all the time is not.
static int busy(void *userdata)
{
	struct work w;
	char buf[TEST_PAGE];
	uint64_t pause_ns = 0;
	int r = begin(&w, userdata, 0, 1500 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	for (int i = 0; i < 80; i++) {
		CHECK(2, read_shared(&w, buf) == TEST_PAGE);
		snap_sleep_ns(25 * ms);
	}
	CHECK(3, is_code(capture_release(w.capture, &pause_ns), SNAP_OK));
	CHECK(4, pause_ns >= 2000 * ms);
	end(&w);
	return 0;
}

/// The process is killed while it is held.
static int victim_dies(void *userdata)
{
	struct work w;
	char buf[TEST_PAGE];
	uint64_t pause_ns = 0;
	int r = begin(&w, userdata, 0, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(2, kill(w.v->pid, SIGKILL) == 0);
	for (int i = 0; i < 1000 && read_shared(&w, buf) == TEST_PAGE; i++)
		snap_sleep_ns(ms);
	CHECK(3, read_shared(&w, buf) < 0);
	snap_error_destroy(capture_release(w.capture, &pause_ns));
	end(&w);
	return 0;
}

static int take_gone(void *userdata)
{
	struct work w;
	int r = begin(&w, userdata, 0, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, kill(w.v->pid, SIGKILL) == 0);
	CHECK(2, victim_ends(w.v->pid));
	CHECK(3, is_code(capture_inspect(w.capture, &w.snap, &w.source), SNAP_NO_PROCESS));
	CHECK(4, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_NO_PROCESS));
	end(&w);
	return 0;
}

static int take_traced(void *userdata)
{
	struct work w;
	int r = begin(&w, userdata, 0, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_inspect(w.capture, &w.snap, &w.source), SNAP_TRACED));
	CHECK(2, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_TRACED));
	end(&w);
	return 0;
}

static int take_without_leader(void *userdata)
{
	struct work w;
	char buf[TEST_PAGE];
	uint64_t pause_ns;
	int r = begin(&w, userdata, 0, 20000 * ms);
	CHECK(r, !r);
	CHECK(1, is_code(capture_inspect(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(2, read_shared(&w, buf) == TEST_PAGE);
	snapshot_deinit(&w.snap);
	CHECK(3, is_code(capture_take(w.capture, &w.snap, &w.source), SNAP_OK));
	CHECK(4, w.snap.n_threads == 1 && w.snap.process.pid == w.v->pid);
	CHECK(5, read_shared(&w, buf) == TEST_PAGE);
	CHECK(6, is_code(capture_release(w.capture, &pause_ns), SNAP_OK));
	end(&w);
	return 0;
}

static void run(int (*fn)(void *), int (*victim)(void *), int ready, int want)
{
	struct victim v;
	victim_begin(&v, victim, ready);
	if (victim == victim_without_leader)
		assert_true(victim_becomes(v.pid, 'Z'));
	int status = test_wait(test_fork(fn, &v));
	// On a busy machine the dead-man timer may be first to keep the budget.
	if (fn != exceed || status != -SIGKILL)
		assert_int_equal(status, want);
	assert_int_equal(v.page->interrupted, 0);
	if (victim == victim_threads && fn != victim_dies && fn != take_gone)
		assert_true(victim_runs(&v));
	victim_end(&v);
}

#define CAPTURE_TEST(fn, victim, ready, want)        \
	static void test_##fn(void **state _unused_) \
	{                                            \
		run(fn, victim, ready, want);        \
	}
CAPTURE_TEST(take_and_release, victim_threads, VICTIM_THREADS, 0)
CAPTURE_TEST(inspect, victim_threads, VICTIM_THREADS, 0)
CAPTURE_TEST(exceed, victim_threads, VICTIM_THREADS, 0)
CAPTURE_TEST(within_budget, victim_threads, VICTIM_THREADS, 0)
CAPTURE_TEST(stall, victim_threads, VICTIM_THREADS, -SIGKILL)
CAPTURE_TEST(stall_stopped, victim_threads, VICTIM_THREADS, -SIGKILL)
CAPTURE_TEST(busy, victim_threads, VICTIM_THREADS, 0)
CAPTURE_TEST(victim_dies, victim_threads, VICTIM_THREADS, 0)
CAPTURE_TEST(take_gone, victim_threads, VICTIM_THREADS, 0)
CAPTURE_TEST(take_traced, victim_traced, 1, 0)
CAPTURE_TEST(take_without_leader, victim_without_leader, 1, 0)

static int seize_parent(void *userdata _unused_)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 ? EXIT_SKIP : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_and_release), cmocka_unit_test(test_inspect),
		cmocka_unit_test(test_exceed),		 cmocka_unit_test(test_within_budget),
		cmocka_unit_test(test_stall),		 cmocka_unit_test(test_stall_stopped),
		cmocka_unit_test(test_busy),		 cmocka_unit_test(test_victim_dies),
		cmocka_unit_test(test_take_gone),	 cmocka_unit_test(test_take_traced),
		cmocka_unit_test(test_take_without_leader),
	};
	if (!test_has_pidfd() || test_wait(test_fork(seize_parent, NULL)) == EXIT_SKIP) {
		printf("skipped: no pidfds, or ptrace is not permitted\n");
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
