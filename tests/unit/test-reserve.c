// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tmpfs.h"

#include <pthread.h>

#include "common/fd.h"
#include "dumper/reserve.h"

enum { MIB = 1 << 20 };

static int sized_memfd(uint64_t size)
{
	int fd = test_memfd();
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void begin(struct reserve *r, int fd, uint64_t size)
{
	reserve_init(r, fd, size);
	assert_non_null(r->map);
	r->budget = 1ULL << 40; // what the machine can spare right now is no matter here
}

static void check_find(const struct reserve *r, uint64_t offset, bool there, uint64_t len)
{
	uint64_t got = 4711;
	char *p = reserve_find(r, offset, &got);
	assert_ptr_equal(p, there ? r->map + offset : NULL);
	assert_int_equal(got, len);
}

static void test_find(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(64 * TEST_PAGE);
	struct reserve r;
	begin(&r, fd, 64 * TEST_PAGE);
	reserve_add(&r, 20 * TEST_PAGE, 22 * TEST_PAGE);
	reserve_add(&r, 4 * TEST_PAGE, 6 * TEST_PAGE);
	reserve_add(&r, 6 * TEST_PAGE, 8 * TEST_PAGE); // one with the one before
	reserve_add(&r, 63 * TEST_PAGE, 64 * TEST_PAGE);
	reserve_add(&r, 30 * TEST_PAGE, 30 * TEST_PAGE); // nothing
	reserve_add(&r, 5 * TEST_PAGE, 7 * TEST_PAGE); // once more
	reserve_close(&r);
	assert_int_equal(r.n, 3);
	check_find(&r, 0, false, 4 * TEST_PAGE);
	check_find(&r, 3 * TEST_PAGE, false, TEST_PAGE);
	check_find(&r, 4 * TEST_PAGE, true, 4 * TEST_PAGE);
	check_find(&r, 7 * TEST_PAGE, true, TEST_PAGE);
	check_find(&r, 8 * TEST_PAGE, false, 12 * TEST_PAGE);
	check_find(&r, 20 * TEST_PAGE, true, 2 * TEST_PAGE);
	check_find(&r, 22 * TEST_PAGE, false, 41 * TEST_PAGE);
	check_find(&r, 63 * TEST_PAGE, true, TEST_PAGE);
	check_find(&r, 64 * TEST_PAGE, false, UINT64_MAX);
	check_find(&r, UINT64_MAX, false, UINT64_MAX);
	reserve_deinit(&r);
}

static void test_empty(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(TEST_PAGE);
	struct reserve r;
	begin(&r, fd, TEST_PAGE);
	reserve_close(&r);
	check_find(&r, 0, false, UINT64_MAX);
	assert_false(reserve_exhausted(&r));
	assert_int_equal(reserve_trim(&r), 0);
	reserve_deinit(&r);
	assert_null(r.map);
}

/// A file that cannot be mapped is no error: nothing is reserved then.
static void test_not_mappable(void **state _unused_)
{
	int fds[4] = { -EBADF, -EBADF, open("/dev/null", O_WRONLY | O_CLOEXEC), -EBADF };
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct reserve r;
		reserve_init(&r, fds[i], 16 * TEST_PAGE);
		assert_null(r.map);
		reserve_add(&r, 0, 16 * TEST_PAGE);
		reserve_close(&r);
		check_find(&r, 0, false, UINT64_MAX);
		assert_int_equal(reserve_trim(&r), 0);
		reserve_deinit(&r);
		snap_closep(&fds[i]);
	}
	_cleanup_close_ int fd = test_memfd();
	struct reserve r;
	reserve_init(&r, fd, 0);
	reserve_add(&r, 0, 0);
	reserve_close(&r);
	assert_int_equal(reserve_trim(&r), 0);
	reserve_deinit(&r);
}

/// What is in the file afterwards: D for pages with contents, - for holes.
static void check_pages(int fd, const char *want)
{
	char got[128] = "";
	for (size_t i = 0; i < strlen(want); i++) {
		off_t data = lseek(fd, (off_t)(i * TEST_PAGE), SEEK_DATA);
		got[i] = data == (off_t)(i * TEST_PAGE) ? 'D' : '-';
	}
	assert_string_equal(got, want);
}

static void test_trim(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(16 * TEST_PAGE);
	struct reserve r;
	begin(&r, fd, 16 * TEST_PAGE);
	reserve_add(&r, 0, 4 * TEST_PAGE);
	reserve_add(&r, 8 * TEST_PAGE, 16 * TEST_PAGE);
	reserve_close(&r);
	check_pages(fd, "DDDD----DDDDDDDD");
	r.map[TEST_PAGE + 4095] = 1; // a single byte, the last one of its page
	memset(r.map + 9 * TEST_PAGE, 'x', 2 * TEST_PAGE);
	r.map[15 * TEST_PAGE] = 1;
	static const char text[] = "written beside";
	assert_int_equal(snap_pwrite_all(fd, text, sizeof(text), 6 * TEST_PAGE), 0);
	assert_int_equal(reserve_trim(&r), 0);
	reserve_deinit(&r);
	check_pages(fd, "-D----D--DD----D");
	char buf[16 * TEST_PAGE];
	// As long as it was.
	assert_int_equal(snap_pread_full(fd, buf, sizeof(buf), 0), sizeof(buf));
	assert_int_equal(buf[TEST_PAGE + 4095], 1);
	assert_int_equal(buf[11 * TEST_PAGE - 1], 'x');
	assert_int_equal(buf[11 * TEST_PAGE], 0);
	assert_string_equal(buf + 6 * TEST_PAGE, text);
}

static void test_budget(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(128 * MIB);
	struct reserve r;
	begin(&r, fd, 128 * MIB);
	r.budget = 40 * MIB + 1;
	reserve_add(&r, 0, 10 * MIB);
	assert_false(reserve_exhausted(&r));
	reserve_add(&r, 50 * MIB, 128 * MIB); // in several steps
	assert_true(reserve_exhausted(&r));
	reserve_add(&r, 20 * MIB, 30 * MIB);
	reserve_close(&r);
	check_find(&r, 0, true, 10 * MIB);
	check_find(&r, 50 * MIB, true, 30 * MIB);
	check_find(&r, 80 * MIB, false, UINT64_MAX);
	check_find(&r, 20 * MIB, false, 30 * MIB);
	assert_int_equal(reserve_trim(&r), 0);
	reserve_deinit(&r);
	assert_int_equal(lseek(fd, 0, SEEK_DATA), -1);
}

static struct reserve shared;

static void *add_some(void *userdata)
{
	for (uint64_t i = (uintptr_t)userdata; i < 2000; i += 4)
		reserve_add(&shared, i * TEST_PAGE, (i + 1) * TEST_PAGE);
	return NULL;
}

static void test_threads(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(2000 * TEST_PAGE);
	pthread_t ids[4];
	begin(&shared, fd, 2000 * TEST_PAGE);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, add_some, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	reserve_close(&shared);
	assert_int_equal(shared.n, 1);
	check_find(&shared, 0, true, 2000 * TEST_PAGE);
	reserve_deinit(&shared);
}

// -- the spill ----------------------------------------------------------------------------------

static void spill(struct reserve *r, uint64_t offset, size_t len, char byte)
{
	size_t got = len;
	char *p = reserve_spill(r, offset, &got);
	assert_non_null(p);
	assert_int_equal(got, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], 0);
	memset(p, byte, len);
}

static void test_spill(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(16 * TEST_PAGE);
	struct reserve r;
	begin(&r, fd, 16 * TEST_PAGE);
	spill(&r, 3 * TEST_PAGE, 2 * TEST_PAGE, 'a');
	spill(&r, 9 * TEST_PAGE, TEST_PAGE, 0); // zeros stay holes
	spill(&r, 20 * TEST_PAGE, TEST_PAGE, 'b'); // behind what was foretold
	check_pages(fd, "----------------"); // nothing happens before
	assert_int_equal(reserve_flush(&r, NULL, NULL), 0);
	check_pages(fd, "---DD---------------D");
	char buf[2 * TEST_PAGE];
	assert_int_equal(snap_pread_full(fd, buf, sizeof(buf), 3 * TEST_PAGE), sizeof(buf));
	assert_int_equal(buf[0] + buf[sizeof(buf) - 1], 2 * 'a');
	assert_int_equal(reserve_flush(&r, NULL, NULL), 0); // once is enough
	assert_int_equal(reserve_trim(&r), 0);
	reserve_deinit(&r);
}

/// The last piece is as long as there is room, and then there is none.
static void test_spill_full(void **state _unused_)
{
	enum { STEP = 3 * TEST_PAGE };
	_cleanup_close_ int fd = sized_memfd(TEST_PAGE);
	struct reserve r;
	begin(&r, fd, TEST_PAGE);
	uint64_t pos = 0;
	while (pos < RESERVE_SPILL_BYTES) {
		size_t len = STEP;
		char *p = reserve_spill(&r, pos, &len);
		assert_non_null(p);
		assert_int_equal(len, MIN((uint64_t)STEP, RESERVE_SPILL_BYTES - pos));
		memset(p, (int)(pos / STEP % 100 + 1), len);
		pos += len;
	}
	size_t len = STEP;
	assert_null(reserve_spill(&r, pos, &len));
	assert_int_equal(reserve_flush(&r, NULL, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), RESERVE_SPILL_BYTES);
	for (uint64_t i = 0; i < RESERVE_SPILL_BYTES; i += TEST_PAGE) {
		char c;
		assert_int_equal(snap_pread_full(fd, &c, 1, i), 1);
		assert_int_equal(c, i / STEP % 100 + 1);
	}
	reserve_deinit(&r);
}

/// As many places as there are pages.
static void test_spill_pages(void **state _unused_)
{
	_cleanup_close_ int fd = test_memfd();
	struct reserve r;
	reserve_init(&r, fd, 0); // there is a spill, also without a map
	for (uint64_t i = 0; i < RESERVE_SPILL_BYTES / TEST_PAGE; i++)
		spill(&r, i * 2 * TEST_PAGE, TEST_PAGE, 'x');
	size_t len = TEST_PAGE;
	assert_null(reserve_spill(&r, 0, &len));
	assert_int_equal(reserve_flush(&r, NULL, NULL), 0);
	check_pages(fd, "D-D-D-D");
	reserve_deinit(&r);
}

static void test_spill_errors(void **state _unused_)
{
	_cleanup_close_ int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		skip_test("no /dev/full");
	struct reserve r;
	reserve_init(&r, fd, 0);
	spill(&r, 0, TEST_PAGE, 'x');
	assert_int_equal(reserve_flush(&r, NULL, NULL), -ENOSPC);
	reserve_deinit(&r);
}

/// The process got smaller between the look at it and the copy, and so did the file.
static int trim_shorter(void *userdata _unused_)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct reserve r;
	char c = 0;
	if (ftruncate(fd, 16 * TEST_PAGE) < 0)
		return 1;
	reserve_init(&r, fd, 16 * TEST_PAGE);
	r.budget = 1ULL << 40;
	reserve_add(&r, 0, 16 * TEST_PAGE);
	reserve_close(&r);
	memset(r.map, 'x', 8 * TEST_PAGE);
	if (ftruncate(fd, 6 * TEST_PAGE) < 0 || reserve_trim(&r) < 0)
		return 2;
	reserve_deinit(&r);
	if (lseek(fd, 0, SEEK_END) != 6 * TEST_PAGE || pread(fd, &c, 1, 6 * TEST_PAGE - 1) != 1)
		return 3;
	return c == 'x' ? 0 : 4;
}

static void test_shorter_file(void **state _unused_)
{
	assert_int_equal(test_wait(test_fork(trim_shorter, NULL)), 0);
}

/// The disk is full in the middle; what was promised must not end in SIGBUS.
static int trim_full(void *userdata _unused_)
{
	int fd = tmpfs_file(8 * MIB);
	struct reserve r;
	if (fd < 0)
		return EXIT_SKIP;
	if (ftruncate(fd, 32 * MIB) < 0)
		return 1;
	reserve_init(&r, fd, 32 * MIB);
	r.budget = 1ULL << 40;
	reserve_add(&r, 0, 32 * MIB);
	reserve_add(&r, 0, 4 * MIB);
	reserve_close(&r);
	if (reserve_trim(&r) < 0)
		return 2;
	reserve_deinit(&r);
	return lseek(fd, 0, SEEK_DATA) < 0 ? 0 : 3; // all of it was zero
}

static void test_full_disk(void **state _unused_)
{
	int r = test_wait(test_fork(trim_full, NULL));
	if (r == EXIT_SKIP)
		skip_test("a small file system needs root");
	assert_int_equal(r, 0);
}

/// Writes @text at @offset by way of the spill; false: it is full.
static bool spill_text(struct reserve *r, uint64_t offset, size_t want, size_t keep, char text)
{
	size_t len = want;
	char *place = reserve_spill(r, offset, &len);
	if (!place)
		return false;
	memset(place, text, len);
	if (keep < len)
		reserve_spill_cut(r, place, keep);
	return true;
}

static void check_text(int fd, uint64_t offset, size_t len, char text)
{
	_cleanup_free_ char *got = malloc(len);
	assert_non_null(got);
	assert_int_equal(snap_pread_full(fd, got, len, offset), len);
	for (size_t i = 0; i < len; i++)
		if (got[i] != text)
			fail_msg("at %zu of %zu", i, len);
}

static void test_spill_cut(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(64 * TEST_PAGE);
	struct reserve r;
	reserve_init(&r, fd, 0);
	const size_t whole = r.spill_bytes;
	r.spill_bytes = 8 * TEST_PAGE;
	r.overwrite = true;
	// What is cut off is there for others.
	assert_true(spill_text(&r, 0, 6 * TEST_PAGE, 2 * TEST_PAGE, 'a'));
	assert_true(spill_text(&r, 10 * TEST_PAGE, 6 * TEST_PAGE, 0, 'b'));
	assert_true(spill_text(&r, 20 * TEST_PAGE, 3 * TEST_PAGE, 3 * TEST_PAGE, 'c'));
	// Of two that are taken at once, the first can be cut, too.
	size_t len1 = TEST_PAGE, len2 = 2 * TEST_PAGE;
	char *first = reserve_spill(&r, 30 * TEST_PAGE, &len1);
	char *second = reserve_spill(&r, 40 * TEST_PAGE, &len2);
	assert_true(first && second && len1 == TEST_PAGE && len2 == 2 * TEST_PAGE);
	memset(first, 'd', len1);
	memset(second, 'e', len2);
	reserve_spill_cut(&r, first, 0);
	reserve_spill_cut(&r, second, TEST_PAGE);
	assert_true(spill_text(&r, 50 * TEST_PAGE, 9 * TEST_PAGE, SIZE_MAX, 'f'));
	size_t len = TEST_PAGE;
	assert_null(reserve_spill(&r, 60 * TEST_PAGE, &len));
	assert_int_equal(reserve_flush(&r, NULL, NULL), 0);
	check_text(fd, 0, 2 * TEST_PAGE, 'a');
	check_text(fd, 2 * TEST_PAGE, 18 * TEST_PAGE, 0);
	check_text(fd, 20 * TEST_PAGE, 3 * TEST_PAGE, 'c');
	check_text(fd, 23 * TEST_PAGE, 17 * TEST_PAGE, 0);
	check_text(fd, 40 * TEST_PAGE, TEST_PAGE, 'e');
	check_text(fd, 41 * TEST_PAGE, 9 * TEST_PAGE, 0);
	check_text(fd, 50 * TEST_PAGE, TEST_PAGE, 'f');
	r.spill_bytes = whole;
	reserve_deinit(&r);
}

static void test_spill_overwrites(void **state _unused_)
{
	for (int overwrite = 0; overwrite < 2; overwrite++) {
		_cleanup_close_ int fd = sized_memfd(4 * TEST_PAGE);
		struct reserve r;
		assert_int_equal(pwrite(fd, "old", 3, TEST_PAGE), 3);
		reserve_init(&r, fd, 0);
		r.overwrite = overwrite;
		assert_true(spill_text(&r, TEST_PAGE, TEST_PAGE, SIZE_MAX, 0));
		assert_int_equal(reserve_flush(&r, NULL, NULL), 0);
		check_text(fd, TEST_PAGE, 1, overwrite ? 0 : 'o');
		reserve_deinit(&r);
	}
}

struct spiller {
	struct reserve *r;
	uint64_t base;
};

static void *spiller_main(void *userdata)
{
	struct spiller *s = userdata;
	for (uint64_t i = 0; i < 2000; i++) // some of each kind of cut
		if (!spill_text(s->r, (s->base + i) * TEST_PAGE, 2 * TEST_PAGE,
				i % 3 * TEST_PAGE, (char)('A' + s->base / 2000)))
			return s;
	return NULL;
}

static void test_spill_threads(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(8100 * TEST_PAGE);
	struct reserve r;
	struct spiller s[4];
	pthread_t ids[4];
	reserve_init(&r, fd, 0);
	reserve_set_spill(&r, 20000 * TEST_PAGE);
	for (uint64_t i = 0; i < 4; i++) {
		s[i] = (struct spiller){ &r, i * 2000 };
		assert_int_equal(pthread_create(&ids[i], NULL, spiller_main, &s[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *full;
		assert_int_equal(pthread_join(ids[i], &full), 0);
		assert_null(full);
	}
	assert_int_equal(reserve_flush(&r, NULL, NULL), 0);
	for (uint64_t i = 0; i < 8000; i++) { // page i: by the rest of i, or of i - 1 with two
		uint64_t k = i % 2000;
		bool has = k % 3 || (k && (k - 1) % 3 == 2);
		check_text(fd, i * TEST_PAGE, TEST_PAGE, has ? (char)('A' + i / 2000) : 0);
	}
	reserve_deinit(&r);
}

static void test_set_spill(void **state _unused_)
{
	_cleanup_close_ int fd = sized_memfd(4 * TEST_PAGE);
	struct reserve r;
	reserve_init(&r, fd, 0);
	assert_int_equal(r.spill_bytes, RESERVE_SPILL_BYTES);
	reserve_set_spill(&r, 2 * RESERVE_SPILL_BYTES);
	size_t len = 2 * RESERVE_SPILL_BYTES;
	assert_non_null(reserve_spill(&r, 0, &len));
	assert_int_equal(len, 2 * RESERVE_SPILL_BYTES);
	reserve_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),	     cmocka_unit_test(test_empty),
		cmocka_unit_test(test_not_mappable), cmocka_unit_test(test_trim),
		cmocka_unit_test(test_budget),	     cmocka_unit_test(test_threads),
		cmocka_unit_test(test_spill),	     cmocka_unit_test(test_spill_full),
		cmocka_unit_test(test_spill_pages),  cmocka_unit_test(test_spill_errors),
		cmocka_unit_test(test_shorter_file), cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_spill_cut),
		cmocka_unit_test(test_spill_overwrites),
		cmocka_unit_test(test_spill_threads),
		cmocka_unit_test(test_set_spill),
	};
	return cmocka_run_group_tests_name("reserve", tests, NULL, NULL);
}
