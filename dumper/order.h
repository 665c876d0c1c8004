/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "plan.h"
#include "priority.h"

/**
 * DOC: In which order the memory of a plan is copied
 *
 * A span is a part of one segment. All spans together are all that the plan dumps, each byte once.
 */
struct order_span {
	size_t segment; ///< index into the plan
	uint64_t offset, bytes; ///< in it
	enum priority priority;
};

struct order {
	struct order_span *spans;
	size_t n;
};

/// Segment after segment; all have the same priority.
struct snap_error *order_by_address(const struct plan *plan, struct order *ret) _must_check_;
/**
 * The most useful first, and of the rest the small mappings first: one large heap must not be the
 * reason that everything else is missing.
 */
struct snap_error *order_by_use(const struct plan *plan, const struct priorities *priorities,
				struct order *ret) _must_check_;
/// A zeroed one is fine.
void order_deinit(struct order *order);
