// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

#include "analyzer/go/unwind.h"

/*
 * Stacks made by hand, on both machines and in each of the formats of the tables.
 */

struct world {
	struct goprogram p;
	struct goopen o;
	struct go_stack stack;
};

static const int minors[] = { 11, 14, 16, 17, 18, 20, 23, 25, 27 };
static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };

static void setup(struct world *w, int minor, uint16_t machine)
{
	*w = (struct world){ 0 };
	goprogram_init(&w->p, minor, machine);
}

/// When all has been changed that is to be.
static void open_world(struct world *w)
{
	goopen_core(&w->o, &w->p.gc);
	goopen_runtime(&w->o);
	assert_non_null(w->o.rt);
}

static void teardown(struct world *w)
{
	go_stack_deinit(&w->stack);
	goopen_close(&w->o);
	gocore_deinit(&w->p.gc);
}

static void each(void (*fn)(struct world *w))
{
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++)
		for (size_t j = 0; j < ARRAY_SIZE(machines); j++) {
			struct world w;
			setup(&w, minors[i], machines[j]);
			fn(&w);
			teardown(&w);
		}
}

/// The functions of the frames, innermost first, as "a b c", and why it ended.
static void check(struct world *w, const char *want, enum go_stop stop)
{
	_cleanup_strbuf_ struct strbuf got = { 0 };
	for (size_t i = 0; i < w->stack.n; i++)
		assert_int_equal(strbuf_addf(&got, "%s%s", i ? " " : "",
					     w->stack.frames[i].func->name),
				 0);
	assert_string_equal(got.data ? got.data : "", want);
	assert_string_equal(go_stop_name(w->stack.stop), go_stop_name(stop));
}

static void walk(struct world *w, enum goprogram_object g)
{
	assert_int_equal(go_walk_parked(w->o.rt, w->p.objects[g], &w->stack), 0);
}

static void walk_thread(struct world *w, enum goprogram_object m, size_t thread)
{
	struct go_regs regs;
	assert_true(w->o.rt->arch->thread_regs(&w->o.core->threads[thread], &regs));
	assert_int_equal(go_walk_thread(w->o.rt, w->p.objects[m], &regs, &w->stack), 0);
}

// ---- parked --------------------------------------------------------------------------------

static void parked(struct world *w)
{
	open_world(w);
	walk(w, GOPROGRAM_MAIN);
	check(w,
	      "runtime.gopark runtime.chanrecv1 main.worker main.main runtime.main runtime.goexit",
	      GO_STOP_TOP);
	for (size_t i = 0; i < w->stack.n; i++) {
		const struct go_frame *f = &w->stack.frames[i];
		uint64_t word = w->p.gc.link_register ? 0 : 8;
		assert_true(f->fp == f->sp + gocore_named(&w->p.gc, f->func->name)->frame + word);
		assert_true(!i || f->sp == f[-1].fp);
		assert_int_equal(f->flags, 0);
		assert_true(go_frame_sym_pc(f) == f->pc - 1);
	}
	walk(w, GOPROGRAM_SYSCALL);
	check(w, "syscall.Syscall main.worker runtime.goexit", GO_STOP_TOP);
	walk(w, GOPROGRAM_SYSTEM);
	check(w, "runtime.gopark runtime.forcegchelper runtime.goexit", GO_STOP_TOP);
}

static void test_parked(void **state _unused_)
{
	each(parked);
}

static void moving(struct world *w)
{
	gocore_set(&w->p.gc, w->p.objects[GOPROGRAM_MAIN], GO_G_ATOMICSTATUS, 0x1008);
	open_world(w);
	walk(w, GOPROGRAM_MAIN);
	check(w, "", GO_STOP_MOVING);
}

static void test_moving(void **state _unused_)
{
	each(moving);
}

/// The stack is not in the core, or only a part of it.
static void unreadable(struct world *w)
{
	uint64_t g = w->p.objects[GOPROGRAM_MAIN];
	w->p.gc.omit = 1U << GOCORE_STACKS;
	open_world(w);
	walk(w, GOPROGRAM_MAIN);
	check(w, "runtime.gopark", GO_STOP_UNREADABLE);
	// A g that is not there either.
	assert_int_equal(go_walk_parked(w->o.rt, g + 0x100000, &w->stack), 0);
	check(w, "", GO_STOP_UNREADABLE);
}

static void test_unreadable(void **state _unused_)
{
	each(unreadable);
}

/// A return address that is nobody's; 0, the end of all stacks; and one that is its own caller.
static void odd_callers(struct world *w)
{
	static const uint64_t callers[] = { 0x7fff12345678, 0, 1, UINT64_MAX };
	struct gocore *gc = &w->p.gc;
	uint64_t pcs[] = { gocore_pc(gc, "runtime.gopark"), gocore_pc(gc, "main.worker") };
	uint64_t g[ARRAY_SIZE(callers)];
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		g[i] = w->p.objects[i];
		uint64_t sp = gocore_park(gc, g[i], pcs, 2);
		uint64_t at = gc->link_register ? sp + 32 : sp + 32 + 8 + 96;
		GOCORE_CHECK(gocore_u64(gc, at, callers[i]));
	}
	open_world(w);
	for (size_t i = 0; i < ARRAY_SIZE(callers); i++) {
		assert_int_equal(go_walk_parked(w->o.rt, g[i], &w->stack), 0);
		check(w, "runtime.gopark main.worker", callers[i] ? GO_STOP_FOREIGN : GO_STOP_TOP);
	}
}

static void test_odd_callers(void **state _unused_)
{
	each(odd_callers);
}

/// Return addresses everywhere: the walk ends where the stack does.
static void full_of_callers(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_LOCK], hi = gocore_get(gc, g + 8);
	uint64_t lo = gocore_get(gc, g), pc = gocore_pc(gc, "main.spin");
	for (uint64_t at = gocore_ranges[GOCORE_STACKS].start;
	     at < gocore_ranges[GOCORE_STACKS].start + gocore_ranges[GOCORE_STACKS].size; at += 8)
		gocore_u64(gc, at, pc);
	gocore_set(gc, g, GO_G_SCHED_SP, lo + 16);
	gocore_set(gc, g, GO_G_SCHED_PC, pc);
	open_world(w);
	walk(w, GOPROGRAM_LOCK);
	assert_int_equal(w->stack.stop, GO_STOP_BROKEN);
	assert_in_range(w->stack.n, 10, GOCORE_STACK_BYTES / 32 + 2);
	for (size_t i = 0; i < w->stack.n; i++)
		assert_true(w->stack.frames[i].sp <= hi);
}

static void test_full_of_callers(void **state _unused_)
{
	each(full_of_callers);
}

/// Functions without a frame that return to each other would never use the stack up.
static void no_frames(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_LOCK];
	uint64_t pc = gocore_pc(gc, "runtime.systemstack_switch"); // its frame is 0
	uint64_t start = gocore_ranges[GOCORE_STACKS].start;
	for (uint64_t at = 0; at < gocore_ranges[GOCORE_STACKS].size; at += 8)
		gocore_u64(gc, start + at, pc + at % 16);
	gocore_set(gc, g, GO_G_STACK_LO, 1);
	gocore_set(gc, g, GO_G_STACK_HI, UINT64_MAX); // and its bounds are lies
	gocore_set(gc, g, GO_G_SCHED_SP, start + 16);
	gocore_set(gc, g, GO_G_SCHED_PC, pc);
	open_world(w);
	walk(w, GOPROGRAM_LOCK);
	assert_in_range(w->stack.n, 1, GO_FRAMES_MAX);
}

static void test_no_frames(void **state _unused_)
{
	each(no_frames);
}

/// Deeper than is kept: cut, and said so.
static void test_too_deep(void **state _unused_)
{
	for (size_t j = 0; j < ARRAY_SIZE(machines); j++) {
		struct world w;
		setup(&w, 22, machines[j]);
		struct gocore *gc = &w.p.gc;
		uint64_t g = w.p.objects[GOPROGRAM_LOCK], pc = gocore_pc(gc, "main.spin");
		enum { BYTES = 64 * GO_FRAMES_MAX };
		for (size_t i = 0; i < BYTES / 8; i++)
			gocore_add(&gc->more, &pc, 8);
		gc->extra[0] = (struct gocore_extra){ .start = 0x7000000000, .size = BYTES };
		gc->n_extra = 1;
		gocore_set(gc, g, GO_G_STACK_LO, 0x7000000000);
		gocore_set(gc, g, GO_G_STACK_HI, 0x7000000000 + BYTES);
		gocore_set(gc, g, GO_G_SCHED_SP, 0x7000000000);
		gocore_set(gc, g, GO_G_SCHED_PC, pc);
		open_world(&w);
		walk(&w, GOPROGRAM_LOCK);
		assert_int_equal(w.stack.n, GO_FRAMES_MAX);
		assert_int_equal(w.stack.stop, GO_STOP_TOO_DEEP);
		walk(&w, GOPROGRAM_MAIN); // the same memory serves for the next one
		assert_int_equal(w.stack.n, 6);
		teardown(&w);
	}
}

/// A nil function was called: the stack begins with who did that.
static void nil_call(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_LOCK];
	uint64_t pcs[] = { gocore_pc(gc, "main.spin"),
			   gocore_named(gc, "runtime.goexit")->entry + 1 };
	uint64_t sp = gocore_park(gc, g, pcs, 2);
	if (gc->link_register) {
		gocore_u64(gc, sp, pcs[0]);
	} else {
		gocore_u64(gc, sp - 8, pcs[0]);
		sp -= 8;
	}
	gocore_set(gc, g, GO_G_SCHED_SP, sp);
	gocore_set(gc, g, GO_G_SCHED_PC, 0);
	open_world(w);
	walk(w, GOPROGRAM_LOCK);
	assert_true(w->stack.n >= 1);
	assert_string_equal(w->stack.frames[0].func->name, "main.spin");
	if (!gc->link_register)
		check(w, "main.spin runtime.goexit", GO_STOP_TOP);
}

static void test_nil_call(void **state _unused_)
{
	each(nil_call);
}

// ---- threads -------------------------------------------------------------------------------

static void running(struct world *w)
{
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	check(w, "main.spin main.worker runtime.goexit", GO_STOP_TOP);
	assert_int_equal(w->stack.frames[0].flags, GO_FRAME_TRAP);
	assert_true(go_frame_sym_pc(&w->stack.frames[0]) == w->stack.frames[0].pc);
	assert_int_equal(w->stack.frames[1].flags, 0);
}

static void test_running(void **state _unused_)
{
	each(running);
}

/// On its own stack, which ends where a goroutine was parked.
static void idle(struct world *w)
{
	open_world(w);
	walk_thread(w, GOPROGRAM_M0, 0);
	// Up to 1.16 no flags say so; mcall is known by its name.
	check(w, "runtime.schedule runtime.mcall",
	      w->p.gc.minor < 17 ? GO_STOP_TOP : GO_STOP_SWITCH);
	assert_true(w->stack.frames[0].flags & GO_FRAME_SYSTEM);
}

static void test_idle(void **state _unused_)
{
	each(idle);
}

/// The scheduler's stack, with @pcs on it, of the thread that runs a goroutine.
static void on_system_stack(struct world *w, const uint64_t *pcs, size_t n, uint64_t *ret_sp)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g0 = gocore_get(gc, w->p.objects[GOPROGRAM_M1]);
	*ret_sp = gocore_frames(gc, gocore_get(gc, g0 + 8), pcs, n);
	gc->threads[1].regs = (struct go_regs){ .pc = pcs[0], .sp = *ret_sp };
	gc->threads[1].g = g0;
}

/// The goroutine called systemstack(): its own stack comes behind the scheduler's.
static void system_stack(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_RUNNING], sp;
	uint64_t user[] = { gocore_pc(gc, "runtime.systemstack_switch"),
			    gocore_pc(gc, "main.worker"),
			    gocore_named(gc, "runtime.goexit")->entry + 1 };
	uint64_t pcs[] = { gocore_pc(gc, "runtime.schedule"),
			   gocore_pc(gc, "runtime.systemstack") };
	on_system_stack(w, pcs, 2, &sp);
	// systemstack() left its own frame on the goroutine's stack, as it returns there.
	uint64_t at = gocore_frames(gc, gocore_get(gc, g + 8), user, 3);
	uint64_t frame = gocore_named(gc, "runtime.systemstack")->frame;
	gocore_u64(gc, gc->link_register ? at - frame : at, user[1]);
	gocore_set(gc, g, GO_G_SCHED_SP, at - frame);
	gocore_set(gc, g, GO_G_SCHED_PC, user[0]);
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	check(w, "runtime.schedule runtime.systemstack main.worker runtime.goexit", GO_STOP_TOP);
	assert_true(w->stack.frames[0].flags & GO_FRAME_SYSTEM);
	assert_false(w->stack.frames[2].flags & GO_FRAME_SYSTEM);
}

static void test_system_stack(void **state _unused_)
{
	each(system_stack);
}

/// The stack of a goroutine is being made larger.
static void more_stack(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_RUNNING], sp;
	uint64_t pcs[] = { gocore_pc(gc, "runtime.schedule"), gocore_pc(gc, "runtime.morestack") };
	uint64_t user[] = { gocore_pc(gc, "main.spin"), gocore_pc(gc, "main.worker"),
			    gocore_named(gc, "runtime.goexit")->entry + 1 };
	on_system_stack(w, pcs, 2, &sp);
	gocore_park(gc, g, user, 3);
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	check(w, "runtime.schedule main.spin main.worker runtime.goexit", GO_STOP_TOP);
}

static void test_more_stack(void **state _unused_)
{
	each(more_stack);
}

/// C code was called: the registers are C's.
static void in_c(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_RUNNING];
	uint64_t user[] = { gocore_pc(gc, "main.spin"), gocore_pc(gc, "main.worker"),
			    gocore_named(gc, "runtime.goexit")->entry + 1 };
	uint64_t sp = gocore_frames(gc, gocore_get(gc, g + 8), user, 3);
	gocore_set(gc, g, GO_G_SYSCALLSP, sp);
	gocore_set(gc, g, GO_G_SYSCALLPC, user[0]);
	gc->threads[1].regs = (struct go_regs){ .pc = 0x7fff00001000, .sp = 0x7ffffff00000 };
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	check(w, "main.spin main.worker runtime.goexit", GO_STOP_TOP);
	assert_int_equal(w->stack.frames[0].flags & GO_FRAME_TRAP, 0);
}

static void test_in_c(void **state _unused_)
{
	each(in_c);
}

/// In the vDSO, on the scheduler's stack: where it was called from is noted.
static void vdso(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_RUNNING];
	uint64_t user[] = { gocore_pc(gc, "main.spin"), gocore_pc(gc, "main.worker"),
			    gocore_named(gc, "runtime.goexit")->entry + 1 };
	uint64_t sp = gocore_frames(gc, gocore_get(gc, g + 8), user, 3);
	gocore_set(gc, w->p.objects[GOPROGRAM_M1], GO_M_VDSO_SP, sp);
	gocore_set(gc, w->p.objects[GOPROGRAM_M1], GO_M_VDSO_PC, user[0]);
	gc->threads[1].regs = (struct go_regs){ .pc = 0x7fff00001000, .sp = 0x7ffffff00000 };
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	check(w, "main.spin main.worker runtime.goexit", GO_STOP_TOP);
}

static void test_vdso(void **state _unused_)
{
	each(vdso);
}

/// Registers of a thread that has nothing to do with Go.
static void foreign(struct world *w)
{
	gocore_set(&w->p.gc, w->p.objects[GOPROGRAM_M1], GO_M_CURG, 0);
	w->p.gc.threads[1].regs = (struct go_regs){ .pc = 0x7fff00001000, .sp = 0x7ffffff00000 };
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	check(w, "", GO_STOP_FOREIGN);
}

static void test_foreign(void **state _unused_)
{
	each(foreign);
}

// ---- signals -------------------------------------------------------------------------------

/// What the kernel leaves for a handler, at @sp.
static void signal_frame(struct gocore *gc, uint64_t sp, uint64_t pc, uint64_t at, uint64_t lr)
{
	uint64_t regs = gc->link_register ? sp + 128 + 176 + 8 : sp + 40;
	gocore_u64(gc, regs + (gc->link_register ? 32 : 16) * 8UL, pc);
	gocore_u64(gc, regs + (gc->link_register ? 31 : 15) * 8UL, at);
	if (gc->link_register)
		gocore_u64(gc, regs + 30 * 8, lr);
}

/// In a handler: what it interrupted comes behind it.
static void in_handler(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	const struct gocore_func *tramp = gocore_named(gc, "runtime.sigtramp");
	uint64_t running_pc = gc->threads[1].regs.pc, running_sp = gc->threads[1].regs.sp;
	uint64_t gsignal = gocore_g(gc, 0), hi = gocore_get(gc, gsignal + 8);
	uint64_t pcs[] = { gocore_pc(gc, "runtime.schedule"), tramp->entry + 20 };
	uint64_t sp = hi - 0x300;
	gocore_set(gc, gsignal, GO_G_M, w->p.objects[GOPROGRAM_M1]);
	gocore_set(gc, w->p.objects[GOPROGRAM_M1], GO_M_GSIGNAL, gsignal);
	gocore_u64(gc, gc->link_register ? sp : sp + 48, pcs[1]); // schedule's frame is 48
	uint64_t frame = sp + 48 + (gc->link_register ? 0 : 8); // the trampoline's
	uint64_t end = frame + tramp->frame + (gc->link_register ? 0 : 8);
	signal_frame(gc, end, running_pc, running_sp, 0);
	gc->threads[1].regs = (struct go_regs){ .pc = pcs[0], .sp = sp };
	gc->threads[1].g = gsignal;
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	check(w, "runtime.schedule runtime.sigtramp main.spin main.worker runtime.goexit",
	      GO_STOP_TOP);
	assert_true(w->stack.frames[1].flags & GO_FRAME_SIGNAL);
	assert_true(w->stack.frames[2].flags & GO_FRAME_TRAP);
	assert_false(w->stack.frames[2].flags & GO_FRAME_SYSTEM);
}

static void test_in_handler(void **state _unused_)
{
	each(in_handler);
}

/// A handler that interrupted itself, and itself, and so on.
static void handler_circle(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	const struct gocore_func *tramp = gocore_named(gc, "runtime.sigtramp");
	uint64_t sp = gocore_get(gc, w->p.objects[GOPROGRAM_RUNNING]) + 16;
	uint64_t end = sp + tramp->frame + (gc->link_register ? 0 : 8);
	signal_frame(gc, end, tramp->entry + 20, sp, 0);
	gc->threads[1].regs = (struct go_regs){ .pc = tramp->entry + 20, .sp = sp };
	open_world(w);
	walk_thread(w, GOPROGRAM_M1, 1);
	assert_in_range(w->stack.n, 1, 100);
	// The registers are not in the core.
	gc->threads[1].regs.sp = gocore_ranges[GOCORE_STACKS].start +
				 gocore_ranges[GOCORE_STACKS].size - 32;
	const struct go_regs regs = { .pc = tramp->entry + 20, .sp = gc->threads[1].regs.sp };
	assert_int_equal(go_walk_thread(w->o.rt, w->p.objects[GOPROGRAM_M1], &regs, &w->stack), 0);
	check(w, "runtime.sigtramp", GO_STOP_SWITCH);
}

static void test_handler_circle(void **state _unused_)
{
	each(handler_circle);
}

/// A fault became a call: the line is that of the instruction, not of one before it.
static void sigpanic(struct world *w)
{
	struct gocore *gc = &w->p.gc;
	uint64_t g = w->p.objects[GOPROGRAM_LOCK], spin = gocore_pc(gc, "main.spin");
	uint64_t pcs[] = { gocore_pc(gc, "runtime.gopanic"), gocore_pc(gc, "runtime.sigpanic"),
			   spin, gocore_named(gc, "runtime.goexit")->entry + 1 };
	if (gc->link_register) {
		// The handler pushed the link register, in 16 bytes, before the call it made up.
		uint64_t hi = gocore_get(gc, g + 8) - 64;
		uint64_t sp = hi - 32; // main.spin
		gocore_u64(gc, sp, pcs[3]);
		gocore_u64(gc, sp - 16, pcs[3]);
		gocore_u64(gc, sp - 16 - 32, spin); // sigpanic
		gocore_u64(gc, sp - 16 - 32 - 48, pcs[1]); // gopanic
		gocore_set(gc, g, GO_G_SCHED_SP, sp - 16 - 32 - 48);
		gocore_set(gc, g, GO_G_SCHED_PC, pcs[0]);
	} else {
		gocore_park(gc, g, pcs, 4);
	}
	open_world(w);
	walk(w, GOPROGRAM_LOCK);
	check(w, "runtime.gopanic runtime.sigpanic main.spin runtime.goexit", GO_STOP_TOP);
	assert_true(w->stack.frames[2].flags & GO_FRAME_TRAP);
	assert_true(go_frame_sym_pc(&w->stack.frames[2]) == spin);
	assert_false(w->stack.frames[1].flags & GO_FRAME_TRAP);
}

static void test_sigpanic(void **state _unused_)
{
	each(sigpanic);
}

// ---- link registers ------------------------------------------------------------------------

/// A leaf without a frame: its caller is in the link register only.
static void test_leaf(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++) {
		struct world w;
		setup(&w, minors[i], EM_AARCH64);
		struct gocore *gc = &w.p.gc;
		struct go_regs *regs = &gc->threads[1].regs;
		regs->lr = gocore_pc(gc, "main.spin");
		regs->pc = gocore_pc(gc, "runtime.systemstack_switch");
		open_world(&w);
		walk_thread(&w, GOPROGRAM_M1, 1);
		check(&w, "runtime.systemstack_switch main.spin main.worker runtime.goexit",
		      GO_STOP_TOP);
		teardown(&w);
	}
}

/// Whatever registers, whatever the stack has: it ends, with frames that are inside functions.
static void test_random_stacks(void **state _unused_)
{
	uint64_t random = 77;
	for (int round = 0; round < 400; round++) {
		struct world w;
		setup(&w, minors[round % (int)ARRAY_SIZE(minors)], machines[round & 1]);
		struct gocore *gc = &w.p.gc;
		uint64_t start = gocore_ranges[GOCORE_STACKS].start;
		for (uint64_t at = 0; at < gocore_ranges[GOCORE_STACKS].size; at += 8) {
			uint64_t v = test_random(&random);
			const struct gocore_func *f = &gc->funcs[v % gc->n_funcs];
			if (v >> 20 & 3)
				gocore_u64(gc, start + at, f->entry + (v >> 24) % 64);
		}
		for (size_t i = 0; i < 2; i++) {
			const struct gocore_func *f =
				&gc->funcs[test_random(&random) % gc->n_funcs];
			gc->threads[i].regs = (struct go_regs){
				.pc = f->entry + test_random(&random) % 64,
				.sp = start + test_random(&random) % 0x4000,
				.lr = test_random(&random) & 1 ? f->entry : 0,
			};
		}
		open_world(&w);
		for (int i = 0; i < GOPROGRAM_GS; i++) {
			walk(&w, (enum goprogram_object)i);
			assert_in_range(w.stack.n, 0, GO_FRAMES_MAX);
		}
		for (size_t i = 0; i < 4; i++) {
			walk_thread(&w, i & 1 ? GOPROGRAM_M0 : GOPROGRAM_M1, i / 2);
			for (size_t k = 0; k < w.stack.n; k++)
				assert_true(w.stack.frames[k].pc >= w.stack.frames[k].func->entry &&
					    w.stack.frames[k].pc < w.stack.frames[k].func->end);
		}
		teardown(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parked),	   cmocka_unit_test(test_moving),
		cmocka_unit_test(test_unreadable), cmocka_unit_test(test_odd_callers),
		cmocka_unit_test(test_full_of_callers), cmocka_unit_test(test_no_frames),
		cmocka_unit_test(test_too_deep),   cmocka_unit_test(test_nil_call),
		cmocka_unit_test(test_running),	   cmocka_unit_test(test_idle),
		cmocka_unit_test(test_system_stack), cmocka_unit_test(test_more_stack),
		cmocka_unit_test(test_in_c),	   cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_foreign),	   cmocka_unit_test(test_in_handler),
		cmocka_unit_test(test_handler_circle), cmocka_unit_test(test_sigpanic),
		cmocka_unit_test(test_leaf),	   cmocka_unit_test(test_random_stacks),
	};
	return cmocka_run_group_tests_name("unwind", tests, NULL, NULL);
}
