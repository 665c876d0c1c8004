/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unwind.h"

/**
 * DOC: C between Go
 *
 * A call to C runs on the stack of the thread (g0's), while that of the goroutine stands still.
 * What the runtime prints leaves it out. Here it comes back:
 *
 *	goroutine's stack                   thread's stack, grows down
 *	runtime.cgocall  -> asmcgocall  ->  C ... C -> crosscall2 -> cgocallback
 *	cgocallback <-------------------------------------------------'
 *	cgocallbackg, Go ...
 *	runtime.cgocall  -> asmcgocall  ->  C ... C, where the thread is now
 *
 * Frames of C are put where they were called from: those of a callback below runtime.cgocallback,
 * those where the thread is now below everything. While a callback runs, g0.sched.sp is the stack
 * pointer of runtime.cgocallback on the thread's stack, where it has kept that of the callback
 * before (src/runtime/asm_amd64.s, asm_arm64.s). Between it and C is crosscall2, which has kept C's
 * registers (src/runtime/cgo/asm_amd64.s). C itself is walked by its own tables, analyzer/native.h.
 */

/// The callbacks of a goroutine that have not returned, innermost first.
struct go_callbacks {
	uint64_t m; ///< its thread; 0 when it has none
	uint64_t sp; ///< of the next one's runtime.cgocallback; 0 when unknown
};

/// Those of goroutine @g.
struct go_callbacks go_callbacks_of(struct go_runtime *rt, uint64_t g);

/// Adds C's frames from @regs to the next Go function, or to where the thread began, to @stack.
/// @ret_at is the registers there; @ret_gap why there is no way on. @exact: the pc is that of an
/// instruction, not a return address. -ENOMEM.
int go_cgo_walk(struct go_runtime *rt, const struct cfi_regs *regs, bool exact,
		struct go_stack *stack, struct cfi_regs *ret_at, enum go_gap *ret_gap);
/// Adds C's frames between the callback whose runtime.cgocallback is the last frame of @stack and
/// the Go code that called C. With @outermost there is none, but the thread began in C. -ENOMEM.
int go_cgo_callers(struct go_runtime *rt, struct go_callbacks *callbacks, bool outermost,
		   struct go_stack *stack);
