// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <endian.h>
#include <zstd.h>

#include "analyzer/source.h"
#include "common/fd.h"
#include "common/strbuf.h"

static void add(struct strbuf *buf, const void *data, size_t len)
{
	assert_int_equal(strbuf_add(buf, data, len), 0);
}

static void add_u32(struct strbuf *buf, uint32_t v)
{
	v = htole32(v);
	add(buf, &v, sizeof(v));
}

/// The byte at @offset of every file in here.
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)((offset * 2654435761u) >> 13);
}

static int make_file(const struct strbuf *bytes)
{
	int fd = test_memfd();
	assert_int_equal(snap_pwrite_all(fd, bytes->data, bytes->len, 0), 0);
	return fd;
}

static void check(struct source *src, uint64_t offset, size_t len, size_t want)
{
	uint8_t *buf = malloc(len + 1);
	assert_non_null(buf);
	memset(buf, 0xa5, len + 1);
	assert_int_equal(source_read(src, offset, buf, len), want);
	for (size_t i = 0; i < want; i++)
		assert_int_equal(buf[i], byte_at(offset + i));
	for (size_t i = want; i < len + 1; i++)
		assert_int_equal(buf[i], 0xa5); // nothing behind it is touched
	free(buf);
	if (!want || want < len)
		return;
	// The block with the last byte is the one that is at hand, and nothing behind its end.
	const uint8_t *last = source_at_hand(src, offset + want - 1, 1);
	assert_non_null(last);
	assert_int_equal(*last, byte_at(offset + want - 1));
	assert_null(source_at_hand(src, offset + want - 1, (size_t)32 << 20));
	assert_null(source_at_hand(src, UINT64_MAX, 2));
}

/// What is read once is the same, and costs as much as is read unless it is there already.
static void check_once(struct source *src, uint64_t offset, size_t len, size_t want, uint64_t cost)
{
	uint8_t buf[256];
	uint64_t before = source_bytes_read(src);
	assert_true(len <= sizeof(buf));
	assert_int_equal(source_read_once(src, offset, buf, len), want);
	for (size_t i = 0; i < want; i++)
		assert_int_equal(buf[i], byte_at(offset + i));
	assert_int_equal(source_bytes_read(src) - before, cost);
}

static void test_once(void **state _unused_)
{
	enum { SIZE = 200000, BLOCK = 65536 };
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	struct source *src;
	for (size_t i = 0; i < SIZE; i++) {
		uint8_t byte = byte_at(i);
		add(&bytes, &byte, 1);
	}
	int fd = make_file(&bytes);
	assert_ok(source_create(fd, SOURCE_FILE, &src));
	uint64_t before = source_bytes_read(src);
	check(src, BLOCK, 1, 1);
	assert_int_equal(source_bytes_read(src) - before, BLOCK);
	check_once(src, BLOCK + 100, 200, 200, 0);
	check_once(src, 100, 200, 200, 200);
	check_once(src, 100, 200, 200, 200); // not kept
	check_once(src, BLOCK - 100, 200, 200, 200); // begins in a block that is not
	check_once(src, SIZE - 100, 200, 100, 100);
	check_once(src, SIZE, 200, 0, 0);
	check_once(src, UINT64_MAX, 1, 0, 0);
	source_destroy(src);
	assert_int_equal(close(fd), 0);
}

static void check_all(struct source *src, uint64_t size)
{
	uint64_t random = 3;
	assert_int_equal(source_size(src), size);
	check(src, 0, size + 10, size);
	check(src, size - 1, 1, 1);
	check(src, size - 1, 2, 1);
	check(src, size, 1, 0);
	check(src, size + 1, 1, 0);
	check(src, UINT64_MAX, 1, 0);
	check(src, INT64_MAX, 10, 0);
	check(src, 0, 0, 0);
	for (int i = 0; i < 500; i++) {
		uint64_t offset = test_random(&random) % size;
		size_t len = test_random(&random) % 300;
		check(src, offset, len, MIN(len, size - offset));
	}
}

// ---- plain ---------------------------------------------------------------------------------

static void test_plain(void **state _unused_)
{
	static const size_t sizes[] = { 1, 100, 65535, 65536, 65537, 1000000, 20000000 };
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		_cleanup_strbuf_ struct strbuf bytes = { 0 };
		struct source *src;
		for (size_t i = 0; i < sizes[k]; i++) {
			uint8_t byte = byte_at(i);
			add(&bytes, &byte, 1);
		}
		int fd = make_file(&bytes);
		assert_ok(source_create(fd, SOURCE_FILE, &src));
		check_all(src, sizes[k]);
		source_destroy(src);
		assert_true(fcntl(fd, F_GETFD) >= 0); // it stays ours
		(void)close(fd);
	}
}

static void test_empty(void **state _unused_)
{
	int fd = test_memfd();
	struct source *src;
	assert_ok(source_create(fd, SOURCE_FILE, &src));
	assert_int_equal(source_size(src), 0);
	check(src, 0, 10, 0);
	source_destroy(src);
	source_destroy(NULL);
	(void)close(fd);
}

/// The file is shorter than it was: what is gone is missing, and that is all.
static void test_cut(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	struct source *src;
	for (size_t i = 0; i < 300000; i++) {
		uint8_t byte = byte_at(i);
		add(&bytes, &byte, 1);
	}
	int fd = make_file(&bytes);
	assert_ok(source_create(fd, SOURCE_FILE, &src));
	check(src, 0, 100, 100);
	assert_int_equal(ftruncate(fd, 200000), 0);
	check(src, 199990, 20, 10);
	check(src, 250000, 20, 0);
	check(src, 0, 100, 100);
	source_destroy(src);
	(void)close(fd);
}

static void test_pipe(void **state _unused_)
{
	int fds[2];
	struct source *src;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_code(source_create(fds[0], SOURCE_FILE, &src), SNAP_FAILED);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/// A file of 1 TiB, all hole: what is not asked for is not read.
static void test_sparse(void **state _unused_)
{
	int fd = test_memfd();
	struct source *src;
	uint8_t buf[100];
	assert_int_equal(ftruncate(fd, 1L << 40), 0);
	assert_ok(source_create(fd, SOURCE_FILE, &src));
	for (uint64_t at = 0; at < 1ULL << 40; at += 1ULL << 32) // more blocks than it keeps
		assert_int_equal(source_read(src, at, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(source_read(src, (1ULL << 40) - 10, buf, sizeof(buf)), 10);
	source_destroy(src);
	(void)close(fd);
}

// ---- memory --------------------------------------------------------------------------------

static void test_memory(void **state _unused_)
{
	struct source *src;
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		skip_test("no /proc/self/mem");
	uint8_t *p = mmap(NULL, 3 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	assert_true(p != MAP_FAILED);
	uint64_t addr = (uint64_t)(uintptr_t)p;
	assert_int_equal(munmap(p + TEST_PAGE, TEST_PAGE), 0); // a hole
	for (size_t i = 0; i < TEST_PAGE; i++) {
		p[i] = byte_at(addr + i);
		p[2 * TEST_PAGE + i] = byte_at(addr + 2 * TEST_PAGE + i);
	}
	assert_ok(source_create(fd, SOURCE_MEMORY, &src));
	assert_true(source_size(src) == UINT64_MAX);
	check(src, addr + TEST_PAGE - 10, 20, 10); // up to the hole
	check(src, addr + TEST_PAGE, 20, 0);
	check(src, addr + 2 * TEST_PAGE - 1, 20, 0);
	check(src, addr + 2 * TEST_PAGE, TEST_PAGE, TEST_PAGE);
	check(src, 0, 8, 0);
	check(src, UINT64_MAX - 7, 8, 0);
	check(src, 1ULL << 63, 8, 0);
	source_destroy(src);
	(void)munmap(p, TEST_PAGE);
	(void)munmap(p + 2 * TEST_PAGE, TEST_PAGE);
	(void)close(fd);
}

/// More pages than are kept, there and back again.
static void test_memory_many(void **state _unused_)
{
	enum { PAGES = 5000 };
	struct source *src;
	int fd = test_memfd();
	for (uint64_t i = 0; i < PAGES; i++) {
		uint8_t byte = byte_at(i * TEST_PAGE);
		assert_int_equal(snap_pwrite_all(fd, &byte, 1, i * TEST_PAGE), 0);
	}
	assert_ok(source_create(fd, SOURCE_MEMORY, &src));
	for (uint64_t i = 0; i < PAGES; i++)
		check(src, i * TEST_PAGE, 1, 1);
	for (uint64_t i = PAGES; i-- > 0;)
		check(src, i * TEST_PAGE, 1, 1);
	source_destroy(src);
	(void)close(fd);
}

// ---- seekable zstd -------------------------------------------------------------------------

struct table {
	struct strbuf entries;
	uint32_t n;
	uint8_t flags;
	uint32_t magic;
};

enum { SKIPPABLE = 0x184D2A5E, SEEKABLE = (int)0x8F92EAB1, CHECKSUMS = 0x80 };

static void add_entry(struct table *t, uint32_t in, uint32_t out)
{
	add_u32(&t->entries, in);
	add_u32(&t->entries, out);
	if (t->flags & CHECKSUMS)
		add_u32(&t->entries, 0xdeadbeef);
	t->n++;
}

/// A frame with @len bytes; what of the whole it is follows from @out.
static void add_frame(struct strbuf *file, struct table *t, uint64_t *out, uint32_t len)
{
	uint8_t *raw = malloc(len + 1);
	size_t max = ZSTD_compressBound(len);
	uint8_t *packed = malloc(max);
	assert_true(raw && packed);
	for (uint32_t i = 0; i < len; i++)
		raw[i] = byte_at(*out + i);
	size_t n = ZSTD_compress(packed, max, raw, len, 1);
	assert_false(ZSTD_isError(n));
	add(file, packed, n);
	add_entry(t, (uint32_t)n, len);
	*out += len;
	free(raw);
	free(packed);
}

static void add_table(struct strbuf *file, const struct table *t)
{
	add_u32(file, SKIPPABLE);
	add_u32(file, (uint32_t)t->entries.len + 9);
	add(file, t->entries.data, t->entries.len);
	add_u32(file, t->n);
	add(file, &t->flags, 1);
	add_u32(file, t->magic ? t->magic : (uint32_t)SEEKABLE);
}

static struct snap_error *open_bytes(const struct strbuf *file, int *fd, struct source **src)
{
	*fd = make_file(file);
	return source_create(*fd, SOURCE_FILE, src);
}

static void test_zstd(void **state _unused_)
{
	static const uint8_t flags[] = { 0, CHECKSUMS, 0x03 }; // the last: reserved bits
	for (size_t k = 0; k < ARRAY_SIZE(flags); k++) {
		_cleanup_strbuf_ struct strbuf file = { 0 };
		struct table t = { .flags = flags[k] };
		uint64_t out = 0;
		struct source *src;
		int fd;
		for (uint32_t i = 0; i < 40; i++) // more frames than are kept, of all sizes
			add_frame(&file, &t, &out, i % 5 == 3 ? 0 : 1 + i * 977 % 5000);
		add_table(&file, &t);
		assert_ok(open_bytes(&file, &fd, &src));
		check_all(src, out);
		source_destroy(src);
		(void)close(fd);
		strbuf_deinit(&t.entries);
	}
}

/// Frames without contents are stepped over, wherever they are.
static void test_zstd_empty_frames(void **state _unused_)
{
	static const uint32_t sizes[] = { 0, 0, 1, 0, 2, 0, 0, 700, 0, 0 };
	_cleanup_strbuf_ struct strbuf file = { 0 };
	struct table t = { 0 };
	uint64_t out = 0;
	struct source *src;
	int fd;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		add_frame(&file, &t, &out, sizes[i]);
	add_table(&file, &t);
	// It begins with a frame, so that it is known for what it is.
	assert_ok(open_bytes(&file, &fd, &src));
	check_all(src, 703);
	source_destroy(src);
	(void)close(fd);
	strbuf_deinit(&t.entries);
}

/// Any of these: an error that says what to do, or what is wrong. Never a wrong byte.
static void test_zstd_not_seekable(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf file = { 0 };
	struct table t = { 0 };
	uint64_t out = 0;
	struct source *src = NULL;
	add_frame(&file, &t, &out, 3000);
	int fd = make_file(&file);
	struct snap_error *err = source_create(fd, SOURCE_FILE, &src);
	assert_non_null(err);
	assert_non_null(strstr(err->message, "zstd -d"));
	snap_error_destroy(err);
	(void)close(fd);
	t.magic = 0x8F92EAB2;
	add_table(&file, &t);
	assert_code(open_bytes(&file, &fd, &src), SNAP_FAILED);
	(void)close(fd);
	// Shorter than a footer.
	for (size_t len = 4; len < 24; len++) {
		struct strbuf cut = { .data = file.data, .len = len };
		assert_code(open_bytes(&cut, &fd, &src), SNAP_FAILED);
		(void)close(fd);
	}
	assert_null(src);
	strbuf_deinit(&t.entries);
}

/// Opens a file of three frames after changing its table.
static struct snap_error *open_changed(void (*change)(struct table *t), struct source **src,
				       int *fd)
{
	_cleanup_strbuf_ struct strbuf file = { 0 };
	struct table t = { 0 };
	uint64_t out = 0;
	*src = NULL;
	for (int i = 0; i < 3; i++)
		add_frame(&file, &t, &out, 1000);
	change(&t);
	add_table(&file, &t);
	struct snap_error *err = open_bytes(&file, fd, src);
	strbuf_deinit(&t.entries);
	return err;
}

static void set_entry(struct table *t, size_t word, uint32_t v)
{
	v = htole32(v);
	memcpy(t->entries.data + word * 4, &v, 4);
}

static void no_frames(struct table *t)
{
	t->n = 0;
}

static void too_many(struct table *t)
{
	t->n = 4; // the table would begin in the frames, and they are shorter than this
	strbuf_deinit(&t->entries);
}

static void most(struct table *t)
{
	t->n = UINT32_MAX;
}

static void huge_out(struct table *t)
{
	set_entry(t, 1, (16 << 20) + 1);
}

static void huge_in(struct table *t)
{
	set_entry(t, 0, UINT32_MAX);
}

static void nothing_out(struct table *t)
{
	for (size_t i = 1; i < 6; i += 2)
		set_entry(t, i, 0);
}

static void test_zstd_bad_tables(void **state _unused_)
{
	static void (*const changes[])(struct table *) = { no_frames, most, huge_out, huge_in,
							   nothing_out };
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct source *src;
		int fd;
		assert_code(open_changed(changes[i], &src, &fd), SNAP_FAILED);
		assert_null(src);
		(void)close(fd);
	}
	struct source *src;
	int fd;
	struct snap_error *err = open_changed(too_many, &src, &fd);
	if (!err) { // it may look like a table; reading then finds nothing, and comes back
		uint8_t buf[100];
		for (uint64_t at = 0; at < 10000; at += 100)
			(void)source_read(src, at, buf, sizeof(buf));
		source_destroy(src);
	}
	snap_error_destroy(err);
	(void)close(fd);
}

static void longer_out(struct table *t)
{
	set_entry(t, 1, 1500);
}

static void shorter_out(struct table *t)
{
	set_entry(t, 1, 500);
}

static void longer_in(struct table *t)
{
	set_entry(t, 0, 5000);
}

/// A table that promises more than the frame has: what is there, and nothing that is not.
static void test_zstd_lies(void **state _unused_)
{
	struct source *src;
	uint8_t buf[200];
	int fd;
	assert_ok(open_changed(longer_out, &src, &fd));
	assert_int_equal(source_size(src), 3500);
	check(src, 900, 200, 100);
	assert_int_equal(source_read(src, 1200, buf, sizeof(buf)), 0);
	assert_int_equal(source_read(src, 1500, buf, sizeof(buf)), 200); // the next one is good
	source_destroy(src);
	(void)close(fd);
	assert_ok(open_changed(shorter_out, &src, &fd));
	assert_int_equal(source_read(src, 0, buf, sizeof(buf)), 0); // does not fit
	assert_int_equal(source_read(src, 500, buf, sizeof(buf)), 200);
	source_destroy(src);
	(void)close(fd);
	assert_ok(open_changed(longer_in, &src, &fd)); // reaches into other frames, or beyond
	assert_int_equal(source_read(src, 0, buf, sizeof(buf)), 0);
	assert_int_equal(source_read(src, 1000, buf, sizeof(buf)), 0);
	source_destroy(src);
	(void)close(fd);
}

/// A flipped bit in a frame costs that frame.
static void test_zstd_damaged_frame(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf file = { 0 };
	struct table t = { 0 };
	uint64_t out = 0;
	struct source *src;
	int fd;
	add_frame(&file, &t, &out, 1000);
	size_t second = file.len;
	add_frame(&file, &t, &out, 1000);
	file.data[second] ^= 1; // its magic number
	add_frame(&file, &t, &out, 1000);
	add_table(&file, &t);
	assert_ok(open_bytes(&file, &fd, &src));
	check(src, 0, 2000, 1000);
	check(src, 1000, 10, 0);
	check(src, 1999, 10, 0);
	check(src, 2000, 2000, 1000);
	source_destroy(src);
	(void)close(fd);
	strbuf_deinit(&t.entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_once),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_many),
		cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_zstd_empty_frames),
		cmocka_unit_test(test_zstd_not_seekable),
		cmocka_unit_test(test_zstd_bad_tables),
		cmocka_unit_test(test_zstd_lies),
		cmocka_unit_test(test_zstd_damaged_frame),
	};
	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
