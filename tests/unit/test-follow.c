// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/compat.h"
#include "common/fd.h"
#include "ptrace/livemem.h"
#include "test.h"

/*
 * Scans of memory whose writes are followed: that of this program, which follows it itself.
 */

enum { PAGES = 1024 };

struct follow {
	int uffd, piddir;
	struct livemem *mem;
	char *area;
	struct snap_mapping map;
	bool told[PAGES]; ///< as data, by the last scan
};

static int begin(void **state)
{
	struct follow *f = calloc(1, sizeof(*f));
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	assert_non_null(f);
	*state = f;
	f->piddir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(livemem_create(getpid(), f->piddir, &f->mem));
	f->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (f->uffd >= 0 && ioctl(f->uffd, UFFDIO_API, &api) < 0)
		snap_closep(&f->uffd);
	f->area = mmap(NULL, PAGES * TEST_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->area, MAP_FAILED);
	(void)madvise(f->area, PAGES * TEST_PAGE, MADV_NOHUGEPAGE);
	memset(f->area, 1, PAGES * TEST_PAGE);
	f->map = (struct snap_mapping){ .start = (uintptr_t)f->area,
					.end = (uintptr_t)f->area + PAGES * TEST_PAGE,
					.flags = SNAP_MAP_READ | SNAP_MAP_WRITE,
					.anon_bytes = PAGES * TEST_PAGE };
	struct uffdio_register reg = { .range = { f->map.start, PAGES * TEST_PAGE },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	if (f->uffd >= 0 && ioctl(f->uffd, UFFDIO_REGISTER, &reg) < 0)
		snap_closep(&f->uffd);
	livemem_set_mode(f->mem, LIVEMEM_FOLLOW, true);
	return 0;
}

static int finish(void **state)
{
	struct follow *f = *state;
	snap_closep(&f->uffd);
	livemem_destroy(f->mem);
	snap_closep(&f->piddir);
	(void)munmap(f->area, PAGES * TEST_PAGE);
	free(f);
	return 0;
}

static void need_kernel(const struct follow *f)
{
	if (f->uffd < 0 || test_under_valgrind())
		skip();
}

/// All of it, with room for @max ranges at a time.
static size_t scan_all(struct follow *f, size_t max)
{
	size_t told = 0;
	memset(f->told, 0, sizeof(f->told));
	for (uint64_t at = f->map.start; at < f->map.end;) {
		struct mem_range ranges[256];
		int n = memsource_scan(livemem_source(f->mem), &f->map, at, f->map.end, ranges, max);
		assert_in_range(n, 1, (int)max);
		for (int i = 0; i < n; i++) {
			assert_int_equal(ranges[i].start, at);
			assert_true(ranges[i].end > at);
			for (; at < ranges[i].end; at += TEST_PAGE)
				if (ranges[i].kind == MEM_DATA) {
					f->told[(at - f->map.start) / TEST_PAGE] = true;
					told++;
				}
		}
	}
	return told;
}

static void test_apart(void **state)
{
	static const size_t rooms[] = { 2, 3, 4, 7, 16, 255, 256 };
	struct follow *f = *state;
	need_kernel(f);
	for (size_t k = 0; k < ARRAY_SIZE(rooms); k++) {
		(void)scan_all(f, 256);
		assert_int_equal(scan_all(f, rooms[k]), 0);
		for (size_t i = 1; i < PAGES; i += 2)
			f->area[i * TEST_PAGE]++;
		assert_int_equal(scan_all(f, rooms[k]), PAGES / 2);
		for (size_t i = 0; i < PAGES; i++)
			assert_int_equal(f->told[i], i % 2);
		assert_int_equal(scan_all(f, rooms[k]), 0);
	}
}

/// One that is not followed has come in between: it is for later, and nothing else is forgotten.
static void test_stranger(void **state)
{
	struct follow *f = *state;
	need_kernel(f);
	assert_int_equal(scan_all(f, 256), PAGES);
	f->area[3 * TEST_PAGE]++;
	f->area[900 * TEST_PAGE]++;
	assert_ptr_not_equal(mmap(f->area + 500 * TEST_PAGE, 10 * TEST_PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			     MAP_FAILED);
	memset(f->area + 500 * TEST_PAGE, 2, 10 * TEST_PAGE);
	assert_int_equal(scan_all(f, 256), 2);
	assert_true(f->told[3] && f->told[900]);
	// Standing still, all that is new is told, and no more.
	f->area[4 * TEST_PAGE]++;
	for (int holes = 0; holes < 2; holes++) {
		livemem_set_mode(f->mem, LIVEMEM_CHANGED, holes);
		assert_int_equal(scan_all(f, 256), 11);
		assert_true(f->told[4] && f->told[500] && f->told[509]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_apart, begin, finish),
		cmocka_unit_test_setup_teardown(test_stranger, begin, finish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
