// SPDX-License-Identifier: LGPL-2.1-or-later
#include "source.h"

#include <errno.h>
#include <stdbool.h>
#include <zstd.h>

#include "common/fd.h"
#include "common/span.h"

enum {
	// A read takes longer to begin than to copy this much; more would be read in vain.
	FILE_BLOCK_BYTES = 64 << 10,
	// Heaps of several threads are read in turns, and lie at like distances: a prime, so that
	// their blocks do not push out each other.
	FILE_BLOCKS = 383,
	// Larger pieces of a process would fail at the first page that cannot be read.
	MEMORY_BLOCK_BYTES = 4 << 10,
	MEMORY_BLOCKS = 2048,
	// contrib/seekable_format/zstd_seekable_compression_format.md
	ZSTD_FRAME_MAGIC = (int)0xFD2FB528,
	SKIPPABLE_MAGIC = 0x184D2A5E,
	SEEKABLE_MAGIC = (int)0x8F92EAB1,
	SEEK_FOOTER_BYTES = 9,
	SEEK_HEADER_BYTES = 8,
	SEEK_CHECKSUM_FLAG = 0x80,
	// Larger frames than writers use, but a limit to what one frame may make us allocate.
	FRAME_MAX_BYTES = 16 << 20,
	FRAMES_CACHED = 12,
	// 64 TiB of core in frames of 1 MiB
	FRAMES_MAX = 64 << 20,
};

struct block {
	uint64_t index, start;
	size_t len; ///< bytes that are there
	bool valid;
	uint8_t *data;
};

struct frame {
	uint64_t in, out; ///< offsets: compressed, decompressed
};

struct source {
	int fd;
	enum source_kind kind;
	uint64_t size, bytes_read;
	size_t block_bytes, n_blocks;
	struct block *blocks, *last;
	// zstd only: n_frames + 1 of them, the last one is the end
	struct frame *frames;
	size_t n_frames;
	ZSTD_DCtx *zstd;
	uint8_t *packed;
	size_t packed_max;
};

/// Sums up the seek table: where each frame begins.
static bool sum_frames(struct source *src, struct span *table, size_t entry_bytes)
{
	struct frame at = { 0 };
	size_t out_max = 0;
	for (size_t i = 0; i < src->n_frames; i++) {
		uint32_t in = span_u32(table, i * entry_bytes);
		uint32_t out = span_u32(table, i * entry_bytes + 4);
		if (out > FRAME_MAX_BYTES || in > ZSTD_COMPRESSBOUND((size_t)FRAME_MAX_BYTES))
			return false;
		src->frames[i] = at;
		at.in += in;
		at.out += out;
		out_max = MAX(out_max, (size_t)out);
		src->packed_max = MAX(src->packed_max, (size_t)in);
	}
	src->frames[src->n_frames] = at;
	src->size = at.out;
	src->block_bytes = out_max;
	src->n_blocks = FRAMES_CACHED;
	return !table->bad && out_max;
}

static struct snap_error *not_seekable(void)
{
	return snap_error_new(SNAP_FAILED,
			      "the core is compressed in one piece, not in the seekable format; "
			      "decompress it first: zstd -d");
}

static struct snap_error *open_zstd(struct source *src, uint64_t file_size)
{
	uint8_t footer_bytes[SEEK_FOOTER_BYTES] = { 0 };
	struct span footer = span_of(footer_bytes, sizeof(footer_bytes));
	if (file_size < SEEK_FOOTER_BYTES + SEEK_HEADER_BYTES ||
	    snap_pread_full(src->fd, footer_bytes, sizeof(footer_bytes),
			    file_size - SEEK_FOOTER_BYTES) != SEEK_FOOTER_BYTES ||
	    span_u32(&footer, 5) != (uint32_t)SEEKABLE_MAGIC)
		return not_seekable();
	src->n_frames = span_u32(&footer, 0);
	size_t entry_bytes = span_u8(&footer, 4) & SEEK_CHECKSUM_FLAG ? 12 : 8;
	uint64_t table_bytes = (uint64_t)src->n_frames * entry_bytes;
	if (!src->n_frames || src->n_frames > FRAMES_MAX ||
	    table_bytes > file_size - SEEK_FOOTER_BYTES - SEEK_HEADER_BYTES)
		return snap_error_new(SNAP_FAILED, "the seek table of the core is damaged");
	_cleanup_free_ uint8_t *table = malloc(table_bytes);
	src->frames = calloc(src->n_frames + 1, sizeof(*src->frames));
	src->zstd = ZSTD_createDCtx();
	if (!table || !src->frames || !src->zstd)
		return snap_error_oom();
	if (snap_pread_full(src->fd, table, table_bytes,
			    file_size - SEEK_FOOTER_BYTES - table_bytes) != (ssize_t)table_bytes)
		return snap_error_new(SNAP_FAILED, "cannot read the seek table of the core");
	struct span span = span_of(table, table_bytes);
	if (!sum_frames(src, &span, entry_bytes))
		return snap_error_new(SNAP_FAILED, "the seek table of the core is damaged");
	src->packed = malloc(src->packed_max);
	return src->packed ? NULL : snap_error_oom();
}

static struct snap_error *open_file(struct source *src)
{
	uint32_t magic = 0;
	off_t size = lseek(src->fd, 0, SEEK_END); // which the sandbox allows
	if (size < 0)
		return snap_error_errno(SNAP_FAILED, errno, "it cannot be read from the middle");
	src->size = (uint64_t)size;
	src->block_bytes = FILE_BLOCK_BYTES;
	src->n_blocks = FILE_BLOCKS;
	if (snap_pread_full(src->fd, &magic, sizeof(magic), 0) == sizeof(magic) &&
	    le32toh(magic) == (uint32_t)ZSTD_FRAME_MAGIC)
		return open_zstd(src, src->size);
	return NULL;
}

struct snap_error *source_create(int fd, enum source_kind kind, struct source **ret)
{
	_cleanup_(source_destroyp) struct source *src = calloc(1, sizeof(*src));
	if (!src)
		return snap_error_oom();
	src->fd = fd;
	src->kind = kind;
	if (kind == SOURCE_FILE) {
		struct snap_error *err = open_file(src);
		if (err)
			return err;
	} else {
		src->size = UINT64_MAX;
		src->block_bytes = MEMORY_BLOCK_BYTES;
		src->n_blocks = MEMORY_BLOCKS;
	}
	src->blocks = calloc(src->n_blocks + 1, sizeof(*src->blocks));
	if (!src->blocks)
		return snap_error_oom();
	*ret = TAKE_PTR(src);
	return NULL;
}

void source_destroy(struct source *src)
{
	if (!src)
		return;
	for (size_t i = 0; src->blocks && i < src->n_blocks; i++)
		free(src->blocks[i].data);
	free(src->blocks);
	free(src->frames);
	free(src->packed);
	(void)ZSTD_freeDCtx(src->zstd); // takes NULL, and has nothing to fail at
	free(src);
}

uint64_t source_size(const struct source *src)
{
	return src->size;
}

static size_t fill_frame(struct source *src, uint64_t index, uint8_t *data)
{
	const struct frame *f = &src->frames[index];
	size_t in = (size_t)(f[1].in - f[0].in), out = (size_t)(f[1].out - f[0].out);
	if (snap_pread_full(src->fd, src->packed, in, f[0].in) != (ssize_t)in)
		return 0;
	size_t n = ZSTD_decompressDCtx(src->zstd, data, out, src->packed, in);
	return ZSTD_isError(n) ? 0 : n;
}

/// The frame that has the byte at @offset.
static uint64_t find_frame(const struct source *src, uint64_t offset)
{
	size_t low = 0, high = src->n_frames;
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (src->frames[mid].out <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/// The block that has the byte at @offset, and where it begins; NULL when out of memory.
static const struct block *get_block(struct source *src, uint64_t offset, uint64_t *ret_start)
{
	uint64_t index = src->frames ? find_frame(src, offset) : offset / src->block_bytes;
	*ret_start = src->frames ? src->frames[index].out : index * src->block_bytes;
	if (src->last && src->last->index == index)
		return src->last;
	struct block *b = &src->blocks[index % src->n_blocks];
	if (!b->valid || b->index != index) {
		if (!b->data)
			b->data = malloc(src->block_bytes);
		if (!b->data)
			return NULL;
		ssize_t n = src->frames ?
				    (ssize_t)fill_frame(src, index, b->data) :
				    snap_pread_full(src->fd, b->data, src->block_bytes, *ret_start);
		b->len = n < 0 ? 0 : (size_t)n;
		src->bytes_read += b->len;
		b->index = index;
		b->start = *ret_start;
		b->valid = true;
	}
	src->last = b;
	return b;
}

const void *source_at_hand(const struct source *src, uint64_t offset, size_t len)
{
	const struct block *b = src->last;
	uint64_t at = b ? offset - b->start : 0;
	return b && offset >= b->start && len <= b->len && at <= b->len - len ? b->data + at : NULL;
}

size_t source_read(struct source *src, uint64_t offset, void *buf, size_t len)
{
	size_t done = 0;
	while (done < len && offset < src->size) {
		uint64_t start;
		const struct block *b = get_block(src, offset, &start);
		if (!b || offset - start >= b->len)
			break;
		size_t n = MIN(len - done, b->len - (size_t)(offset - start));
		memcpy((uint8_t *)buf + done, b->data + (offset - start), n);
		done += n;
		offset += n;
	}
	return done;
}

size_t source_read_once(struct source *src, uint64_t offset, void *buf, size_t len)
{
	uint64_t index = offset / src->block_bytes;
	const struct block *b = &src->blocks[index % src->n_blocks];
	if (src->frames || src->kind != SOURCE_FILE || offset >= src->size ||
	    (b->valid && b->index == index))
		return source_read(src, offset, buf, len);
	ssize_t n = snap_pread_full(src->fd, buf, MIN(len, src->size - offset), offset);
	src->bytes_read += n < 0 ? 0 : (size_t)n;
	return n < 0 ? 0 : (size_t)n;
}

uint64_t source_bytes_read(const struct source *src)
{
	return src->bytes_read;
}
