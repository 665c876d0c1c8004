// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/fd.h"
#include "common/snapnote.h"
#include "coreparts.h"

enum {
	PAGE = 4096,
	// Upper estimates of headers and notes: a program header, a line of NT_FILE and a gap for
	// each mapping; register sets with AMX tiles and room for new ones for each thread.
	HEAD_FIXED_BYTES = 128 << 10,
	HEAD_MAPPING_BYTES = 56 + 24 + 24,
	HEAD_THREAD_BYTES = 14 << 10,
	// Room for gaps in the note, beside one for each mapping and thread.
	SPARE_GAPS = 1024,
};

/// Returns where headers and notes end.
static uint64_t lay_out_head(struct core *c)
{
	size_t headers = c->plan->n + 2; // the notes, and those that attach_note() adds
	size_t ehdr = core_is64(c) ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	size_t phdr = core_is64(c) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	size_t shdr = core_is64(c) ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);

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
	if (!core_is64(c) && c->size > UINT32_MAX) {
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

struct snap_error *core_write_error(int errnum)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum,
				"cannot write the core%s",
				errnum == EFBIG ? " (file size limit, see ulimit -f)" : "");
}

void core_give_back_head(const struct core *c, int fd, uint64_t end)
{
	if (end < c->data_offset)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)end,
				(off_t)(c->data_offset - end));
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

const struct plan *core_plan(const struct core *c)
{
	return c->plan;
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
