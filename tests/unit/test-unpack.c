// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/stat.h>

// snapctl is no library.
#include "cmd/snapctl/unpack.c" // NOLINT(bugprone-suspicious-include)
#include "tmpfs.h"

/// A file on disk, which has holes.
static int test_file(void)
{
	const char *dir = getenv("PROCSNAP_TEST_DIR");
	int fd = open(dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : test_memfd();
}

static void put_all(int fd, const void *data, size_t len)
{
	assert_int_equal(snap_write_all(fd, data, len), 0);
}

/// Pages: every fourth has something, the last one has not.
static char *sample(size_t bytes)
{
	char *data = calloc(1, bytes + 1);
	uint64_t seed = bytes;
	assert_non_null(data);
	for (size_t i = 0; i + PAGE < bytes; i += PAGE)
		if (i / PAGE % 4 == 0)
			for (size_t k = 0; k < PAGE; k += 8)
				data[i + k] = (char)test_random(&seed);
	return data;
}

/// @bytes of @data as one frame of zstd.
static size_t pack(const char *data, size_t bytes, char **ret)
{
	size_t bound = ZSTD_compressBound(bytes);
	char *packed = malloc(bound);
	assert_non_null(packed);
	size_t n = ZSTD_compress(packed, bound, data, bytes, 1);
	assert_false(ZSTD_isError(n));
	*ret = packed;
	return n;
}

static void expect_content(int fd, const char *want, size_t bytes)
{
	struct stat st;
	_cleanup_free_ char *got = malloc(bytes + 1);
	assert_non_null(got);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, bytes);
	assert_int_equal(pread(fd, got, bytes, 0), bytes);
	assert_memory_equal(got, want, bytes);
}

/// Unpacks @len bytes of a file.
static struct snap_error *unpack_bytes(const char *bytes, size_t len, int out)
{
	_cleanup_close_ int in = test_memfd();
	put_all(in, bytes, len);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	return unpack(in, out);
}

static const size_t sizes[] = { 1,
				100,
				PAGE,
				PAGE + 1,
				7 * PAGE,
				CHUNK - 1,
				CHUNK,
				CHUNK + 1,
				CHUNK + PAGE,
				2 * CHUNK,
				8 * CHUNK,
				8 * CHUNK + 5 };

static void test_sizes(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int out = test_file();
		_cleanup_free_ char *data = sample(sizes[i]), *packed = NULL;
		size_t n = pack(data, sizes[i], &packed);
		assert_ok(unpack_bytes(packed, n, out));
		expect_content(out, data, sizes[i]);
	}
}

static void test_not_compressed(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int out = test_file();
		_cleanup_free_ char *data = sample(sizes[i]);
		data[0] = 'x';
		assert_ok(unpack_bytes(data, sizes[i], out));
		expect_content(out, data, sizes[i]);
	}
	_cleanup_close_ int none = test_file();
	assert_ok(unpack_bytes("", 0, none));
	expect_content(none, "", 0);
	_cleanup_close_ int few = test_file(); // the beginning of the mark
	assert_ok(unpack_bytes("\x28\xb5\x2f", 3, few));
	expect_content(few, "\x28\xb5\x2f", 3);
}

static void test_frames(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int in = test_memfd(), out = test_file();
		_cleanup_free_ char *data = sample(sizes[i]), *packed = NULL;
		_cleanup_free_ char *want = malloc(3 * sizes[i]);
		// Skippable, as the table of the seekable format is.
		static const char skip[] = "\x5e\x2a\x4d\x18\x04\0\0\0abcd";
		size_t n = pack(data, sizes[i], &packed);
		assert_non_null(want);
		for (size_t k = 0; k < 3; k++) {
			put_all(in, packed, n);
			put_all(in, skip, sizeof(skip) - 1);
			memcpy(want + k * sizes[i], data, sizes[i]);
		}
		assert_int_equal(lseek(in, 0, SEEK_SET), 0);
		assert_ok(unpack(in, out));
		expect_content(out, want, 3 * sizes[i]);
	}
}

static void test_truncated(void **state _unused_)
{
	_cleanup_free_ char *data = sample(3 * CHUNK), *packed = NULL;
	size_t n = pack(data, 3 * CHUNK, &packed);
	static const size_t missing[] = { 1, 2, 10, 100, 1000 };
	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		_cleanup_close_ int out = test_file();
		assert_code(unpack_bytes(packed, n - missing[i], out), SNAP_FAILED);
	}
	_cleanup_close_ int out = test_file();
	assert_code(unpack_bytes(packed, 5, out), SNAP_FAILED);
}

static void test_damaged(void **state _unused_)
{
	_cleanup_free_ char *data = sample(3 * CHUNK), *packed = NULL;
	size_t n = pack(data, 3 * CHUNK, &packed), found = 0;
	for (size_t at = 4; at < n; at += n / 50) {
		_cleanup_close_ int out = test_file();
		packed[at] = (char)~packed[at];
		struct snap_error *err = unpack_bytes(packed, n, out);
		found += err != NULL;
		snap_error_destroy(err);
		packed[at] = (char)~packed[at];
	}
	assert_true(found > 0); // there is no checksum in it; and nothing crashed
	_cleanup_close_ int out = test_file();
	_cleanup_free_ char *more = malloc(n + 10);
	assert_non_null(more);
	memcpy(more, packed, n);
	memcpy(more + n, "0123456789", 10);
	assert_code(unpack_bytes(more, n + 10, out), SNAP_FAILED);
}

/// What expands without end does not need memory.
static void test_large(void **state _unused_)
{
	_cleanup_close_ int out = test_file();
	_cleanup_free_ char *data = calloc(1, 64 << 20), *packed = NULL;
	assert_non_null(data);
	size_t n = pack(data, 64 << 20, &packed);
	struct stat st;
	assert_ok(unpack_bytes(packed, n, out));
	assert_int_equal(fstat(out, &st), 0);
	assert_int_equal(st.st_size, 64 << 20); // a hole at the end as well
	assert_true(st.st_blocks * 512 < 1 << 20);
}

static void test_holes(void **state _unused_)
{
	_cleanup_close_ int out = test_file();
	_cleanup_free_ char *data = sample(256 * PAGE), *packed = NULL;
	size_t n = pack(data, 256 * PAGE, &packed);
	struct stat st;
	assert_ok(unpack_bytes(packed, n, out));
	assert_int_equal(fstat(out, &st), 0);
	if (fcntl(out, F_GET_SEALS) < 0) // not in memory
		assert_true(st.st_blocks * 512 < 128 * PAGE);
	expect_content(out, data, 256 * PAGE);
}

struct piping {
	int fd;
	const char *data;
	size_t len, step;
};

static int write_slowly(void *userdata)
{
	const struct piping *p = userdata;
	for (size_t at = 0; at < p->len; at += p->step)
		if (snap_write_all(p->fd, p->data + at, MIN(p->step, p->len - at)) < 0)
			return 1;
	return 0;
}

static void test_to_a_pipe(void **state _unused_)
{
	_cleanup_free_ char *data = sample(8 * PAGE), *packed = NULL, *got = malloc(8 * PAGE);
	size_t n = pack(data, 8 * PAGE, &packed);
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_ok(unpack_bytes(packed, n, fds[1])); // less than a pipe holds
	assert_int_equal(read(fds[0], got, 8 * PAGE), 8 * PAGE);
	assert_memory_equal(got, data, 8 * PAGE);
	(void)close(fds[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	assert_code(unpack_bytes(packed, n, fds[1]), SNAP_FAILED);
	(void)close(fds[1]);
}

/// It comes in small pieces, the mark in the first too.
static void test_from_a_pipe(void **state _unused_)
{
	static const size_t steps[] = { 1, 3, 4, 1000 };
	_cleanup_free_ char *data = sample(16 * PAGE), *packed = NULL;
	size_t n = pack(data, 16 * PAGE, &packed);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		_cleanup_close_ int out = test_file();
		int fds[2];
		assert_int_equal(pipe2(fds, O_CLOEXEC | O_DIRECT), 0); // keeps the pieces apart
		struct piping piping = { fds[1], packed, n, steps[i] };
		pid_t pid = test_fork(write_slowly, &piping);
		(void)close(fds[1]);
		assert_ok(unpack(fds[0], out));
		(void)close(fds[0]);
		assert_int_equal(test_wait(pid), 0);
		expect_content(out, data, 16 * PAGE);
	}
}

static int run_on_full_disk(void *userdata _unused_)
{
	int out = tmpfs_file(64 << 10);
	if (out < 0)
		return EXIT_SKIP;
	char *packed = NULL, *data = sample(3 * CHUNK);
	for (size_t i = 0; i < 3 * CHUNK; i++) // nothing that would be a hole
		data[i] = (char)(i % 251 + 1);
	size_t n = pack(data, 3 * CHUNK, &packed);
	struct snap_error *err = unpack_bytes(packed, n, out);
	int status = err ? (int)err->code : 0;
	snap_error_destroy(err);
	free(packed);
	free(data);
	return status;
}

static void test_full_disk(void **state _unused_)
{
	int status = test_wait(test_fork(run_on_full_disk, NULL));
	if (status == EXIT_SKIP)
		skip_test("nothing can be mounted here");
	assert_int_equal(status, SNAP_NO_SPACE);
}

static void test_bad_descriptors(void **state _unused_)
{
	_cleanup_close_ int out = test_file(), in = test_memfd();
	assert_code(unpack(-EBADF, out), SNAP_FAILED);
	put_all(in, "text", 4);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	assert_code(unpack(in, -EBADF), SNAP_FAILED);
	_cleanup_close_ int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_code(unpack(dir, out), SNAP_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_not_compressed),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_to_a_pipe),
		cmocka_unit_test(test_from_a_pipe),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_bad_descriptors),
	};
	return cmocka_run_group_tests_name("unpack", tests, NULL, NULL);
}
