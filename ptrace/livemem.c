// SPDX-License-Identifier: LGPL-2.1-or-later
#include "livemem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backing.h"
#include "common/compat.h"
#include "common/fd.h"
#include "denial.h"
#include "feature.h"

enum {
	PAGE = 4096,
	// Entries of the pagemap fallback read at once: 2 MiB of address space.
	PAGEMAP_BATCH = 512,
	// Regions asked of PAGEMAP_SCAN at once.
	SCAN_BATCH = 256,
	// Up to so many written regions are looked at one by one.
	FEW_REGIONS = 32,
	// Mappings larger than this are not looked at page by page while the process waits.
	LOOK_MAX_BYTES = 256 << 20,
};

// Bits of a /proc/PID/pagemap entry, Documentation/admin-guide/mm/pagemap.rst.
#define PM_PRESENT (1ULL << 63)
#define PM_SWAP (1ULL << 62)
#define PM_FILE (1ULL << 61)
#define PM_GUARD (1ULL << 58) // Linux 6.14

struct livemem {
	struct memsource source;
	pid_t tid;
	int piddir; ///< borrowed
	int memfd, pagemapfd;
	int pidfd; ///< for advice; negative when that cannot be given
	bool map_files; ///< /proc/PID/map_files can be used
	atomic_bool no_scan, no_guard, no_readv; ///< found out that the kernel lacks it
	enum livemem_mode mode;
	bool reports_holes;
	const struct snapshot *there; ///< borrowed, of livemem_set_child(); else NULL
	atomic_bool released;
	atomic_uint_fast64_t activity;
};

static int open_backing(const struct livemem *mem, const struct snap_mapping *map)
{
	return mem->map_files ? backing_open(mem->piddir, map) : -EPERM;
}

/// What a page that the page tables do not have is, in this mapping.
static enum mem_kind absent_kind(const struct snap_mapping *map)
{
	if (map->flags & SNAP_MAP_SPECIAL)
		return MEM_DATA; // the kernel's own pages, mapped at the first access
	if (map->flags & SNAP_MAP_SHARED)
		return map->flags & SNAP_MAP_UNLINKED ? MEM_NOT_RESIDENT : MEM_FILE;
	return map->inode && !(map->flags & SNAP_MAP_ANON_HUGETLB) ? MEM_FILE : MEM_ZERO;
}

// Of a page that is followed and was not written. Asked for only when that matters.
static const uint64_t KEPT_BITS = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN;

static enum mem_kind region_kind(uint64_t categories, const struct snap_mapping *map)
{
	if (categories & PAGE_IS_GUARD)
		return MEM_GUARD;
	if ((categories & KEPT_BITS) == PAGE_IS_WPALLOWED)
		return MEM_HELD;
	if (categories & PAGE_IS_PFNZERO)
		return MEM_ZERO;
	if (categories & PAGE_IS_PRESENT)
		return MEM_DATA;
	if (categories & PAGE_IS_SWAPPED)
		return MEM_SWAPPED;
	return absent_kind(map);
}

/// PAGEMAP_SCAN, with or without the question for guard regions, which is newer.
static int scan_ioctl(struct livemem *mem, struct pm_scan_arg arg, uint64_t *ret_end)
{
	const struct pm_scan_arg asked = arg;
	arg.size = sizeof(arg);
	for (;;) {
		uint64_t guard = mem->no_guard ? 0 : PAGE_IS_GUARD;
		if (asked.flags & PM_SCAN_WP_MATCHING) { // these are not to be followed
			arg.category_inverted = asked.category_inverted | guard;
			arg.category_mask = asked.category_mask | guard;
		} else if (asked.category_anyof_mask) {
			arg.category_anyof_mask = asked.category_anyof_mask | guard;
			arg.return_mask = asked.return_mask | guard;
		} else {
			guard = 0;
		}
		int n = ioctl(mem->pagemapfd, PAGEMAP_SCAN, &arg);
		if (n >= 0) {
			*ret_end = arg.walk_end;
			return n;
		}
		if (errno == EINTR)
			continue;
		if (errno == EINVAL && guard) {
			mem->no_guard = true;
			continue;
		}
		return -errno;
	}
}

/// The regions of @vec, which lie in [@start, @walk_end), with what is between them.
static int list_regions(const struct snap_mapping *map, uint64_t start, uint64_t walk_end,
			const struct page_region *vec, int regions, enum mem_kind between,
			struct mem_range *ret, size_t max)
{
	size_t n = 0;
	uint64_t addr = start;
	for (int i = 0; i < regions; i++) {
		if (!mem_range_add(ret, max, &n, addr, vec[i].start, between) ||
		    !mem_range_add(ret, max, &n, vec[i].start, vec[i].end,
			       region_kind(vec[i].categories, map)))
			return (int)n;
		addr = vec[i].end;
	}
	// A full vector ends the walk at its last region.
	(void)mem_range_add(ret, max, &n, addr, MAX(walk_end, addr), between);
	return n ? (int)n : -EIO;
}

/// Of others, what a descriptor notes is not all that happens to them (track.h).
static bool can_be_followed(const struct snap_mapping *map)
{
	return !(map->flags & SNAP_MAP_SHARED) && !map->inode;
}

static int scan_pages(struct livemem *mem, const struct snap_mapping *map, uint64_t start,
		      uint64_t end, struct mem_range *ret, size_t max)
{
	struct page_region vec[SCAN_BATCH];
	uint64_t walk_end = start, kept = 0;
	// Another mapping may have come to a place just before that was followed.
	if (mem->mode == LIVEMEM_CHANGED && can_be_followed(map))
		kept = KEPT_BITS;
	const size_t most = MIN(max, (size_t)SCAN_BATCH);
	const struct pm_scan_arg arg = {
		.start = start,
		.end = end,
		.vec = (uintptr_t)vec,
		.vec_len = most,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO | kept,
	};
	int n = scan_ioctl(mem, arg, &walk_end);
	return n < 0 ? n : list_regions(map, start, walk_end, vec, n, absent_kind(map), ret, max);
}

/// While the process runs: what was written since the last scan, followed anew by the same call.
static int scan_follow(struct livemem *mem, const struct snap_mapping *map, uint64_t start,
		       uint64_t end, struct mem_range *ret, size_t max)
{
	struct page_region vec[SCAN_BATCH];
	uint64_t walk_end = start;
	// Each with what is between it and the one before: of no region there may be no room to
	// tell, since it is not told again.
	const size_t most = MIN(max / 2, (size_t)SCAN_BATCH);
	// Not what does not exist: the kernel would make page tables to remember that. And without
	// PM_SCAN_CHECK_WPASYNC: in front of a mapping that came in between and is not followed, it
	// ends with an error, after the notes of all pages before that have been cleared.
	const struct pm_scan_arg arg = {
		.flags = PM_SCAN_WP_MATCHING,
		.start = start,
		.end = end,
		.vec = (uintptr_t)vec,
		.vec_len = most,
		.category_mask = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO,
	};
	int n = max < 2 || !can_be_followed(map) ? -EPERM : scan_ioctl(mem, arg, &walk_end);
	if (n < 0) { // not followed, or not any more: that is for later
		*ret = (struct mem_range){ start, end, MEM_HELD };
		return n == -ESRCH ? n : 1;
	}
	return list_regions(map, start, walk_end, vec, n, MEM_HELD, ret, max);
}

/**
 * The process has stopped: what of a mapping that is followed has changed.
 *
 * Mostly that is little. So the quick question comes first, which pages were written, and only
 * these are looked at more closely. -EPERM: it is not followed.
 */
static int scan_changed(struct livemem *mem, const struct snap_mapping *map, uint64_t start,
			uint64_t end, struct mem_range *ret, size_t max)
{
	struct page_region vec[FEW_REGIONS];
	uint64_t walk_end = start;
	const struct pm_scan_arg arg = {
		.flags = PM_SCAN_CHECK_WPASYNC,
		.start = start,
		.end = end,
		.vec = (uintptr_t)vec,
		.vec_len = FEW_REGIONS,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	if (!can_be_followed(map))
		return -EPERM;
	int regions = scan_ioctl(mem, arg, &walk_end);
	if (regions < 0)
		return regions;
	if (regions == FEW_REGIONS || !mem->reports_holes)
		return scan_pages(mem, map, start, end, ret, max);
	size_t n = 0;
	uint64_t addr = start;
	for (int i = 0; i < regions; i++) {
		struct mem_range inside[SCAN_BATCH];
		if (!mem_range_add(ret, max, &n, addr, vec[i].start, MEM_HELD))
			return (int)n;
		for (addr = vec[i].start; addr < vec[i].end;) {
			int k = scan_pages(mem, map, addr, vec[i].end, inside, SCAN_BATCH);
			if (k < 0)
				return k;
			for (int j = 0; j < k; j++) {
				if (!mem_range_add(ret, max, &n, inside[j].start, inside[j].end,
					       inside[j].kind))
					return (int)n;
				addr = inside[j].end;
			}
		}
	}
	(void)mem_range_add(ret, max, &n, addr, walk_end, MEM_HELD);
	return n ? (int)n : -EIO;
}

static int scan_pagemap(struct livemem *mem, const struct snap_mapping *map, uint64_t start,
			uint64_t end, struct mem_range *ret, size_t max)
{
	uint64_t entries[PAGEMAP_BATCH];
	size_t n = 0;
	for (uint64_t addr = start; addr < end;) {
		size_t want = MIN((end - addr) / PAGE, (uint64_t)PAGEMAP_BATCH);
		ssize_t got = snap_pread_full(mem->pagemapfd, entries, want * 8, addr / PAGE * 8);
		if (got < 0)
			return (int)got;
		if (!got) // beyond the user address space: the vsyscall page
			return mem_range_add(ret, max, &n, addr, end, MEM_DATA) || n ? (int)n :
										       -EIO;
		for (ssize_t i = 0; i < got / 8; i++, addr += PAGE) {
			enum mem_kind kind = entries[i] & PM_GUARD ? MEM_GUARD :
					     entries[i] & PM_PRESENT ? MEM_DATA :
					     entries[i] & PM_SWAP ? MEM_SWAPPED :
								    absent_kind(map);
			if (!mem_range_add(ret, max, &n, addr, addr + PAGE, kind))
				return (int)n;
		}
	}
	return (int)n;
}

/// Without the file at hand, the absent pages of shared memory are out of reach: asking the process
/// for them would allocate them there. Those of an ordinary file are only mapped in.
static int without_backing(const struct snap_mapping *map, struct mem_range *ret, int n)
{
	// Memory file systems have no device; deleted files of a disk do. Some file systems on
	// disks (btrfs, overlayfs) have none either: a gap too many, not memory allocated.
	bool memory = (map->flags & SNAP_MAP_UNLINKED && !map->dev_major) ||
		      map->flags & SNAP_MAP_HUGETLB;
	for (int i = 0; memory && i < n; i++)
		if (ret[i].kind == MEM_FILE)
			ret[i].kind = MEM_NOT_RESIDENT;
	return n;
}

/// Replaces the tail of the list that lies behind the end of the mapped file.
static int cut_at_eof(struct livemem *mem, const struct snap_mapping *map, struct mem_range *ret,
		      int n)
{
	bool any = false;
	for (int i = 0; i < n; i++)
		any |= ret[i].kind == MEM_FILE;
	if (!any)
		return n;
	_cleanup_close_ int fd = open_backing(mem, map);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return without_backing(map, ret, n);
	uint64_t eof = backing_eof(map, (uint64_t)st.st_size, map->end);
	for (int i = 0; i < n; i++) {
		if (ret[i].kind != MEM_FILE || ret[i].end <= eof)
			continue;
		if (ret[i].start >= eof) {
			ret[i].kind = MEM_PAST_EOF;
			continue;
		}
		ret[i].end = eof; // the rest is asked for again
		return i + 1;
	}
	return n;
}

bool livemem_forked(const struct snap_mapping *map)
{
	const uint32_t others = SNAP_MAP_SHARED | SNAP_MAP_DONTFORK | SNAP_MAP_WIPEONFORK |
				SNAP_MAP_IO | SNAP_MAP_PFN | SNAP_MAP_HUGETLB |
				SNAP_MAP_SHADOWSTACK | SNAP_MAP_SPECIAL | SNAP_MAP_YOUNG;
	return !(map->flags & others) && !map->inode;
}

/// Where the part of [@start, @end) ends that the child has, or has not; @ret_has says which.
static uint64_t cut_at_mapping(const struct snapshot *there, uint64_t start, uint64_t end,
			       bool *ret_has)
{
	size_t i = snapshot_find(there, start);
	*ret_has = false;
	if (i == there->n_mappings)
		return end;
	const struct snap_mapping *map = &there->mappings[i];
	if (map->start > start)
		return MIN(end, map->start);
	*ret_has = !(map->flags & (SNAP_MAP_SHARED | SNAP_MAP_WIPEONFORK));
	return MIN(end, map->end);
}

/**
 * Is [@start, *@end) for this memory, of the process or of its child? If not, @ret says what it is.
 *
 * madvise() may have been called between the look at the process and its stop: then there is
 * something that nobody has.
 */
static bool is_ours(const struct livemem *mem, const struct snap_mapping *map, uint64_t start,
		    uint64_t *end, struct mem_range *ret)
{
	bool forked = livemem_forked(map), has = true;
	*ret = (struct mem_range){ start, *end, MEM_HELD };
	if (mem->mode == LIVEMEM_FORKED)
		return !forked;
	if (!mem->there || !forked)
		return !mem->there;
	*end = cut_at_mapping(mem->there, start, *end, &has);
	*ret = (struct mem_range){ start, *end, MEM_NOT_RESIDENT };
	return has;
}

bool livemem_lives(const struct livemem *mem)
{
	char byte;
	// Nothing is mapped there, which is an error; the end of all memory is none.
	return pread(mem->memfd, &byte, 1, 0) != 0;
}

static int scan(struct livemem *mem, const struct snap_mapping *map, uint64_t start, uint64_t end,
		struct mem_range *ret, size_t max)
{
	if (map->flags & SNAP_MAP_SHARED && mem->mode != LIVEMEM_FOLLOW) {
		_cleanup_close_ int fd = open_backing(mem, map);
		int n = fd < 0 ? fd : backing_scan(fd, map, start, end, ret, max);
		if (n > 0)
			return n;
	}
	int n = -ENOTTY;
	if (mem->mode == LIVEMEM_FOLLOW)
		return scan_follow(mem, map, start, end, ret, max);
	if (mem->mode == LIVEMEM_CHANGED) {
		n = scan_changed(mem, map, start, end, ret, max);
		if (n > 0)
			return n;
	}
	if (!mem->no_scan && !(map->flags & SNAP_MAP_SPECIAL)) {
		n = scan_pages(mem, map, start, end, ret, max);
		if (n == -ENOTTY || n == -EINVAL)
			mem->no_scan = true;
	}
	if (n < 0 && n != -ESRCH)
		n = scan_pagemap(mem, map, start, end, ret, max);
	return n < 0 ? n : cut_at_eof(mem, map, ret, n);
}

static int livemem_scan(struct memsource *src, const struct snap_mapping *map, uint64_t start,
			uint64_t end, struct mem_range *ret, size_t max)
{
	struct livemem *mem = (struct livemem *)src;
	mem->activity++;
	if (!is_ours(mem, map, start, &end, ret))
		return 1;
	int n = scan(mem, map, start, end, ret, max);
	// Of memory that is gone the kernel says that there are no pages.
	return mem->there && !livemem_lives(mem) ? -ESRCH : n;
}

static ssize_t read_through_mem(const struct livemem *mem, uint64_t addr, void *buf, size_t len)
{
	ssize_t n;
	do
		n = pread(mem->memfd, buf, len, (off_t)addr);
	while (n < 0 && errno == EINTR);
	if (n < 0) // EINVAL: the vsyscall page, whose address is a negative offset
		return errno == EIO || errno == EINVAL ? -EFAULT : -errno;
	return n ? n : -ESRCH; // no memory any more: mm_struct is gone
}

static ssize_t read_memory(struct livemem *mem, const struct snap_mapping *map, uint64_t addr,
			   void *buf, size_t len)
{
	if (!mem->no_readv && map->flags & SNAP_MAP_READ) {
		struct iovec local = { .iov_base = buf, .iov_len = len };
		struct iovec remote = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
		ssize_t n = process_vm_readv(mem->tid, &local, 1, &remote, 1, 0);
		if (n > 0)
			return n;
		if (n < 0 && errno == ESRCH)
			return -ESRCH;
		if (n < 0 && (errno == ENOSYS || errno == EPERM))
			mem->no_readv = true; // a seccomp filter around us
	}
	return read_through_mem(mem, addr, buf, len);
}

/**
 * Marks what we have read from swap as the first to go there again.
 *
 * To the kernel, what another process reads is in use. With a group at its limit of memory, all of
 * which was read like that, it finds nothing to swap out (seen with 6.18) and kills the process.
 */
static void forget_access(const struct livemem *mem, uint64_t addr, size_t len)
{
	struct iovec range = { .iov_base = (void *)(uintptr_t)addr,
			       .iov_len = ALIGN_UP(len, (size_t)PAGE) };
	if (mem->pidfd >= 0) // Linux 5.10
		(void)syscall(SYS_process_madvise, mem->pidfd, &range, 1, MADV_COLD, 0);
}

static ssize_t livemem_read(struct memsource *src, const struct snap_mapping *map,
			    enum mem_kind kind, uint64_t addr, void *buf, size_t len)
{
	struct livemem *mem = (struct livemem *)src;
	ssize_t n = -EIO;
	mem->activity++;
	if (kind == MEM_FILE) {
		_cleanup_close_ int fd = open_backing(mem, map);
		if (fd >= 0)
			n = backing_read(fd, map, addr, buf, len);
		if (n == -EFAULT)
			return n; // it is the buffer that cannot be written to
	}
	if (n <= 0)
		n = read_memory(mem, map, addr, buf, len);
	if (n > 0 && kind == MEM_SWAPPED)
		forget_access(mem, addr, (size_t)n);
	return mem->released ? -ECANCELED : n;
}

static ssize_t livemem_read_many(struct memsource *src, const struct snap_mapping *map,
				 const struct iovec *to, const struct iovec *from, size_t n)
{
	struct livemem *mem = (struct livemem *)src;
	if (mem->no_readv || !(map->flags & SNAP_MAP_READ))
		return -ENOTSUP;
	mem->activity++;
	ssize_t got = process_vm_readv(mem->tid, to, n, from, n, 0);
	if (got < 0)
		return errno == ESRCH ? -ESRCH : -ENOTSUP;
	return mem->released ? -ECANCELED : got;
}

static const struct memsource_ops livemem_ops = {
	.scan = livemem_scan, .read = livemem_read, .read_many = livemem_read_many
};

struct snap_error *livemem_create(pid_t tid, int piddir, struct livemem **ret)
{
	_cleanup_(livemem_destroyp) struct livemem *mem = calloc(1, sizeof(*mem));
	if (!mem)
		return snap_error_oom();
	mem->source.ops = &livemem_ops;
	mem->tid = tid;
	mem->piddir = piddir;
	mem->pagemapfd = -EBADF;
	mem->pidfd = (int)syscall(SYS_pidfd_open, tid, 0);
	mem->no_scan = feature_masked("pagemap_scan");
	mem->no_readv = feature_masked("process_vm_readv");
	mem->memfd = openat(piddir, "mem", O_RDONLY | O_CLOEXEC);
	if (mem->memfd < 0)
		return denial_from_errno(tid, piddir, errno, "read the memory of");
	mem->pagemapfd = openat(piddir, "pagemap", O_RDONLY | O_CLOEXEC);
	if (mem->pagemapfd < 0)
		return denial_from_errno(tid, piddir, errno, "read the page map of");
	// Following a link below map_files needs CAP_CHECKPOINT_RESTORE (Linux 5.9) in the initial
	// user namespace; listing the folder does not. Whether the first open works is the answer.
	mem->map_files = !feature_masked("map_files");
	*ret = TAKE_PTR(mem);
	return NULL;
}

/// The same with pagemap, for kernels without PAGEMAP_SCAN.
static bool written_by_pagemap(const struct livemem *mem, const struct snap_mapping *map)
{
	uint64_t entries[PAGEMAP_BATCH];
	if (map->end - map->start > LOOK_MAX_BYTES)
		return true;
	for (uint64_t addr = map->start; addr < map->end;) {
		size_t want = MIN((map->end - addr) / PAGE, (uint64_t)PAGEMAP_BATCH);
		ssize_t got = snap_pread_full(mem->pagemapfd, entries, want * 8, addr / PAGE * 8);
		if (got <= 0)
			return true;
		for (ssize_t i = 0; i < got / 8; i++, addr += PAGE)
			if (entries[i] & PM_SWAP ||
			    (entries[i] & (PM_PRESENT | PM_FILE)) == PM_PRESENT)
				return true;
	}
	return false;
}

bool livemem_written(struct livemem *mem, const struct snap_mapping *map)
{
	struct page_region found;
	uint64_t walk_end;
	const struct pm_scan_arg arg = {
		.start = map->start,
		.end = map->end,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.max_pages = 1,
		.category_inverted = PAGE_IS_FILE,
		.category_mask = PAGE_IS_FILE,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT,
	};
	int n = mem->no_scan ? -ENOTTY : scan_ioctl(mem, arg, &walk_end);
	return n == -ENOTTY || n == -EINVAL ? written_by_pagemap(mem, map) : n != 0;
}

void livemem_set_mode(struct livemem *mem, enum livemem_mode mode, bool reports_holes)
{
	mem->mode = mode;
	mem->reports_holes = reports_holes;
	if (mode == LIVEMEM_FORKED)
		mem->no_readv = true; // it would take a copy of each page it reads
}

void livemem_set_child(struct livemem *mem, const struct snapshot *there)
{
	mem->there = there;
	mem->no_readv = true; // as above
}

void livemem_destroy(struct livemem *mem)
{
	if (!mem)
		return;
	snap_closep(&mem->memfd);
	snap_closep(&mem->pagemapfd);
	snap_closep(&mem->pidfd);
	free(mem);
}

struct memsource *livemem_source(struct livemem *mem)
{
	return &mem->source;
}

uint64_t livemem_activity(const struct livemem *mem)
{
	return mem->activity;
}

void livemem_release(struct livemem *mem)
{
	mem->released = true;
}
