/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/span.h"
#include "memory.h"

/**
 * DOC: DWARF expressions in tables for unwinding
 *
 * What compilers and hand-written assembly put into .eh_frame: entries of procedure linkage tables,
 * trampolines of signal handlers, functions that align their stack. The operations are those of
 * DWARF 5, 2.5, that work on numbers, registers and memory; those for objects, calls and debugging
 * entries have no meaning there (6.4.2) and make an expression fail.
 */

enum {
	// The ones in use need four entries and ten steps. Branches may go back, so steps count.
	EXPRESSION_STACK = 64,
	EXPRESSION_STEPS = 1000,
};

/// Registers by DWARF number, and which of them have a known value.
struct expression_regs {
	const uint64_t *values;
	uint64_t known; ///< a bit for each
	uint8_t n; ///< at most 64
};

/**
 * Evaluates @code. With @first its value is on the stack at the beginning, as the rules for
 * registers want it; NULL for none.
 *
 * False when it is damaged, takes too long, or needs a register or memory that nobody knows.
 */
bool expression_eval(struct span code, struct memory *mem, const struct expression_regs *regs,
		     const uint64_t *first, uint64_t *ret);

/// Numbers of variable length (DWARF 5, 7.6) at *@offset, which moves on. At most 64 bits of the
/// value count; one of more than ten bytes marks the span as bad.
uint64_t span_uleb(struct span *span, uint64_t *offset);
int64_t span_sleb(struct span *span, uint64_t *offset);
