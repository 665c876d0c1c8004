// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * One mapping of each kind, with known content. The ready line has name=0xADDR:LEN:SEED:STEP...
 * for each (see target.h); kinds that the machine does not have are in skipped=a,b.
 *
 * What was never touched must stay so: reading an absent page from outside gives the process a
 * page (or takes one out of swap), which is memory and time it did not ask for. Such regions are
 * verified with /proc/self/pagemap and never by reading them. Pages of a file that are in the page
 * cache and not in the page table are another thing: whoever reads them through /proc/PID/mem
 * maps them. That costs no memory and is only noted ("note: file_private has 12 more pages").
 *
 * Content is read through /proc/self/mem, which also reads PROT_NONE, except where that cannot
 * work (memfd_secret).
 */
#include "target.h"

#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/shm.h>
#include <sys/uio.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

enum {
	MB = 1 << 20,
	MEMORY_MAX = 48,
	COW_SEED = 1000,		// added to the seed of a file for pages written privately
	BLOCKED_STACK = 16 * 4096,
};

enum memory_flags {
	MEMORY_ABSENT = 1 << 0,		// nothing of it is mapped, and must not become so
	MEMORY_DIRECT = 1 << 1,		// read with loads, not through /proc/self/mem
	MEMORY_OPAQUE = 1 << 2,		// a device's: content is not ours to know
	MEMORY_CACHED = 1 << 3,		// pages exist beside the mapping: a reader may map them
};

struct memory_region {
	const char *name;
	uint8_t *addr;
	size_t len;			// of the mapping; bytes past readable are not checked
	size_t readable;
	unsigned int flags;
	unsigned int seed, step, seed2, step2;
	unsigned int guards[4];		// page numbers, the array ends with 0
};

static struct memory_region regions[MEMORY_MAX];
static size_t nregions;
static char memory_skipped[512];
static unsigned int memory_next_seed = 150;

static void skip(const char *name)
{
	size_t len = strlen(memory_skipped);

	snprintf(memory_skipped + len, sizeof(memory_skipped) - len, "%s%s", len ? "," : "", name);
}

static uint64_t region_word(const struct memory_region *r, size_t page, size_t j)
{
	if (r->step2 && page % r->step2 == 1)
		return target_word(r->seed2, page, j);
	if (r->step && page % r->step == 0)
		return target_word(r->seed, page, j);
	return 0;
}

static bool region_has_guard(const struct memory_region *r, size_t page)
{
	for (const unsigned int *g = r->guards; *g; g++)
		if (*g == page)
			return true;
	return false;
}

// Register a region; NULL or MAP_FAILED: this machine does not have it.
static struct memory_region *region(const char *name, void *addr, size_t len)
{
	struct memory_region *r = &regions[nregions];

	if (!addr || addr == MAP_FAILED) {
		skip(name);
		return NULL;
	}
	if (++nregions > MEMORY_MAX)
		target_die(1, "MEMORY_MAX is too small");
	*r = (struct memory_region) { .name = name, .addr = addr, .len = len, .readable = len,
				      .seed = memory_next_seed++, .step = 1 };
	return r;
}

static void fill_pages(const struct memory_region *r, size_t first, size_t step)
{
	for (size_t page = first; step && page < r->readable / TARGET_PAGE; page += step) {
		uint64_t *w = (uint64_t *)(r->addr + page * TARGET_PAGE);

		for (size_t j = 0; j < TARGET_PAGE / 8; j++)
			w[j] = region_word(r, page, j);
	}
}

static struct memory_region *anon(const char *name, size_t len, int flags, unsigned int step)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	struct memory_region *r = region(name, p, len);

	if (r) {
		r->step = step;
		fill_pages(r, 0, step);
	}
	return r;
}

static void protect(struct memory_region *r, int prot)
{
	if (r && mprotect(r->addr, r->len, prot))
		target_die(1, "mprotect %s", r->name);
}

// The kernel may not know the advice: then the region is an ordinary one, and listed as skipped.
static void advise(struct memory_region *r, int advice)
{
	if (r && madvise(r->addr, r->len, advice))
		skip(r->name);
}

/* ---- anonymous memory ---- */

static void make_private(void)
{
	struct memory_region *r;

	anon("sparse", 64 * TARGET_PAGE, MAP_PRIVATE, 3);
	protect(anon("none", 4 * TARGET_PAGE, MAP_PRIVATE, 1), PROT_NONE);
	protect(anon("readonly", 4 * TARGET_PAGE, MAP_PRIVATE, 1), PROT_READ);
	protect(anon("writeonly", 4 * TARGET_PAGE, MAP_PRIVATE, 1), PROT_WRITE);
	protect(anon("exec", 4 * TARGET_PAGE, MAP_PRIVATE, 1), PROT_READ | PROT_EXEC);
	protect(anon("execonly", 4 * TARGET_PAGE, MAP_PRIVATE, 1), PROT_EXEC);
	protect(anon("rwx", 4 * TARGET_PAGE, MAP_PRIVATE, 1), PROT_READ | PROT_WRITE | PROT_EXEC);
	r = anon("locked", 4 * TARGET_PAGE, MAP_PRIVATE, 1);
	if (mlock(r->addr, r->len))
		skip("locked");
	r = anon("untouched", 64 * TARGET_PAGE, MAP_PRIVATE, 0);
	r->flags |= MEMORY_ABSENT;
	r = anon("noreserve", sizeof(void *) == 8 ? (size_t)(UINT64_C(64) << 30) : 256 * MB,
		 MAP_PRIVATE | MAP_NORESERVE, 0);
	if (r)
		r->flags |= MEMORY_ABSENT;
}

static void make_advised(void)
{
	advise(anon("dontdump", 4 * TARGET_PAGE, MAP_PRIVATE, 1), MADV_DONTDUMP);
	advise(anon("dontfork", 4 * TARGET_PAGE, MAP_PRIVATE, 1), MADV_DONTFORK);
	advise(anon("wipeonfork", 4 * TARGET_PAGE, MAP_PRIVATE, 1), MADV_WIPEONFORK);
	advise(anon("mergeable", 4 * TARGET_PAGE, MAP_PRIVATE, 1), MADV_MERGEABLE);
	advise(anon("pageout", 64 * TARGET_PAGE, MAP_PRIVATE, 1), MADV_PAGEOUT);
}

// Read and never written: the shared zero page (or the huge one) is mapped.
static void make_zero_pages(void)
{
	struct memory_region *r = anon("zeropage", 16 * TARGET_PAGE, MAP_PRIVATE, 0);

	for (size_t page = 0; page < r->len / TARGET_PAGE; page++)
		(void)*(volatile uint8_t *)(r->addr + page * TARGET_PAGE);
}

static void make_shared(void)
{
	struct memory_region *r;

	anon("anonshared", 16 * TARGET_PAGE, MAP_SHARED, 2);
	r = anon("anonshared_untouched", 16 * TARGET_PAGE, MAP_SHARED, 0);
	r->flags |= MEMORY_ABSENT;
	r = anon("anonshared_pageout", 16 * TARGET_PAGE, MAP_SHARED, 1);
	r->flags |= MEMORY_CACHED;
	advise(r, MADV_PAGEOUT);
}

static void make_thp(void)
{
	struct memory_region *r;
	size_t len = 4 * MB;
	uint8_t *all = mmap(NULL, 3 * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *at = (uint8_t *)(((uintptr_t)all + len) & -len);

	r = region("thp", all == MAP_FAILED ? NULL :
		   mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			-1, 0), len);
	if (!r)
		return;
	munmap(all, at - all);
	munmap(at + len, all + 3 * len - (at + len));
	advise(r, MADV_HUGEPAGE);
	fill_pages(r, 0, 1);
}

/* ---- files ---- */

// A file of this many bytes with the pattern of seed, already unlinked if so asked.
static int make_file(unsigned int seed, size_t bytes, bool keep)
{
	char path[] = "/var/tmp/target-memory.XXXXXX";
	uint64_t page[TARGET_PAGE / 8];
	int fd = mkstemp(path);

	if (fd < 0)
		target_die(1, "mkstemp");
	for (size_t i = 0; i < bytes; i += TARGET_PAGE) {
		size_t n = bytes - i < TARGET_PAGE ? bytes - i : TARGET_PAGE;

		target_fill_page(page, seed, i / TARGET_PAGE);
		if (write(fd, page, n) != (ssize_t)n)
			target_die(1, "write");
	}
	// A name without " (deleted)" in maps: the file gets a new one that goes at the exit.
	if (!keep)
		unlink(path);
	return fd;
}

static char memory_kept[2][64];

static void forget_name(int fd, size_t i)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, memory_kept[i], sizeof(memory_kept[i]) - 1);
	memory_kept[i][n > 0 ? n : 0] = '\0';
}

static struct memory_region *map_fd(const char *name, int fd, size_t len, int flags)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	return region(name, p, len);
}

static struct memory_region *map_file(const char *name, int fd, size_t len, int flags)
{
	struct memory_region *r = map_fd(name, fd, len, flags);

	if (r)
		r->flags |= MEMORY_CACHED;
	return r;
}

static void cow_some(struct memory_region *r)
{
	if (!r)
		return;
	r->seed2 = r->seed + COW_SEED;
	r->step2 = 4;
	fill_pages(r, 1, r->step2);
}

static void make_files(void)
{
	struct memory_region *r;
	int fd;

	fd = make_file(memory_next_seed, 16 * TARGET_PAGE, true);
	forget_name(fd, 0);
	cow_some(map_file("file_private", fd, 16 * TARGET_PAGE, MAP_PRIVATE));
	close(fd);
	fd = make_file(memory_next_seed, 16 * TARGET_PAGE, true);
	forget_name(fd, 1);
	cow_some(map_file("file_shared", fd, 16 * TARGET_PAGE, MAP_SHARED));
	close(fd);
	fd = make_file(memory_next_seed, 2 * TARGET_PAGE + 2048, false);
	r = map_file("past_eof", fd, 5 * TARGET_PAGE, MAP_PRIVATE);
	r->readable = 2 * TARGET_PAGE + 2048;
	close(fd);
	fd = make_file(memory_next_seed, 8 * TARGET_PAGE, false);
	cow_some(map_file("deleted", fd, 8 * TARGET_PAGE, MAP_PRIVATE));
	close(fd);
}

static void make_memfds(void)
{
	static const char *const names[] = { "memfd_shared", "memfd_private" };
	static const int flags[] = { MAP_SHARED, MAP_PRIVATE };

	for (size_t i = 0; i < TARGET_ARRAY_SIZE(names); i++) {
		int fd = memfd_create("target-memory", MFD_CLOEXEC);
		struct memory_region *r;

		if (fd < 0 || ftruncate(fd, 16 * TARGET_PAGE)) {
			skip(names[i]);
			continue;
		}
		r = map_fd(names[i], fd, 16 * TARGET_PAGE, flags[i]);
		r->step = 3;
		fill_pages(r, 0, 3);
		close(fd);
	}
}

static void make_sysv(void)
{
	int id = shmget(IPC_PRIVATE, 8 * TARGET_PAGE, IPC_CREAT | 0600);
	struct memory_region *r;

	r = region("sysv", id < 0 ? NULL : shmat(id, NULL, 0), 8 * TARGET_PAGE);
	if (id >= 0)
		shmctl(id, IPC_RMID, NULL);
	if (r) {
		r->step = 2;
		fill_pages(r, 0, 2);
	}
}

static void make_dev_zero(void)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct memory_region *r = map_fd("devzero", fd, 4 * TARGET_PAGE, MAP_PRIVATE);

	if (r)
		fill_pages(r, 0, 1);
	close(fd);
}

/* ---- what dumpers stumble over ---- */

static void make_hugetlb(bool private)
{
	static const char *const names[] = { "hugetlb_private", "hugetlb_shared" };
	static const int flags[] = { MAP_PRIVATE, MAP_SHARED };

	for (size_t i = private ? 0 : 1; i < TARGET_ARRAY_SIZE(names); i++) {
		void *p = mmap(NULL, 4 * MB, PROT_READ | PROT_WRITE,
			       flags[i] | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		struct memory_region *r = region(names[i], p, 4 * MB);

		if (!r)
			continue;
		r->readable = 2 * MB;		// the second huge page is reserved and absent
		fill_pages(r, 0, 1);
	}
}

// Pages that are in the file and in no page table.
static void make_hugetlb_file(void)
{
	int fd = memfd_create("target-memory", MFD_CLOEXEC | MFD_HUGETLB);
	void *shared = MAP_FAILED, *private = MAP_FAILED;
	struct memory_region *r;

	if (fd >= 0 && !ftruncate(fd, 2 * MB))
		shared = mmap(NULL, 2 * MB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared != MAP_FAILED) {
		target_fill(shared, 2 * MB, memory_next_seed);
		munmap(shared, 2 * MB);
		private = mmap(NULL, 2 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	}
	r = region("hugetlb_file", private, 2 * MB);
	if (r)
		r->flags |= MEMORY_CACHED;
	if (fd >= 0)
		close(fd);
}

static void make_secret(void)
{
	int fd = syscall(SYS_memfd_secret, O_CLOEXEC);
	struct memory_region *r;

	if (fd < 0 || ftruncate(fd, 4 * TARGET_PAGE)) {
		skip("secret");
		return;
	}
	r = map_fd("secret", fd, 4 * TARGET_PAGE, MAP_SHARED);
	close(fd);
	if (!r)
		return;
	r->flags |= MEMORY_DIRECT;
	fill_pages(r, 0, 1);
}

static void install_guard(struct memory_region *r, size_t page)
{
	size_t n = 0;

	if (madvise(r->addr + page * TARGET_PAGE, TARGET_PAGE, MADV_GUARD_INSTALL)) {
		skip(r->name);
		return;
	}
	while (r->guards[n])
		n++;
	r->guards[n] = page;
}

static void make_guard(void)
{
	struct memory_region *r = anon("guard", 16 * TARGET_PAGE, MAP_PRIVATE, 1);

	install_guard(r, 2);
	install_guard(r, 5);
	install_guard(r, 15);
}

static int memory_pipe[2];

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(memory_pipe[0], &c, 1);
}

static struct target_thread memory_blocked = { .name = "guarded-stack", .run = in_read };

// glibc 2.42 makes the guards of thread stacks this way, inside the mapping of the stack.
static void make_guarded_stack(void)
{
	struct memory_region *r = anon("guarded_stack", BLOCKED_STACK, MAP_PRIVATE | MAP_STACK, 0);
	pthread_attr_t attr;

	install_guard(r, 1);
	r->addr[3 * TARGET_PAGE] = 0;		// page 3 is present, 2 is not
	r->readable = 4 * TARGET_PAGE;		// the rest is the thread's own
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, r->addr, r->len);
	if (pthread_create(&memory_blocked.handle, &attr, target_thread_main, &memory_blocked))
		target_die(1, "pthread_create");
	pthread_attr_destroy(&attr);
	target_wait_blocked(&memory_blocked);
}

static void make_uring(void)
{
	struct io_uring_params p = { 0 };
	int fd = syscall(SYS_io_uring_setup, 8, &p);
	struct memory_region *r;
	void *ring = MAP_FAILED;

	if (fd >= 0)
		ring = mmap(NULL, TARGET_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    IORING_OFF_SQ_RING);
	r = region("io_uring", ring, TARGET_PAGE);
	if (r)
		r->flags |= MEMORY_OPAQUE;
}

static void make_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY, .disabled = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	struct memory_region *r;

	r = region("perf", fd < 0 ? NULL : mmap(NULL, 3 * TARGET_PAGE, PROT_READ | PROT_WRITE,
						MAP_SHARED, fd, 0), 3 * TARGET_PAGE);
	if (r)
		r->flags |= MEMORY_OPAQUE;
}

/* ---- verification ---- */

static void check_page(const struct memory_region *r, int mem, size_t page)
{
	size_t len = r->readable - page * TARGET_PAGE;
	uint8_t *at = r->addr + page * TARGET_PAGE;
	uint64_t buf[TARGET_PAGE / 8];
	ssize_t n;

	if (len > TARGET_PAGE)
		len = TARGET_PAGE;
	if (r->flags & MEMORY_DIRECT) {
		memcpy(buf, at, len);
		n = len;
	} else {
		n = pread64(mem, buf, len, (uintptr_t)at);
	}
	if (n != (ssize_t)len) {
		target_fail("%s: page %zu cannot be read", r->name, page);
		return;
	}
	for (size_t j = 0; j < len / 8; j++) {
		if (buf[j] == region_word(r, page, j))
			continue;
		target_fail("%s: page %zu, word %zu is %" PRIx64, r->name, page, j, buf[j]);
		return;
	}
}

static void check_guard(const struct memory_region *r, size_t page)
{
	struct iovec theirs = { .iov_base = r->addr + page * TARGET_PAGE, .iov_len = 8 };
	uint64_t word;
	struct iovec ours = { .iov_base = &word, .iov_len = 8 };

	if (process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0) >= 0)
		target_fail("%s: guard page %zu can be read", r->name, page);
}

// Pages of [addr, addr + len) that have a page table entry (present or swapped).
static size_t count_present(int pagemap, const void *addr, size_t len)
{
	static uint64_t entries[8192];
	size_t pages = len / TARGET_PAGE, found = 0;

	for (size_t i = 0; i < pages;) {
		size_t want = pages - i < 8192 ? pages - i : 8192;
		ssize_t n = pread64(pagemap, entries, want * 8,
				    ((uintptr_t)addr / TARGET_PAGE + i) * 8);

		if (n <= 0)
			target_die(1, "cannot read pagemap");
		for (ssize_t k = 0; k < n / 8; k++)
			found += entries[k] >> 62 != 0;
		i += n / 8;
	}
	return found;
}

static void check_absent(const struct memory_region *r, int pagemap)
{
	size_t len = r->len < 256 * MB ? r->len : 256 * MB;
	size_t n = count_present(pagemap, r->addr, len);

	// 64 GiB of entries take seconds to read: look at both ends of such a region.
	n += count_present(pagemap, r->addr + r->len - len, len);
	if (n)
		target_fail("%s: %zu pages appeared that nobody touched", r->name, n);
}

static void check_region(const struct memory_region *r, int mem, int pagemap)
{
	if (r->flags & MEMORY_OPAQUE)
		return;
	if (r->flags & MEMORY_ABSENT) {
		check_absent(r, pagemap);
		return;
	}
	for (size_t page = 0; page * TARGET_PAGE < r->readable; page++) {
		if (region_has_guard(r, page))
			check_guard(r, page);
		// An absent page of a sparse region must not be read here: it would appear.
		else if (region_word(r, page, 0) || r->step == 0 ||
			 count_present(pagemap, r->addr + page * TARGET_PAGE, TARGET_PAGE))
			check_page(r, mem, page);
	}
}

// Pages of a sparse region are never read by this program, so their number stays the same.
static size_t memory_present[MEMORY_MAX];

static void look_at_present(bool compare, int pagemap)
{
	for (size_t i = 0; i < nregions; i++) {
		const struct memory_region *r = &regions[i];
		size_t n;

		if (r->flags & MEMORY_OPAQUE || r->len > 64 * MB || r->step == 0)
			continue;
		n = count_present(pagemap, r->addr, r->len);
		// Less may happen any time: clean file pages go, others are compacted.
		if (compare && n > memory_present[i] && r->flags & MEMORY_CACHED)
			printf("note: %s has %zu more pages\n", r->name, n - memory_present[i]);
		else if (compare && n > memory_present[i])
			target_fail("%s: had %zu pages, has %zu", r->name, memory_present[i], n);
		if (!compare)
			memory_present[i] = n;
	}
}

static void memory_check(void)
{
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	look_at_present(true, pagemap);
	for (size_t i = 0; i < nregions; i++)
		check_region(&regions[i], mem, pagemap);
	look_at_present(false, pagemap);
	target_check_thread(&memory_blocked);
	close(mem);
	close(pagemap);
}

/* ---- main ---- */

// Of the kernel's mapping with this region in it: neighbours that are alike are one to it.
static uint64_t smaps_kb(const struct memory_region *r, const char *key)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uint64_t kb = 0, start, end;
	uintptr_t addr = (uintptr_t)r->addr;
	char line[512];
	bool here = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			here = start <= addr && addr < end;
		if (here && !strncmp(line, key, strlen(key)) &&
		    sscanf(line + strlen(key), ": %" SCNu64 " kB", &kb) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kb;
}

static const struct memory_region *find_region(const char *name)
{
	for (size_t i = 0; i < nregions; i++)
		if (!strcmp(regions[i].name, name))
			return &regions[i];
	return &regions[0];
}

static size_t print_region(char *buf, size_t size, const struct memory_region *r)
{
	size_t n = 0, g = 0;

	n += snprintf(buf, size, " %s=%p:%zu", r->name, (void *)r->addr, r->len);
	if (r->flags & MEMORY_OPAQUE)
		return n;
	n += snprintf(buf + n, size - n, ":%u:%u", r->seed, r->step);
	if (r->step2)
		n += snprintf(buf + n, size - n, ":%u:%u", r->seed2, r->step2);
	if (r->readable != r->len)
		n += snprintf(buf + n, size - n, " %s_readable=%zu", r->name, r->readable);
	for (; r->guards[g]; g++)
		n += snprintf(buf + n, size - n, "%s%.*s%s%u", g ? "," : " ",
			      g ? 0 : (int)strlen(r->name), r->name, g ? "" : "_guards=",
			      r->guards[g]);
	return n;
}

static void memory_ready(void)
{
	static char text[16384];
	size_t n = 0;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; i < nregions; i++)
		n += print_region(text + n, sizeof(text) - n, &regions[i]);
	look_at_present(false, pagemap);
	close(pagemap);
	target_ready(0, 0, "skipped=%s thp_kb=%" PRIu64 " swap_kb=%" PRIu64 " stack_tid=%d%s",
		     memory_skipped, smaps_kb(find_region("thp"), "AnonHugePages"),
		     smaps_kb(find_region("pageout"), "Swap"), (int)memory_blocked.tid, text);
}

static bool memory_command(const char *line)
{
	if (strcmp(line, "thp"))
		return false;
	printf("thp %" PRIu64 "\n", smaps_kb(find_region("thp"), "AnonHugePages"));
	return true;
}

static void memory_unlink(void)
{
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(memory_kept); i++)
		unlink(memory_kept[i]);
}

static bool given(char **argv, const char *word)
{
	while (*++argv)
		if (!strcmp(*argv, word))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	(void)argc;
	static const struct target_ops ops = { .check = memory_check, .command = memory_command,
					       .quit = memory_unlink };

	target_init();
	if (pipe2(memory_pipe, O_CLOEXEC))
		target_die(1, "pipe2");
	make_private();
	make_advised();
	make_zero_pages();
	make_shared();
	make_thp();
	make_files();
	make_memfds();
	if (!given(argv, "no-sysv"))
		make_sysv();
	make_dev_zero();
	make_hugetlb(!given(argv, "no-hugetlb"));
	if (!given(argv, "no-hugetlb"))
		make_hugetlb_file();
	make_secret();
	make_guard();
	make_guarded_stack();
	if (!given(argv, "no-uring"))
		make_uring();
	make_perf();
	memory_ready();
	return target_serve(&ops);
}
