// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <inttypes.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "common/compat.h"
#include "common/fd.h"
#include "common/memsource.h"
#include "ptrace/livemem.h"
#include "ptrace/procfs.h"

/*
 * Looks at mappings of this very process. What a scan finds is written as a letter for each page,
 * so that an expectation can be read at a glance.
 */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { BUF_PAGES = 64 };

static const char letters[MEM_KIND_MAX] = {
	[MEM_DATA] = 'D',  [MEM_FILE] = 'F',	 [MEM_ZERO] = 'Z',
	[MEM_GUARD] = 'G', [MEM_PAST_EOF] = 'E', [MEM_NOT_RESIDENT] = 'N',
};

static const char *const masks[] = {
	"",
	"pagemap_scan",
	"process_vm_readv",
	"map_files",
	"pagemap_scan,process_vm_readv",
	"nothing,,map_files,pagemap_scan,process_vm_readv",
};

struct look {
	struct livemem *mem;
	struct memsource *source;
	int piddir;
	bool scan, map_files; ///< what can be used
};

static void look_end(struct look *l)
{
	livemem_destroy(l->mem);
	(void)close(l->piddir);
}

/// The mapping at @addr as the kernel lists it.
static struct snap_mapping find_in(const char *path, uint64_t addr)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_strbuf_ struct strbuf names = { 0 };
	assert_true(snap_read_file_at(AT_FDCWD, path, 64 << 20, &text) > 0);
	struct procfs_maps walk = { .next = text };
	struct snap_mapping map;
	while (procfs_maps_next(&walk, &names, &map) > 0)
		if (map.start <= addr && addr < map.end)
			return map;
	fail_msg("no mapping at %" PRIx64, addr);
	return map;
}

static struct snap_mapping find_mapping(const void *p)
{
	return find_in("/proc/self/smaps", (uintptr_t)p);
}

/// Whether we are allowed to is only to be found out by trying.
static bool can_open_map_files(void)
{
	char path[96];
	struct snap_mapping code = find_mapping((const void *)(uintptr_t)can_open_map_files);
	(void)snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIx64 "-%" PRIx64, code.start,
		       code.end);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

static void look_begin(struct look *l, const char *mask)
{
	if (test_under_valgrind()) // it does not know what PAGEMAP_SCAN writes
		mask = !strcmp(mask, "map_files") ? "map_files,pagemap_scan" : masks[4];
	assert_int_equal(setenv("PROCSNAP_MASK", mask, 1), 0);
	l->piddir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(l->piddir >= 0);
	assert_ok(livemem_create(getpid(), l->piddir, &l->mem));
	l->source = livemem_source(l->mem);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct pm_scan_arg arg = { .size = sizeof(arg), .start = 0, .end = TEST_PAGE };
	l->scan = ioctl(fd, PAGEMAP_SCAN, &arg) >= 0 && !strstr(mask, "pagemap_scan");
	(void)close(fd);
	l->map_files = can_open_map_files() && !strstr(mask, "map_files");
	assert_int_equal(unsetenv("PROCSNAP_MASK"), 0);
}

/// Room for @pages pages that no neighbour can be merged with.
static char *make_room(size_t pages)
{
	char *p = mmap(NULL, (pages + 2) * TEST_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	assert_true(p != MAP_FAILED);
	return p + TEST_PAGE;
}

static void drop_room(char *p, size_t pages)
{
	assert_int_equal(munmap(p - TEST_PAGE, (pages + 2) * TEST_PAGE), 0);
}

static char *map_at_room(size_t pages, int prot, int flags, int fd, off_t offset)
{
	char *p = make_room(pages);
	assert_ptr_equal(mmap(p, pages * TEST_PAGE, prot, flags | MAP_FIXED, fd, offset), p);
	return p;
}

/// Scans page by page letters, at most @max ranges a call; checks what every scan must keep to.
static void scan(const struct look *l, const struct snap_mapping *map, uint64_t start, uint64_t end,
		 size_t max, char *ret)
{
	struct mem_range ranges[256];
	size_t n = 0;
	for (uint64_t addr = start; addr < end;) {
		int r = memsource_scan(l->source, map, addr, end, ranges, max);
		assert_true(r >= 1);
		assert_true((size_t)r <= max);
		for (int i = 0; i < r; i++) {
			assert_int_equal(ranges[i].start, addr);
			assert_true(ranges[i].end > addr);
			assert_true(ranges[i].end <= end);
			assert_int_equal(ranges[i].end % TEST_PAGE, 0);
			assert_true(ranges[i].kind < MEM_KIND_MAX);
			for (; addr < ranges[i].end; addr += TEST_PAGE)
				ret[n++] = letters[ranges[i].kind];
		}
	}
	ret[n] = '\0';
}

static void expect(const struct look *l, const char *p, const char *want)
{
	struct snap_mapping map = find_mapping(p);
	char got[BUF_PAGES + 1];
	assert_int_equal((map.end - map.start) / TEST_PAGE, strlen(want));
	static const size_t sizes[] = { 256, 3, 2, 1 };
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		scan(l, &map, map.start, map.end, sizes[i], got);
		assert_string_equal(got, want);
	}
	for (size_t i = 0; i < strlen(want); i++) { // from any page on
		scan(l, &map, map.start + i * TEST_PAGE, map.end, 256, got);
		assert_string_equal(got, want + i);
		scan(l, &map, map.start, map.start + (i + 1) * TEST_PAGE, 1, got);
		assert_int_equal(strlen(got), i + 1);
		assert_memory_equal(got, want, i + 1);
	}
}

/// Reads page @page as the kind that a scan says it is.
static ssize_t read_page(const struct look *l, const char *p, size_t page, void *buf, size_t len)
{
	struct snap_mapping map = find_mapping(p);
	uint64_t addr = (uintptr_t)p + page * TEST_PAGE;
	struct mem_range range;
	assert_int_equal(memsource_scan(l->source, &map, addr, addr + TEST_PAGE, &range, 1), 1);
	return memsource_read(l->source, &map, range.kind, addr, buf, len);
}

/// All of page @page is @byte.
static void expect_byte(const struct look *l, const char *p, size_t page, char byte)
{
	char buf[TEST_PAGE];
	memset(buf, 0x77, sizeof(buf));
	assert_int_equal(read_page(l, p, page, buf, sizeof(buf)), sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		if (buf[i] != byte)
			fail_msg("byte %zu of page %zu is %d, not %d", i, page, buf[i], byte);
}

static uint64_t rss_of(const char *p)
{
	return find_mapping(p).rss_bytes;
}

static void private_anonymous(const struct look *l)
{
	char *p = map_at_room(6, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(l, p, "ZZZZZZ");
	memset(p + TEST_PAGE, 'a', TEST_PAGE);
	memset(p + 2 * TEST_PAGE, 'b', TEST_PAGE);
	p[4 * TEST_PAGE] = 'c';
	expect(l, p, "ZDDZDZ");
	(void)*(volatile char *)(p + 5 * TEST_PAGE); // maps the zero page
	expect(l, p, l->scan ? "ZDDZDZ" : "ZDDZDD");
	expect_byte(l, p, 1, 'a');
	expect_byte(l, p, 2, 'b');
	char buf[2 * TEST_PAGE];
	assert_int_equal(read_page(l, p, 1, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(buf[TEST_PAGE - 1], 'a');
	assert_int_equal(buf[TEST_PAGE], 'b');
	assert_int_equal(rss_of(p), 3 * TEST_PAGE); // looking made nothing come into being
	drop_room(p, 6);
}

static void not_readable(const struct look *l)
{
	char *p = map_at_room(3, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p + TEST_PAGE, 'x', TEST_PAGE);
	static const int prots[] = { PROT_WRITE, PROT_EXEC, PROT_READ };
	for (size_t i = 0; i < ARRAY_SIZE(prots); i++) {
		assert_int_equal(mprotect(p, 3 * TEST_PAGE, prots[i]), 0);
		expect(l, p, "ZDZ");
		expect_byte(l, p, 1, 'x');
	}
	assert_int_equal(mprotect(p, 3 * TEST_PAGE, PROT_NONE), 0);
	// It may be one mapping with the room around now, so no look at all of it.
	struct snap_mapping map = find_mapping(p);
	char got[BUF_PAGES];
	scan(l, &map, (uintptr_t)p, (uintptr_t)p + 3 * TEST_PAGE, 256, got);
	assert_string_equal(got, "ZDZ");
	expect_byte(l, p, 1, 'x');
	drop_room(p, 3);
}

/// Shared memory of which this process has mapped in only a part.
static void shared_memory(const struct look *l)
{
	int fd = test_memfd();
	char page[TEST_PAGE];
	assert_int_equal(ftruncate(fd, 5 * TEST_PAGE), 0);
	memset(page, 'f', sizeof(page));
	assert_int_equal(snap_pwrite_all(fd, page, sizeof(page), 1 * TEST_PAGE), 0);
	assert_int_equal(snap_pwrite_all(fd, page, sizeof(page), 3 * TEST_PAGE), 0);
	char *p = map_at_room(7, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	expect(l, p, l->map_files ? "ZFZFZEE" : "NNNNNNN");
	memset(p, 't', TEST_PAGE);
	if (!l->map_files) {
		expect(l, p, "DNNNNNN");
		expect_byte(l, p, 0, 't');
		drop_room(p, 7);
		return;
	}
	expect(l, p, "FFZFZEE");
	expect_byte(l, p, 0, 't');
	expect_byte(l, p, 1, 'f');
	expect_byte(l, p, 3, 'f');
	char buf[4 * TEST_PAGE];
	assert_int_equal(read_page(l, p, 0, buf, 2 * TEST_PAGE), 2 * TEST_PAGE);
	assert_int_equal(buf[2 * TEST_PAGE - 1], 'f');
	assert_int_equal(rss_of(p), TEST_PAGE); // still only the page that was touched here
	drop_room(p, 7);
}

static void shared_anonymous(const struct look *l)
{
	char *p = map_at_room(3, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(p + TEST_PAGE, 's', TEST_PAGE);
	expect(l, p, l->map_files ? "ZFZ" : "NDN");
	expect_byte(l, p, 1, 's');
	drop_room(p, 3);
}

/// A window into the middle of shared memory: offsets count.
static void shared_offset(const struct look *l)
{
	int fd = test_memfd();
	char page[TEST_PAGE];
	assert_int_equal(ftruncate(fd, 8 * TEST_PAGE), 0);
	for (int i = 3; i < 6; i += 2) {
		memset(page, '0' + i, sizeof(page));
		uint64_t offset = (uint64_t)i * TEST_PAGE;
		assert_int_equal(snap_pwrite_all(fd, page, sizeof(page), offset), 0);
	}
	char *p = map_at_room(3, PROT_READ, MAP_SHARED, fd, 3 * TEST_PAGE);
	(void)close(fd);
	expect(l, p, l->map_files ? "FZF" : "NNN");
	if (l->map_files) {
		expect_byte(l, p, 0, '3');
		expect_byte(l, p, 2, '5');
	}
	drop_room(p, 3);
	fd = test_memfd(); // all of it behind the end
	p = map_at_room(2, PROT_READ, MAP_SHARED, fd, 3 * TEST_PAGE);
	(void)close(fd);
	expect(l, p, l->map_files ? "EE" : "NN");
	drop_room(p, 2);
}

/// A file of two and a half pages, with a name.
static int make_file(char path[static 40])
{
	strcpy(path, "/tmp/procsnap-unit-XXXXXX");
	int fd = mkostemp(path, O_CLOEXEC);
	char page[TEST_PAGE];
	assert_true(fd >= 0);
	for (int i = 0; i < 3; i++) {
		memset(page, 'A' + i, sizeof(page));
		assert_int_equal(snap_pwrite_all(fd, page, i == 2 ? TEST_PAGE / 2 : TEST_PAGE,
						 (uint64_t)i * TEST_PAGE),
				 0);
	}
	return fd;
}

/// The last page of a file: half of it bytes of the file, then zeros.
static void expect_tail(const struct look *l, const char *p, size_t page)
{
	char buf[TEST_PAGE];
	memset(buf, 0x77, sizeof(buf));
	assert_int_equal(read_page(l, p, page, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(buf[0], 'C');
	assert_int_equal(buf[TEST_PAGE / 2 - 1], 'C');
	for (size_t i = TEST_PAGE / 2; i < TEST_PAGE; i++)
		assert_int_equal(buf[i], 0);
}

static void private_file(const struct look *l)
{
	char path[40];
	int fd = make_file(path);
	char *p = map_at_room(5, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	expect(l, p, l->map_files ? "FFFEE" : "FFFFF");
	expect_byte(l, p, 1, 'B');
	expect_tail(l, p, 2);
	if (l->map_files)
		assert_int_equal(rss_of(p), 0);
	else
		assert_int_equal(read_page(l, p, 4, path, 1), -EFAULT); // SIGBUS for the process
	drop_room(p, 5);

	fd = open(path, O_RDONLY | O_CLOEXEC);
	p = map_at_room(5, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	(void)unlink(path);
	memset(p + TEST_PAGE, 'w', TEST_PAGE); // copied on write
	expect(l, p, l->map_files ? "FDFEE" : "FDFFF");
	expect_byte(l, p, 0, 'A');
	expect_byte(l, p, 1, 'w');
	expect_tail(l, p, 2);
	drop_room(p, 5);
}

static void shared_file(const struct look *l)
{
	char path[40];
	int fd = make_file(path);
	assert_int_equal(ftruncate(fd, 6 * TEST_PAGE + 1), 0);
	char *p = map_at_room(8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (l->map_files) {
		struct snap_mapping map = find_mapping(p);
		char got[BUF_PAGES];
		scan(l, &map, map.start, map.end, 256, got);
		// How much of the hole the file system tells is its own business.
		assert_memory_equal(got, "FFF", 3);
		assert_int_equal(strspn(got, "FZ"), 7);
		assert_int_equal(got[7], 'E');
	} else {
		expect(l, p, "FFFFFFFF");
	}
	expect_byte(l, p, 1, 'B');
	expect_tail(l, p, 2);
	drop_room(p, 8);
	(void)unlink(path);
}

/// Memory that the process had, of a file that was made shorter since.
static void truncated_file(const struct look *l)
{
	char path[40];
	int fd = make_file(path);
	char *p = map_at_room(3, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	p[0] = 1;
	p[2 * TEST_PAGE] = 1;
	assert_int_equal(ftruncate(fd, TEST_PAGE), 0);
	(void)close(fd);
	(void)unlink(path);
	expect(l, p, l->map_files ? "DEE" : "DFF");
	drop_room(p, 3);
}

static void guard_pages(const struct look *l)
{
	char *p = map_at_room(6, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 'g', 6 * TEST_PAGE);
	if (madvise(p + TEST_PAGE, 2 * TEST_PAGE, MADV_GUARD_INSTALL) < 0) {
		print_message("no guard regions in this kernel\n");
		drop_room(p, 6);
		return;
	}
	assert_int_equal(madvise(p + 4 * TEST_PAGE, 2 * TEST_PAGE, MADV_DONTNEED), 0);
	assert_int_equal(madvise(p + 5 * TEST_PAGE, TEST_PAGE, MADV_GUARD_INSTALL), 0);
	expect(l, p, "DGGDZG");
	expect_byte(l, p, 3, 'g');
	char buf[TEST_PAGE];
	struct snap_mapping map = find_mapping(p);
	assert_int_equal(memsource_read(l->source, &map, MEM_DATA, map.start + TEST_PAGE, buf,
					sizeof(buf)),
			 -EFAULT);
	assert_int_equal(rss_of(p), 2 * TEST_PAGE);
	drop_room(p, 6);
}

/// More ranges than fit into one answer of the kernel or of ours.
static void many_ranges(const struct look *l)
{
	enum { PAGES = 1500 };
	char *p = map_at_room(PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char want[PAGES + 1] = { 0 }, got[PAGES + 1];
	(void)madvise(p, PAGES * TEST_PAGE, MADV_NOHUGEPAGE);
	uint64_t random = 1;
	for (size_t i = 0; i < PAGES; i++) {
		want[i] = i < 1100 ? "ZD"[i % 2] : "ZD"[test_random(&random) % 2];
		if (want[i] == 'D')
			p[i * TEST_PAGE] = 1;
	}
	struct snap_mapping map = find_mapping(p);
	for (size_t max = 256; max; max /= 5) {
		scan(l, &map, map.start, map.end, max, got);
		assert_string_equal(got, want);
	}
	drop_room(p, PAGES);
}

/// What the kernel maps into every process.
static void special(const struct look *l)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_strbuf_ struct strbuf names = { 0 };
	assert_true(snap_read_file_at(AT_FDCWD, "/proc/self/smaps", 64 << 20, &text) > 0);
	struct procfs_maps walk = { .next = text };
	struct snap_mapping map;
	while (procfs_maps_next(&walk, &names, &map) > 0) {
		if (!(map.flags & SNAP_MAP_SPECIAL))
			continue;
		char got[BUF_PAGES], buf[TEST_PAGE];
		scan(l, &map, map.start, map.end, 256, got);
		assert_int_equal(strspn(got, "D"), strlen(got));
		ssize_t n = memsource_read(l->source, &map, MEM_DATA, map.start, buf, sizeof(buf));
		if (strcmp(names.data + map.name, "[vdso]") != 0) {
			if (n != sizeof(buf) && n != -EFAULT && n != -EIO)
				fail_msg("%s: %zd", names.data + map.name, n);
			continue;
		}
		assert_int_equal(n, sizeof(buf));
		assert_memory_equal(buf, "\177ELF", 4);
	}
}

/// For each way to look: the full one, and without what an older kernel or less privilege lacks.
static void for_each_mask(void (*fn)(const struct look *l))
{
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		struct look l;
		look_begin(&l, masks[i]);
		fn(&l);
		look_end(&l);
	}
}

#define MASKED_TEST(fn)                             \
	static void test_##fn(void **state _unused_) \
	{                                           \
		for_each_mask(fn);                  \
	}
MASKED_TEST(private_anonymous)
MASKED_TEST(not_readable)
MASKED_TEST(shared_memory)
MASKED_TEST(shared_anonymous)
MASKED_TEST(shared_offset)
MASKED_TEST(private_file)
MASKED_TEST(shared_file)
MASKED_TEST(truncated_file)
MASKED_TEST(guard_pages)
MASKED_TEST(many_ranges)
MASKED_TEST(special)

/// A terabyte that nobody touched costs nothing to look at.
static void test_large_sparse(void **state _unused_)
{
	const uint64_t size = 1ULL << 40;
	struct look l;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		skip_test("no address space for a terabyte");
	look_begin(&l, "");
	if (!l.scan) {
		look_end(&l);
		(void)munmap(p, size);
		skip_test("no PAGEMAP_SCAN (Linux 6.7)");
	}
	p[size / 2] = 1;
	struct snap_mapping map = find_mapping(p);
	struct mem_range ranges[256];
	uint64_t data = 0;
	int calls = 0;
	for (uint64_t addr = map.start; addr < map.end; calls++) {
		int n = memsource_scan(l.source, &map, addr, map.end, ranges, 256);
		assert_true(n >= 1);
		for (int i = 0; i < n; i++)
			data += ranges[i].kind == MEM_DATA ? ranges[i].end - ranges[i].start : 0;
		addr = ranges[n - 1].end;
	}
	assert_true(data >= TEST_PAGE && data <= 4 << 20); // a huge page at most
	assert_true(calls < 10);
	look_end(&l);
	(void)munmap(p, size);
}

static void test_release(void **state _unused_)
{
	struct look l;
	char buf[TEST_PAGE], *p;
	p = map_at_room(1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p[0] = 'x';
	struct snap_mapping map = find_mapping(p);
	look_begin(&l, "");
	assert_int_equal(memsource_read(l.source, &map, MEM_DATA, map.start, buf, sizeof(buf)),
			 sizeof(buf));
	livemem_release(l.mem);
	for (int kind = 0; kind < MEM_KIND_MAX; kind++)
		assert_int_equal(memsource_read(l.source, &map, (enum mem_kind)kind, map.start, buf,
						sizeof(buf)),
				 -ECANCELED);
	livemem_release(l.mem);
	look_end(&l);
	drop_room(p, 1);
}

static void test_no_memory(void **state _unused_)
{
	_cleanup_close_ int dir = open("/proc/self/net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct livemem *mem = NULL;
	int before = test_count_fds();
	struct snap_error *err = livemem_create(getpid(), dir, &mem);
	assert_non_null(err);
	snap_error_destroy(err);
	assert_null(mem);
	assert_int_equal(test_count_fds(), before);
	livemem_destroy(NULL);
}

struct child {
	pid_t pid;
	int piddir;
	struct livemem *mem;
	struct snap_mapping map;
	char *p;
};

static int sleep_for_ever(void *userdata _unused_)
{
	for (;;)
		(void)pause();
	return 0;
}

/// A child with two pages of data at @p.
static void child_begin(struct child *c, const char *mask)
{
	char path[64];
	c->p = map_at_room(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(c->p, 'k', 2 * TEST_PAGE);
	c->pid = test_fork(sleep_for_ever, NULL);
	(void)snprintf(path, sizeof(path), "/proc/%d", c->pid);
	c->piddir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(c->piddir >= 0);
	if (test_under_valgrind())
		mask = masks[4];
	assert_int_equal(setenv("PROCSNAP_MASK", mask, 1), 0);
	assert_ok(livemem_create(c->pid, c->piddir, &c->mem));
	assert_int_equal(unsetenv("PROCSNAP_MASK"), 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", c->pid);
	c->map = find_in(path, (uintptr_t)c->p);
}

static void child_end(struct child *c)
{
	livemem_destroy(c->mem);
	(void)close(c->piddir);
	drop_room(c->p, 2);
}

static void test_other_process(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		struct child c;
		char buf[2 * TEST_PAGE];
		child_begin(&c, masks[i]);
		memset(c.p, 'n', 2 * TEST_PAGE); // ours, not the child's
		struct memsource *source = livemem_source(c.mem);
		assert_int_equal(memsource_read(source, &c.map, MEM_DATA, c.map.start, buf,
						sizeof(buf)),
				 sizeof(buf));
		for (size_t j = 0; j < sizeof(buf); j++)
			assert_int_equal(buf[j], 'k');
		assert_int_equal(kill(c.pid, SIGKILL), 0);
		assert_int_equal(test_wait(c.pid), -SIGKILL);
		child_end(&c);
	}
}

/**
 * A process that ends in the middle takes its memory along, which must not look as if there had
 * been none: either a scan fails, or what it says must be read can no longer be read.
 */
static void dead_process(bool reaped)
{
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		struct child c;
		struct mem_range ranges[8];
		char buf[TEST_PAGE];
		child_begin(&c, masks[i]);
		assert_int_equal(kill(c.pid, SIGKILL), 0);
		siginfo_t si;
		assert_int_equal(waitid(P_PID, (id_t)c.pid, &si, WEXITED | WNOWAIT), 0);
		if (reaped)
			assert_int_equal(test_wait(c.pid), -SIGKILL);
		struct memsource *source = livemem_source(c.mem);
		int n = memsource_scan(source, &c.map, c.map.start, c.map.end, ranges, 8);
		if (n >= 0) {
			assert_true(n >= 1);
			assert_int_equal(ranges[0].kind, MEM_DATA);
		} else {
			assert_int_equal(n, -ESRCH);
		}
		assert_int_equal(memsource_read(source, &c.map, MEM_DATA, c.map.start, buf,
						sizeof(buf)),
				 -ESRCH);
		if (!reaped)
			assert_int_equal(test_wait(c.pid), -SIGKILL);
		child_end(&c);
	}
}

static void test_zombie(void **state _unused_)
{
	dead_process(false);
}

static void test_reaped(void **state _unused_)
{
	dead_process(true);
}

/// Pages of @p that only this process has.
static size_t count_own(const char *p, size_t pages)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	for (size_t i = 0; i < pages; i++) {
		uint64_t entry;
		assert_int_equal(snap_pread_full(fd, &entry, 8,
						 ((uintptr_t)p / TEST_PAGE + i) * 8),
				 8);
		n += entry >> 56 & 1;
	}
	return n;
}

/// A child that shares memory with us: reading it does not end that, and its end is noticed.
static void test_child(void **state _unused_)
{
	enum { PAGES = 32 };
	char *area = mmap(NULL, PAGES * TEST_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(area, MAP_FAILED);
	(void)madvise(area, PAGES * TEST_PAGE, MADV_NOHUGEPAGE);
	memset(area, 7, PAGES * TEST_PAGE);
	pid_t pid = fork();
	if (!pid)
		for (;;)
			(void)pause();
	const uint64_t at = (uintptr_t)area;
	const struct snap_mapping map = { .start = at,
					  .end = at + PAGES * TEST_PAGE,
					  .flags = SNAP_MAP_READ | SNAP_MAP_WRITE };
	// As if there were a gap in it, and a part that was wiped.
	struct snap_mapping parts[] = { map, map };
	parts[0].end = at + 8 * TEST_PAGE;
	parts[1].start = at + 10 * TEST_PAGE;
	struct snapshot there = { .mappings = parts, .n_mappings = 2 };
	char path[32], buf[8 * TEST_PAGE];
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	_cleanup_close_ int piddir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct livemem *mem;
	assert_ok(livemem_create(pid, piddir, &mem));
	livemem_set_child(mem, &there);
	struct memsource *source = livemem_source(mem);
	struct mem_range range;
	assert_int_equal(memsource_scan(source, &map, at, map.end, &range, 1), 1);
	assert_int_equal(range.kind, MEM_DATA);
	assert_int_equal(range.end, parts[0].end);
	assert_int_equal(memsource_scan(source, &map, range.end, map.end, &range, 1), 1);
	assert_int_equal(range.kind, MEM_NOT_RESIDENT);
	assert_int_equal(range.end, parts[1].start);
	assert_int_equal(count_own(area, PAGES), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(memsource_read(source, &map, MEM_DATA, at, buf, sizeof(buf)), sizeof(buf));
	assert_memory_equal(buf, area, sizeof(buf));
	const struct iovec to = { buf, TEST_PAGE }, from = { area, TEST_PAGE };
	assert_int_equal(memsource_read_many(source, &map, &to, &from, 1), -ENOTSUP);
	assert_int_equal(count_own(area, PAGES), 0);
	parts[1].flags |= SNAP_MAP_WIPEONFORK;
	assert_int_equal(memsource_scan(source, &map, parts[1].start, map.end, &range, 1), 1);
	assert_int_equal(range.kind, MEM_NOT_RESIDENT);
	// What is not in a child is not told of by it.
	struct snap_mapping other = map;
	other.flags |= SNAP_MAP_DONTFORK;
	assert_int_equal(memsource_scan(source, &other, at, map.end, &range, 1), 1);
	assert_int_equal(range.kind, MEM_HELD);
	assert_true(livemem_lives(mem));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(livemem_lives(mem));
	assert_int_equal(memsource_scan(source, &map, at, map.end, &range, 1), -ESRCH);
	livemem_destroy(mem);
	(void)munmap(area, PAGES * TEST_PAGE);
}

/// Of the process that has forked, what the child does not have.
static void test_forked(void **state _unused_)
{
	static const uint32_t not_in_child[] = { SNAP_MAP_SHARED,   SNAP_MAP_DONTFORK,
						 SNAP_MAP_WIPEONFORK, SNAP_MAP_HUGETLB,
						 SNAP_MAP_SPECIAL,  SNAP_MAP_YOUNG };
	struct snap_mapping map = { .start = TEST_PAGE, .end = 2 * TEST_PAGE,
				    .flags = SNAP_MAP_READ | SNAP_MAP_WRITE };
	assert_true(livemem_forked(&map));
	map.inode = 5;
	assert_false(livemem_forked(&map));
	map.inode = 0;
	for (size_t i = 0; i < ARRAY_SIZE(not_in_child); i++) {
		map.flags = SNAP_MAP_READ | not_in_child[i];
		assert_false(livemem_forked(&map));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private_anonymous), cmocka_unit_test(test_not_readable),
		cmocka_unit_test(test_shared_memory),	  cmocka_unit_test(test_shared_anonymous),
		cmocka_unit_test(test_shared_offset),	  cmocka_unit_test(test_private_file),
		cmocka_unit_test(test_shared_file),	  cmocka_unit_test(test_truncated_file),
		cmocka_unit_test(test_guard_pages),	  cmocka_unit_test(test_many_ranges),
		cmocka_unit_test(test_special),		  cmocka_unit_test(test_large_sparse),
		cmocka_unit_test(test_release),		  cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_other_process),	  cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_reaped),
		cmocka_unit_test(test_child),
		cmocka_unit_test(test_forked),
	};
	return cmocka_run_group_tests_name("livemem", tests, NULL, NULL);
}
