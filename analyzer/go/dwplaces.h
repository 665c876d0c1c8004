/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "dwlists.h"

/**
 * DOC: Where variables are
 *
 * A location in DWARF is a program for a stack machine; what Go's compiler writes are a few forms
 * of it: in the frame at some offset, in registers, in pieces of both, or nowhere any more. They
 * are reduced to that once for each function. Registers are not known in frames that have called
 * others, so what is there is unknown.
 */

enum { DW_PIECES_MAX = 4 }; // a slice has three words

struct dw_piece {
	int64_t offset; ///< from the end of the frame, which is its CFA
	uint64_t bytes; ///< UINT64_MAX: all that are left
	bool known; ///< it is on the stack
};

/// What holds from @low to @high.
struct dw_place {
	uint64_t low, high;
	struct dw_piece pieces[DW_PIECES_MAX];
	uint8_t n;
};

struct dw_places {
	struct dw_place *list;
	size_t n;
};

/// Adds what @expression says, for all pcs of @entry. -ENOMEM; -E2BIG when there are too many.
int dw_places_add(struct dw_places *places, const struct dw_list_entry *entry);
void dw_places_deinit(struct dw_places *places);
/// The place at @pc; NULL for none.
const struct dw_place *dw_places_at(const struct dw_places *places, uint64_t pc);
