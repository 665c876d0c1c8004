// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/snapnote.h"
#include "notes.h"
#include "order.h"
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
	RANGES = MEMSOURCE_MANY,
	// What is worth being read together with others.
	SMALL_BYTES = 64 << 10,
	DIRECT_THREADS = 2,
	// Upper estimates of headers and notes: a program header, a line of NT_FILE and a gap for
	// each mapping; register sets with AMX tiles and room for new ones for each thread.
	HEAD_FIXED_BYTES = 128 << 10,
	HEAD_MAPPING_BYTES = 56 + 24 + 24,
	HEAD_THREAD_BYTES = 14 << 10,
	// Blocks of a file whose room is tight are not taken for more than this at once.
	SHORT_BYTES = 64 << 10,
	// Room for gaps in the note, beside one for each mapping and thread.
	SPARE_GAPS = 1024,
};

struct core {
	const struct snapshot *snap;
	const struct plan *plan;
	struct note_writer notes; ///< counts at first, then writes
	uint64_t *offsets; ///< of each segment in the file
	uint64_t notes_offset, notes_bytes; ///< all but procsnap's own
	uint64_t note_room, size;
	uint64_t data_offset; ///< where segments begin
	bool *held; ///< of each segment: where it was in the file already; NULL: all are
	bool distrust; ///< something could not be read before: read all again
	struct stale {
		uint64_t start, end; ///< file offsets
	} *stale; ///< what the file has and this core does not
	size_t n_stale;
	struct gaps gaps;
	atomic_bool abort;

	// core_copy()
	struct memsource *source;
	struct reserve *reserve; ///< or NULL
	const struct core_progress *progress;
	int fd, direct_fd;
	uint32_t flags;
	bool but_anon; ///< core_reserve()
	uint64_t piece_bytes;
	struct order order;
	pthread_mutex_t lock; ///< protects the cursors and the error
	struct cursor {
		size_t span; ///< index into the order
		uint64_t offset; ///< into its memory
	} first, last; ///< what nobody has taken yet lies between them
	uint64_t max_bytes; ///< of memory
	atomic_uint_fast64_t written_bytes;
	enum priority busy_priority; ///< of the pieces that were taken from the beginning
	unsigned int busy; ///< how many of these are not copied yet
	pthread_cond_t idle;
	struct snap_error *error;
	atomic_bool failed;
	atomic_uint_fast64_t done_bytes, copied_bytes;
};

static bool is64(const struct core *c)
{
	return c->snap->process.machine.elf_class == ELFCLASS64;
}

/// Returns where headers and notes end.
static uint64_t lay_out_head(struct core *c)
{
	size_t headers = c->plan->n + 2; // the notes, and those that attach_note() adds
	size_t ehdr = is64(c) ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	size_t phdr = is64(c) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	size_t shdr = is64(c) ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);

	c->notes_offset = ehdr + headers * phdr;
	if (headers >= PN_XNUM)
		c->notes_offset += shdr;
	size_t gaps = c->plan->n + c->snap->n_threads + SPARE_GAPS;
	c->note_room = sizeof(Elf64_Nhdr) + ALIGN_UP(sizeof(SNAPNOTE_OWNER), (size_t)4) +
		       sizeof(struct snapnote) + gaps * sizeof(struct snapnote_gap) +
		       c->snap->n_threads * sizeof(struct snapnote_thread);
	note_writer_init(&c->notes, -EBADF, 0);
	notes_write(c->snap, &c->notes);
	c->notes_bytes = c->notes.offset;
	return ALIGN_UP(c->notes_offset + c->notes_bytes + c->note_room, (uint64_t)PAGE);
}

static void lay_out(struct core *c, uint64_t first_offset)
{
	uint64_t pos = MAX(lay_out_head(c), first_offset);
	c->data_offset = pos;
	for (size_t i = 0; i < c->plan->n; i++) {
		c->offsets[i] = pos;
		pos += c->plan->segments[i].dump_bytes;
	}
	c->size = pos;
}

/// Adds [@start, @end) of the file to what is not needed any more.
static void add_stale(struct core *c, uint64_t start, uint64_t end)
{
	if (start < end)
		c->stale[c->n_stale++] = (struct stale){ start, end };
}

/// The segments of @before and of the plan are both in the order of addresses.
static void lay_out_over(struct core *c, const struct core *before)
{
	uint64_t head = lay_out_head(c), pos = MAX(head, before->size);
	bool fits = head <= before->data_offset;
	size_t j = 0;
	c->data_offset = fits ? before->data_offset : pos;
	for (size_t i = 0; fits && i < before->n_stale; i++)
		add_stale(c, before->stale[i].start, before->stale[i].end);
	uint64_t used = 0; // of segment j of before
	for (size_t i = 0; i < c->plan->n; i++) {
		const struct plan_segment *seg = &c->plan->segments[i];
		const struct plan_segment *b = NULL;
		while (fits && j < before->plan->n) {
			b = &before->plan->segments[j];
			if (b->end > seg->start)
				break;
			add_stale(c, before->offsets[j] + used, before->offsets[j] + b->dump_bytes);
			used = 0;
			b = NULL;
			j++;
		}
		uint64_t skip = b && b->start <= seg->start ? seg->start - b->start : UINT64_MAX;
		if (seg->dump_bytes && skip < UINT64_MAX &&
		    skip + seg->dump_bytes <= b->dump_bytes) {
			c->held[i] = true;
			c->offsets[i] = before->offsets[j] + skip;
			add_stale(c, before->offsets[j] + used, c->offsets[i]);
			used = skip + seg->dump_bytes;
		} else {
			c->offsets[i] = pos;
			pos += seg->dump_bytes;
		}
	}
	for (; fits && j < before->plan->n; j++, used = 0)
		add_stale(c, before->offsets[j] + used,
			  before->offsets[j] + before->plan->segments[j].dump_bytes);
	if (!fits)
		add_stale(c, before->data_offset, before->size);
	c->size = pos;
	for (size_t i = 0; i < before->gaps.n; i++)
		c->distrust |= before->gaps.list[i].reason == GAP_UNREADABLE;
}

uint64_t core_first_offset(const struct snapshot *snap, size_t threads)
{
	uint64_t names = snap->names.len;
	return ALIGN_UP(HEAD_FIXED_BYTES + names + snap->n_mappings * HEAD_MAPPING_BYTES +
				threads * HEAD_THREAD_BYTES,
			(uint64_t)PAGE);
}

static struct snap_error *create(const struct snapshot *snap, const struct plan *plan,
				 const struct core *before, uint64_t first_offset,
				 struct core **ret)
{
	struct core *c = calloc(1, sizeof(*c));
	if (!c)
		return snap_error_oom();
	(void)pthread_mutex_init(&c->lock, NULL); // cannot fail without attributes
	(void)pthread_cond_init(&c->idle, NULL);
	gaps_init(&c->gaps);
	c->direct_fd = -EBADF;
	c->max_bytes = UINT64_MAX;
	c->snap = snap;
	c->plan = plan;
	c->offsets = calloc(plan->n, sizeof(*c->offsets));
	if (before) {
		c->held = calloc(plan->n + 1, sizeof(*c->held));
		c->stale = calloc(2 * plan->n + before->plan->n + before->n_stale + 1,
				  sizeof(*c->stale));
	}
	struct snap_error *err = c->offsets && !c->held == !before && !c->stale == !before ?
					 order_by_address(plan, &c->order) :
					 snap_error_oom();
	if (err) {
		core_destroy(c);
		return err;
	}
	if (before)
		lay_out_over(c, before);
	else
		lay_out(c, first_offset);
	if (!is64(c) && c->size > UINT32_MAX) {
		core_destroy(c);
		return snap_error_new(SNAP_FAILED,
				      "the core of 32-bit process %d would be larger than a 32-bit "
				      "file can say (4 GiB); dump less with --filter",
				      snap->process.pid);
	}
	*ret = c;
	return NULL;
}

struct snap_error *core_create(const struct snapshot *snap, const struct plan *plan,
			       uint64_t first_offset, struct core **ret)
{
	return create(snap, plan, NULL, first_offset, ret);
}

struct snap_error *core_create_over(const struct snapshot *snap, const struct plan *plan,
				    const struct core *before, struct core **ret)
{
	return create(snap, plan, before, 0, ret);
}

void core_destroy(struct core *c)
{
	if (!c)
		return;
	gaps_deinit(&c->gaps);
	snap_error_destroy(c->error);
	(void)pthread_mutex_destroy(&c->lock);
	(void)pthread_cond_destroy(&c->idle);
	order_deinit(&c->order);
	free(c->offsets);
	free(c->held);
	free(c->stale);
	free(c);
}

uint64_t core_size(const struct core *c)
{
	return c->size;
}

const struct gaps *core_gaps(const struct core *c)
{
	return &c->gaps;
}

void core_abort(struct core *c)
{
	c->abort = true;
}

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

static struct snap_error *write_error(int errnum)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum,
				"cannot write the core%s",
				errnum == EFBIG ? " (file size limit, see ulimit -f)" : "");
}

struct piece {
	const struct snap_mapping *map;
	uint64_t start, end; ///< addresses
	uint64_t offset; ///< of start, in the file
	bool held; ///< the file has something there
	enum priority priority;
};

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
		fail(c, write_error(errnum));
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

/// What the file has of [@start, @end) is not so any more.
static void clear(struct core *c, const struct piece *piece, uint64_t start, uint64_t end)
{
	uint64_t offset = piece->offset + (start - piece->start);
	if (!piece->held)
		return;
	if (c->reserve)
		reserve_discard(c->reserve, offset, end - start);
	else if (reserve_erase(c->fd, offset, offset + (end - start)) < 0)
		fail(c, write_error(EIO));
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
	char *place = c->reserve ? reserve_find(c->reserve, offset, &room) : NULL;
	// What is spilled is written last, when there may be no room any more.
	// Not so in a core that may become partial, but for one whose blocks are there already.
	bool spill = !place && c->reserve &&
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

static int copy_piece(struct core *c, const struct piece *piece, char *buf,
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

/// A copy that could not be completed: an error, or gaps where partial cores are wanted.
static void give_up(struct core *c, const struct piece *piece, uint64_t addr, int errnum)
{
	if (c->flags & CORE_KEEP_PARTIAL) {
		gaps_add(&c->gaps, addr, piece->end, GAP_ABORTED);
		clear(c, piece, addr, piece->end); // whatever it was, it is from another moment
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
		if (r == 0)
			r = copy_piece(c, &piece, buf, ranges, &addr);
		if (r < 0)
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

/// Makes a hole of what lies between @end of the notes and the first segment.
static void give_back_head(const struct core *c, int fd, uint64_t end)
{
	if (end < c->data_offset)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)end,
				(off_t)(c->data_offset - end));
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
	if (c->but_anon && !piece->map->inode && !(piece->map->flags & SNAP_MAP_SHARED))
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

void core_reserve_head(struct core *c, int fd)
{
	if (c->plan->n)
		(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)c->data_offset);
}

struct snap_error *core_set_priorities(struct core *c, const struct priorities *priorities)
{
	struct order order;
	struct snap_error *err = order_by_use(c->plan, priorities, &order);
	if (err)
		return err;
	order_deinit(&c->order);
	c->order = order;
	return NULL;
}

struct snap_error *core_set_limit(struct core *c, uint64_t max_bytes)
{
	// The room for gaps is mostly given back.
	uint64_t head = c->notes_offset + c->notes_bytes + PAGE +
			c->snap->n_threads * sizeof(struct snapnote_thread);
	if (max_bytes < head)
		return snap_error_new(SNAP_NO_SPACE,
				      "the core may have %" PRIu64 " bytes, and its headers "
				      "alone have %" PRIu64,
				      max_bytes, head);
	c->max_bytes = max_bytes == UINT64_MAX ? UINT64_MAX : max_bytes - head;
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
		give_back_head(c, fd, ALIGN_UP(c->notes_offset + c->notes_bytes + c->note_room,
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

const struct plan *core_plan(const struct core *c)
{
	return c->plan;
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

bool core_aborted(const struct core *c)
{
	return c->abort;
}

void core_miss(struct core *c, size_t i, uint64_t offset)
{
	const struct plan_segment *seg = &c->plan->segments[i];
	gaps_add(&c->gaps, seg->start + offset, seg->start + seg->dump_bytes, GAP_ABORTED);
}

/// Adds procsnap's own note; the list of gaps is cut to the room that was left for it.
static int add_snapnote(struct core *c, const struct core_facts *facts)
{
	const struct snapshot *snap = c->snap;
	size_t fixed = sizeof(Elf64_Nhdr) + ALIGN_UP(sizeof(SNAPNOTE_OWNER), (size_t)4) +
		       sizeof(struct snapnote) + snap->n_threads * sizeof(struct snapnote_thread);
	size_t room = (c->note_room - fixed) / sizeof(struct snapnote_gap);
	size_t n = MIN(c->gaps.n, room);
	struct snapnote head = {
		.version = SNAPNOTE_VERSION,
		.header_size = sizeof(head),
		.gap_size = sizeof(struct snapnote_gap),
		.n_gaps = (uint32_t)n,
		.thread_size = sizeof(struct snapnote_thread),
		.n_threads = (uint32_t)snap->n_threads,
		.coredump_filter = facts->coredump_filter,
		.realtime_ns = snap->realtime_ns,
		.monotonic_ns = snap->monotonic_ns,
		.pause_ns = facts->pause_ns,
		.gap_bytes = c->gaps.bytes,
	};
	if (c->gaps.lost_bytes)
		head.flags |= SNAPNOTE_PARTIAL;
	if (n < c->gaps.n || c->gaps.dropped)
		head.flags |= SNAPNOTE_GAPS_CUT;
	strncpy(head.mode, snap->mode, sizeof(head.mode) - 1);

	_cleanup_strbuf_ struct strbuf desc = { 0 };
	int r = strbuf_add(&desc, &head, sizeof(head));
	if (r >= 0)
		r = strbuf_add(&desc, c->gaps.list, n * sizeof(*c->gaps.list));
	for (size_t i = 0; r >= 0 && i < snap->n_threads; i++) {
		const struct snap_thread *t = &snap->threads[i];
		struct snapnote_thread entry = {
			.tid = t->tid,
			.ns_tid = t->ns_tid,
			.flags = t->flags & SNAP_THREAD_PARTIAL ? SNAPNOTE_THREAD_PARTIAL : 0,
			.state = (uint8_t)t->state,
		};
		r = strbuf_add(&desc, &entry, sizeof(entry));
	}
	if (r >= 0)
		note_write(&c->notes, SNAPNOTE_OWNER, NT_PROCSNAP_SNAPSHOT, desc.data, desc.len,
			   desc.len);
	return r;
}

static uint32_t segment_flags(const struct snap_mapping *map)
{
	return (map->flags & SNAP_MAP_READ ? PF_R : 0U) |
	       (map->flags & SNAP_MAP_WRITE ? PF_W : 0U) |
	       (map->flags & SNAP_MAP_EXEC ? PF_X : 0U);
}

// The structures of both widths have the same member names, but not the same order.
#define ADD_HEADERS(Ehdr, Phdr, Shdr, c, buf)                                                    \
	do {                                                                                     \
		size_t headers = (c)->plan->n + 1;                                               \
		bool many = headers >= PN_XNUM;                                                  \
		Ehdr ehdr = {                                                                    \
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,                         \
				     (c)->snap->process.machine.elf_class, ELFDATA2LSB,          \
				     EV_CURRENT },                                               \
			.e_type = ET_CORE,                                                       \
			.e_machine = (c)->snap->process.machine.elf_machine,                     \
			.e_version = EV_CURRENT,                                                 \
			.e_phoff = sizeof(Ehdr),                                                 \
			.e_ehsize = sizeof(Ehdr),                                                \
			.e_phentsize = sizeof(Phdr),                                             \
			.e_phnum = many ? PN_XNUM : (uint16_t)headers,                           \
		};                                                                               \
		size_t shoff = sizeof(Ehdr) + headers * sizeof(Phdr);                            \
		if (many) {                                                                      \
			ehdr.e_shoff = (__typeof__(ehdr.e_shoff))shoff;                          \
			ehdr.e_shentsize = sizeof(Shdr);                                         \
			ehdr.e_shnum = 1;                                                        \
		}                                                                                \
		r = strbuf_add((buf), &ehdr, sizeof(ehdr));                                      \
		Phdr phdr = { .p_type = PT_NOTE };                                               \
		phdr.p_offset = (__typeof__(phdr.p_offset))(c)->notes_offset;                    \
		phdr.p_filesz =                                                                  \
			(__typeof__(phdr.p_filesz))((c)->notes.offset - (c)->notes_offset);      \
		phdr.p_align = 4;                                                                \
		if (r >= 0)                                                                      \
			r = strbuf_add((buf), &phdr, sizeof(phdr));                              \
		for (size_t i = 0; r >= 0 && i < (c)->plan->n; i++) {                            \
			const struct plan_segment *seg = &(c)->plan->segments[i];                \
			phdr = (Phdr){ .p_type = PT_LOAD, .p_align = PAGE };                     \
			phdr.p_flags = segment_flags(seg->map);                                  \
			phdr.p_offset = (__typeof__(phdr.p_offset))(c)->offsets[i];              \
			phdr.p_vaddr = (__typeof__(phdr.p_vaddr))seg->start;                     \
			phdr.p_filesz = (__typeof__(phdr.p_filesz))seg->dump_bytes;              \
			phdr.p_memsz =                                                           \
				(__typeof__(phdr.p_memsz))(seg->end - seg->start);               \
			r = strbuf_add((buf), &phdr, sizeof(phdr));                              \
		}                                                                                \
		/* the ELF way to say more than fits: gABI "Number of program headers" */        \
		Shdr shdr = { .sh_type = SHT_NULL, .sh_size = 1 };                               \
		shdr.sh_info = (__typeof__(shdr.sh_info))headers;                                \
		if (r >= 0 && many)                                                              \
			r = strbuf_add((buf), &shdr, sizeof(shdr));                              \
	} while (0)

static int build_headers(const struct core *c, struct strbuf *buf)
{
	int r;
	if (is64(c))
		ADD_HEADERS(Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr, c, buf);
	else
		ADD_HEADERS(Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr, c, buf);
	return r;
}

/// Spilled memory that found no room on the disk: a gap. It lies in one segment.
static void on_lost(void *userdata, uint64_t offset, uint64_t len)
{
	struct core *c = userdata;
	for (size_t i = 0; i < c->plan->n; i++) {
		const struct plan_segment *seg = &c->plan->segments[i];
		if (offset < c->offsets[i] || offset >= c->offsets[i] + seg->dump_bytes)
			continue;
		uint64_t addr = seg->start + (offset - c->offsets[i]);
		// Part of it may have been written.
		(void)fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				(off_t)len);
		gaps_add(&c->gaps, addr, addr + len, GAP_ABORTED);
		return;
	}
}

/// Ends what core_copy() left for after the pause.
static struct snap_error *settle(struct core *c, int fd, bool defer_writing)
{
	// Begins the writing, so that what follows here does not have to wait for it later.
	if (!defer_writing)
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	int r = c->reserve ? reserve_flush(c->reserve,
					   c->flags & CORE_KEEP_PARTIAL ? on_lost : NULL, c) :
			     0;
	if (r < 0)
		return write_error(-r);
	for (size_t i = 0; r == 0 && i < c->n_stale; i++)
		r = reserve_erase(fd, c->stale[i].start, c->stale[i].end);
	if (r < 0)
		return write_error(-r);
	if (ftruncate(fd, (off_t)c->size) < 0)
		return write_error(errno);
	r = c->reserve ? reserve_trim(c->reserve) : 0;
	return r < 0 ? write_error(-r) : NULL;
}

static bool is_young(const struct plan_segment *seg)
{
	return seg->dump_bytes && seg->map->flags & SNAP_MAP_YOUNG;
}

bool core_has_young(const struct core *c)
{
	for (size_t i = 0; c->held && i < c->plan->n; i++)
		if (is_young(&c->plan->segments[i]))
			return true;
	return false;
}

/// Does any part of [@start, @end) belong to a mapping that is excluded from dumps?
static bool is_excluded(const struct snapshot *later, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < later->n_mappings; i++) {
		const struct snap_mapping *map = &later->mappings[i];
		if (map->start < end && map->end > start && map->flags & SNAP_MAP_DONTDUMP)
			return true;
	}
	return false;
}

void core_leave_out(struct core *c, struct plan *plan, const struct snapshot *later)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct plan_segment *seg = &plan->segments[i];
		if (!is_young(seg) || !is_excluded(later, seg->start, seg->end))
			continue;
		// Where the stale parts are kept there is room for one of each segment.
		add_stale(c, c->offsets[i], c->offsets[i] + seg->dump_bytes);
		seg->class = PLAN_DONTDUMP;
		seg->dump_bytes = 0;
	}
}

static struct snap_error *write_headers(const struct core *c, int fd)
{
	_cleanup_strbuf_ struct strbuf head = { 0 };
	if (build_headers(c, &head) < 0)
		return snap_error_oom();
	int r = snap_pwrite_all(fd, head.data, head.len, 0);
	return r < 0 ? write_error(-r) : NULL;
}

struct snap_error *core_finish(struct core *c, int fd, const struct core_facts *facts)
{
	struct snap_error *err = settle(c, fd, facts->defer_writing);
	if (err)
		return err;
	gaps_close(&c->gaps);
	note_writer_init(&c->notes, fd, c->notes_offset);
	notes_write(c->snap, &c->notes);
	if (add_snapnote(c, facts) < 0)
		return snap_error_oom();
	int r = note_writer_flush(&c->notes);
	if (r < 0)
		return write_error(-r);
	give_back_head(c, fd, ALIGN_UP(c->notes.offset, (uint64_t)PAGE));
	return write_headers(c, fd); // last, for without them the file is no core
}
