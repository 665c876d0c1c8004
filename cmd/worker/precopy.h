/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/memsource.h"
#include "common/snapshot.h"
#include "dumper/core.h"
#include "dumper/plan.h"

/**
 * DOC: Copying in advance
 *
 * The memory of a process is copied while it runs, and then what it has written meanwhile, and so
 * on, until little is left or it becomes no less. Then the process is stopped, and only the rest
 * has to be copied (ptrace/capture.h, "precopy").
 *
 * What is copied in advance has its place in the file from a first layout, made from a look at the
 * running process. The core itself is laid out when the process has stopped, over the first one.
 */

struct precopy {
	struct snapshot known; ///< the look at the running process
	struct plan *plan; ///< made from it
	struct core *core; ///< the first layout, or NULL
	uint64_t left_bytes; ///< that the last round had to copy
	unsigned int rounds;
};

void precopy_deinit(struct precopy *precopy);

/**
 * Copies from @source, which follows what is written, into @fd, round after round.
 *
 * @precopy's core must be laid out. Whoever cancels calls core_abort() on it; the error is
 * SNAP_CANCELLED then.
 */
struct snap_error *precopy_run(struct precopy *precopy, struct memsource *source, int fd,
			       unsigned int threads, const struct core_progress *progress)
	_must_check_;
/// Room for what is going to be copied in the pause, besides what is reserved: bytes.
size_t precopy_spill_bytes(const struct precopy *precopy);
