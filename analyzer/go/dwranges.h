/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "dwdie.h"

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
	uint64_t seen; ///< of all units, also of those that were not taken
};

/// Adds those of the unit number @unit, whose first entry is @die.
void dw_ranges_read(Dwarf_Debug dbg, Dwarf_Die die, size_t unit, struct dw_ranges *ret);
void dw_ranges_sort(struct dw_ranges *ranges);
void dw_ranges_deinit(struct dw_ranges *ranges);
/// Finds the unit that has code at @pc; false for none.
bool dw_ranges_find(const struct dw_ranges *ranges, uint64_t pc, size_t *ret_unit);
