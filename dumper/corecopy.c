// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "coreparts.h"
#include "pages.h"

enum {
	PAGE = 4096,
	// Fits the caches of a core together with its destination; larger ones are slower.
	BUFFER_BYTES = 1 << 20,
	// A thread takes this much address space at a time: small enough that all of them end
	// together, large enough that taking it costs nothing.
	PIECE_MIN_BYTES = 1 << 20,
	PIECE_MAX_BYTES = 64 << 20,
	PIECES_A_THREAD = 16,
	RANGES = CORE_RANGES,
	// What is worth being read together with others.
	SMALL_BYTES = 64 << 10,
	DIRECT_THREADS = 2,
	// Blocks of a file whose room is tight are not taken for more than this at once.
	SHORT_BYTES = 64 << 10,
};

/// Keeps the first error; the others come from the same cause.
static void fail(struct core *c, struct snap_error *err)
{
	(void)pthread_mutex_lock(&c->lock);
	if (!c->error)
		c->error = TAKE_PTR(err);
	c->failed = true;
	(void)pthread_mutex_unlock(&c->lock);
	snap_error_destroy(err);
}

static struct piece piece_of(const struct core *c, size_t span, uint64_t offset, uint64_t len)
{
	const struct order_span *s = &c->order.spans[span];
	const struct plan_segment *seg = &c->plan->segments[s->segment];
	uint64_t start = seg->start + s->offset + offset;
	return (struct piece){
		.map = seg->map,
		.start = start,
		.end = start + len,
		.offset = c->offsets[s->segment] + s->offset + offset,
		.held = c->flags & CORE_AGAIN && (!c->held || c->held[s->segment]),
		.skip = seg->later != !!(c->flags & CORE_LATER),
		.priority = s->priority,
	};
}

/// The first piece that nobody has taken yet. Called locked; false when there is none left.
static bool take_first(struct core *c, struct piece *ret)
{
	for (;;) {
		size_t i = c->first.span;
		if (i >= c->order.n || i > c->last.span)
			return false;
		const struct order_span *span = &c->order.spans[i];
		uint64_t end = i == c->last.span ? c->last.offset : span->bytes;
		if (c->first.offset >= end) {
			c->first = (struct cursor){ .span = i + 1 };
			continue;
		}
		// What is less useful must not take the room of what is not yet written.
		if (c->busy && span->priority != c->busy_priority) {
			(void)pthread_cond_wait(&c->idle, &c->lock);
			continue;
		}
		uint64_t len = MIN(c->piece_bytes, end - c->first.offset);
		*ret = piece_of(c, i, c->first.offset, len);
		c->first.offset += len;
		c->busy_priority = span->priority;
		c->busy++;
		return true;
	}
}

/// The last one. Called locked; false when there is none left.
static bool take_last(struct core *c, struct piece *ret)
{
	for (;;) {
		size_t i = c->last.span;
		uint64_t begin = i == c->first.span ? c->first.offset : 0;
		if (i < c->first.span || i >= c->order.n)
			return false;
		if (c->last.offset > begin) {
			uint64_t len = MIN(c->piece_bytes, c->last.offset - begin);
			c->last.offset -= len;
			*ret = piece_of(c, i, c->last.offset, len);
			return true;
		}
		if (i == c->first.span)
			return false;
		c->last.span = i - 1;
		c->last.offset = c->order.spans[i - 1].bytes;
	}
}

/// A piece of work from one end or the other; false when there is none left.
static bool take_piece(struct core *c, bool from_end, struct piece *ret)
{
	(void)pthread_mutex_lock(&c->lock);
	bool found = from_end ? take_last(c, ret) : take_first(c, ret);
	(void)pthread_mutex_unlock(&c->lock);
	return found;
}

/// Each piece that was taken is given back.
static void end_piece(struct core *c, bool from_end)
{
	(void)pthread_mutex_lock(&c->lock);
	if (!from_end && !--c->busy)
		(void)pthread_cond_broadcast(&c->idle);
	(void)pthread_mutex_unlock(&c->lock);
}

static enum gap_reason gap_of(enum mem_kind kind)
{
	switch (kind) {
	case MEM_GUARD:
		return GAP_GUARD;
	case MEM_PAST_EOF:
		return GAP_PAST_EOF;
	default:
		return GAP_NOT_RESIDENT;
	}
}

static void report(struct core *c, uint64_t bytes)
{
	uint64_t done = atomic_fetch_add(&c->done_bytes, bytes) + bytes;
	if (c->progress)
		c->progress->fn(c->progress->userdata, done);
}

/**
 * What an error of a memsource means for the whole copy: -errno ends it, 0 is about one page only.
 */
static int fatal_read_error(ssize_t n)
{
	return n == -ESRCH || n == -ECANCELED || n == -ENOMEM ? (int)n : 0;
}

/// The disk is full: the end of the dump, or of what a partial one will hold.
static int write_failed(struct core *c, int errnum)
{
	if (c->flags & CORE_KEEP_PARTIAL && snap_code_from_errno(errnum) == SNAP_NO_SPACE)
		c->abort = true;
	else
		fail(c, core_write_error(errnum));
	return -ECANCELED;
}

/// Reads whole pages.
static ssize_t read_pages(struct core *c, const struct piece *piece, enum mem_kind kind,
			  uint64_t addr, char *buf, size_t len)
{
	ssize_t n = memsource_read(c->source, piece->map, kind, addr, buf, len);
	return n > 0 ? (ssize_t)ALIGN_DOWN((size_t)n, (size_t)PAGE) : n;
}

/// Is there room for @len bytes more within the limit of the core?
static bool take_room(struct core *c, size_t len)
{
	if (c->max_bytes == UINT64_MAX)
		return true;
	return atomic_fetch_add(&c->written_bytes, len) + len <= c->max_bytes;
}

static int write_pages(int fd, const struct piece *piece, const char *buf, size_t len,
		       uint64_t offset)
{
	return piece->held ? snap_pwrite_all(fd, buf, len, offset) :
			     pages_write(fd, buf, len, offset);
}

/// Where the byte of the file at @offset lands. What nothing is read into is zeros.
static char *land(struct landing *landing, uint64_t offset)
{
	if (!landing->used)
		memset(landing->buf, 0, landing->len);
	landing->used = true;
	return landing->buf + (offset - landing->offset);
}

/// What the file has of [@start, @end) is not so any more.
static void clear(struct core *c, const struct piece *piece, uint64_t start, uint64_t end)
{
	uint64_t offset = piece->offset + (start - piece->start);
	if (piece->landing && piece->landing->used) // by a read that failed, perhaps
		memset(land(piece->landing, offset), 0, end - start);
	if (!piece->held)
		return;
	if (c->reserve)
		reserve_discard(c->reserve, offset, end - start);
	int r = c->reserve ? 0 : reserve_erase(c->fd, offset, offset + (end - start));
	if (r < 0)
		fail(c, core_write_error(-r));
}

/// Copies as copy_some(), but to where a piece lands.
static ssize_t copy_to_landing(struct core *c, const struct piece *piece, enum mem_kind kind,
			       uint64_t addr, size_t len, uint64_t offset)
{
	ssize_t n = read_pages(c, piece, kind, addr, land(piece->landing, offset), len);
	return n > 0 && !take_room(c, (size_t)n) ? write_failed(c, ENOSPC) : n;
}

/**
 * Copies up to @len bytes at @addr to their place at @offset in the file.
 *
 * Returns how many, a whole number of pages, or a negative errno of the memsource; -ECANCELED also
 * when they could not be written.
 */
static ssize_t copy_some(struct core *c, const struct piece *piece, enum mem_kind kind,
			 uint64_t addr, size_t len, uint64_t offset, char *buf)
{
	uint64_t room = UINT64_MAX;
	if (piece->landing)
		return copy_to_landing(c, piece, kind, addr, len, offset);
	char *place = c->reserve ? reserve_find(c->reserve, offset, &room) : NULL;
	// What is spilled is written last, when there may be no room any more.
	// Not so in a core that may become partial, but for one whose blocks are there already.
	bool spill = !place && c->reserve && !(c->flags & CORE_UNHURRIED) &&
		     (piece->priority == PRIORITY_REST || c->flags & CORE_AGAIN);
	len = MIN(len, room);
	len = MIN(len, c->flags & CORE_SHORT_OF_SPACE ? (size_t)SHORT_BYTES : (size_t)BUFFER_BYTES);
	if (spill)
		place = reserve_spill(c->reserve, offset, &len);
	ssize_t n = read_pages(c, piece, kind, addr, place ? place : buf, len);
	if (place && spill && n < (ssize_t)len) // the rest comes again, and gets another place
		reserve_spill_cut(c->reserve, place, (size_t)MAX(n, 0));
	if (place && n > 0)
		return n;
	if (place && n == -EFAULT) {
		// Was it the process's page, or ours, taken away by a full disk?
		n = read_pages(c, piece, kind, addr, buf, PAGE);
	}
	if (n <= 0) {
		if (place && !spill)
			reserve_discard(c->reserve, offset, fatal_read_error(n) ? len : PAGE);
		return n;
	}
	if (!take_room(c, (size_t)n))
		return write_failed(c, ENOSPC);
	int fd = c->direct_fd >= 0 ? c->direct_fd : c->fd;
	int r = write_pages(fd, piece, buf, (size_t)n, offset);
	if (r == -EINVAL && fd != c->fd) // a file system that opens O_DIRECT but cannot write so
		r = write_pages(c->fd, piece, buf, (size_t)n, offset);
	return r < 0 ? write_failed(c, -r) : n;
}

/// Copies one range with contents. Returns 0, or a negative errno with the address it got to.
static int copy_range(struct core *c, const struct piece *piece, const struct mem_range *range,
		      char *buf, uint64_t *ret_addr)
{
	uint64_t addr = range->start;
	while (addr < range->end) {
		*ret_addr = addr;
		if (c->abort || c->failed)
			return -ECANCELED;
		ssize_t n = copy_some(c, piece, range->kind, addr, range->end - addr,
				      piece->offset + (addr - piece->start), buf);
		if (n <= 0) {
			int r = fatal_read_error(n);
			if (r < 0)
				return r;
			gaps_add(&c->gaps, addr, addr + PAGE, GAP_UNREADABLE);
			clear(c, piece, addr, addr + PAGE);
			n = PAGE;
		} else if (c->flags & CORE_LATER) {
			gaps_add(&c->gaps, addr, addr + (uint64_t)n, GAP_LATER);
		}
		atomic_fetch_add(&c->copied_bytes, (uint64_t)n);
		addr += (uint64_t)n;
		report(c, (uint64_t)n);
	}
	return 0;
}

/// May this range be read together with others?
static bool is_small(const struct mem_range *range)
{
	return range->kind == MEM_DATA && range->end - range->start <= SMALL_BYTES;
}

/// Reads what copy_small() has put together, @used bytes. False when it has to be done one by one.
static bool read_small(struct core *c, const struct piece *piece, const struct iovec *to,
		       const struct iovec *from, size_t n, size_t used)
{
	bool good = memsource_read_many(c->source, piece->map, to, from, n) == (ssize_t)used;
	if (!good && c->reserve) {
		for (size_t i = n; i-- > 0;)
			reserve_spill_cut(c->reserve, to[i].iov_base, 0);
	}
	for (size_t i = 0; good && !c->reserve && i < n; i++) {
		uint64_t addr = (uintptr_t)from[i].iov_base;
		good = write_pages(c->fd, piece, to[i].iov_base, to[i].iov_len,
				   piece->offset + (addr - piece->start)) == 0;
	}
	if (good)
		atomic_fetch_add(&c->copied_bytes, used);
	return good;
}

/**
 * Copies the small ones among @ranges, up to the first that is neither small nor MEM_HELD, with one
 * call: a process that has written here and there has many.
 *
 * Returns how many of @ranges are done with; what could not be done is left for copy_range().
 */
static int copy_small(struct core *c, const struct piece *piece, const struct mem_range *ranges,
		      int n_ranges, char *buf)
{
	struct iovec to[RANGES], from[RANGES];
	size_t used = 0, n = 0;
	int i = 0;
	for (; i < n_ranges && (is_small(&ranges[i]) || ranges[i].kind == MEM_HELD); i++) {
		size_t len = ranges[i].end - ranges[i].start, got = len;
		uint64_t room, offset = piece->offset + (ranges[i].start - piece->start);
		if (ranges[i].kind == MEM_HELD)
			continue;
		if (used + len > BUFFER_BYTES ||
		    (c->reserve && reserve_find(c->reserve, offset, &room)))
			break;
		char *place = c->reserve ? reserve_spill(c->reserve, offset, &got) : buf + used;
		if (place && got < len) {
			reserve_spill_cut(c->reserve, place, 0);
			break;
		}
		if (!place)
			break;
		to[n] = (struct iovec){ place, len };
		from[n++] = (struct iovec){ (void *)(uintptr_t)ranges[i].start, len };
		used += len;
	}
	if (!n || !read_small(c, piece, to, from, n, used))
		return 0;
	report(c, ranges[i - 1].end - ranges[0].start);
	return i;
}

/// Copies one range, whatever it is. Returns 0, or a negative errno with the address it got to.
static int copy_one(struct core *c, const struct piece *piece, struct mem_range *range, char *buf,
		    uint64_t *ret_addr)
{
	if (range->kind == MEM_HELD && c->flags & CORE_AGAIN && (!piece->held || c->distrust))
		range->kind = MEM_DATA; // it is, but at another place
	if (mem_kind_readable(range->kind))
		return copy_range(c, piece, range, buf, ret_addr);
	if (range->kind == MEM_ZERO && c->flags & CORE_LATER)
		gaps_add(&c->gaps, range->start, range->end, GAP_LATER);
	if (range->kind != MEM_ZERO && range->kind != MEM_HELD)
		gaps_add(&c->gaps, range->start, range->end, gap_of(range->kind));
	if (range->kind != MEM_HELD)
		clear(c, piece, range->start, range->end);
	report(c, range->end - range->start);
	return 0;
}

static int copy_ranges(struct core *c, const struct piece *piece, char *buf,
		       struct mem_range *ranges, int n, uint64_t *ret_addr)
{
	bool together = piece->held && !c->distrust;
	for (int i = 0; i < n;) {
		int done = together && is_small(&ranges[i]) ?
				   copy_small(c, piece, &ranges[i], n - i, buf) :
				   0;
		if (done) {
			i += done;
			continue;
		}
		together &= !is_small(&ranges[i]); // not again after a failure
		int r = copy_one(c, piece, &ranges[i++], buf, ret_addr);
		if (r < 0)
			return r;
	}
	return 0;
}

int core_copy_piece(struct core *c, const struct piece *piece, char *buf,
		    struct mem_range *ranges, uint64_t *ret_addr)
{
	for (uint64_t addr = piece->start; addr < piece->end;) {
		*ret_addr = addr;
		int n = memsource_scan(c->source, piece->map, addr, piece->end, ranges, RANGES);
		if (n < 0 && fatal_read_error(n))
			return n;
		if (n <= 0) { // cannot be asked: try to read it all
			ranges[0] = (struct mem_range){ addr, piece->end, MEM_DATA };
			n = 1;
		}
		int r = copy_ranges(c, piece, buf, ranges, n, ret_addr);
		if (r < 0)
			return r;
		addr = ranges[n - 1].end;
	}
	return 0;
}

/// Is it for another core_copy() to bring what is at @addr, and behind it in this piece?
static bool is_others(const struct core *c, const struct piece *piece, uint64_t addr)
{
	struct mem_range range;
	return !(c->flags & CORE_AGAIN) && addr < piece->end &&
	       memsource_scan(c->source, piece->map, addr, piece->end, &range, 1) == 1 &&
	       range.kind == MEM_HELD && range.end == piece->end;
}

void core_miss_piece(struct core *c, const struct piece *piece, uint64_t addr)
{
	gaps_add(&c->gaps, addr, piece->end, GAP_ABORTED);
	clear(c, piece, addr, piece->end); // whatever it was, it is from another moment
}

/// A copy that could not be completed: an error, or gaps where partial cores are wanted.
static void give_up(struct core *c, const struct piece *piece, uint64_t addr, int errnum)
{
	if (c->flags & CORE_KEEP_PARTIAL) {
		if (is_others(c, piece, addr))
			return;
		core_miss_piece(c, piece, addr);
		return;
	}
	if (errnum == ESRCH)
		fail(c, snap_error_new(SNAP_NO_PROCESS, "process %d ended while it was dumped",
				       c->snap->process.pid));
	else if (errnum == ENOMEM)
		fail(c, snap_error_oom());
	else
		fail(c, snap_error_new(SNAP_CANCELLED, "the dump of process %d was cancelled",
				       c->snap->process.pid));
}

static void copy_pieces(struct core *c, bool from_end)
{
	_cleanup_free_ char *buf = aligned_alloc(PAGE, BUFFER_BYTES);
	_cleanup_free_ struct mem_range *ranges = calloc(RANGES, sizeof(*ranges));
	if (!buf || !ranges) {
		fail(c, snap_error_oom());
		return;
	}
	int r = 0;
	for (struct piece piece; !c->failed && take_piece(c, from_end, &piece);) {
		uint64_t addr = piece.start;
		if (r == 0 && c->abort)
			r = -ECANCELED;
		if (r == 0 && !piece.skip)
			r = core_copy_piece(c, &piece, buf, ranges, &addr);
		if (r < 0 && !piece.skip)
			give_up(c, &piece, addr, -r); // and so for all that is left
		end_piece(c, from_end);
	}
}

static void *copy_main(void *userdata)
{
	copy_pieces(userdata, false);
	return NULL;
}

/// What was reserved lies at the beginning: who waits for the disk begins at the other end.
static void *copy_direct_main(void *userdata)
{
	copy_pieces(userdata, true);
	return NULL;
}

/// Runs @fn in @threads threads, this one among them, and @extra in @n_extra more.
static struct snap_error *run_threads(struct core *c, unsigned int threads, void *(*fn)(void *),
				      unsigned int n_extra, void *(*extra)(void *))
{
	uint64_t piece = c->plan->dump_bytes / threads / PIECES_A_THREAD;
	piece = MIN(piece, (uint64_t)PIECE_MAX_BYTES);
	piece = MAX(piece, (uint64_t)PIECE_MIN_BYTES);
	c->piece_bytes = ALIGN_UP(piece, (uint64_t)PAGE);
	c->first = (struct cursor){ 0 };
	c->last = (struct cursor){ 0 };
	if (c->order.n)
		c->last = (struct cursor){ c->order.n - 1, c->order.spans[c->order.n - 1].bytes };
	_cleanup_free_ pthread_t *ids = calloc(threads + n_extra, sizeof(*ids));
	if (!ids)
		return snap_error_oom();
	// Those that cannot be started are not needed: this one can do it all.
	unsigned int started = 0;
	c->done_bytes = 0;
	c->copied_bytes = 0;
	while (started < n_extra && !pthread_create(&ids[started], NULL, extra, c))
		started++;
	while (started + 1 < threads + n_extra && !pthread_create(&ids[started], NULL, fn, c))
		started++;
	(void)fn(c);
	for (unsigned int i = 0; i < started; i++)
		(void)pthread_join(ids[i], NULL);
	return NULL;
}

/// Reserves room for what the memory of one piece will need.
static void reserve_piece(struct core *c, const struct piece *piece, struct mem_range *ranges)
{
	if (piece->skip ||
	    (c->but_anon && !piece->map->inode && !(piece->map->flags & SNAP_MAP_SHARED)))
		return;
	for (uint64_t addr = piece->start; addr < piece->end;) {
		int n = memsource_scan(c->source, piece->map, addr, piece->end, ranges, RANGES);
		if (n <= 0)
			return;
		for (int i = 0; i < n; i++) {
			addr = ranges[i].end;
			if (!mem_kind_readable(ranges[i].kind))
				continue;
			uint64_t offset = piece->offset + (ranges[i].start - piece->start);
			reserve_add(c->reserve, offset,
				    offset + (ranges[i].end - ranges[i].start));
		}
	}
}

static void *reserve_main(void *userdata)
{
	struct core *c = userdata;
	_cleanup_free_ struct mem_range *ranges = calloc(RANGES, sizeof(*ranges));
	for (struct piece piece; ranges && take_piece(c, false, &piece);) {
		reserve_piece(c, &piece, ranges);
		end_piece(c, false);
	}
	return NULL;
}

struct snap_error *core_reserve(struct core *c, struct memsource *source, unsigned int threads,
				bool but_anon, struct reserve *reserve)
{
	c->source = source;
	c->reserve = reserve;
	c->but_anon = but_anon;
	core_reserve_head(c, reserve->fd);
	struct snap_error *err = run_threads(c, threads, reserve_main, 0, NULL);
	reserve_close(reserve);
	return err;
}

/**
 * The file once more, to write past the page cache, when the core is larger than that may take:
 * beyond it writers are made to wait for the disk anyway, and this way without pushing the pages
 * of everybody else out of memory.
 */
static int open_direct(const struct core *c)
{
	if (!(c->flags & CORE_DIRECT) && (!c->reserve || !reserve_exhausted(c->reserve)))
		return -EBADF;
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", c->fd);
	return open(path, O_WRONLY | O_DIRECT | O_CLOEXEC); // not every file system can
}

struct snap_error *core_copy(struct core *c, struct memsource *source, int fd,
			     struct reserve *reserve, unsigned int threads, uint32_t flags,
			     const struct core_progress *progress)
{
	c->source = source;
	c->fd = fd;
	c->reserve = reserve;
	c->flags = flags;
	c->progress = progress;
	if (flags & CORE_SHORT_OF_SPACE) // more was set aside for the head than it will need
		core_give_back_head(c, fd, ALIGN_UP(c->notes_offset + c->notes_bytes + c->note_room,
					       (uint64_t)PAGE));
	if (reserve && flags & CORE_AGAIN)
		reserve->overwrite = true;
	c->direct_fd = open_direct(c);
	struct snap_error *err = run_threads(c, threads, copy_main,
					     c->direct_fd >= 0 ? DIRECT_THREADS : 0,
					     copy_direct_main);
	snap_closep(&c->direct_fd);
	for (size_t i = 0; c->held && i < c->plan->n; i++)
		c->held[i] = true; // should it be copied once more
	return err ? err : TAKE_PTR(c->error);
}

uint64_t core_copied(const struct core *c)
{
	return c->copied_bytes;
}

struct snap_error *core_put(struct core *c, int fd, size_t i, uint64_t offset, const char *buf,
			    size_t len, uint32_t flags)
{
	c->flags = flags;
	int r = take_room(c, len) ? pages_write(fd, buf, len, c->offsets[i] + offset) : -ENOSPC;
	if (r < 0) {
		(void)write_failed(c, -r);
		if (c->abort)
			return NULL;
	}
	return TAKE_PTR(c->error);
}
