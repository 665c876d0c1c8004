// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"
#include "tmpfs.h"

#include <stdatomic.h>

#include "common/fd.h"
#include "dumper/zstframes.h"

enum { FRAME = ZSTFRAMES_BYTES };

/// What is compressed: a letter for each frame. Data, Noise, Zero, and Error for one that fails.
struct input {
	const char *parts;
	atomic_uint fills;
	uint64_t written;
};

static struct snap_error *fill(void *userdata, uint64_t pos, char *buf, size_t len, bool *ret_zero)
{
	struct input *in = userdata;
	uint64_t random = pos + 1;
	char part = in->parts[pos / FRAME];
	in->fills++;
	if ((uintptr_t)buf % TEST_PAGE)
		return snap_error_new(SNAP_USAGE, "the buffer is not aligned");
	*ret_zero = part == 'Z';
	if (part == 'E')
		return snap_error_new(SNAP_CANCELLED, "as asked for");
	for (size_t i = 0; part != 'Z' && i < len; i++)
		buf[i] = part == 'N' ? (char)test_random(&random) : (char)(pos / FRAME + i / 1000);
	return NULL;
}

static void on_written(void *userdata, uint64_t pos, size_t len)
{
	struct input *in = userdata;
	// In order, whoever was first; or never again.
	in->written = in->written == pos ? pos + len : UINT64_MAX;
}

static void check_frame(int fd, uint64_t at, const struct zsttable_entry *entry, struct input *in,
			uint64_t pos)
{
	char *packed = malloc(entry->packed), *raw = malloc(FRAME);
	char *want = aligned_alloc(TEST_PAGE, FRAME);
	bool zero = false;
	assert_int_equal(snap_pread_full(fd, packed, entry->packed, at), entry->packed);
	assert_ok(zstframes_expand(packed, entry->packed, raw, entry->raw));
	assert_ok(fill(in, pos, want, entry->raw, &zero));
	if (zero)
		memset(want, 0, FRAME);
	assert_memory_equal(raw, want, entry->raw);
	// A byte too many, or too few, is an error.
	assert_code(zstframes_expand(packed, entry->packed - 1, raw, entry->raw), SNAP_FAILED);
	assert_code(zstframes_expand(packed, entry->packed, raw, entry->raw - 1U), SNAP_FAILED);
	free(packed);
	free(raw);
	free(want);
}

static void check(const char *parts, uint64_t start, uint64_t end, unsigned int threads)
{
	_cleanup_zsttable_ struct zsttable table = { 0 }, again = { 0 };
	struct input in = { .parts = parts, .written = start };
	_cleanup_close_ int out = test_memfd();
	const struct zstframes_job job = { .fill = fill, .written = on_written, .userdata = &in,
					   .start = start, .end = end, .out = out, .level = 1,
					   .threads = threads };
	uint64_t at = 0, pos = start, table_start;
	assert_ok(zstframes_write(&job, &table));
	assert_int_equal(in.written, end);
	assert_int_equal(in.fills, table.n);
	assert_ok(zsttable_write(&table, out));
	assert_ok(zsttable_read(out, &again, &table_start));
	assert_int_equal(again.n, table.n);
	for (size_t i = 0; i < again.n; i++) {
		assert_int_equal(again.entries[i].raw, MIN(end - pos, (uint64_t)FRAME));
		check_frame(out, at, &again.entries[i], &in, pos);
		at += again.entries[i].packed;
		pos += again.entries[i].raw;
	}
	assert_int_equal(at, table_start);
	assert_int_equal(pos, end);
}

static void test_parts(void **state _unused_)
{
	for (unsigned int threads = 1; threads <= 8; threads *= 2) {
		check("", 0, 0, threads);
		check("D", 0, 1, threads);
		check("Z", 0, 5, threads);
		check("DNZDNZ", 0, 6 * FRAME, threads);
		check("DNZDNZD", 0, 6 * FRAME + 77, threads);
		check("DNZDNZD", 2 * FRAME, 6 * FRAME + 77, threads); // from the middle on
	}
}

static void test_fill_fails(void **state _unused_)
{
	for (unsigned int threads = 1; threads <= 4; threads += 3) {
		_cleanup_zsttable_ struct zsttable table = { 0 };
		struct input in = { .parts = "DDDEDD" };
		_cleanup_close_ int out = test_memfd();
		const struct zstframes_job job = { .fill = fill, .userdata = &in, .end = 6 * FRAME,
						   .out = out, .threads = threads };
		assert_code(zstframes_write(&job, &table), SNAP_CANCELLED);
		assert_true(table.n <= 3);
	}
}

static void test_limit(void **state _unused_)
{
	_cleanup_zsttable_ struct zsttable table = { 0 };
	struct input in = { .parts = "NNNN" };
	_cleanup_close_ int out = test_memfd();
	const struct zstframes_job job = { .fill = fill, .userdata = &in, .end = 4 * FRAME,
					   .out = out, .threads = 2, .max_bytes = 3 * FRAME };
	assert_code(zstframes_write(&job, &table), SNAP_NO_SPACE);
	assert_int_equal(table.n, 2); // noise takes more than it is
	assert_true(lseek(out, 0, SEEK_END) <= 3 * FRAME);
}

static int fill_disk(void *userdata _unused_)
{
	_cleanup_zsttable_ struct zsttable table = { 0 };
	struct input in = { .parts = "NNNNNNNN" };
	_cleanup_close_ int out = tmpfs_file(4 * FRAME);
	if (out < 0)
		return EXIT_SKIP;
	const struct zstframes_job job = { .fill = fill, .userdata = &in, .end = 8 * FRAME,
					   .out = out, .threads = 2 };
	struct snap_error *err = zstframes_write(&job, &table);
	bool good = err && err->code == SNAP_NO_SPACE && table.n == 3;
	snap_error_destroy(err);
	return good ? 0 : 1;
}

static void test_full_disk(void **state _unused_)
{
	int r = test_wait(test_fork(fill_disk, NULL));
	if (r == EXIT_SKIP)
		skip_test("a file system cannot be mounted here");
	assert_int_equal(r, 0);
}

static void put(int fd, uint64_t at, uint8_t byte)
{
	assert_int_equal(snap_pwrite_all(fd, &byte, 1, at), 0);
}

/// A file without its end, or with another one, is none.
static void test_damage(void **state _unused_)
{
	_cleanup_zsttable_ struct zsttable table = { 0 }, more = { 0 }, ret = { 0 };
	_cleanup_close_ int fd = test_memfd();
	uint64_t start = 0;
	assert_code(zsttable_read(-EBADF, &ret, &start), SNAP_FAILED);
	assert_code(zsttable_read(fd, &ret, &start), SNAP_FAILED);
	assert_int_equal(zsttable_add(&table, 10, 20), 0);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(zsttable_add(&more, 1, i), 0);
	assert_int_equal(zsttable_add_all(&table, &more), 0);
	assert_int_equal(lseek(fd, 210, SEEK_SET), 210);
	assert_ok(zsttable_write(&table, fd));
	uint64_t size = (uint64_t)lseek(fd, 0, SEEK_END);
	assert_int_equal(size, 210 + 8 + 201 * 8 + 9);
	assert_ok(zsttable_read(fd, &ret, &start));
	assert_int_equal(start, 210);
	assert_int_equal(ret.n, 201);
	assert_int_equal(ret.entries[200].raw, 199);
	zsttable_deinit(&ret);
	put(fd, size - 1, 0); // the magic number
	assert_code(zsttable_read(fd, &ret, &start), SNAP_FAILED);
	put(fd, size - 1, 0x8f);
	put(fd, size - 5, 0x80); // checksums
	assert_code(zsttable_read(fd, &ret, &start), SNAP_FAILED);
	put(fd, size - 5, 0);
	put(fd, size - 9, 202); // one frame more than there are
	assert_code(zsttable_read(fd, &ret, &start), SNAP_FAILED);
	put(fd, size - 6, 0x7f); // and many more
	assert_code(zsttable_read(fd, &ret, &start), SNAP_FAILED);
	put(fd, size - 6, 0);
	put(fd, size - 9, 201);
	put(fd, 218, 11); // a frame that is longer than there is room
	assert_code(zsttable_read(fd, &ret, &start), SNAP_FAILED);
	put(fd, 218, 10);
	assert_ok(zsttable_read(fd, &ret, &start));
	for (off_t len = 0; len < (off_t)size; len++) {
		assert_int_equal(ftruncate(fd, (off_t)size - 1 - len), 0);
		zsttable_deinit(&ret);
		assert_code(zsttable_read(fd, &ret, &start), SNAP_FAILED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts), cmocka_unit_test(test_fill_fails),
		cmocka_unit_test(test_limit), cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests_name("zstframes", tests, NULL, NULL);
}
