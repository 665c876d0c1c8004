// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/fd.h"
#include "coreparts.h"
#include "zstframes.h"

enum {
	// Beside the largest frame, so that there is always room for a skippable one.
	SPARE_BYTES = 16,
	SKIP_MAX_BYTES = 1 << 20, ///< no reader needs more memory for them than for others
};

/// The room that is left for the frames of headers and notes.
static uint64_t head_room(const struct core *c)
{
	return c->data_offset / ZSTFRAMES_BYTES * (zstframes_bound() + SPARE_BYTES);
}

struct snap_error *core_create_packed(const struct snapshot *snap, const struct plan *plan,
				      struct core **ret)
{
	struct core *c = NULL;
	struct snap_error *err = core_create(snap, plan, 0, &c);
	if (err)
		return err;
	uint64_t first = ALIGN_UP(c->data_offset, (uint64_t)ZSTFRAMES_BYTES);
	core_destroy(c);
	return core_create(snap, plan, first, ret);
}

// ---- frames of memory ----------------------------------------------------------------------

/// The first segment that has something at @offset of the file, or behind it.
static size_t find_segment(const struct core *c, uint64_t offset)
{
	size_t low = 0, high = c->plan->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (c->offsets[mid] + c->plan->segments[mid].dump_bytes > offset)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/// What segment @i has of the file's [@start, @end).
static struct piece piece_of(const struct core *c, size_t i, uint64_t start, uint64_t end,
			     struct landing *landing)
{
	const struct plan_segment *seg = &c->plan->segments[i];
	uint64_t offset = c->offsets[i];
	start = MAX(start, offset);
	end = MIN(end, offset + seg->dump_bytes);
	return (struct piece){ .map = seg->map,
			       .start = seg->start + (start - offset),
			       .end = seg->start + (end - offset),
			       .offset = start,
			       .landing = landing };
}

struct source {
	struct core *core;
	const struct packing *packing;
};

static bool has_room(const struct packing *p)
{
	struct statvfs st;
	return !p->keep_free_bytes || fstatvfs(p->out, &st) < 0 ||
	       (uint64_t)st.f_bavail * st.f_frsize >= p->keep_free_bytes;
}

// NOLINTNEXTLINE(readability-non-const-parameter): memory is read to where it lands
static struct snap_error *fill_from_memory(void *userdata, uint64_t pos, char *buf, size_t len,
					   bool *ret_zero)
{
	const struct source *source = userdata;
	struct core *c = source->core;
	if (!has_room(source->packing))
		return core_write_error(ENOSPC);
	struct landing landing = { .buf = buf, .offset = pos, .len = len };
	struct mem_range ranges[CORE_RANGES];
	for (size_t i = find_segment(c, pos); i < c->plan->n && c->offsets[i] < pos + len; i++) {
		const struct piece piece = piece_of(c, i, pos, pos + len, &landing);
		uint64_t addr = piece.start;
		int r = core_copy_piece(c, &piece, NULL, ranges, &addr);
		if (r == -ENOMEM)
			return snap_error_oom();
		if (r < 0 && c->abort)
			return snap_error_new(SNAP_NO_SPACE, "the core is larger than it may be");
		if (r < 0)
			core_miss_piece(c, &piece, addr);
	}
	*ret_zero = !landing.used;
	return NULL;
}

// ---- headers and notes ---------------------------------------------------------------------

static struct snap_error *fill_from_file(void *userdata, uint64_t pos, char *buf, size_t len,
					 bool *ret_zero)
{
	const int *fd = userdata;
	*ret_zero = false;
	ssize_t n = snap_pread_full(*fd, buf, len, pos);
	return n == (ssize_t)len ? NULL :
				   snap_error_errno(SNAP_FAILED, n < 0 ? (int)-n : EIO,
						    "cannot read the headers back");
}

/// Fills @len bytes at the file's position with skippable frames.
static struct snap_error *skip(int out, uint64_t len, struct zsttable *table)
{
	while (len) {
		uint32_t one = (uint32_t)(len > 2 * (uint64_t)SKIP_MAX_BYTES ? SKIP_MAX_BYTES :
									       len);
		uint32_t head[2];
		zsttable_skip_head(one, head);
		int r = snap_write_all(out, head, sizeof(head));
		off_t at = r < 0 ? 0 : lseek(out, 0, SEEK_CUR);
		uint64_t rest = one - sizeof(head);
		if (r < 0 || at < 0 || lseek(out, (off_t)rest, SEEK_CUR) < 0)
			return core_write_error(r < 0 ? -r : errno);
		// It was set aside. Where it has to stay, that is a waste and no error.
		if (rest)
			(void)fallocate(out, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
					(off_t)rest);
		if (zsttable_add(table, one, 0) < 0)
			return snap_error_oom();
		len -= one;
	}
	return NULL;
}

/// Writes the frames before those of the segments, and what is left of their room.
static struct snap_error *write_head(struct core *c, const struct packing *p,
				     struct zsttable *table)
{
	_cleanup_close_ int head = memfd_create("procsnap-head", MFD_CLOEXEC);
	if (head < 0)
		return snap_error_errno(SNAP_FAILED, errno, "no memory can be had");
	struct snap_error *err = core_finish(c, head, p->facts);
	if (err)
		return err;
	const struct zstframes_job job = { .fill = fill_from_file,
					   .userdata = &head,
					   .end = c->data_offset,
					   .out = p->out,
					   .level = p->level,
					   .threads = 1 };
	if (lseek(p->out, 0, SEEK_SET) < 0)
		return core_write_error(errno);
	err = zstframes_write(&job, table);
	if (err)
		return err;
	off_t used = lseek(p->out, 0, SEEK_CUR);
	return used < 0 ? core_write_error(errno) :
			  skip(p->out, head_room(c) - (uint64_t)used, table);
}

static struct snap_error *write_table(int out, struct zsttable *head, const struct zsttable *body)
{
	if (zsttable_add_all(head, body) < 0)
		return snap_error_oom();
	if (lseek(out, 0, SEEK_END) < 0)
		return core_write_error(errno);
	return zsttable_write(head, out);
}

/// What all but the frames of segments takes at most.
static uint64_t overhead(const struct core *c)
{
	uint64_t frames = c->size / ZSTFRAMES_BYTES + head_room(c) / SKIP_MAX_BYTES + 2;
	return head_room(c) + (frames + 3) * sizeof(struct zsttable_entry);
}

struct snap_error *core_pack(struct core *c, const struct packing *p)
{
	_cleanup_zsttable_ struct zsttable head = { 0 }, body = { 0 };
	uint64_t room = head_room(c), less = overhead(c);
	struct source source = { c, p };
	struct zstframes_job job = { .fill = fill_from_memory,
				     .userdata = &source,
				     .start = c->data_offset,
				     .end = c->size,
				     .out = p->out,
				     .level = p->level,
				     .threads = p->threads };
	if (p->max_bytes && p->max_bytes <= less)
		return snap_error_new(SNAP_NO_SPACE, "there is no room for headers and notes");
	if (p->max_bytes)
		job.max_bytes = p->max_bytes - less;
	c->source = p->source;
	c->flags = CORE_KEEP_PARTIAL;
	// Others may fill the disk meanwhile. Where room cannot be set aside, it is taken later.
	if ((fallocate(p->out, 0, 0, (off_t)room) < 0 && errno != EOPNOTSUPP) ||
	    lseek(p->out, (off_t)room, SEEK_SET) < 0)
		return core_write_error(errno);
	struct snap_error *err = zstframes_write(&job, &body);
	if (!err)
		err = write_head(c, p, &head);
	return err ? err : write_table(p->out, &head, &body);
}
