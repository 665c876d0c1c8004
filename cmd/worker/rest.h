/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"
#include "common/snapshot.h"
#include "dumper/core.h"
#include "ptrace/capture.h"

/**
 * DOC: Copying afterwards
 *
 * Of a process that was made to fork (ptrace/capture.h, "fork"), most of the memory is read when it
 * runs again, from its child. And of one that has a lot of shared memory, that (plan_postpone()),
 * from the files that it is.
 */

struct rest {
	struct capture *capture; ///< which has released the process
	struct snapshot *snap; ///< gets the warnings
	struct core *core; ///< into which all else was copied
	int fd;
	struct reserve *reserve; ///< or NULL, as for core_copy() before
	uint32_t flags; ///< of the core_copy() before
	const struct core_progress *progress;
};

/**
 * Copies what is left, if anything is, and ends the child.
 *
 * @before is what has gone wrong before, or NULL: then nothing is copied any more, and it is
 * returned.
 */
struct snap_error *rest_copy(const struct rest *rest, struct snap_error *before) _must_check_;
/// Then copies what was postponed, if anything was.
struct snap_error *rest_copy_postponed(const struct rest *rest) _must_check_;
