/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"
#include "sink.h"
#include "zsttable.h"

/**
 * DOC: From a packed core to its final form
 *
 * A core that core_pack() made is compressed already. What is still to be added to it is a note
 * (attach.h), which changes its headers and its end. So these are made anew, and all frames between
 * them are copied as they are: what comes out is as if sink_zstd() had made it, but for the level.
 *
 * The headers are worked on in a file of their own, the head: it is as long as the core and has
 * nothing but headers and notes, as attach_note() wants it.
 */
struct repack {
	int in; ///< borrowed
	struct zsttable table; ///< of in
	uint64_t in_end; ///< where its frames end
	size_t n_head, n_before; ///< frames of headers and notes, and all before those of segments
	uint64_t head_bytes; ///< decompressed; segments begin there
	uint64_t before_bytes; ///< of these n_before frames, in the file
	uint64_t size; ///< of the core
	int head; ///< the head; owned
};

/// Begins with the packed core @in, which stays the caller's. For repack_deinit() also after an
/// error.
struct snap_error *repack_init(struct repack *rp, int in) _must_check_;
void repack_deinit(struct repack *rp);
#define _cleanup_repack_ _cleanup_(repack_deinit)

/**
 * Writes the core to @out, with what the head has become by now.
 *
 * With SINK_CONSUME the input gives its room to the output as that is written. Then it is no core
 * any more from the first frame on, whatever happens.
 */
struct snap_error *repack_write(struct repack *rp, int out, int level, uint32_t flags,
				const struct sink_progress *progress) _must_check_;
