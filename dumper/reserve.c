// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/fd.h"
#include "common/str.h"
#include "pages.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
	PAGE = 4096,
	// Populated in one call, so that an abort does not wait for long.
	STEP_BYTES = 32 << 20,
	VMSTAT_MAX = 65536,
	// A memory full of holes is not worth a list as long as itself: 4 MiB of it.
	RANGES_MAX = 1 << 18,
	// At least this much goes into one place of the spill, which bounds their number.
	SPILL_MIN_BYTES = PAGE,
	// The largest folio of the page cache on x86-64 (mm/filemap.c MAX_PAGECACHE_ORDER is less).
	FOLIO_MAX_BYTES = 2 << 20,
};

static uint64_t vmstat_pages(const char *text, const char *key)
{
	uint64_t pages = 0;
	return snap_line_u64(text, key, &pages) == 0 ? pages : 0;
}

uint64_t reserve_dirty_room(void)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(AT_FDCWD, "/proc/vmstat", VMSTAT_MAX, &text) < 0)
		return 0;
	uint64_t background = vmstat_pages(text, "nr_dirty_background_threshold ");
	uint64_t dirty = vmstat_pages(text, "nr_dirty ") + vmstat_pages(text, "nr_writeback ");
	return background > dirty ? (background - dirty) * PAGE : 0;
}

static void *map_or_null(size_t size, int flags, int fd)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

void reserve_init(struct reserve *r, int fd, uint64_t size)
{
	*r = (struct reserve){ .fd = fd, .size = size, .budget = reserve_dirty_room() };
	(void)pthread_mutex_init(&r->lock, NULL); // cannot fail without attributes
	if (size && size <= SIZE_MAX)
		r->map = map_or_null(size, MAP_SHARED | MAP_NORESERVE, fd);
	reserve_set_spill(r, RESERVE_SPILL_BYTES);
}

/// Has the spill be one of @bytes; false when there is no memory for that.
static bool replace_spill(struct reserve *r, size_t bytes)
{
	char *spill = map_or_null(bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	struct reserve_spilled *spilled = calloc(bytes / SPILL_MIN_BYTES, sizeof(*spilled));
	if (!spill || !spilled) {
		if (spill)
			(void)munmap(spill, bytes);
		free(spilled);
		return false;
	}
	if (r->spill)
		(void)munmap(r->spill, r->spill_bytes);
	free(r->spilled);
	r->spill = spill;
	r->spilled = spilled;
	r->spill_bytes = bytes;
	return true;
}

void reserve_set_spill(struct reserve *r, size_t bytes)
{
	// There may be a limit: what it allows, then.
	while (bytes > r->spill_bytes && !replace_spill(r, bytes))
		bytes = ALIGN_DOWN(bytes / 2, (size_t)PAGE);
}

void reserve_deinit(struct reserve *r)
{
	if (r->map)
		(void)munmap(r->map, r->size);
	if (r->spill)
		(void)munmap(r->spill, r->spill_bytes);
	free(r->ranges);
	free(r->spilled);
	free(r->discarded);
	(void)pthread_mutex_destroy(&r->lock);
	*r = (struct reserve){ .fd = -EBADF };
}

void reserve_abandon(struct reserve *r, uint64_t start)
{
	if (start < r->size)
		(void)fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
				(off_t)(r->size - start));
	r->n = 0;
	r->budget = 0;
}

/// Takes @len bytes from the budget, or what is left of it.
static uint64_t take_budget(struct reserve *r, uint64_t len)
{
	(void)pthread_mutex_lock(&r->lock);
	r->exhausted |= len > r->budget;
	len = MIN(len, r->budget);
	r->budget -= len;
	(void)pthread_mutex_unlock(&r->lock);
	return ALIGN_DOWN(len, (uint64_t)PAGE);
}

static void remember(struct reserve *r, uint64_t start, uint64_t end)
{
	(void)pthread_mutex_lock(&r->lock);
	if (r->n == r->n_max) {
		size_t max = r->n_max ? r->n_max * 2 : 256;
		struct reserve_range *bigger = reallocarray(r->ranges, max, sizeof(*bigger));
		if (bigger) {
			r->ranges = bigger;
			r->n_max = max;
		}
	}
	if (r->n < r->n_max) // else it is found to be zero by nobody, and stays allocated
		r->ranges[r->n++] = (struct reserve_range){ start, end };
	(void)pthread_mutex_unlock(&r->lock);
}

void reserve_add(struct reserve *r, uint64_t start, uint64_t end)
{
	while (r->map && start < end && r->n < RANGES_MAX) {
		uint64_t len = take_budget(r, MIN(end - start, (uint64_t)STEP_BYTES));
		if (!len)
			return;
		// Blocks first: pages are populated twice as fast where they have some already.
		// Either fails on kernels and file systems without it, or on a full disk, which the
		// ordinary way of writing will report.
		(void)fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)len);
		if (madvise(r->map + start, len, MADV_POPULATE_WRITE) < 0) {
			(void)fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)start, (off_t)len);
			(void)pthread_mutex_lock(&r->lock);
			r->budget = 0;
			r->failed = true;
			(void)pthread_mutex_unlock(&r->lock);
			remember(r, start, start + len); // part of it may have been populated
			return;
		}
		remember(r, start, start + len);
		start += len;
	}
}

bool reserve_exhausted(const struct reserve *r)
{
	return r->exhausted;
}

static int by_start(const void *a, const void *b)
{
	uint64_t x = ((const struct reserve_range *)a)->start;
	uint64_t y = ((const struct reserve_range *)b)->start;
	return (x > y) - (x < y);
}

void reserve_close(struct reserve *r)
{
	if (!r->n)
		return;
	qsort(r->ranges, r->n, sizeof(*r->ranges), by_start);
	size_t kept = 1;
	for (size_t i = 1; i < r->n; i++) {
		struct reserve_range *last = &r->ranges[kept - 1];
		if (last->end >= r->ranges[i].start)
			last->end = MAX(last->end, r->ranges[i].end);
		else
			r->ranges[kept++] = r->ranges[i];
	}
	r->n = kept;
}

char *reserve_find(const struct reserve *r, uint64_t offset, uint64_t *ret_len)
{
	// The first range that ends behind the offset.
	size_t low = 0, high = r->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (r->ranges[mid].end <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == r->n) {
		*ret_len = UINT64_MAX;
		return NULL;
	}
	if (r->ranges[low].start > offset) {
		*ret_len = r->ranges[low].start - offset;
		return NULL;
	}
	*ret_len = r->ranges[low].end - offset;
	return r->map + offset;
}

char *reserve_spill(struct reserve *r, uint64_t offset, size_t *len)
{
	char *place = NULL;
	(void)pthread_mutex_lock(&r->lock);
	size_t n = MIN(*len, r->spill_bytes - r->spill_used);
	if (r->spill && r->spilled && n && r->n_spilled < r->spill_bytes / SPILL_MIN_BYTES) {
		place = r->spill + r->spill_used;
		r->spilled[r->n_spilled++] =
			(struct reserve_spilled){ .offset = offset,
						  .pos = r->spill_used,
						  .len = n };
		r->spill_used += n;
		*len = n;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return place;
}

void reserve_spill_cut(struct reserve *r, const char *place, size_t len)
{
	size_t pos = (size_t)(place - r->spill);
	(void)pthread_mutex_lock(&r->lock);
	// It is among the last: each thread has one at a time.
	for (size_t i = r->n_spilled; i-- > 0;) {
		if (r->spilled[i].pos != pos)
			continue;
		if (i + 1 == r->n_spilled) // nobody has taken any since
			r->spill_used = pos + len;
		r->spilled[i].len = len;
		if (!len && i + 1 == r->n_spilled)
			r->n_spilled--;
		break;
	}
	(void)pthread_mutex_unlock(&r->lock);
}

void reserve_discard(struct reserve *r, uint64_t offset, uint64_t len)
{
	// Not by writing to it now, which is SIGBUS if the disk has become full.
	(void)pthread_mutex_lock(&r->lock);
	struct reserve_range *bigger =
		reallocarray(r->discarded, r->n_discarded + 1, sizeof(*bigger));
	if (bigger) {
		r->discarded = bigger;
		r->discarded[r->n_discarded++] = (struct reserve_range){ offset, offset + len };
	}
	(void)pthread_mutex_unlock(&r->lock);
}

int reserve_erase(int fd, uint64_t start, uint64_t end)
{
	static const char zeros[PAGE];
	int r = 0;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
		      (off_t)(end - start)) == 0)
		return 0;
	for (; r == 0 && start < end; start += PAGE)
		r = snap_pwrite_all(fd, zeros, MIN(end - start, (uint64_t)PAGE), start);
	return r;
}

int reserve_flush(struct reserve *r,
		  void (*lost)(void *userdata, uint64_t offset, uint64_t len), void *userdata)
{
	for (size_t i = 0; i < r->n_discarded; i++) {
		int e = reserve_erase(r->fd, r->discarded[i].start, r->discarded[i].end);
		if (e < 0)
			return e;
	}
	r->n_discarded = 0;
	for (size_t i = 0; i < r->n_spilled; i++) {
		const struct reserve_spilled *s = &r->spilled[i];
		const char *buf = r->spill + s->pos;
		int e = r->overwrite ? snap_pwrite_all(r->fd, buf, s->len, s->offset) :
				       pages_write(r->fd, buf, s->len, s->offset);
		if (e < 0 && (!lost || snap_code_from_errno(-e) != SNAP_NO_SPACE))
			return e;
		if (e < 0)
			lost(userdata, s->offset, s->len);
	}
	r->n_spilled = 0;
	r->spill_used = 0;
	return 0;
}

/// Punches the zero pages out of [@pos, @end), which is data.
static int punch_zeros(struct reserve *r, uint64_t pos, uint64_t end)
{
	while (pos < end) {
		pos += pages_data(r->map + pos, end - pos);
		size_t zero = pages_zero(r->map + pos, end - pos);
		if (zero && fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)pos,
				      (off_t)zero) < 0)
			return -errno;
		pos += zero;
	}
	return 0;
}

int reserve_trim(struct reserve *r)
{
	struct stat st;
	if (!r->n || fstat(r->fd, &st) < 0)
		return 0;
	// The file may have become shorter than was foretold: what lies beyond is SIGBUS.
	uint64_t size = ALIGN_DOWN(MIN(r->size, (uint64_t)st.st_size), (uint64_t)PAGE), pos = 0;
	for (size_t i = 0; i < r->n; i++) {
		uint64_t end = ALIGN_UP(r->ranges[i].end, (uint64_t)FOLIO_MAX_BYTES);
		end = MIN(end, size);
		pos = MAX(pos, ALIGN_DOWN(r->ranges[i].start, (uint64_t)FOLIO_MAX_BYTES));
		while (pos < end) {
			off_t data = lseek(r->fd, (off_t)pos, SEEK_DATA);
			if (data < 0 || (uint64_t)data >= end)
				break;
			off_t hole = lseek(r->fd, data, SEEK_HOLE);
			pos = hole < 0 ? end : MIN((uint64_t)hole, end);
			pos = MIN(ALIGN_UP(pos, (uint64_t)PAGE), end);
			int e = punch_zeros(r, ALIGN_DOWN((uint64_t)data, (uint64_t)PAGE), pos);
			if (e < 0) // without holes the zeros stay, which is right as well
				return e == -EOPNOTSUPP ? 0 : e;
		}
		pos = MAX(pos, end);
	}
	return 0;
}
