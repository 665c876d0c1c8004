/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: What the processes of a hook share
 *
 * Memory of the holder and of its copiers, of which a later one goes on where the one before was
 * killed. A copier may be killed in the middle of writing to it.
 */
enum {
	SHARE_READERS = 16, ///< threads that read at once; what more there are is not watched
	SHARE_AVOIDED = 8,
	SHARE_ANSWER_BYTES = 1024,
};

struct share {
	/// One of the copiers reads the stream: where that stands, the next one cannot know.
	bool stream_taken;
	/// What the daemon has decided, as JSON; empty before. It counts a crash only once.
	char answer[SHARE_ANSWER_BYTES];
	/// The daemon was asked, and did not answer in time: it is not asked again.
	bool silent;
	/// A copier has begun to copy the core into memory, too.
	bool memory_tried;
	/// A copier has begun to compress it while it reads.
	bool pack_tried;
	/// Calls that read memory and have ended.
	atomic_uint_fast64_t calls;
	/// The mappings, by their start, of those that have not; 0: none.
	atomic_uint_fast64_t reading[SHARE_READERS];
	/// Mappings of which a read did not come back.
	atomic_size_t n_avoided;
	atomic_uint_fast64_t avoided[SHARE_AVOIDED];
};

/// Memory for it, for as long as the process lives. Without any it is not shared: then copiers are
/// as if each were the first, and mostly it is.
struct share *share_create(void);
/// Are any reads under way?
bool share_is_reading(const struct share *share);
/// What is being read now is not read any more. For the holder, of a copier that it kills.
void share_avoid(struct share *share);
/// Is @mapping to be left out? When there are more than SHARE_AVOIDED, all are.
bool share_avoids(const struct share *share, uint64_t mapping);
/// Around a read of the mapping that begins at @mapping. share_begin() returns what share_end()
/// wants.
size_t share_begin(struct share *share, uint64_t mapping);
void share_end(struct share *share, size_t reader);
/// Instead of share_end(): it has not come back, and that mapping is to be avoided.
void share_give_up(struct share *share, size_t reader, uint64_t mapping);
