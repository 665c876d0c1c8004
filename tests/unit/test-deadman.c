// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/clock.h"
#include "ptrace/deadman.h"

/*
 * The timer kills the process it belongs to, so each case has a process of its own, which says with
 * its exit status that it outlived what it should.
 */

enum { MS = 1000 * 1000, SURVIVED = 7 };

static int create(void)
{
	struct snap_error *err = deadman_create();
	bool failed = err != NULL;
	snap_error_destroy(err);
	return failed;
}

static int expires(void *userdata _unused_)
{
	if (create())
		return 1;
	deadman_arm(20 * MS);
	snap_sleep_ns(3000ULL * MS);
	return SURVIVED;
}

static int expires_at_once(void *userdata _unused_)
{
	if (create())
		return 1;
	deadman_arm(0); // not "never"
	snap_sleep_ns(3000ULL * MS);
	return SURVIVED;
}

/// SIGKILL also ends a process that was stopped, and ignores what signals are blocked.
static int stops_itself(void *userdata _unused_)
{
	sigset_t all;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	if (create())
		return 1;
	deadman_arm(50 * MS);
	(void)raise(SIGSTOP);
	return SURVIVED;
}

static int disarms(void *userdata _unused_)
{
	if (create())
		return 1;
	deadman_disarm();
	deadman_arm(50 * MS);
	deadman_disarm();
	snap_sleep_ns(100 * MS);
	return SURVIVED;
}

static int arms_again(void *userdata _unused_)
{
	if (create() || create())
		return 1;
	for (int i = 0; i < 20; i++) {
		deadman_arm(1000ULL * MS);
		snap_sleep_ns(2 * MS);
		deadman_arm(200ULL * MS); // much longer than until the next round
	}
	deadman_arm(UINT64_MAX / 2); // and that is not in the past
	snap_sleep_ns(250 * MS);
	deadman_disarm();
	return SURVIVED;
}

/// A child does not inherit the end of its parent.
static int forks(void *userdata _unused_)
{
	if (create())
		return 1;
	deadman_arm(1000ULL * MS);
	pid_t pid = fork();
	if (!pid) {
		snap_sleep_ns(1500ULL * MS);
		_exit(0);
	}
	deadman_disarm();
	int status;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 2;
	return SURVIVED;
}

static void test_expires(void **state _unused_)
{
	assert_int_equal(test_wait(test_fork(expires, NULL)), -SIGKILL);
	assert_int_equal(test_wait(test_fork(expires_at_once, NULL)), -SIGKILL);
}

static void test_stopped(void **state _unused_)
{
	assert_int_equal(test_wait(test_fork(stops_itself, NULL)), -SIGKILL);
}

static void test_disarmed(void **state _unused_)
{
	assert_int_equal(test_wait(test_fork(disarms, NULL)), SURVIVED);
}

static void test_rearmed(void **state _unused_)
{
	assert_int_equal(test_wait(test_fork(arms_again, NULL)), SURVIVED);
}

static void test_forked(void **state _unused_)
{
	assert_int_equal(test_wait(test_fork(forks, NULL)), SURVIVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expires),	 cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_disarmed), cmocka_unit_test(test_rearmed),
		cmocka_unit_test(test_forked),
	};
	return cmocka_run_group_tests_name("deadman", tests, NULL, NULL);
}
