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

/// A look at the process, and the layout that comes of it.
struct look {
	struct snapshot known;
	struct plan *plan;
	struct core *core;
};

/// A second look is worth it when the first round has taken long: what was mapped meanwhile.
enum { LOOKS_MAX = 2 };

struct precopy {
	struct look looks[LOOKS_MAX];
	size_t n_looks;
	uint64_t left_bytes; ///< that the last round had to copy
};

/// The last look; before the first one, an empty one.
static inline struct look *precopy_look(struct precopy *precopy)
{
	return &precopy->looks[precopy->n_looks ? precopy->n_looks - 1 : 0];
}

void precopy_deinit(struct precopy *precopy);

/**
 * Copies all from @source, which follows what is written, into @fd: the first round.
 *
 * The last look's core must be laid out. Whoever cancels calls core_abort() on it; the error is
 * SNAP_CANCELLED then. @ret_again says that it took long enough for another look.
 */
struct snap_error *precopy_first(struct precopy *precopy, struct memsource *source, int fd,
				 unsigned int threads, const struct core_progress *progress,
				 bool *ret_again) _must_check_;
/// The other rounds: what was written meanwhile, and what the last look found that is new.
struct snap_error *precopy_rest(struct precopy *precopy, struct memsource *source, int fd,
				unsigned int threads) _must_check_;
/**
 * The last rounds, in a hurry, when everything else is ready for the pause: what is written between
 * them and the stop has to be copied in it.
 */
struct snap_error *precopy_last(struct precopy *precopy, struct memsource *source, int fd,
				unsigned int threads) _must_check_;
/// Room for what is going to be copied in the pause, besides what is reserved: bytes.
size_t precopy_spill_bytes(const struct precopy *precopy);
