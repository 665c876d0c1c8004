// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "common/fd.h"
#include "ptrace/denial.h"

static struct snap_error *explain(pid_t pid, int errnum)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return denial_from_errno(pid, dir, errnum, "attach to");
}

static void test_gone(void **state _unused_)
{
	static const int errnums[] = { ESRCH, ENOENT };
	for (size_t i = 0; i < ARRAY_SIZE(errnums); i++) {
		struct snap_error *err = explain(getpid(), errnums[i]);
		assert_int_equal(err->code, SNAP_NO_PROCESS);
		assert_non_null(strstr(err->message, "ended"));
		snap_error_destroy(err);
	}
	assert_code(denial_from_errno(4711, -EBADF, EIO, "look at"), SNAP_NO_PROCESS);
}

static void test_permission(void **state _unused_)
{
	static const int errnums[] = { EPERM, EACCES };
	for (size_t i = 0; i < ARRAY_SIZE(errnums); i++) {
		char want[64];
		struct snap_error *err = explain(getpid(), errnums[i]);
		(void)snprintf(want, sizeof(want), "cannot attach to process %d", getpid());
		assert_int_equal(err->code, SNAP_NOT_PERMITTED);
		assert_int_equal(err->errnum, errnums[i]);
		assert_ptr_equal(strstr(err->message, want), err->message);
		assert_null(strchr(err->message, '\n'));
		snap_error_destroy(err);
	}
	// Also when /proc/PID cannot be read.
	assert_code(denial_from_errno(4711, -EBADF, EPERM, "look at"), SNAP_NOT_PERMITTED);
}

static void test_other(void **state _unused_)
{
	struct snap_error *err = explain(getpid(), EIO);
	assert_int_equal(err->code, SNAP_FAILED);
	assert_int_equal(err->errnum, EIO);
	snap_error_destroy(err);
}

static int be_traced(void *userdata _unused_)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return EXIT_SKIP;
	(void)raise(SIGSTOP);
	return 0;
}

/// Who traces it is told, with a name that cannot do anything to a terminal.
static void test_traced(void **state _unused_)
{
	char saved[16];
	assert_int_equal(prctl(PR_GET_NAME, saved), 0);
	assert_int_equal(prctl(PR_SET_NAME, "\x1b[31m\nevil\\"), 0);
	pid_t pid = test_fork(be_traced, NULL);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	struct snap_error *err = WIFSTOPPED(status) ? explain(pid, EPERM) : NULL;
	struct snap_error *gone = WIFSTOPPED(status) ? explain(pid, ESRCH) : NULL;
	assert_int_equal(prctl(PR_SET_NAME, saved), 0);
	if (!WIFSTOPPED(status))
		skip_test("ptrace is not permitted");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(test_wait(pid), -SIGKILL);
	char want[64];
	(void)snprintf(want, sizeof(want), "by process %d ('\\x1b[31m\\x0aevil\\x5c')", getpid());
	assert_int_equal(err->code, SNAP_TRACED);
	assert_non_null(strstr(err->message, want));
	assert_null(strchr(err->message, '\x1b'));
	assert_null(strchr(err->message, '\n'));
	snap_error_destroy(err);
	assert_int_equal(gone->code, SNAP_NO_PROCESS);
	snap_error_destroy(gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_other),
		cmocka_unit_test(test_traced),
	};
	return cmocka_run_group_tests_name("denial", tests, NULL, NULL);
}
