/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/span.h"

/**
 * DOC: Lists of places in code
 *
 * Where the code of a unit is, and where a variable is in which part of a function: .debug_ranges
 * and .debug_loc, and since DWARF 5 .debug_rnglists and .debug_loclists. They are read here and not
 * by libdwarf, whose older releases free memory twice when the head of such a section is damaged.
 */

/// What lists of a unit are relative to.
struct dw_base {
	uint16_t version; ///< of DWARF
	uint64_t low_pc;
	uint64_t addresses; ///< offset of the unit's part of .debug_addr
};

struct dw_list {
	struct span data; ///< what is left of the section
	struct span addresses; ///< .debug_addr
	struct dw_base base;
	bool locations; ///< each entry has an expression
	uint32_t turns; ///< entries that were looked at
};

enum {
	// A unit's code is in at most some hundred places, a variable in some dozens.
	DW_LIST_MAX = 1 << 14,
};

struct dw_list_entry {
	uint64_t low, high;
	struct span expression;
};

/// Takes the next entry off @list; false at the end, or when the rest is damaged.
bool dw_list_next(struct dw_list *list, struct dw_list_entry *ret);

/// Takes a number off @span, and marks it as bad when there is none.
uint64_t dw_take_unsigned(struct span *span);
int64_t dw_take_signed(struct span *span);
/// Takes @bytes off, little-endian, at most 8.
uint64_t dw_take_fixed(struct span *span, uint8_t bytes);
/// Takes a part of @size bytes off.
struct span dw_take_part(struct span *span, uint64_t size);
