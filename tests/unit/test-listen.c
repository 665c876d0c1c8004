// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmd/corehook/listen.c" // NOLINT(bugprone-suspicious-include)
#include "test.h"

#include <sys/prctl.h>

/*
 * The coredump socket, with processes of two users in place of those that crash: one who crashes
 * without end does not keep the other waiting.
 */

enum { LOUD = 54321, QUIET = 54322, LOUD_CONNECTIONS = HOOKS_MAX + 8 };

/// Says that it has begun, and holds its process until that goes away.
static int hold(void *userdata _unused_)
{
	char byte = 'x';
	if (write(STDIN_FILENO, &byte, 1) != 1)
		return 1;
	return read(STDIN_FILENO, &byte, 1) != 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		(void)usleep(1000);
	return fd;
}

static bool has_begun(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	return poll(&pfd, 1, timeout_ms) == 1;
}

/// As QUIET, from a process of his: 0 when he was served.
static int ask_as_quiet(const char *path)
{
	if (setresuid(QUIET, QUIET, QUIET) < 0)
		return 1;
	int fd = connect_to(path);
	return has_begun(fd, 60000) ? 0 : 2;
}

static void test_users(void **state _unused_)
{
	char dir[] = "/tmp/procsnap-listen-XXXXXX", path[64];
	int fds[LOUD_CONNECTIONS], status;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	pid_t listener = fork();
	if (listener == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM); // also when this test fails
		struct snap_error *err = listen_for_crashes(path, hold, NULL);
		_exit(err != NULL);
	}
	struct stat st;
	while (stat(path, &st) < 0)
		(void)usleep(1000);
	// In a machine with systemd it is the kernel that connects, whatever the mode says.
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(seteuid(LOUD), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_to(path);
	assert_int_equal(seteuid(0), 0);
	for (size_t i = 0; i < HOOKS_PER_USER; i++)
		assert_true(has_begun(fds[i], 60000));
	pid_t quiet = fork();
	if (quiet == 0)
		_exit(ask_as_quiet(path));
	assert_int_equal(waitpid(quiet, &status, 0), quiet);
	assert_int_equal(status, 0);
	// He has had his turn, and LOUD still waits with what is too much.
	assert_false(has_begun(fds[HOOKS_PER_USER], 0));
	(void)close(fds[0]);
	assert_true(has_begun(fds[HOOKS_PER_USER], 60000));
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	assert_int_equal(kill(listener, SIGTERM), 0);
	assert_int_equal(waitpid(listener, &status, 0), listener);
	assert_int_equal(status, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_users) };
	return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
