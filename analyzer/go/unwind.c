// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cgo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum {
	SIGNALS_MAX = 16, // handlers that interrupt handlers
	STATUS_COPYSTACK = 8,
	STATUS_MASK = 0xfff, // without the bit that says that the garbage collector scans it
};

struct walk {
	struct go_runtime *rt;
	struct go_stack *stack;
	uint64_t g, m; ///< whose stack it is on; m is 0 for a goroutine that does not run
	uint64_t bounds_of, low, high; ///< the stack of the g that was asked for last
	uint64_t pc, sp, lr;
	uint64_t signal_sp; ///< where a signal handler's trampoline returns to, or 0
	bool innermost, trap, syscall;
	bool called; ///< it begins at a return address
	struct go_callbacks *callbacks; ///< NULL: frames of C are not wanted
};

void go_stack_deinit(struct go_stack *stack)
{
	free(stack->frames);
	*stack = (struct go_stack){ 0 };
}

const char *go_stop_name(enum go_stop stop)
{
	static const char *const names[] = {
		[GO_STOP_TOP] = "complete",
		[GO_STOP_FOREIGN] = "foreign-caller",
		[GO_STOP_SWITCH] = "stack-switch",
		[GO_STOP_UNREADABLE] = "not-in-core",
		[GO_STOP_BROKEN] = "broken",
		[GO_STOP_TOO_DEEP] = "too-deep",
		[GO_STOP_MOVING] = "being-copied",
		[GO_STOP_NO_REGISTERS] = "no-registers",
	};
	return stop < ARRAY_SIZE(names) ? names[stop] : "?";
}

const char *go_gap_name(enum go_gap gap)
{
	static const char *const names[] = {
		[GO_GAP_NO_TABLE] = "no-unwind-info", [GO_GAP_UNREADABLE] = "not-in-core",
		[GO_GAP_BROKEN] = "broken",	      [GO_GAP_TOO_DEEP] = "too-deep",
		[GO_GAP_OTHER_STACK] = "other-stack",
	};
	return gap < ARRAY_SIZE(names) ? names[gap] : NULL;
}

struct go_frame *go_stack_add(struct go_stack *stack)
{
	if (stack->n == stack->max) {
		size_t max = MAX(stack->max * 2, (size_t)64);
		struct go_frame *bigger = reallocarray(stack->frames, max, sizeof(*bigger));
		if (!bigger)
			return NULL;
		stack->frames = bigger;
		stack->max = max;
	}
	return &stack->frames[stack->n++];
}

static bool on_stack(struct walk *w, uint64_t g, uint64_t sp)
{
	if (w->bounds_of != g) {
		w->bounds_of = g;
		w->low = go_u64(w->rt, g, GO_G_STACK_LO);
		w->high = go_u64(w->rt, g, GO_G_STACK_HI);
	}
	return g && sp >= w->low && sp <= w->high;
}

/// The goroutine of the thread, when the walk stands on the scheduler's stack of that thread; or 0.
static uint64_t goroutine_behind(const struct walk *w)
{
	if (!w->m || w->g != go_u64(w->rt, w->m, GO_M_G0))
		return 0;
	uint64_t curg = go_u64(w->rt, w->m, GO_M_CURG);
	return curg && go_u64(w->rt, curg, GO_G_M) == w->m ? curg : 0;
}

/// The scheduler's stack ends at these; what runs next is on the goroutine's stack.
static const struct go_func *jump(struct walk *w, const struct go_func *f, uint8_t *flags)
{
	uint64_t curg = goroutine_behind(w);
	int32_t delta;
	if (!curg)
		return f;
	if (f->role == GO_ROLE_MORESTACK) {
		w->g = curg;
		w->pc = go_u64(w->rt, curg, GO_G_SCHED_PC);
		w->sp = go_u64(w->rt, curg, GO_G_SCHED_SP);
		w->lr = go_u64(w->rt, curg, GO_G_SCHED_LR);
		f = go_func_at(&w->rt->symtab, w->pc);
		*flags = f ? f->flags : 0;
	} else if (f->role == GO_ROLE_SYSTEMSTACK) {
		*flags &= (uint8_t)~GO_FUNC_SP_WRITE;
		// With a link register, at its very beginning or end the stack has not been
		// switched.
		if (w->rt->arch->link_register &&
		    (!go_sp_delta(&w->rt->symtab, f, w->pc, &delta) || !delta))
			return f;
		w->g = curg;
		w->sp = go_u64(w->rt, curg, GO_G_SCHED_SP);
	}
	return f;
}

/// Where does the frame end, and who called it? False with the reason in the stack.
static bool resolve(struct walk *w, const struct go_func *f, uint8_t flags, struct go_frame *frame)
{
	const struct go_arch *arch = w->rt->arch;
	int32_t delta;
	frame->fp = frame->sp;
	// Without a table: code that no Go compiler made, such as the race detector's.
	if (!f->pcsp || !go_sp_delta(&w->rt->symtab, f, w->pc, &delta) || delta < 0) {
		w->stack->stop = GO_STOP_FOREIGN;
		return false;
	}
	frame->fp = w->sp + (uint64_t)delta + (arch->link_register ? 0 : 8);
	if (f->role == GO_ROLE_SIGTRAMP) {
		w->signal_sp = frame->fp;
		frame->flags |= GO_FRAME_SIGNAL;
		w->stack->stop = GO_STOP_SWITCH;
		return false;
	}
	if (flags & GO_FUNC_TOP_FRAME) {
		w->stack->stop = GO_STOP_TOP;
		return false;
	}
	if (flags & GO_FUNC_SP_WRITE && !w->innermost) {
		w->stack->stop = GO_STOP_SWITCH;
		return false;
	}
	uint64_t at = frame->fp - 8;
	if (arch->link_register) {
		if (w->lr && !(w->innermost && w->sp < frame->fp))
			return true;
		at = w->sp;
	}
	if (!memory_u64(w->rt->mem, at, &w->lr)) {
		w->stack->stop = GO_STOP_UNREADABLE;
		return false;
	}
	return true;
}

/// Goes to the caller; false at the end.
static bool go_on(struct walk *w, const struct go_func *f, const struct go_frame *frame)
{
	const struct go_func *caller = w->lr ? go_func_at(&w->rt->symtab, w->lr) : NULL;
	if (!caller) {
		w->stack->stop = w->lr ? GO_STOP_FOREIGN : GO_STOP_TOP;
		return false;
	}
	// The stack must be used up, and must not be left.
	if (frame->fp < w->sp || (w->pc == w->lr && w->sp == frame->fp) ||
	    (!on_stack(w, w->g, frame->fp) && on_stack(w, w->g, w->sp))) {
		w->stack->stop = GO_STOP_BROKEN;
		return false;
	}
	// A call that a signal handler made look like one by the code it interrupted.
	bool injected = f->role == GO_ROLE_SIGPANIC || f->role == GO_ROLE_ASYNC_PREEMPT ||
			f->role == GO_ROLE_DEBUG_CALL;
	w->pc = w->lr;
	w->lr = 0;
	w->sp = frame->fp;
	w->trap = injected;
	w->innermost = false;
	if (w->rt->arch->link_register && injected) { // it has saved the link register first
		uint64_t saved;
		int32_t delta;
		if (!memory_u64(w->rt->mem, w->sp, &saved)) {
			w->stack->stop = GO_STOP_UNREADABLE;
			return false;
		}
		w->sp += 16;
		if (!go_sp_delta(&w->rt->symtab, caller, w->pc, &delta) || !delta)
			w->lr = saved;
	}
	return true;
}

/// Behind a frame of runtime.cgocallback on a goroutine's stack come those of C that called it.
static int add_callers(struct walk *w, const struct go_func *f)
{
	struct go_runtime *rt = w->rt;
	if (f->role != GO_ROLE_CGOCALLBACK || !rt->native || !w->callbacks ||
	    w->stack->n >= GO_FRAMES_MAX)
		return 0;
	if (!w->callbacks->m)
		*w->callbacks = go_callbacks_of(rt, w->g);
	if (!w->callbacks->m || go_u64(rt, w->callbacks->m, GO_M_G0) == w->g)
		return 0;
	const struct go_func *caller = go_func_at(&rt->symtab, w->pc);
	bool outermost = !caller || caller->role == GO_ROLE_GOEXIT;
	return go_cgo_callers(rt, w->callbacks, outermost, w->stack);
}

static int run(struct walk *w)
{
	struct go_runtime *rt = w->rt;
	w->innermost = !w->called;
	if (!w->pc) { // a nil function was called: begin with who called it
		w->stack->stop = GO_STOP_UNREADABLE;
		if (!memory_u64(rt->mem, w->sp, &w->pc))
			return 0;
		w->lr = 0;
		w->sp += rt->arch->link_register ? 0 : 8;
	}
	for (;;) {
		const struct go_func *f = go_func_at(&rt->symtab, w->pc);
		if (!f) {
			w->stack->stop = GO_STOP_FOREIGN;
			return 0;
		}
		if (w->stack->n >= GO_FRAMES_MAX) {
			w->stack->stop = GO_STOP_TOO_DEEP;
			return 0;
		}
		uint8_t flags = f->flags;
		// These write the stack pointer in a way that the tables know.
		if (f->role == GO_ROLE_CGOCALLBACK || (w->innermost && w->syscall))
			flags &= (uint8_t)~GO_FUNC_SP_WRITE;
		f = jump(w, f, &flags);
		struct go_frame *frame = f ? go_stack_add(w->stack) : NULL;
		if (!frame)
			return f ? -ENOMEM : 0;
		*frame = (struct go_frame){ .pc = w->pc, .sp = w->sp, .func = f };
		if (w->trap)
			frame->flags |= GO_FRAME_TRAP;
		if (w->m && w->g != go_u64(rt, w->m, GO_M_CURG))
			frame->flags |= GO_FRAME_SYSTEM;
		bool more = resolve(w, f, flags, frame) && go_on(w, f, frame);
		int r = add_callers(w, f);
		if (r < 0 || !more)
			return r;
	}
}

int go_walk_from(struct go_runtime *rt, uint64_t m, uint64_t g, uint64_t pc, uint64_t sp,
		 struct go_stack *stack)
{
	struct walk w = { .rt = rt, .stack = stack, .m = m, .g = g, .pc = pc, .sp = sp };
	stack->n = 0;
	return run(&w);
}

/// Where the goroutine goes on: after its system call or C call, or where it was parked.
static void begin_saved(struct walk *w, uint64_t g)
{
	uint64_t syscall_sp = go_u64(w->rt, g, GO_G_SYSCALLSP);
	w->g = g;
	w->syscall = syscall_sp != 0;
	w->sp = syscall_sp ? syscall_sp : go_u64(w->rt, g, GO_G_SCHED_SP);
	w->pc = go_u64(w->rt, g, syscall_sp ? GO_G_SYSCALLPC : GO_G_SCHED_PC);
	w->lr = syscall_sp || !w->rt->arch->link_register ? 0 : go_u64(w->rt, g, GO_G_SCHED_LR);
	w->trap = false;
}

int go_walk_parked(struct go_runtime *rt, uint64_t g, struct go_stack *stack)
{
	struct go_callbacks callbacks = { 0 };
	struct walk w = { .rt = rt, .stack = stack, .callbacks = &callbacks };
	stack->n = 0;
	stack->stop = GO_STOP_MOVING;
	if ((go_u32(rt, g, GO_G_ATOMICSTATUS) & STATUS_MASK) == STATUS_COPYSTACK)
		return 0;
	begin_saved(&w, g);
	return run(&w);
}

/// Which of the thread's stacks @sp is on; 0 for none of them.
static uint64_t stack_of(struct walk *w, uint64_t sp)
{
	static const enum go_field fields[] = { GO_M_CURG, GO_M_GSIGNAL, GO_M_G0 };
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint64_t g = go_u64(w->rt, w->m, fields[i]);
		if (on_stack(w, g, sp))
			return g;
	}
	return 0;
}

/// In C or in the kernel's vDSO: what Go code it will return to, as far as that was saved.
static bool begin_foreign(struct walk *w)
{
	struct go_runtime *rt = w->rt;
	uint64_t curg = go_u64(rt, w->m, GO_M_CURG);
	uint64_t vdso_sp = go_u64(rt, w->m, GO_M_VDSO_SP);
	if (vdso_sp) {
		w->g = curg ? curg : go_u64(rt, w->m, GO_M_G0);
		w->sp = vdso_sp;
		w->pc = go_u64(rt, w->m, GO_M_VDSO_PC);
		w->lr = 0;
		w->trap = false;
		w->syscall = true;
		return true;
	}
	if (!curg)
		return false;
	begin_saved(w, curg);
	return w->sp != 0;
}

/// Says why frames of C are missing before those that @w goes on with.
static void set_gap(struct walk *w, enum go_gap gap)
{
	const struct go_func *next = go_func_at(&w->rt->symtab, w->pc);
	// A thread that C has made, and that is not in Go, has nothing there but the last frame.
	if (gap == GO_GAP_OTHER_STACK && (!next || next->role == GO_ROLE_GOEXIT))
		gap = GO_GAP_NONE;
	if (w->stack->n)
		w->stack->frames[w->stack->n - 1].gap = (uint8_t)gap;
}

/// Adds the frames of C that @regs stand in. True when the walk goes on with Go code.
static bool leave_c(struct walk *w, const struct go_regs *regs, int *r)
{
	struct go_runtime *rt = w->rt;
	struct cfi_regs at;
	enum go_gap gap;
	*r = 0;
	if (!rt->native)
		return begin_foreign(w);
	*r = go_cgo_walk(rt, &regs->all, true, w->stack, &at, &gap);
	if (*r < 0)
		return false;
	bool in_call = go_u8(rt, w->m, GO_M_INCGO) || go_u64(rt, w->m, GO_M_VDSO_SP);
	if (gap == GO_GAP_OTHER_STACK && !in_call) { // a thread of C
		w->stack->stop = GO_STOP_TOP;
		return false;
	}
	bool more = begin_foreign(w);
	set_gap(w, gap);
	if (more || gap != GO_GAP_NONE)
		return more;
	// Nobody has noted what called C, but the walk has found it.
	uint8_t sp = rt->arch->native->cfi.sp;
	if (!cfi_known(&at, sp))
		return false;
	w->pc = at.pc;
	w->sp = at.values[sp];
	w->lr = 0;
	w->g = stack_of(w, w->sp);
	w->trap = false;
	w->called = true;
	return true;
}

int go_walk_in_c(struct go_runtime *rt, uint64_t g, uint64_t m, const struct go_regs *regs,
		 struct go_stack *stack)
{
	struct go_callbacks callbacks = { 0 };
	struct walk w = { .rt = rt, .stack = stack, .callbacks = &callbacks };
	struct go_regs now = *regs;
	struct go_stack handler = { 0 };
	bool interrupted = true;
	int r = 0;
	stack->n = 0;
	// In a signal handler it is in Go again, but what the handler interrupted is C.
	for (int i = 0; r == 0 && interrupted && go_func_at(&rt->symtab, now.pc); i++) {
		struct walk h = { .rt = rt, .stack = &handler, .m = m, .pc = now.pc, .sp = now.sp };
		h.lr = now.lr;
		h.g = stack_of(&h, now.sp);
		handler.n = 0;
		r = run(&h);
		interrupted = i < SIGNALS_MAX && h.signal_sp &&
			      rt->arch->signal_regs(rt->mem, h.signal_sp, &now);
	}
	go_stack_deinit(&handler);
	struct cfi_regs at;
	enum go_gap gap = GO_GAP_NONE;
	if (r == 0 && interrupted)
		r = go_cgo_walk(rt, &now.all, true, stack, &at, &gap);
	if (r < 0)
		return r;
	begin_saved(&w, g);
	set_gap(&w, gap);
	return run(&w);
}

int go_walk_thread(struct go_runtime *rt, uint64_t m, const struct go_regs *regs,
		   struct go_stack *stack)
{
	struct go_callbacks callbacks = { 0 };
	struct walk w = { .rt = rt, .stack = stack, .m = m, .callbacks = &callbacks };
	int r;
	struct go_regs now = *regs;
	stack->n = 0;
	stack->stop = GO_STOP_FOREIGN;
	stack->signal = (struct go_signal){ 0 };
	for (int i = 0; i < SIGNALS_MAX; i++) {
		w.g = stack_of(&w, now.sp);
		w.pc = now.pc;
		w.sp = now.sp;
		w.lr = now.lr;
		w.trap = true;
		w.syscall = false;
		w.signal_sp = 0;
		w.called = false;
		bool foreign = !go_func_at(&rt->symtab, now.pc);
		if (!w.g && !foreign)
			w.g = go_u64(rt, m, GO_M_G0); // of a thread that C made: bounds are guessed
		if (foreign && !leave_c(&w, &now, &r))
			return r;
		r = run(&w);
		if (r < 0)
			return r;
		if (w.signal_sp) {
			struct go_signal signal;
			if (!rt->arch->signal_regs(rt->mem, w.signal_sp, &now))
				return 0;
			// The runtime's own means to preempt and to profile are no news.
			if (go_signal_read(rt->arch, rt->mem, w.signal_sp, &signal) &&
			    signal.number != SIGURG && signal.number != SIGPROF)
				stack->signal = signal;
			continue;
		}
		// C code was called on the scheduler's stack: the goroutine waits for it.
		uint64_t curg = stack->stop == GO_STOP_SWITCH ? goroutine_behind(&w) : 0;
		const struct go_func *last = stack->n ? stack->frames[stack->n - 1].func : NULL;
		if (!curg || !last || last->role != GO_ROLE_ASMCGOCALL)
			return 0;
		w.called = false;
		begin_saved(&w, curg);
		return w.sp ? run(&w) : 0;
	}
	return 0;
}
