// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/fd.h"
#include "dumper/sink.h"

enum { MIB = 1 << 20 };

/// Some data, a hole, data that is no whole page.
static int make_input(uint64_t size)
{
	int fd = test_memfd();
	uint64_t random = size;
	for (uint64_t pos = 0; pos < size; pos += 8) {
		uint64_t word = test_random(&random);
		if (pos / MIB % 3 != 1)
			assert_int_equal(
				snap_pwrite_all(fd, &word, MIN(size - pos, sizeof(word)), pos), 0);
		if (pos % (64 * 1024) == 0)
			pos += 60 * 1024;
	}
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void assert_same(int a, int b, uint64_t size)
{
	assert_int_equal(lseek(b, 0, SEEK_END), size);
	static char x[65536], y[65536];
	for (uint64_t pos = 0; pos < size; pos += sizeof(x)) {
		size_t len = MIN(size - pos, sizeof(x));
		assert_int_equal(snap_pread_full(a, x, len, pos), len);
		assert_int_equal(snap_pread_full(b, y, len, pos), len);
		assert_memory_equal(x, y, len);
	}
}

static uint64_t progress_last;

static void on_progress(void *userdata, uint64_t done)
{
	assert_true(done > progress_last);
	assert_ptr_equal(userdata, &progress_last);
	progress_last = done;
}

static void test_sizes(void **state _unused_)
{
	static const uint64_t sizes[] = { 0, 1, 4096, MIB - 1, MIB, MIB + 1, 5 * MIB + 777 };
	static const struct sink_progress progress = { on_progress, &progress_last };
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int in = make_input(sizes[i]);
		_cleanup_close_ int out = test_memfd();
		progress_last = 0;
		assert_ok(sink_stream(in, sizes[i], out, &progress));
		assert_int_equal(progress_last, sizes[i]);
		assert_same(in, out, sizes[i]);
	}
	_cleanup_close_ int in = make_input(3 * MIB); // only so much of it
	_cleanup_close_ int out = test_memfd();
	assert_ok(sink_stream(in, MIB + 5, out, NULL));
	assert_same(in, out, MIB + 5);
}

static int read_all(void *userdata)
{
	const int *fds = userdata;
	char buf[5000];
	uint64_t total = 0;
	ssize_t n;
	(void)close(fds[1]);
	while ((n = read(fds[0], buf, sizeof(buf))) > 0)
		total += (uint64_t)n;
	return total == 3 * MIB + 1 ? 0 : 1;
}

static void test_pipe(void **state _unused_)
{
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = test_fork(read_all, pipes);
	(void)close(pipes[0]);
	_cleanup_close_ int in = make_input(3 * MIB + 1);
	assert_ok(sink_stream(in, 3 * MIB + 1, pipes[1], NULL));
	(void)close(pipes[1]);
	assert_int_equal(test_wait(pid), 0);
}

static void test_errors(void **state _unused_)
{
	_cleanup_close_ int in = make_input(2 * MIB);
	_cleanup_close_ int out = test_memfd();
	assert_code(sink_stream(in, 2 * MIB + 1, out, NULL), SNAP_FAILED); // shorter than promised
	assert_code(sink_stream(in, 9 * MIB, out, NULL), SNAP_FAILED);
	assert_code(sink_stream(-EBADF, 1, out, NULL), SNAP_FAILED);
	assert_code(sink_stream(in, 1, -EBADF, NULL), SNAP_FAILED);
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	(void)close(pipes[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	struct snap_error *err = sink_stream(in, MIB, pipes[1], NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	assert_non_null(err);
	assert_int_equal(err->errnum, EPIPE);
	snap_error_destroy(err);
	(void)close(pipes[1]);
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (full >= 0)
		assert_code(sink_stream(in, MIB, full, NULL), SNAP_NO_SPACE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests_name("sink_stream", tests, NULL, NULL);
}
