/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ehframe.h"

/**
 * DOC: Call frame information
 *
 * The instructions of an entry of .eh_frame are a program that makes a table: for each pc of the
 * function, where its frame begins (the CFA) and where it has saved each register. It is run as far
 * as the pc that is asked for, and the row that holds there is applied to the registers: DWARF 5,
 * 6.4. What the table does not say, or needs and nobody knows, ends the stack; nothing is guessed.
 *
 * No machine is known here but by its description.
 */

enum {
	CFI_COLUMNS = 33, ///< numbers of registers that are kept: x86-64 has 17, aarch64 32
	// Compilers nest one level deep.
	CFI_ROWS_KEPT = 16,
};

/// What differs between machines. Numbers of registers are those of the machine's DWARF.
struct cfi_machine {
	uint8_t n; ///< registers
	uint8_t sp, fp;
	uint8_t link; ///< where calls leave the return address; n for the stack
	uint8_t pc_column; ///< a register that means the pc in expressions; n for none
	uint64_t preserved; ///< a bit for each register that functions must keep
	uint64_t address_mask; ///< of a return address that has a signature in its upper bits
};

/// The registers of one frame. A value that is not known must not be used.
struct cfi_regs {
	uint64_t pc;
	uint64_t values[CFI_COLUMNS];
	uint64_t known; ///< a bit for each
};

static inline bool cfi_known(const struct cfi_regs *regs, uint8_t column)
{
	return column < CFI_COLUMNS && regs->known >> column & 1;
}

static inline void cfi_set(struct cfi_regs *regs, uint8_t column, uint64_t value)
{
	regs->values[column] = value;
	regs->known |= 1ULL << column;
}

enum cfi_result {
	CFI_CALLER, ///< the registers are those of the caller now
	CFI_TOP, ///< there is no caller: the function is the thread's first
	CFI_UNKNOWN, ///< the table is not understood, or needs what is not known
	CFI_UNREADABLE, ///< the stack is not in the core
};

/**
 * Goes from @regs, which stand in the function of @entry, to its caller.
 *
 * @at: the pc that the table is asked for; of a return address, the call before it. @regs are
 * changed only if there is a caller.
 */
enum cfi_result cfi_step(const struct eh_entry *entry, const struct cfi_machine *machine,
			 struct memory *mem, uint64_t at, struct cfi_regs *regs);
