/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "dwlists.h"

/**
 * DOC: Where the code of units is
 *
 * The linker orders functions by itself, so a unit's are in several places.
 */

struct dw_range {
	uint64_t low, high;
	size_t unit;
};

struct dw_ranges {
	struct dw_range *list; ///< ascending once sorted
	size_t n, max;
};

/// Adds those in @list, of the unit number @unit. -ENOMEM; -E2BIG when there are too many.
int dw_ranges_add(struct dw_ranges *ranges, struct dw_list *list, size_t unit);
void dw_ranges_sort(struct dw_ranges *ranges);
void dw_ranges_deinit(struct dw_ranges *ranges);
/// Finds the unit that has code at @pc; false for none.
bool dw_ranges_find(const struct dw_ranges *ranges, uint64_t pc, size_t *ret_unit);
