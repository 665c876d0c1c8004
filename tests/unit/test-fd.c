// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/fd.h"

static int temp_dir(char path[static 32])
{
	strcpy(path, "/tmp/procsnap-unit-XXXXXX");
	assert_non_null(mkdtemp(path));
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_pread_full(void **state _unused_)
{
	_cleanup_close_ int fd = test_memfd();
	char buf[16];
	assert_int_equal(snap_pread_full(fd, buf, sizeof(buf), 0), 0);
	assert_int_equal(snap_pwrite_all(fd, "0123456789", 10, 5), 0);
	assert_int_equal(snap_pread_full(fd, buf, 4, 5), 4);
	assert_memory_equal(buf, "0123", 4);
	assert_int_equal(snap_pread_full(fd, buf, sizeof(buf), 0), 15);
	assert_memory_equal(buf, "\0\0\0\0\0" "0123456789", 15);
	assert_int_equal(snap_pread_full(fd, buf, 1, 15), 0);
	assert_int_equal(snap_pread_full(fd, buf, 0, 0), 0);
	assert_int_equal(snap_pread_full(fd, buf, 1, 1ULL << 63), -EINVAL);
	assert_int_equal(snap_pread_full(-EBADF, buf, 1, 0), -EBADF);
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(snap_pread_full(pipes[0], buf, 1, 0), -ESPIPE);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

static void test_pwrite_errors(void **state _unused_)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(snap_pwrite_all(fd, "x", 1, 0), -EBADF);
	assert_int_equal(snap_write_all(fd, "x", 1), -EBADF);
	assert_int_equal(snap_pwrite_all(fd, "x", 0, 0), 0);
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (full >= 0) {
		assert_int_equal(snap_write_all(full, "x", 1), -ENOSPC);
		assert_int_equal(snap_pwrite_all(full, "x", 1, 0), -ENOSPC);
	}
	_cleanup_close_ int mem = test_memfd();
	assert_int_equal(snap_pwrite_all(mem, "x", 1, UINT64_MAX), -EINVAL);
}

/// A size limit in the middle: the first write is short, the second says why.
static int write_over_limit(void *userdata _unused_)
{
	(void)signal(SIGXFSZ, SIG_IGN);
	int fd = memfd_create("test", MFD_CLOEXEC);
	FILE *tmp = tmpfile();
	if (tmp)
		fd = fileno(tmp);
	struct rlimit limit = { 6000, 6000 };
	static char buf[9000];
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 1;
	int r = snap_pwrite_all(fd, buf, sizeof(buf), 0);
	return r == -EFBIG ? 0 : 2;
}

static void test_size_limit(void **state _unused_)
{
	assert_int_equal(test_wait(test_fork(write_over_limit, NULL)), 0);
}

static int fill_pipe(void *userdata)
{
	static char buf[300000];
	const int *pipes = userdata;
	(void)close(pipes[0]);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 7);
	return snap_write_all(pipes[1], buf, sizeof(buf)) ? 1 : 0;
}

/// More than a pipe holds, with a reader that takes its time.
static void test_write_pipe(void **state _unused_)
{
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = test_fork(fill_pipe, pipes);
	(void)close(pipes[1]);
	size_t total = 0;
	char buf[7000];
	for (ssize_t n; (n = read(pipes[0], buf, sizeof(buf))) > 0; total += (size_t)n)
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], (char)((total + (size_t)i) * 7));
	assert_int_equal(total, 300000);
	assert_int_equal(test_wait(pid), 0);
	(void)close(pipes[0]);
}

static void test_closed_pipe(void **state _unused_)
{
	int pipes[2];
	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	(void)close(pipes[0]);
	assert_int_equal(snap_write_all(pipes[1], "x", 1), -EPIPE);
	(void)close(pipes[1]);
	(void)signal(SIGPIPE, SIG_DFL);
}

static void write_file(int dir, const char *name, size_t len)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t i = 0; i < len; i += 1000)
		assert_int_equal(snap_write_all(fd, "0123456789", MIN(len - i, (size_t)10)) ||
					 ftruncate(fd, (off_t)MIN(len, i + 1000)) < 0 ||
					 lseek(fd, 0, SEEK_END) < 0,
				 0);
}

static void test_read_file(void **state _unused_)
{
	static const size_t sizes[] = { 0, 1, 4095, 12288, 12289, 16383, 16384, 16385, 100000 };
	char path[32];
	_cleanup_close_ int dir = temp_dir(path);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t len = sizes[i];
		write_file(dir, "f", len);
		char *text = NULL;
		assert_int_equal(snap_read_file_at(dir, "f", len, &text), len);
		assert_int_equal(text[len], '\0');
		assert_memory_equal(text, "0123456789", MIN(len, (size_t)10));
		free(text);
		text = NULL;
		if (len) {
			assert_int_equal(snap_read_file_at(dir, "f", len - 1, &text), -EFBIG);
			assert_null(text);
		}
	}
	(void)unlinkat(dir, "f", 0);
	char *text = NULL;
	assert_int_equal(snap_read_file_at(dir, "f", 10, &text), -ENOENT);
	assert_int_equal(snap_read_file_at(AT_FDCWD, path, 10, &text), -EISDIR);
	assert_null(text);
	(void)rmdir(path);
}

/// /proc says that its files are empty; and an endless one has an end here.
static void test_read_proc(void **state _unused_)
{
	char *text = NULL;
	assert_true(snap_read_file_at(AT_FDCWD, "/proc/self/stat", 65536, &text) > 20);
	free(text);
	text = NULL;
	assert_true(snap_read_file_at(AT_FDCWD, "/proc/self/maps", 16 << 20, &text) > 200);
	assert_non_null(strstr(text, "[stack]"));
	free(text);
	text = NULL;
	int before = test_count_fds();
	assert_int_equal(snap_read_file_at(AT_FDCWD, "/dev/zero", 1 << 20, &text), -EFBIG);
	assert_null(text);
	assert_int_equal(test_count_fds(), before);
}

static void test_readlink(void **state _unused_)
{
	static const size_t sizes[] = { 1, 254, 255, 256, 257, 511, 512, 4000 };
	char path[32];
	_cleanup_close_ int dir = temp_dir(path);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char target[4096], *got = NULL;
		memset(target, 'x', sizes[i]);
		target[sizes[i]] = '\0';
		assert_int_equal(symlinkat(target, dir, "l"), 0);
		assert_int_equal(snap_readlink_at(dir, "l", &got), 0);
		assert_string_equal(got, target);
		free(got);
		assert_int_equal(unlinkat(dir, "l", 0), 0);
	}
	char *got = NULL;
	assert_int_equal(snap_readlink_at(dir, "l", &got), -ENOENT);
	assert_int_equal(snap_readlink_at(AT_FDCWD, path, &got), -EINVAL);
	assert_null(got);
	(void)rmdir(path);
}

static void test_scope_guard(void **state _unused_)
{
	int kept, before = test_count_fds();
	{
		_cleanup_close_ int a = test_memfd();
		_cleanup_close_ int b = test_memfd();
		_cleanup_close_ int none _unused_ = -EBADF;
		assert_int_equal(test_count_fds(), before + 2);
		kept = TAKE_FD(b);
		assert_int_equal(b, -EBADF);
		assert_true(a >= 0);
	}
	assert_int_equal(test_count_fds(), before + 1);
	(void)close(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pread_full), cmocka_unit_test(test_pwrite_errors),
		cmocka_unit_test(test_size_limit), cmocka_unit_test(test_write_pipe),
		cmocka_unit_test(test_closed_pipe), cmocka_unit_test(test_read_file),
		cmocka_unit_test(test_read_proc),  cmocka_unit_test(test_readlink),
		cmocka_unit_test(test_scope_guard),
	};
	return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
