/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "zsttable.h"

/**
 * DOC: Compressing by frames
 *
 * Frames of 1 MiB, independent of each other, are taken in order by several threads, filled by
 * whoever has the bytes, compressed in parallel, and written in order. So the output may be a pipe,
 * and no more is held in memory than about 3 MiB for each thread. Which frame is where goes into a
 * table (zsttable.h).
 */
enum { ZSTFRAMES_BYTES = 1 << 20 };

/**
 * Fills @buf, which is page-aligned, with the @len bytes at @pos, a multiple of the size of frames.
 * Or sets @ret_zero instead: there are only zeros, and @buf is not looked at.
 *
 * Called by several threads at once, each with its own @buf. An error ends the work.
 */
typedef struct snap_error *(*zstframes_fill_fn)(void *userdata, uint64_t pos, char *buf, size_t len,
						bool *ret_zero);

struct zstframes_job {
	zstframes_fill_fn fill;
	/// The @len bytes at @pos are written; in their order, one at a time. NULL: nobody asks.
	void (*written)(void *userdata, uint64_t pos, size_t len);
	void *userdata;
	uint64_t start, end; ///< what to compress; start is a multiple of the size of frames
	int out; ///< written at its position
	uint64_t max_bytes; ///< that may be written; 0: no limit
	int level;
	unsigned int threads; ///< at least 1
};

/**
 * Compresses what the job says, and adds its frames to @table.
 *
 * Whether more than max_bytes, or than the disk has, would be written is told by SNAP_NO_SPACE.
 * What was written before an error stays.
 */
struct snap_error *zstframes_write(const struct zstframes_job *job,
				   struct zsttable *table) _must_check_;
/// A frame has at most so many bytes when it is compressed.
size_t zstframes_bound(void);
/// Decompresses the @len bytes of one frame at @packed, which must give @raw_len bytes.
struct snap_error *zstframes_expand(const void *packed, size_t len, void *raw,
				    size_t raw_len) _must_check_;
