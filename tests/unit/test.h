/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

// What cmocka's header needs, in this order.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"

/**
 * DOC: Unit tests
 *
 * Each program is one group of cmocka tests about one module. A test that cannot run here calls
 * skip_test(), which says why; a program of which no test can run returns EXIT_SKIP.
 */

enum { EXIT_SKIP = 77, TEST_PAGE = 4096 };

#define skip_test(...)                               \
	do {                                         \
		print_message("skipped: "__VA_ARGS__); \
		print_message("\n");                 \
		skip();                              \
	} while (0)

/// Fails with the message of @expr's error, if there is one.
#define assert_ok(expr)                                                     \
	do {                                                                \
		struct snap_error *_err = (expr);                           \
		if (_err)                                                   \
			print_error("error: %s\n", _err->message);          \
		bool _failed = _err != NULL;                                \
		snap_error_destroy(_err);                                   \
		if (_failed)                                                \
			fail_msg("%s", #expr);                              \
	} while (0)

/// @expr must be an error with @want as its code.
#define assert_code(expr, want)                                               \
	do {                                                                  \
		struct snap_error *_err = (expr);                             \
		enum snap_code _code = _err ? _err->code : SNAP_OK;           \
		if (_code != (want))                                          \
			print_error("%s\n", _err ? _err->message : "no error"); \
		snap_error_destroy(_err);                                     \
		assert_string_equal(snap_code_name(_code), snap_code_name(want)); \
	} while (0)

/// An unnamed file in memory, closed by whoever asked.
static inline int test_memfd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/// How many descriptors this process has open.
static inline int test_count_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/// Forks; the child runs @fn and exits with what that returns. Asserts do not work in there.
static inline pid_t test_fork(int (*fn)(void *), void *userdata)
{
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		// cmocka's handlers would go on with the tests in here.
		static const int crashes[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS };
		for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
			(void)signal(crashes[i], SIG_DFL);
		_exit(fn(userdata));
	}
	return pid;
}

/// Waits for a child; its exit status, or minus the signal that ended it.
static inline int test_wait(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// True under valgrind, which has ptrace, memory maps and limits of its own.
static inline bool test_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");
	return preload && strstr(preload, "vgpreload");
}

/// False where there are no pidfds: kernels before Linux 5.3, and valgrind.
static inline bool test_has_pidfd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

/// A pseudo-random number, the same in every run.
static inline uint64_t test_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}
