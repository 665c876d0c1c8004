/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/span.h"
#include "memory.h"

/**
 * DOC: Tables for unwinding
 *
 * .eh_frame has an entry (FDE) for each function, which says with a common one (CIE) how to find
 * the function's caller; .eh_frame_hdr finds the entry by binary search. Both are loaded with the
 * program, since C++ needs them, so stripped programs have them too. The format is that of the
 * Linux Standard Base, Core, 10.6 and of DWARF 5, 6.4.
 *
 * All is read from the process's memory, in which files stand behind the core. Entries of 64-bit
 * DWARF, which no compiler writes there, are not understood.
 */

enum {
	// The largest of a library with 100 MB of code has 6 KB.
	EH_ENTRY_BYTES = 1 << 15,
	// Without .eh_frame_hdr, which linkers make unless told otherwise, entries are looked at
	// one by one for each frame: ten milliseconds.
	EH_ENTRIES_MAX = 1 << 16,
};

/// Where the tables of one program are. Addresses; half-open.
struct eh_frame {
	uint64_t hdr, hdr_end; ///< .eh_frame_hdr; 0 for none
	uint64_t start, end; ///< .eh_frame; 0 where only the header tells
};

/// What is known of one function.
struct eh_entry {
	uint64_t start, end; ///< of the code, half-open
	struct span common, own; ///< instructions, in the bytes below
	uint64_t code_align;
	int64_t data_align;
	uint64_t return_column;
	bool is_signal; ///< called by the kernel: it interrupted its caller
	uint8_t bytes[2][EH_ENTRY_BYTES];
};

/// Finds the entry of the function that @pc is in. @ret points into itself; it is large, and what
/// is in it afterwards is undefined when there is none.
bool eh_find(struct memory *mem, const struct eh_frame *eh, uint64_t pc, struct eh_entry *ret);
