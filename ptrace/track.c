// SPDX-License-Identifier: LGPL-2.1-or-later
#include "track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch.h"
#include "common/compat.h"
#include "common/fd.h"
#include "devices.h"
#include "feature.h"
#include "inject.h"

enum {
	PAGE = 4096,
	PMD_BYTES = 2 << 20,
	// Each mapping that is followed costs some microseconds under a lock of the process, twice;
	// so small ones are left to the pause, and there is an end to their number.
	MIN_BYTES = 16 << 10,
	RANGES_MAX = 16384,
	// Given back at once: less than a millisecond during which the process cannot map memory.
	STEP_BYTES = 32 << 20,
};

struct track {
	int uffd;
	int lock; ///< held as long as this follows
	bool reports_holes;
	struct range {
		uint64_t start, end;
		uint64_t bytes; ///< of memory in it, at the look
	} *ranges;
	size_t n;
};

static int enable(int uffd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	return ioctl(uffd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

static int watch(int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_register reg = { .range = { start, end - start },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	return ioctl(uffd, UFFDIO_REGISTER, &reg) < 0 ? -errno : 0;
}

static long scan_written(int pagemap, const char *start, size_t len, uint64_t flags,
			 struct page_region *vec, size_t n)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)start,
		.end = (uintptr_t)start + len,
		.vec = (uintptr_t)vec,
		.vec_len = n,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	return ioctl(pagemap, PAGEMAP_SCAN, &arg);
}

/**
 * Tries on two page tables of our own what is going to be relied on: that a write is noted, that
 * reading is not, and whether discarding is. Returns 0 or a negative errno.
 */
static int try_areas(int uffd, int pagemap, char *area, bool *ret_holes)
{
	const size_t len = 2 * (size_t)PMD_BYTES;
	struct page_region vec[4];
	volatile char *first = area, *second = area + PMD_BYTES;
	(void)madvise(area, len, MADV_NOHUGEPAGE);
	for (int i = 0; i < 4; i++) {
		first[i * PAGE] = 1;
		second[i * PAGE] = 1;
	}
	int r = watch(uffd, (uintptr_t)area, (uintptr_t)area + len);
	if (r < 0)
		return r;
	if (scan_written(pagemap, area, len, PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, NULL,
			 0) < 0)
		return -errno;
	second[PAGE] = second[0];
	if (madvise(area, PMD_BYTES, MADV_DONTNEED) < 0)
		return -errno;
	long n = scan_written(pagemap, area + PMD_BYTES, (size_t)4 * PAGE, 0, vec, 4);
	if (n != 1 || vec[0].start != (uintptr_t)second + PAGE ||
	    vec[0].end != (uintptr_t)second + (uintptr_t)2 * PAGE)
		return -ENOTSUP;
	n = scan_written(pagemap, area, (size_t)4 * PAGE, 0, vec, 4);
	*ret_holes = n == 1 && vec[0].start == (uintptr_t)first &&
		     vec[0].end == (uintptr_t)first + (uintptr_t)4 * PAGE &&
		     !feature_masked("written_holes");
	return 0;
}

/// What can this kernel do? Returns 0 or a negative errno.
static int probe(bool *ret_holes)
{
	if (feature_masked("userfaultfd") || feature_masked("pagemap_scan"))
		return -ENOSYS;
	_cleanup_close_ int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK |
								 UFFD_USER_MODE_ONLY);
	if (uffd < 0)
		return -errno;
	_cleanup_close_ int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return -errno;
	int r = enable(uffd);
	if (r < 0)
		return r;
	const size_t len = 3 * (size_t)PMD_BYTES;
	char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	char *area = map + (ALIGN_UP((uintptr_t)map, (uintptr_t)PMD_BYTES) - (uintptr_t)map);
	r = try_areas(uffd, pagemap, area, ret_holes);
	(void)munmap(map, len);
	return r;
}

bool track_follows(const struct snap_mapping *map)
{
	const uint32_t others = SNAP_MAP_SHARED | SNAP_MAP_DONTDUMP | SNAP_MAP_IO | SNAP_MAP_PFN |
				SNAP_MAP_HUGETLB | SNAP_MAP_SHADOWSTACK | SNAP_MAP_SPECIAL;
	return !(map->flags & others) && !map->inode &&
	       map->anon_bytes + map->swap_bytes >= MIN_BYTES;
}

struct injector {
	const struct pidref *ref;
	int procfd;
	const struct snapshot *snap;
	int uffd;
	struct snap_error *error;
};

static void *injector_main(void *userdata)
{
	struct injector *i = userdata;
	const struct arch_call call = { .nr = arch_nr_userfaultfd,
					.arg = O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY };
	i->error = inject_descriptor(i->ref, i->procfd, i->snap, &call, &i->uffd);
	return NULL;
}

/// Tracing belongs to a thread, so this one gets its own, whose end is the end of it.
static struct snap_error *make_uffd(struct injector *i)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, injector_main, i);
	if (r)
		return snap_error_errno(SNAP_FAILED, r, "cannot start a thread");
	(void)pthread_join(thread, NULL);
	return i->error;
}

static bool is_watched(const struct track *t, uint64_t addr)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->ranges[i].start <= addr && addr < t->ranges[i].end)
			return true;
	return false;
}

struct snap_error *track_extend(struct track *t, const struct snapshot *snap)
{
	size_t known = t->n, room = MIN(known + snap->n_mappings, (size_t)RANGES_MAX);
	struct range *ranges = reallocarray(t->ranges, MAX(room, (size_t)1), sizeof(*ranges));
	if (!ranges)
		return snap_error_oom();
	t->ranges = ranges;
	for (size_t i = 0; i < snap->n_mappings && t->n < room; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		if (!track_follows(map) || (known && is_watched(t, map->start)))
			continue;
		int r = watch(t->uffd, map->start, map->end);
		if (r == -EBUSY)
			return snap_error_new(SNAP_FAILED, "somebody else follows its writes");
		if (r == 0) // else it is not there any more
			t->ranges[t->n++] = (struct range){ map->start, map->end,
							    map->anon_bytes + map->swap_bytes };
	}
	return NULL;
}

/**
 * One may follow a process at a time: notes of writes are for whoever asks first, and two would
 * each miss what the other got. Only who may trace the process can open this file of it, and the
 * kernel gives it back when we are killed.
 */
static struct snap_error *lock(int procfd, int *ret)
{
	_cleanup_close_ int fd = openat(procfd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return snap_error_new(SNAP_FAILED, "its pages cannot be looked at");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return snap_error_new(SNAP_FAILED, "it is being copied in advance already");
	*ret = TAKE_FD(fd);
	return NULL;
}

/// Also finds out what the kernel can do.
static struct snap_error *check(int procfd, bool *ret_holes)
{
	int r = probe(ret_holes);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "the kernel cannot follow writes");
	const char *why = devices_obstacle(procfd, DEVICES_FOLLOW);
	return why ? snap_error_new(SNAP_FAILED, "%s", why) : NULL;
}

struct snap_error *track_check(int procfd, const struct snapshot *snap)
{
	bool holes;
	struct snap_error *err = check(procfd, &holes);
	const char *why = err ? NULL : inject_obstacle(procfd, snap);
	return why ? snap_error_new(SNAP_FAILED, "%s", why) : err;
}

struct snap_error *track_begin(const struct pidref *ref, int procfd, const struct snapshot *snap,
			       struct track **ret)
{
	_cleanup_(track_endp) struct track *t = calloc(1, sizeof(*t));
	if (!t)
		return snap_error_oom();
	t->uffd = -EBADF;
	t->lock = -EBADF;
	struct snap_error *err = check(procfd, &t->reports_holes);
	if (!err)
		err = lock(procfd, &t->lock);
	if (err)
		return err;
	struct injector injector = { .ref = ref, .procfd = procfd, .snap = snap, .uffd = -EBADF };
	err = make_uffd(&injector);
	if (err)
		return err;
	t->uffd = injector.uffd;
	int r = enable(t->uffd);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "the kernel cannot follow writes");
	err = track_extend(t, snap);
	if (err)
		return err;
	*ret = TAKE_PTR(t);
	return NULL;
}

/// In steps of about as much memory; false when the process has ended.
static bool give_back(const struct track *t, const struct range *range)
{
	uint64_t steps = range->bytes / STEP_BYTES + 1;
	uint64_t step = ALIGN_UP((range->end - range->start) / steps, (uint64_t)PMD_BYTES);
	for (uint64_t at = range->start; at < range->end; at += step) {
		const uint64_t len = MIN(range->end - at, step);
		struct uffdio_range part = { at, len };
		if (ioctl(t->uffd, UFFDIO_UNREGISTER, &part) < 0 && errno == ESRCH)
			return false; // other errors: it was unmapped
	}
	return true;
}

void track_end(struct track *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		if (!give_back(t, &t->ranges[i]))
			break;
	snap_closep(&t->uffd);
	snap_closep(&t->lock);
	free(t->ranges);
	free(t);
}

bool track_reports_holes(const struct track *t)
{
	return t->reports_holes;
}
