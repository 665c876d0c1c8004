// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <zstd.h>

#include "common/fd.h"
#include "dumper/sink.h"

/*
 * The output is taken apart by hand, as the seekable format's description has it
 * (zstd contrib/seekable_format/zstd_seekable_compression_format.md).
 */

enum { MIB = 1 << 20, FRAME = 1 << 20 };

/// What a part of the input is like, for each MiB: Data, Noise, Hole, Zeros written.
static int make_input(const char *parts, uint64_t size)
{
	int fd = test_memfd();
	uint64_t random = 7;
	char *buf = malloc(MIB);
	for (uint64_t i = 0; parts[i]; i++) {
		for (size_t j = 0; j < MIB; j++)
			buf[j] = parts[i] == 'N' ? (char)test_random(&random) :
				 parts[i] == 'D' ? (char)((j / 100) ^ i) :
						   0;
		if (parts[i] != 'H')
			assert_int_equal(snap_pwrite_all(fd, buf, MIB, i * MIB), 0);
	}
	free(buf);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

struct output {
	char *data;
	size_t size;
	uint32_t n_frames;
	const char *table; ///< its entries
};

static uint32_t u32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static void read_output(struct output *out, int fd)
{
	out->size = (size_t)lseek(fd, 0, SEEK_END);
	out->data = malloc(out->size);
	assert_int_equal(snap_pread_full(fd, out->data, out->size, 0), out->size);
	assert_true(out->size >= 17);
	const char *end = out->data + out->size;
	assert_int_equal(u32(end - 4), 0x8F92EAB1);
	assert_int_equal(end[-5], 0); // no checksums in the table, reserved bits 0
	out->n_frames = u32(end - 9);
	size_t table = out->n_frames * 8UL + 9;
	assert_true(out->size >= table + 8);
	assert_int_equal(u32(end - table - 8), 0x184D2A5E);
	assert_int_equal(u32(end - table - 4), table);
	out->table = end - table;
}

/// Every frame can be decompressed on its own and has its part of the input.
static void check_frames(const struct output *out, int in, uint64_t size)
{
	size_t pos = 0;
	uint64_t raw_pos = 0;
	char *raw = malloc(FRAME + 1), *want = malloc(FRAME);
	assert_int_equal(out->n_frames, (size + FRAME - 1) / FRAME);
	for (uint32_t i = 0; i < out->n_frames; i++) {
		uint32_t packed = u32(out->table + i * 8UL), len = u32(out->table + i * 8UL + 4);
		assert_int_equal(len, MIN(size - raw_pos, (uint64_t)FRAME));
		assert_int_equal(ZSTD_findFrameCompressedSize(out->data + pos, packed), packed);
		assert_int_equal(ZSTD_getFrameContentSize(out->data + pos, packed), len);
		// Its own checksum: bit 2 of the frame header descriptor.
		assert_true(out->data[pos + 4] & 4);
		assert_int_equal(ZSTD_decompress(raw, FRAME + 1, out->data + pos, packed), len);
		assert_int_equal(snap_pread_full(in, want, len, raw_pos), len);
		assert_memory_equal(raw, want, len);
		pos += packed;
		raw_pos += len;
	}
	assert_int_equal(raw_pos, size);
	assert_ptr_equal(out->data + pos, out->table - 8);
	free(raw);
	free(want);
}

/// The whole at once, as zstd -d does, which steps over the table.
static void check_whole(const struct output *out, int in, uint64_t size)
{
	char *raw = malloc(size + 1), *want = malloc(size + 1);
	assert_int_equal(ZSTD_decompress(raw, size + 1, out->data, out->size), size);
	assert_int_equal(snap_pread_full(in, want, size, 0), size);
	assert_memory_equal(raw, want, size);
	free(raw);
	free(want);
}

static void check(const char *parts, uint64_t size, int level, unsigned int threads)
{
	struct output out;
	_cleanup_close_ int in = make_input(parts, size);
	_cleanup_close_ int fd = test_memfd();
	assert_ok(sink_zstd(in, size, fd, level, threads, 0, NULL));
	read_output(&out, fd);
	check_frames(&out, in, size);
	check_whole(&out, in, size);
	free(out.data);
}

static void test_sizes(void **state _unused_)
{
	check("", 0, 3, 1);
	check("", 0, 3, 4);
	check("D", 1, 3, 2);
	check("D", 4096, 3, 2);
	check("D", MIB - 1, 3, 2);
	check("D", MIB, 3, 2);
	check("DN", MIB + 1, 3, 2);
	check("DNZD", 3 * MIB + 4711, 3, 1);
}

static void test_holes(void **state _unused_)
{
	check("H", MIB, 3, 2);
	check("HHHH", 4 * MIB, 3, 2);
	check("H", 5, 3, 1); // smaller than a frame
	check("DHHD", 4 * MIB, 3, 2);
	check("DHHDH", 4 * MIB + 4096, 3, 2); // the last one is not whole
	check("HDHZHN", 6 * MIB, 3, 3);
	check("DHH", 3 * MIB, 3, 2); // a hole at the end
}

static void test_levels(void **state _unused_)
{
	static const int levels[] = { -5, 0, 1, SINK_ZSTD_LEVEL_DEFAULT, SINK_ZSTD_LEVEL_MAX };
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		check("DN", MIB + MIB / 2, levels[i], 2);
}

static void test_threads(void **state _unused_)
{
	for (unsigned int threads = 1; threads <= 16; threads *= 2)
		check("DNHZDNHZDNHZDNHZDNHZ", 20 * MIB - 3, 1, threads);
}

/// The same input gives the same output, however many threads make it.
static void test_reproducible(void **state _unused_)
{
	struct output a, b;
	_cleanup_close_ int in = make_input("DNHZD", 5 * MIB);
	_cleanup_close_ int one = test_memfd();
	_cleanup_close_ int many = test_memfd();
	assert_ok(sink_zstd(in, 5 * MIB, one, 3, 1, 0, NULL));
	assert_ok(sink_zstd(in, 5 * MIB, many, 3, 5, 0, NULL));
	read_output(&a, one);
	read_output(&b, many);
	assert_int_equal(a.size, b.size);
	assert_memory_equal(a.data, b.data, a.size);
	free(a.data);
	free(b.data);
}

/// 64 GiB of nothing are fast, since frames that are holes are compressed only once.
static void test_large_sparse(void **state _unused_)
{
	const uint64_t size = 1ULL << 36;
	struct output out;
	_cleanup_close_ int in = make_input("D", size);
	_cleanup_close_ int fd = test_memfd();
	assert_ok(sink_zstd(in, size, fd, 3, 2, 0, NULL));
	read_output(&out, fd);
	assert_int_equal(out.n_frames, size / FRAME);
	assert_true(out.size < 16 * MIB);
	free(out.data);
	// More frames than the format allows.
	assert_code(sink_zstd(in, (1ULL << 47) + FRAME, fd, 3, 2, 0, NULL), SNAP_FAILED);
}

static uint64_t progress_last;

static void on_progress(void *userdata, uint64_t done)
{
	if (userdata == &progress_last && done > progress_last)
		progress_last = done;
	else
		progress_last = UINT64_MAX; // it went backwards
}

static void test_progress(void **state _unused_)
{
	static const struct sink_progress progress = { on_progress, &progress_last };
	_cleanup_close_ int in = make_input("DNHZDNHZ", 7 * MIB + 5);
	_cleanup_close_ int fd = test_memfd();
	progress_last = 0;
	assert_ok(sink_zstd(in, 7 * MIB + 5, fd, 1, 3, 0, &progress));
	assert_int_equal(progress_last, 7 * MIB + 5);
}

static void check_error(int in, uint64_t size, int out, enum snap_code code, int errnum)
{
	for (unsigned int threads = 1; threads <= 4; threads += 3) {
		struct snap_error *err = sink_zstd(in, size, out, 1, threads, 0, NULL);
		assert_non_null(err);
		assert_string_equal(snap_code_name(err->code), snap_code_name(code));
		assert_int_equal(err->errnum, errnum);
		snap_error_destroy(err);
	}
}

static void test_write_errors(void **state _unused_)
{
	_cleanup_close_ int in = make_input("NNNNNNNN", 8 * MIB);
	check_error(in, 8 * MIB, -EBADF, SNAP_FAILED, EBADF);
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	(void)close(pipes[0]);
	(void)signal(SIGPIPE, SIG_IGN);
	check_error(in, 8 * MIB, pipes[1], SNAP_FAILED, EPIPE);
	(void)signal(SIGPIPE, SIG_DFL);
	check_error(in, 0, -EBADF, SNAP_FAILED, EBADF); // only the table
	(void)close(pipes[1]);
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (full >= 0)
		check_error(in, 8 * MIB, full, SNAP_NO_SPACE, ENOSPC);
}

static int read_some(void *userdata)
{
	const int *fds = userdata;
	char buf[4096];
	(void)close(fds[1]);
	for (int i = 0; i < 300; i++)
		if (read(fds[0], buf, sizeof(buf)) <= 0)
			return 1;
	return 0;
}

/// The reader goes away in the middle.
static void test_pipe_closed(void **state _unused_)
{
	for (unsigned int threads = 1; threads <= 4; threads += 3) {
		int pipes[2];
		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		pid_t pid = test_fork(read_some, pipes);
		(void)close(pipes[0]);
		_cleanup_close_ int in = make_input("NNNNNNNN", 8 * MIB);
		(void)signal(SIGPIPE, SIG_IGN);
		struct snap_error *err = sink_zstd(in, 8 * MIB, pipes[1], 1, threads, 0, NULL);
		(void)signal(SIGPIPE, SIG_DFL);
		assert_non_null(err);
		assert_int_equal(err->errnum, EPIPE);
		snap_error_destroy(err);
		(void)close(pipes[1]);
		assert_int_equal(test_wait(pid), 0);
	}
}

/// Less input than promised is an error, never a core with zeros where there was nothing to read.
static void test_short_input(void **state _unused_)
{
	_cleanup_close_ int in = make_input("NN", 2 * MIB);
	_cleanup_close_ int out = test_memfd();
	check_error(-EBADF, MIB, out, SNAP_FAILED, EBADF);
	check_error(in, 2 * MIB + 1, out, SNAP_FAILED, EIO);
	check_error(in, 3 * MIB, out, SNAP_FAILED, EIO);
	check_error(in, 9 * MIB + 1, out, SNAP_FAILED, EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	     cmocka_unit_test(test_holes),
		cmocka_unit_test(test_levels),	     cmocka_unit_test(test_threads),
		cmocka_unit_test(test_reproducible), cmocka_unit_test(test_large_sparse),
		cmocka_unit_test(test_progress),     cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_pipe_closed),  cmocka_unit_test(test_short_input),
	};
	return cmocka_run_group_tests_name("sink_zstd", tests, NULL, NULL);
}
