// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "zstframes.h"

static struct snap_error *write_error(int errnum)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum, "cannot write the core");
}

// ---- the head ------------------------------------------------------------------------------

/// Decompresses the frame at @at, @entry, to @pos of the head.
static struct snap_error *expand_to_head(const struct repack *rp, uint64_t at,
					 const struct zsttable_entry *entry, uint64_t pos)
{
	_cleanup_free_ char *packed = malloc(entry->packed + 1UL), *raw = malloc(entry->raw + 1UL);
	if (!packed || !raw)
		return snap_error_oom();
	if (snap_pread_full(rp->in, packed, entry->packed, at) != (ssize_t)entry->packed)
		return snap_error_new(SNAP_FAILED, "cannot read the packed core");
	struct snap_error *err = zstframes_expand(packed, entry->packed, raw, entry->raw);
	if (err)
		return err;
	int r = snap_pwrite_all(rp->head, raw, entry->raw, pos);
	return r < 0 ? write_error(-r) : NULL;
}

/// Frames of headers and notes, room that they did not need, and frames of segments.
static bool look_at_table(struct repack *rp)
{
	const struct zsttable *t = &rp->table;
	size_t i = 0;
	for (; i < t->n && t->entries[i].raw; i++)
		if (t->entries[i].raw != ZSTFRAMES_BYTES ||
		    t->entries[i].packed > zstframes_bound())
			return false; // what comes next would not be at its place
	rp->n_head = i;
	rp->head_bytes = i * (uint64_t)ZSTFRAMES_BYTES;
	for (; i < t->n && !t->entries[i].raw; i++)
		;
	rp->n_before = i;
	rp->size = rp->head_bytes;
	for (size_t j = 0; j < i; j++)
		rp->before_bytes += t->entries[j].packed;
	for (bool last = false; i < t->n; i++) {
		const struct zsttable_entry *entry = &t->entries[i];
		if (last || !entry->raw || entry->raw > ZSTFRAMES_BYTES ||
		    entry->packed > zstframes_bound())
			return false;
		last = entry->raw < ZSTFRAMES_BYTES; // nothing comes behind it
		rp->size += entry->raw;
	}
	return rp->n_head;
}

struct snap_error *repack_init(struct repack *rp, int in)
{
	*rp = (struct repack){ .in = in, .head = -EBADF };
	struct snap_error *err = zsttable_read(in, &rp->table, &rp->in_end);
	if (err)
		return err;
	if (!look_at_table(rp))
		return snap_error_new(SNAP_FAILED, "the packed core is damaged");
	rp->head = memfd_create("procsnap-head", MFD_CLOEXEC);
	if (rp->head < 0 || ftruncate(rp->head, (off_t)rp->size) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "no memory can be had");
	for (uint64_t i = 0, at = 0; !err && i < rp->n_head; at += rp->table.entries[i++].packed)
		err = expand_to_head(rp, at, &rp->table.entries[i], i * ZSTFRAMES_BYTES);
	return err;
}

void repack_deinit(struct repack *rp)
{
	zsttable_deinit(&rp->table);
	snap_closep(&rp->head);
	rp->head = -EBADF;
}

// ---- the frames ----------------------------------------------------------------------------

static struct snap_error *fill_from_head(void *userdata, uint64_t pos, char *buf, size_t len,
					 bool *ret_zero)
{
	const struct repack *rp = userdata;
	*ret_zero = false;
	ssize_t n = snap_pread_full(rp->head, buf, len, pos);
	return n == (ssize_t)len ? NULL :
				   snap_error_errno(SNAP_FAILED, n < 0 ? (int)-n : EIO,
						    "cannot read the headers back");
}

/// Compresses [@start, @end) of the head.
static struct snap_error *write_of_head(struct repack *rp, uint64_t start, uint64_t end, int out,
					int level, struct zsttable *table)
{
	const struct zstframes_job job = { .fill = fill_from_head,
					   .userdata = rp,
					   .start = start,
					   .end = end,
					   .out = out,
					   .level = level,
					   .threads = 1 };
	return zstframes_write(&job, table);
}

struct copying {
	struct repack *rp;
	int out;
	uint32_t flags;
	const struct sink_progress *progress;
	struct zsttable *table;
	uint64_t at; ///< in the input
	uint64_t pos; ///< in the core
	char *buf;
	bool spoiled;
};

/// Without its table it is no core any more; it must not be taken for one when it has holes.
static struct snap_error *spoil(struct copying *c)
{
	if (c->spoiled)
		return NULL;
	if (ftruncate(c->rp->in, (off_t)c->rp->in_end) < 0 || fdatasync(c->rp->in) < 0)
		return write_error(errno);
	c->spoiled = true;
	return NULL;
}

/// Gives back what was copied: from the beginning on, since pages are given back whole.
static struct snap_error *consume(struct copying *c)
{
	struct snap_error *err = spoil(c);
	if (!err)
		(void)fallocate(c->rp->in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				(off_t)c->at);
	return err;
}

static struct snap_error *copy_frame(struct copying *c, const struct zsttable_entry *entry)
{
	if (snap_pread_full(c->rp->in, c->buf, entry->packed, c->at) != (ssize_t)entry->packed)
		return snap_error_new(SNAP_FAILED, "cannot read the packed core");
	int r = snap_write_all(c->out, c->buf, entry->packed);
	if (r < 0)
		return write_error(-r);
	if (zsttable_add(c->table, entry->packed, entry->raw) < 0)
		return snap_error_oom();
	c->at += entry->packed;
	c->pos += entry->raw;
	if (c->progress)
		c->progress->fn(c->progress->userdata, c->pos);
	return c->flags & SINK_CONSUME ? consume(c) : NULL;
}

/// Copies the frames of segments that are whole, and has the head have what is left.
static struct snap_error *copy_frames(struct copying *c, bool all)
{
	const struct zsttable *table = &c->rp->table;
	struct snap_error *err = NULL;
	_cleanup_free_ char *buf = c->buf = malloc(zstframes_bound());
	if (!buf)
		return snap_error_oom();
	for (size_t i = c->rp->n_before; !err && i < table->n; i++) {
		const struct zsttable_entry *entry = &table->entries[i];
		if (!all && entry->raw < ZSTFRAMES_BYTES)
			return expand_to_head(c->rp, c->at, entry, c->pos);
		err = copy_frame(c, entry);
	}
	return err;
}

struct snap_error *repack_write(struct repack *rp, int out, int level, uint32_t flags,
				const struct sink_progress *progress)
{
	_cleanup_zsttable_ struct zsttable table = { 0 };
	struct stat st;
	if (fstat(rp->head, &st) < 0 || (uint64_t)st.st_size < rp->size)
		return snap_error_errno(SNAP_FAILED, EIO, "cannot look at the headers");
	uint64_t end = (uint64_t)st.st_size;
	struct copying c = { .rp = rp,
			     .out = out,
			     .flags = flags,
			     .progress = progress,
			     .table = &table,
			     .at = rp->before_bytes,
			     .pos = rp->head_bytes };
	struct snap_error *err = write_of_head(rp, 0, rp->head_bytes, out, level, &table);
	if (!err)
		err = copy_frames(&c, end == rp->size);
	if (!err)
		err = write_of_head(rp, c.pos, end, out, level, &table);
	return err ? err : zsttable_write(&table, out);
}
