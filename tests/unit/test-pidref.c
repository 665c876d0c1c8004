// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "common/fd.h"
#include "common/pidref.h"

static int wait_for_kill(void *userdata _unused_)
{
	for (;;)
		(void)pause();
	return 0;
}

static int end_at_once(void *userdata _unused_)
{
	return 0;
}

static void end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(test_wait(pid), -SIGKILL);
}

static void test_self(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	assert_int_equal(pidref_open(getpid(), &ref), 0);
	assert_int_equal(ref.pid, getpid());
	assert_true(ref.pidfd >= 0);
	assert_true(fcntl(ref.pidfd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pidref_verify(&ref), 0);
	_cleanup_close_ int proc = pidref_open_proc(&ref);
	assert_true(proc >= 0);
	assert_int_equal(faccessat(proc, "stat", F_OK, 0), 0);
}

static void test_bad_pids(void **state _unused_)
{
	struct pidref ref = { 4711, 4712 };
	assert_int_equal(pidref_open(0, &ref), -ESRCH);
	assert_int_equal(pidref_open(-1, &ref), -ESRCH);
	assert_int_equal(pidref_open(INT32_MIN, &ref), -ESRCH);
	assert_int_equal(pidref_open(INT32_MAX, &ref), -ESRCH);
	assert_int_equal(ref.pid, 4711);
	assert_int_equal(ref.pidfd, 4712);
}

static pthread_barrier_t barrier;
static pid_t thread_tid;

static void *thread_main(void *userdata _unused_)
{
	thread_tid = (pid_t)syscall(SYS_gettid);
	(void)pthread_barrier_wait(&barrier);
	(void)pthread_barrier_wait(&barrier);
	return NULL;
}

static void test_thread(void **state _unused_)
{
	pthread_t thread;
	assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, thread_main, NULL), 0);
	(void)pthread_barrier_wait(&barrier);
	struct pidref ref = PIDREF_NULL;
	int r = pidref_open(thread_tid, &ref);
	(void)pthread_barrier_wait(&barrier);
	(void)pthread_join(thread, NULL);
	assert_int_equal(r, -EINVAL);
}

static void test_gone(void **state _unused_)
{
	pid_t pid = test_fork(wait_for_kill, NULL);
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	assert_int_equal(pidref_open(pid, &ref), 0);
	assert_int_equal(pidref_verify(&ref), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	siginfo_t si;
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	assert_int_equal(pidref_verify(&ref), 0); // a zombie still counts
	int proc = pidref_open_proc(&ref);
	assert_true(proc >= 0);
	assert_int_equal(test_wait(pid), -SIGKILL);
	assert_int_equal(pidref_verify(&ref), -ESRCH);
	assert_int_equal(pidref_open_proc(&ref), -ESRCH);
	char *text = NULL;
	assert_int_equal(snap_read_file_at(proc, "stat", 4096, &text), -ESRCH);
	(void)close(proc);
	struct pidref again = PIDREF_NULL;
	assert_int_equal(pidref_open(pid, &again), -ESRCH);
}

static void test_from_fd(void **state _unused_)
{
	pid_t pid = test_fork(wait_for_kill, NULL);
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL, other = PIDREF_NULL;
	assert_int_equal(pidref_open(pid, &ref), 0);
	int copy = fcntl(ref.pidfd, F_DUPFD_CLOEXEC, 3);
	assert_int_equal(pidref_from_fd(copy, &other), 0);
	assert_int_equal(other.pid, pid);
	assert_int_equal(other.pidfd, copy);
	end_child(pid);
	int before = test_count_fds();
	copy = fcntl(ref.pidfd, F_DUPFD_CLOEXEC, 3);
	struct pidref gone = PIDREF_NULL;
	assert_int_equal(pidref_from_fd(copy, &gone), -ESRCH);
	assert_int_equal(test_count_fds(), before); // it was taken, also on failure
	assert_int_equal(gone.pid, 0);
}

static void test_from_other_fds(void **state _unused_)
{
	struct pidref ref = PIDREF_NULL;
	int before = test_count_fds();
	assert_true(pidref_from_fd(test_memfd(), &ref) < 0);
	int dir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(pidref_from_fd(dir, &ref) < 0);
	assert_true(pidref_from_fd(-EBADF, &ref) < 0);
	assert_int_equal(test_count_fds(), before);
	assert_int_equal(ref.pidfd, -EBADF);
}

static void test_deinit(void **state _unused_)
{
	struct pidref ref = PIDREF_NULL;
	pidref_deinit(&ref);
	assert_int_equal(pidref_open(getpid(), &ref), 0);
	int before = test_count_fds();
	pidref_deinit(&ref);
	pidref_deinit(&ref);
	assert_int_equal(test_count_fds(), before - 1);
	assert_int_equal(ref.pid, 0);
}

/**
 * Runs in a pid namespace of its own, where the next pid can be chosen: gives the number of a
 * process that has ended to another one, and asks what the old reference says about it.
 */
static int reuse_pid(void *userdata _unused_)
{
	pid_t old = fork();
	if (!old)
		_exit(wait_for_kill(NULL));
	struct pidref ref = PIDREF_NULL;
	if (pidref_open(old, &ref) < 0)
		return 10;
	if (kill(old, SIGKILL) < 0 || waitpid(old, NULL, 0) != old)
		return 11;
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	char text[16];
	(void)snprintf(text, sizeof(text), "%d", old - 1);
	if (fd < 0 || snap_write_all(fd, text, strlen(text)) < 0)
		return EXIT_SKIP;
	pid_t young = fork();
	if (!young)
		_exit(wait_for_kill(NULL));
	struct pidref fresh = PIDREF_NULL;
	int result = young != old		       ? EXIT_SKIP :
		     pidref_verify(&ref) != -ESRCH     ? 12 :
		     pidref_open_proc(&ref) >= 0       ? 13 :
		     pidref_open(young, &fresh) < 0    ? 14 :
		     pidref_verify(&fresh) < 0	       ? 15 :
							 0;
	(void)kill(young, SIGKILL);
	return result;
}

static int in_namespace(void *userdata _unused_)
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
		return EXIT_SKIP;
	pid_t init = fork();
	if (init < 0)
		return EXIT_SKIP;
	if (!init)
		_exit(reuse_pid(NULL));
	int status;
	if (waitpid(init, &status, 0) != init || !WIFEXITED(status))
		return 20;
	return WEXITSTATUS(status);
}

static void test_reuse(void **state _unused_)
{
	int r = test_wait(test_fork(in_namespace, NULL));
	if (r == EXIT_SKIP)
		skip_test("no pid namespace in which pids can be chosen (needs root)");
	assert_int_equal(r, 0);
}

/// While a pidfd is held the number may be reused, but never unnoticed, however many come.
static void test_many(void **state _unused_)
{
	pid_t pid = test_fork(end_at_once, NULL);
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	assert_int_equal(pidref_open(pid, &ref), 0);
	assert_int_equal(test_wait(pid), 0);
	for (int i = 0; i < 100; i++) {
		pid_t other = test_fork(end_at_once, NULL);
		assert_int_equal(pidref_verify(&ref), -ESRCH);
		assert_int_equal(test_wait(other), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),	cmocka_unit_test(test_bad_pids),
		cmocka_unit_test(test_thread),	cmocka_unit_test(test_gone),
		cmocka_unit_test(test_from_fd), cmocka_unit_test(test_from_other_fds),
		cmocka_unit_test(test_deinit),	cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_many),
	};
	if (!test_has_pidfd()) {
		printf("skipped: no pidfds\n");
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests_name("pidref", tests, NULL, NULL);
}
