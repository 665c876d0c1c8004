// SPDX-License-Identifier: LGPL-2.1-or-later
#include "victim.h"

#include "common/fd.h"
#include "ptrace/freeze.h"

struct frozen {
	struct pidref ref;
	int procfd;
	struct freeze *freeze;
	struct snapshot snap;
};

static struct snap_error *prepare(struct frozen *f, pid_t pid, uint64_t max_pause_ns)
{
	*f = (struct frozen){ .ref = PIDREF_NULL, .procfd = -EBADF };
	assert_int_equal(pidref_open(pid, &f->ref), 0);
	f->procfd = pidref_open_proc(&f->ref);
	assert_true(f->procfd >= 0);
	return freeze_create(&f->ref, f->procfd, max_pause_ns, &f->freeze);
}

static struct snap_error *freeze(struct frozen *f, pid_t pid)
{
	struct snap_error *err = prepare(f, pid, 0);
	if (!err)
		err = freeze_seize(f->freeze);
	if (!err)
		err = freeze_stop(f->freeze);
	return err;
}

static void done(struct frozen *f)
{
	if (f->freeze)
		freeze_release(f->freeze);
	freeze_destroy(f->freeze);
	snapshot_deinit(&f->snap);
	snap_closep(&f->procfd);
	pidref_deinit(&f->ref);
}

static void test_threads(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	uint64_t before = snap_now_ns();
	assert_ok(freeze(&f, v.pid));
	assert_in_range(freeze_started_ns(f.freeze), before, snap_now_ns());
	assert_int_equal(freeze_memory_tid(f.freeze), v.pid);
	uint64_t spins = v.page->spins, sleeps = v.page->sleeps;
	assert_ok(freeze_collect(f.freeze, &f.snap));
	assert_int_equal(f.snap.n_threads, VICTIM_THREADS);
	assert_int_equal(f.snap.threads[0].tid, v.pid); // the leader first
	for (size_t i = 0; i < VICTIM_THREADS; i++) {
		const struct snap_thread *t = &f.snap.threads[i];
		bool known = false;
		for (size_t j = 0; j < VICTIM_THREADS; j++)
			known |= v.page->tids[j] == t->tid;
		assert_true(known);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(t->tid, f.snap.threads[j].tid);
		assert_int_equal(t->ns_tid, t->tid);
		assert_int_equal(t->flags, 0);
		assert_true(strchr("RS", t->state));
		assert_true(t->n_regsets >= 2);
		assert_int_equal(!!(t->sighold & 1ULL << (SIGUSR1 - 1)), t->tid != v.pid);
		assert_int_equal(t->sigpend, 0);
		assert_int_equal(victim_state(t->tid), 't');
	}
	snap_sleep_ns(20000000);
	assert_int_equal(v.page->spins, spins); // nobody has moved
	assert_int_equal(v.page->sleeps, sleeps);
	done(&f);
	assert_true(victim_runs(&v));
	assert_int_equal(v.page->interrupted, 0); // and nobody has noticed
	for (size_t i = 0; i < VICTIM_THREADS; i++)
		assert_true(victim_state(v.page->tids[i]) != 't');
	victim_end(&v);
}

/// Again and again, without letting it run for long.
static void test_repeated(void **state _unused_)
{
	struct victim v;
	int before = test_count_fds();
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	for (int i = 0; i < 50; i++) {
		struct frozen f;
		assert_ok(freeze(&f, v.pid));
		if (i % 2)
			assert_ok(freeze_collect(f.freeze, &f.snap));
		done(&f);
	}
	assert_true(victim_runs(&v));
	assert_int_equal(v.page->interrupted, 0);
	victim_end(&v);
	assert_int_equal(test_count_fds(), before);
}

/// A signal that comes while it is frozen is delivered afterwards, once.
static void test_signal_meanwhile(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	assert_ok(freeze(&f, v.pid));
	assert_ok(freeze_collect(f.freeze, &f.snap));
	assert_int_equal(kill(v.pid, SIGUSR1), 0);
	snap_sleep_ns(10000000);
	assert_int_equal(v.page->signals, 0);
	done(&f);
	for (int i = 0; i < 1000 && !v.page->signals; i++)
		snap_sleep_ns(1000000);
	assert_int_equal(v.page->signals, 1);
	assert_true(victim_runs(&v));
	assert_int_equal(v.page->signals, 1);
	victim_end(&v);
}

/// Signals that keep coming before, during and after: none is lost and none comes twice.
static void test_signal_storm(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	for (int sent = 0; sent < 100;) {
		struct frozen f;
		assert_int_equal(kill(v.pid, SIGUSR1), 0);
		sent++;
		assert_ok(freeze(&f, v.pid));
		assert_ok(freeze_collect(f.freeze, &f.snap));
		done(&f);
		for (int i = 0; i < 1000 && v.page->signals < sent; i++)
			snap_sleep_ns(1000000);
		assert_int_equal(v.page->signals, sent);
	}
	victim_end(&v);
}

/// A process that was stopped before stays stopped, and goes on when it is told to.
static void test_job_stopped(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	assert_int_equal(kill(v.pid, SIGSTOP), 0);
	assert_true(victim_becomes(v.pid, 'T'));
	assert_ok(freeze(&f, v.pid));
	assert_ok(freeze_collect(f.freeze, &f.snap));
	assert_int_equal(f.snap.threads[0].state, 'T');
	done(&f);
	for (size_t i = 0; i < VICTIM_THREADS; i++)
		assert_true(victim_becomes(v.page->tids[i], 'T'));
	uint64_t spins = v.page->spins;
	snap_sleep_ns(10000000);
	assert_int_equal(v.page->spins, spins);
	assert_int_equal(kill(v.pid, SIGCONT), 0);
	assert_true(victim_runs(&v));
	victim_end(&v);
}

/// SIGSTOP while it is frozen counts from then on.
static void test_stopped_meanwhile(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	assert_ok(freeze(&f, v.pid));
	assert_ok(freeze_collect(f.freeze, &f.snap));
	assert_int_equal(kill(v.pid, SIGSTOP), 0);
	done(&f);
	assert_true(victim_becomes(v.pid, 'T'));
	assert_int_equal(kill(v.pid, SIGCONT), 0);
	assert_true(victim_runs(&v));
	victim_end(&v);
}

static void test_killed_meanwhile(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	assert_ok(freeze(&f, v.pid));
	assert_int_equal(kill(v.pid, SIGKILL), 0);
	assert_true(victim_becomes(v.pid, 'Z'));
	struct snap_error *err = freeze_collect(f.freeze, &f.snap);
	if (err)
		assert_int_equal(err->code, SNAP_NO_PROCESS);
	assert_non_null(err);
	snap_error_destroy(err);
	done(&f);
	victim_end(&v);
}

static void test_gone_before(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	assert_ok(prepare(&f, v.pid, 0));
	victim_end(&v);
	struct snap_error *err = freeze_seize(f.freeze);
	if (!err)
		err = freeze_stop(f.freeze);
	assert_code(err, SNAP_NO_PROCESS);
	done(&f);
}

static void test_already_traced(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_traced, 1);
	assert_ok(prepare(&f, v.pid, 0));
	struct snap_error *err = freeze_seize(f.freeze);
	assert_non_null(err);
	assert_int_equal(err->code, SNAP_TRACED);
	assert_non_null(strstr(err->message, "already traced"));
	snap_error_destroy(err);
	done(&f);
	victim_end(&v);
}

/// The leader has ended; the process has not.
static void test_without_leader(void **state _unused_)
{
	struct victim v;
	struct frozen f;
	victim_begin(&v, victim_without_leader, 1);
	assert_true(victim_becomes(v.pid, 'Z'));
	assert_ok(freeze(&f, v.pid));
	assert_int_equal(freeze_memory_tid(f.freeze), v.page->tids[2]);
	assert_ok(freeze_collect(f.freeze, &f.snap));
	assert_int_equal(f.snap.n_threads, 1);
	assert_int_equal(f.snap.threads[0].tid, v.page->tids[2]);
	done(&f);
	snap_sleep_ns(10000000);
	assert_int_equal(v.page->interrupted, 0);
	assert_int_equal(victim_state(v.page->tids[2]), 'S');
	victim_end(&v);
}

/*
 * What does not stop stays attached until its tracer ends, so these have a tracer of their own.
 * It answers with the number of the check that failed.
 */

static struct victim stuck_victim;

#define CHECK(number, condition)     \
	do {                         \
		if (!(condition))    \
			return number; \
	} while (0)

static int freeze_stuck(void *userdata _unused_)
{
	struct pidref ref;
	struct freeze *f = NULL;
	struct snapshot snap = { 0 };
	CHECK(1, pidref_open(stuck_victim.pid, &ref) == 0);
	int procfd = pidref_open_proc(&ref);
	CHECK(2, !freeze_create(&ref, procfd, 0, &f) && !freeze_seize(f));
	uint64_t start = snap_now_ns();
	CHECK(3, !freeze_stop(f));
	CHECK(4, snap_now_ns() - start < 1500000000);
	CHECK(5, !freeze_collect(f, &snap));
	CHECK(6, snap.n_threads == 1 && snap.threads[0].flags == SNAP_THREAD_PARTIAL);
	CHECK(7, snap.threads[0].tid == stuck_victim.pid && snap.threads[0].n_regsets == 1);
	const uint64_t *regs = snap.threads[0].regsets[0].data;
	CHECK(8, regs[15] == SYS_vfork); // orig_rax
	CHECK(9, regs[16] && regs[19]); // rip, rsp
	freeze_release(f);
	freeze_destroy(f);
	snapshot_deinit(&snap);
	return 0;
}

static int freeze_budget(void *userdata _unused_)
{
	struct pidref ref;
	struct freeze *f = NULL;
	CHECK(1, pidref_open(stuck_victim.pid, &ref) == 0);
	int procfd = pidref_open_proc(&ref);
	CHECK(2, !freeze_create(&ref, procfd, 5000000, &f) && !freeze_seize(f));
	uint64_t start = snap_now_ns();
	struct snap_error *err = freeze_stop(f);
	CHECK(3, err && err->code == SNAP_PAUSE_EXCEEDED);
	CHECK(4, snap_now_ns() - start < 45000000 || test_under_valgrind());
	snap_error_destroy(err);
	freeze_release(f);
	freeze_destroy(f);
	return 0;
}

static void check_stuck(int (*fn)(void *))
{
	victim_begin(&stuck_victim, victim_vfork, 1);
	if (!victim_becomes(stuck_victim.pid, 'D'))
		print_message("state %c\n", victim_state(stuck_victim.pid));
	assert_int_equal(test_wait(test_fork(fn, NULL)), 0);
	assert_int_equal(victim_state(stuck_victim.pid), 'D');
	stuck_victim.page->done = 1;
	assert_true(victim_becomes(stuck_victim.pid, 'S')); // it came out, and nobody holds it
	victim_end(&stuck_victim);
}

static void test_uninterruptible(void **state _unused_)
{
	check_stuck(freeze_stuck);
}

static void test_budget(void **state _unused_)
{
	check_stuck(freeze_budget);
}

/// A tracer that dies leaves a process that runs, with no system call interrupted.
static int die_frozen(void *userdata)
{
	const struct victim *v = userdata;
	struct pidref ref;
	struct freeze *f = NULL;
	struct snapshot snap = { 0 };
	CHECK(1, pidref_open(v->pid, &ref) == 0);
	int procfd = pidref_open_proc(&ref);
	CHECK(2, !freeze_create(&ref, procfd, 0, &f) && !freeze_seize(f) && !freeze_stop(f));
	CHECK(3, !freeze_collect(f, &snap));
	(void)kill(v->pid, SIGUSR1);
	(void)raise(SIGKILL);
	return 4;
}

static void test_tracer_dies(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	assert_int_equal(test_wait(test_fork(die_frozen, &v)), -SIGKILL);
	assert_true(victim_runs(&v));
	for (int i = 0; i < 1000 && !v.page->signals; i++)
		snap_sleep_ns(1000000);
	assert_int_equal(v.page->signals, 1);
	assert_int_equal(v.page->interrupted, 0);
	victim_end(&v);
}

static int seize_parent(void *userdata _unused_)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 ? EXIT_SKIP : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),		 cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_signal_meanwhile), cmocka_unit_test(test_signal_storm),
		cmocka_unit_test(test_job_stopped),	 cmocka_unit_test(test_stopped_meanwhile),
		cmocka_unit_test(test_killed_meanwhile), cmocka_unit_test(test_gone_before),
		cmocka_unit_test(test_already_traced),	 cmocka_unit_test(test_without_leader),
		cmocka_unit_test(test_uninterruptible),	 cmocka_unit_test(test_budget),
		cmocka_unit_test(test_tracer_dies),
	};
	if (!test_has_pidfd() || test_wait(test_fork(seize_parent, NULL)) == EXIT_SKIP) {
		printf("skipped: no pidfds, or ptrace is not permitted\n");
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests_name("freeze", tests, NULL, NULL);
}
