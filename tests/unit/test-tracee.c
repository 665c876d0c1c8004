// SPDX-License-Identifier: LGPL-2.1-or-later
#include "victim.h"

#include "ptrace/tracee.h"

/// Attaches to one thread of the victim.
static struct tracee attach(pid_t tid)
{
	assert_int_equal(ptrace(PTRACE_SEIZE, tid, NULL, NULL), 0);
	return (struct tracee){ .tid = tid, .state = TRACEE_SEIZED };
}

static void poll_until(struct tracee *t, enum tracee_state state)
{
	for (int i = 0; i < 2000 && t->state != state; i++) {
		tracee_poll(t);
		snap_sleep_ns(1000000);
	}
	assert_int_equal(t->state, state);
}

static struct tracee attach_and_stop(pid_t tid)
{
	struct tracee t = attach(tid);
	tracee_poll(&t);
	assert_int_equal(t.state, TRACEE_SEIZED); // it runs
	assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
	poll_until(&t, TRACEE_STOPPED);
	return t;
}

/// Looking takes nothing away: the stop is still there afterwards.
static void test_poll(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	struct tracee t = attach_and_stop(v.pid);
	assert_int_equal(t.signal, 0);
	for (int i = 0; i < 3; i++) {
		siginfo_t si = { 0 };
		tracee_poll(&t);
		assert_int_equal(t.state, TRACEE_STOPPED);
		assert_false(tracee_reap_ended(v.pid));
		assert_int_equal(waitid(P_PID, (id_t)v.pid, &si,
					WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL),
				 0);
		assert_int_equal(si.si_pid, v.pid);
	}
	tracee_release(&t);
	assert_int_equal(t.state, TRACEE_GONE);
	assert_true(victim_runs(&v));
	victim_end(&v);
}

/// One that stopped to get a signal gets it when it is let go.
static void test_signal(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	struct tracee t = attach(v.pid);
	assert_int_equal(kill(v.pid, SIGUSR1), 0);
	poll_until(&t, TRACEE_STOPPED);
	assert_int_equal(t.signal, SIGUSR1);
	assert_int_equal(v.page->signals, 0);
	tracee_rewind(&t);
	tracee_release(&t);
	for (int i = 0; i < 1000 && !v.page->signals; i++)
		snap_sleep_ns(1000000);
	assert_int_equal(v.page->signals, 1);
	victim_end(&v);
}

static void test_queued(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	struct tracee t = attach_and_stop(v.page->tids[2]);
	const uint64_t usr1 = 1ULL << (SIGUSR1 - 1), rt = 1ULL << 63;
	assert_int_equal(tracee_queued_signals(t.tid), 0);
	assert_int_equal(kill(v.pid, SIGUSR1), 0); // for the process
	assert_int_equal(tracee_queued_signals(t.tid) & usr1, 0);
	assert_int_equal(syscall(SYS_tgkill, v.pid, t.tid, SIGUSR1), 0); // for the thread
	assert_int_equal(tracee_queued_signals(t.tid), usr1);
	// More than are asked for at once, the last one behind the others.
	assert_int_equal(ptrace(PTRACE_SETSIGMASK, t.tid, (void *)8UL, &(uint64_t){ ~0ULL }), 0);
	for (int i = 0; i < 40; i++)
		assert_int_equal(syscall(SYS_tgkill, v.pid, t.tid, SIGRTMIN), 0);
	assert_int_equal(syscall(SYS_tgkill, v.pid, t.tid, 64), 0);
	assert_int_equal(tracee_queued_signals(t.tid),
			 usr1 | rt | 1ULL << (SIGRTMIN - 1));
	tracee_release(&t);
	victim_end(&v);
}

/// A call that would return EINTR because of us is made again, and its registers say so.
static void test_rewind(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	struct tracee t = attach_and_stop(v.page->tids[2]); // epoll_wait()
	tracee_rewind(&t);
	assert_true(t.regs_known);
	struct arch_regs before = t.regs, now;
	assert_int_equal(arch_get_regs(t.tid, &now), 0);
	assert_memory_not_equal(now.words, t.regs.words, now.size);
	tracee_rewind(&t); // once
	assert_memory_equal(&t.regs, &before, sizeof(before));
	tracee_release(&t);
	snap_sleep_ns(20000000);
	assert_int_equal(v.page->interrupted, 0);
	assert_true(victim_becomes(v.page->tids[2], 'S'));

	t = attach_and_stop(v.page->tids[1]); // one that runs has nothing to rewind
	tracee_rewind(&t);
	assert_true(t.regs_known);
	assert_int_equal(arch_get_regs(t.tid, &now), 0);
	assert_memory_equal(now.words, t.regs.words, now.size);
	tracee_release(&t);
	assert_true(victim_runs(&v));
	victim_end(&v);
}

static void test_expel(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	struct tracee t = attach(v.page->tids[1]);
	tracee_expel(&t);
	assert_int_equal(t.state, TRACEE_GONE);
	assert_true(victim_runs(&v));
	assert_int_equal(ptrace(PTRACE_INTERRUPT, t.tid, NULL, NULL), -1); // no longer ours
	victim_end(&v);
}

static void test_ended(void **state _unused_)
{
	struct victim v;
	victim_begin(&v, victim_threads, VICTIM_THREADS);
	struct tracee t = attach(v.page->tids[1]);
	assert_false(tracee_reap_ended(t.tid));
	assert_int_equal(kill(v.pid, SIGKILL), 0);
	poll_until(&t, TRACEE_GONE);
	assert_true(tracee_reap_ended(t.tid)); // also the second time
	assert_true(tracee_reap_ended(1)); // never ours
	victim_end(&v);
}

static int seize_parent(void *userdata _unused_)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 ? EXIT_SKIP : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_poll),   cmocka_unit_test(test_signal),
		cmocka_unit_test(test_queued), cmocka_unit_test(test_rewind),
		cmocka_unit_test(test_expel),  cmocka_unit_test(test_ended),
	};
	if (test_under_valgrind() || test_wait(test_fork(seize_parent, NULL)) == EXIT_SKIP) {
		printf("skipped: ptrace is not permitted, or this is valgrind\n");
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests_name("tracee", tests, NULL, NULL);
}
