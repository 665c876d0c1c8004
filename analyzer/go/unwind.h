/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime.h"

/**
 * DOC: Walking the stacks of goroutines
 *
 * The rules are those of the runtime's own tracebacks (src/runtime/traceback.go), by the frame
 * sizes of its tables, with two differences: reading never trusts the stack, and where the runtime
 * stops at the trampoline of a signal, this goes on with what the signal interrupted.
 *
 * A parked goroutine is walked from the registers that the scheduler saved. One that runs is walked
 * from its thread's registers, which may stand on the stack of the scheduler (g0), of a signal
 * handler (gsignal), in C code or in the kernel; the walk then goes over to the goroutine's own
 * stack as the code will when it returns. Frames of C on the way are walked by their own tables, if
 * the runtime has them (go_runtime.native): see cgo.h.
 */

enum {
	// Deeper stacks are cut: what they repeat is told by less.
	GO_FRAMES_MAX = 1 << 14,
};

enum go_frame_flags {
	GO_FRAME_TRAP = 1U << 0, ///< the pc is that of an instruction, not a return address
	GO_FRAME_SYSTEM = 1U << 1, ///< on the stack of the scheduler or of a signal handler
	GO_FRAME_SIGNAL = 1U << 2, ///< called by the kernel: what follows was interrupted
	GO_FRAME_NATIVE = 1U << 3, ///< of C: it has no func
	GO_FRAME_GUESSED = 1U << 4, ///< native, by frame pointer: some may be missing before it
};

/// Why native frames are missing between a frame and the next.
enum go_gap {
	GO_GAP_NONE, ///< none are
	GO_GAP_NO_TABLE, ///< nothing says how to unwind the function
	GO_GAP_UNREADABLE, ///< the stack is not in the core
	GO_GAP_BROKEN, ///< what is there is no stack
	GO_GAP_TOO_DEEP,
	GO_GAP_OTHER_STACK, ///< C has switched to a stack of its own
};

struct go_frame {
	uint64_t pc, sp, fp; ///< fp: where the caller's frame begins
	const struct go_func *func; ///< borrowed from the symtab; NULL for native ones
	uint32_t flags;
	uint8_t gap; ///< enum go_gap
};

/// Why a walk ended.
enum go_stop {
	GO_STOP_TOP, ///< at the function that began it: complete
	GO_STOP_FOREIGN, ///< the next caller is no Go code
	GO_STOP_SWITCH, ///< at code that changes stacks
	GO_STOP_UNREADABLE, ///< the stack is not in the core
	GO_STOP_BROKEN, ///< what is there is no stack
	GO_STOP_TOO_DEEP,
	GO_STOP_MOVING, ///< the runtime was copying the stack elsewhere
	GO_STOP_NO_REGISTERS, ///< it runs, and its thread's registers are unknown
};

struct go_stack {
	struct go_frame *frames; ///< innermost first
	size_t n, max;
	enum go_stop stop;
	struct go_signal signal; ///< of those on the stack, the first one in time
};

void go_stack_deinit(struct go_stack *stack);
/// "complete", "foreign", ...; never NULL.
const char *go_stop_name(enum go_stop stop);
/// "no-unwind-info", "not-in-core", ...; NULL for GO_GAP_NONE.
const char *go_gap_name(enum go_gap gap);
/// The place for one more frame; NULL when out of memory.
struct go_frame *go_stack_add(struct go_stack *stack);

/// Walks a goroutine that does not run, in place of what @stack had. -ENOMEM.
int go_walk_parked(struct go_runtime *rt, uint64_t g, struct go_stack *stack);
/// Walks what a thread does, from its registers, as far back as its goroutine's first function.
/// -ENOMEM.
int go_walk_thread(struct go_runtime *rt, uint64_t m, const struct go_regs *regs,
		   struct go_stack *stack);
/// Walks a goroutine whose thread is in C now, from that thread's registers. -ENOMEM.
int go_walk_in_c(struct go_runtime *rt, uint64_t g, uint64_t m, const struct go_regs *regs,
		 struct go_stack *stack);
/// Walks Go frames only, on the stack of the goroutine or scheduler @g of thread @m, from a return
/// address and the stack pointer there. -ENOMEM.
int go_walk_from(struct go_runtime *rt, uint64_t m, uint64_t g, uint64_t pc, uint64_t sp,
		 struct go_stack *stack);

/// The pc by which a frame's line is found. Not of native frames.
static inline uint64_t go_frame_sym_pc(const struct go_frame *f)
{
	return f->flags & GO_FRAME_TRAP || f->pc <= f->func->entry ? f->pc : f->pc - 1;
}
