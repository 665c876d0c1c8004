// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <unistd.h>

#include "common/fd.h"
#include "ptrace/headroom.h"
#include "test.h"

/*
 * What files in a folder say that stands for /proc/PID; the machine itself is as it is.
 */

static void test_number(void **state _unused_)
{
	const char *text = "MemTotal:       100 kB\nMemAvailable:   7 kB\nMax processes   5 6\n";
	assert_int_equal(headroom_number(text, "MemAvailable:", 1024), 7168);
	assert_int_equal(headroom_number(text, "Max processes", 1), 5);
	assert_int_equal(headroom_number(text, "Available:", 1), UINT64_MAX);
	assert_int_equal(headroom_number("Max processes  unlimited\n", "Max processes", 1),
			 UINT64_MAX);
	assert_int_equal(headroom_number(NULL, "x", 1), UINT64_MAX);
}

static void test_machine(void **state _unused_)
{
	_cleanup_close_ int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(headroom_check(self, 0, 0));
	struct snap_error *err = headroom_check(self, 1ULL << 60, 1ULL << 60);
	assert_non_null(err);
	assert_int_equal(err->code, SNAP_NO_SPACE);
	snap_error_destroy(err);
}

/// Groups that do not exist, or are not told, are no obstacle.
static void test_no_groups(void **state _unused_)
{
	static const char *const texts[] = {
		"", "\n", "0::/\n", "0::/a/b/c/d\n4:memory:/x/y\n8:pids:/x\n", "::::", "7",
		"4:memory:../..\n", "0::",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char path[] = "/tmp/test-headroom.XXXXXX";
		assert_non_null(mkdtemp(path));
		int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int fd = openat(dir, "cgroup", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(snap_write_all(fd, texts[i], strlen(texts[i])), 0);
		assert_ok(headroom_check(dir, 0, 0));
		assert_null(headroom_process(dir));
		assert_int_equal(unlinkat(dir, "cgroup", 0), 0);
		(void)close(fd);
		(void)close(dir);
		assert_int_equal(rmdir(path), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_no_groups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
