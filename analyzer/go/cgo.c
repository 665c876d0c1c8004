// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cgo.h"

#include <errno.h>
#include <string.h>

enum { WORD = 8 };

struct go_callbacks go_callbacks_of(struct go_runtime *rt, uint64_t g)
{
	uint64_t m = go_u64(rt, g, GO_G_M);
	// While it waits it has no M, but the M has it: threads with C on them are locked.
	if (!m)
		m = go_u64(rt, g, GO_G_LOCKEDM);
	// A thread has one goroutine, so whoever claims another's makes no work.
	if (!m || !go_is_m(rt, m) ||
	    (go_u64(rt, m, GO_M_CURG) != g && go_u64(rt, m, GO_M_LOCKEDG) != g))
		return (struct go_callbacks){ 0 };
	uint64_t g0 = go_u64(rt, m, GO_M_G0);
	return (struct go_callbacks){ .m = m, .sp = go_u64(rt, g0, GO_G_SCHED_SP) };
}

static enum go_gap gap_of(enum native_result result)
{
	switch (result) {
	case NATIVE_UNREADABLE:
		return GO_GAP_UNREADABLE;
	case NATIVE_BROKEN:
		return GO_GAP_BROKEN;
	case NATIVE_TOP:
		return GO_GAP_OTHER_STACK;
	case NATIVE_NO_TABLE:
	case NATIVE_CALLER:
		break;
	}
	return GO_GAP_NO_TABLE;
}

int go_cgo_walk(struct go_runtime *rt, const struct cfi_regs *regs, bool exact,
		struct go_stack *stack, struct cfi_regs *ret_at, enum go_gap *ret_gap)
{
	struct native_walk walk = { .regs = *regs, .exact = exact };
	enum native_result result = NATIVE_CALLER;
	size_t n = 0;
	*ret_gap = GO_GAP_NONE;
	while (result == NATIVE_CALLER && !go_func_at(&rt->symtab, walk.regs.pc)) {
		if (n++ == NATIVE_FRAMES_MAX || stack->n >= GO_FRAMES_MAX) {
			*ret_gap = GO_GAP_TOO_DEEP;
			break;
		}
		struct go_frame *frame = go_stack_add(stack);
		if (!frame)
			return -ENOMEM;
		*frame = (struct go_frame){
			.pc = walk.regs.pc,
			.sp = walk.regs.values[rt->arch->native->cfi.sp], // 0 when unknown
			.flags = GO_FRAME_NATIVE | (walk.exact ? GO_FRAME_TRAP : 0U) |
				 (walk.guessed ? GO_FRAME_GUESSED : 0U),
		};
		result = native_step(rt->native, &walk);
		if (result == NATIVE_CALLER && walk.exact) // only the kernel calls so
			stack->frames[stack->n - 1].flags |= GO_FRAME_SIGNAL | GO_FRAME_TRAP;
	}
	*ret_at = walk.regs;
	if (result != NATIVE_CALLER)
		*ret_gap = gap_of(result);
	return 0;
}

/// What C's registers were when it called Go: crosscall2 has kept them.
static bool leave_callback(struct go_runtime *rt, const struct go_callbacks *callbacks,
			   uint64_t pc, struct cfi_regs *ret)
{
	struct go_stack inner = { 0 };
	bool found = false;
	if (go_walk_from(rt, callbacks->m, go_u64(rt, callbacks->m, GO_M_G0), pc, callbacks->sp,
			 &inner) == 0)
		for (size_t i = 0; i < inner.n && !found; i++) {
			const struct go_frame *f = &inner.frames[i];
			if (!strcmp(f->func->name, "crosscall2"))
				found = rt->arch->crosscall_regs(rt->mem, f->sp, f->fp,
								 rt->layout.minor, ret);
		}
	go_stack_deinit(&inner);
	return found;
}

int go_cgo_callers(struct go_runtime *rt, struct go_callbacks *callbacks, bool outermost,
		   struct go_stack *stack)
{
	size_t last = stack->n - 1;
	uint64_t before = 0;
	struct cfi_regs regs, at;
	enum go_gap gap = GO_GAP_BROKEN;
	if (!callbacks->sp || callbacks->sp % WORD ||
	    !leave_callback(rt, callbacks, stack->frames[last].pc, &regs)) {
		stack->frames[last].gap = GO_GAP_BROKEN;
		callbacks->sp = 0;
		return 0;
	}
	int r = go_cgo_walk(rt, &regs, false, stack, &at, &gap);
	if (gap != GO_GAP_OTHER_STACK || !outermost) // else the thread began there, in C
		stack->frames[stack->n - 1].gap = (uint8_t)gap;
	// Stacks grow down: callbacks before lie above.
	if (!memory_u64(rt->mem, callbacks->sp + rt->arch->callback_saved_sp, &before) ||
	    before <= callbacks->sp)
		before = 0;
	callbacks->sp = before;
	return r;
}
