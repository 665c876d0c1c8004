/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "core.h"

/**
 * DOC: Cores that are compressed while memory is read
 *
 * Where there is no room for a raw core, nowhere, it is compressed at once: frame by frame, in the
 * order of the file (zstframes.h), straight from the memory of the process. That takes much longer
 * than copying, and the process waits for it.
 *
 * Headers and notes are at the beginning of a core and known at the end, when the gaps are. So
 * segments begin with a frame of their own, and room is left for the frames before them, for when
 * they would not compress at all. What they do not need is skippable frames, which are holes on the
 * disk, and of no bytes in the seek table. The result is a complete core in the seekable zstd
 * format, for every program that reads zstd. The seek table is written last; before, it is none.
 *
 * dumper/repack.h makes one without that room of it.
 */
struct packing {
	struct memsource *source;
	int out; ///< an empty regular file
	int level; ///< of compression
	unsigned int threads; ///< at least 1; each takes about 3 MiB
	uint64_t max_bytes; ///< of the file; 0: no limit
	uint64_t keep_free_bytes; ///< of the disk, whoever else writes to it meanwhile
	const struct core_facts *facts;
};

/**
 * As core_create(), for core_pack(): segments begin with a frame. core_set_limit() counts for it,
 * but what is beyond is an error.
 */
struct snap_error *core_create_packed(const struct snapshot *snap, const struct plan *plan,
				      struct core **ret) _must_check_;
/**
 * Instead of core_copy() and core_finish(). What cannot be read, or was gone before it was read, is
 * a gap. SNAP_NO_SPACE when there is no room for it on the disk or within @packing's limits; then,
 * and after any other error, the file is of no use.
 */
struct snap_error *core_pack(struct core *core, const struct packing *packing) _must_check_;
