/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "dwarf.h"
#include "dwdie.h"
#include "dwplaces.h"

/**
 * DOC: Compile units
 *
 * Go makes one of each package, and another of what is written in assembly. Programs have
 * thousands, so only of the unit that a function is in all functions are listed.
 */

// src/cmd/internal/dwarf/dwarf.go
enum {
	DW_AT_GO_KIND = 0x2900, ///< as in internal/abi/type.go
};

/// The handle of libdwarf; NULL when it cannot read the file.
Dwarf_Debug go_dwarf_handle(struct go_dwarf *dw);
/// The next unit of package runtime, of which one has the types of the whole program; NULL for
/// none.
/// @cursor is 0 at first.
Dwarf_Die go_dwarf_runtime(struct go_dwarf *dw, size_t *cursor);
/// The function that begins at @pc, as the file has it; NULL for none. Lists in it are relative to
/// @ret_base.
Dwarf_Die go_dwarf_function(struct go_dwarf *dw, uint64_t pc, struct dw_base *ret_base);
/// Reads where the variable @die is. None when it does not say.
void go_dwarf_places(struct go_dwarf *dw, Dwarf_Die die, const struct dw_base *base,
		     struct dw_places *ret);
/// As dw_die_next(), but NULL after so many that the file cannot be honest.
Dwarf_Die go_dwarf_next(struct go_dwarf *dw, Dwarf_Die die);
/// Goes from the type at @offset through typedefs to what it is; NULL for none.
Dwarf_Die go_dwarf_real_type(struct go_dwarf *dw, uint64_t offset);
