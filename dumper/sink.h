/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"

/**
 * DOC: Where a finished core goes
 *
 * The core is always written raw and sparse first, at the speed of memory; then, while the process
 * runs again, a sink reads it and gives it its final form. A core that stays as it is needs none.
 * Both sinks write strictly forward, so their output may be a pipe.
 */

struct sink_progress {
	void (*fn)(void *userdata, uint64_t done_bytes); ///< bytes of the raw core done so far
	void *userdata;
};

/// Copies the @size bytes of @in to @out.
struct snap_error *sink_stream(int in, uint64_t size, int out,
			       const struct sink_progress *progress) _must_check_;

enum sink_flags {
	/// What has been written makes a hole in @in at once: where there was room for the input,
	/// there is room for the output.
	SINK_CONSUME = 1U << 0,
};

enum { SINK_ZSTD_LEVEL_DEFAULT = 3, SINK_ZSTD_LEVEL_MAX = 19 };

/**
 * Compresses the @size bytes of @in to @out with @threads threads (at least 1).
 *
 * The result is the seekable zstd format: independent frames of 1 MiB and a seek table in a
 * skippable frame at the end (facebook/zstd contrib/seekable_format). Any zstd decompresses it.
 */
struct snap_error *sink_zstd(int in, uint64_t size, int out, int level, unsigned int threads,
			     uint32_t flags, const struct sink_progress *progress) _must_check_;
