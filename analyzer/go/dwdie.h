/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "dwarf_compat.h"

/**
 * DOC: Entries of debugging information
 *
 * libdwarf's functions in the few forms that are needed: what an entry does not have, and what is
 * damaged, is simply not there. Errors of libdwarf say nothing that a user could act on.
 *
 * Entries are owned by whoever got them; texts are borrowed and live as long as @dbg.
 */

/// The entry at an offset of .debug_info; NULL for none.
Dwarf_Die dw_die_at(Dwarf_Debug dbg, uint64_t offset);
Dwarf_Die dw_die_child(Dwarf_Debug dbg, Dwarf_Die die);
/// What comes after @die below the same parent, in place of @die, which is freed.
Dwarf_Die dw_die_next(Dwarf_Debug dbg, Dwarf_Die die);
/// The first entry of the unit whose header was read last.
Dwarf_Die dw_die_of_unit(Dwarf_Debug dbg);
void dw_die_free(Dwarf_Die die);

/// DW_TAG_*; 0 when unknown.
uint16_t dw_die_tag(Dwarf_Debug dbg, Dwarf_Die die);
/// "" when it has none.
const char *dw_die_name(Dwarf_Debug dbg, Dwarf_Die die);
bool dw_die_offset(Dwarf_Debug dbg, Dwarf_Die die, uint64_t *ret);
bool dw_die_low_pc(Dwarf_Debug dbg, Dwarf_Die die, uint64_t *ret);
/// The value of an attribute that is a number or a flag.
bool dw_die_number(Dwarf_Debug dbg, Dwarf_Die die, uint16_t attribute, uint64_t *ret);
/// The offset of the entry, or of the place in another section, that an attribute names.
bool dw_die_reference(Dwarf_Debug dbg, Dwarf_Die die, uint16_t attribute, uint64_t *ret);
/// The bytes of an attribute that has a size, such as an expression; a bad span when it is none.
struct span dw_die_bytes(Dwarf_Debug dbg, Dwarf_Die die, uint16_t attribute);
/// The version of DWARF that the unit of @die is in; 0 when unknown.
uint16_t dw_die_version(Dwarf_Die die);
