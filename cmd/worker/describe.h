/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/json.h"
#include "common/snapshot.h"
#include "dumper/core.h"
#include "dumper/plan.h"
#include "strategy.h"

/**
 * DOC: What the worker answers
 *
 * The "result" of a job (common/job.h).
 */

/// A dump that is complete.
struct dump_made {
	const struct core *core;
	const struct json *go; ///< what the Go analyzer found, or NULL
	int raw_fd, final_fd; ///< the core, and what it has become on disk
	uint64_t plain_uid; ///< whose process it is (owner.h), or UINT64_MAX
	uint64_t pause_ns, predicted_pause_ns;
};

/// Adds warnings of what is missing to @snap, and tells all of them. The caller owns the result.
struct json *describe_dump(struct snapshot *snap, const struct dump_made *made);
/// What a dump of @plan would be, with @threads threads. The caller owns the result.
struct json *describe_plan(const struct snapshot *snap, const struct plan *plan,
			   const struct forecast *forecast, uint64_t threads);
