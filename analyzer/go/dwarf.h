/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "analyzer/elf.h"
#include "layout.h"

/**
 * DOC: Debugging information
 *
 * Most Go programs have DWARF, and nothing here needs it; but where the tables of layout.h cannot
 * help, it knows the structures of the runtime, and it alone knows the names and types of
 * arguments. It is read with libdwarf, which gets the sections from us: in the sandbox it could not
 * open a file.
 *
 * Opening costs nothing. Units are listed and sections inflated by the first question.
 */
struct go_dwarf;

/// NULL when @elf has no debugging information; @elf must outlive it.
struct go_dwarf *go_dwarf_open(const struct elf_file *elf);
void go_dwarf_close(struct go_dwarf *dw);

/**
 * Replaces the offsets in @layout of all structures that the program has, fields that these do not
 * have included.
 *
 * Returns how many fields were found. 0: it does not know the runtime, and nothing was changed.
 */
size_t go_dwarf_layout(struct go_dwarf *dw, struct go_layout *layout);
