// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Stacks: walks every goroutine and every thread of a good core after changes to it, whatever the
 * goroutine does and whatever the thread's registers are; where they are not in Go, as if in C.
 */
#include "analyzer/go/unwind.h"
#include "analyzer/go/values.h"
#include "analyzer/go/wait.h"
#include "gopatch.h"

static void check_stack(struct go_runtime *rt, const struct go_stack *stack)
{
	REQUIRE(stack->n <= GO_FRAMES_MAX);
	REQUIRE(*go_stop_name(stack->stop) != '?');
	for (size_t i = 0; i < stack->n; i++) {
		const struct go_frame *f = &stack->frames[i];
		_cleanup_strbuf_ struct strbuf args = { 0 };
		REQUIRE(!f->gap || go_gap_name(f->gap));
		if (f->flags & GO_FRAME_NATIVE) {
			REQUIRE(!f->func && !(f->flags & GO_FRAME_SYSTEM));
			(void)native_place(rt->native, f->pc, f->flags & GO_FRAME_TRAP);
			continue;
		}
		REQUIRE(f->func && f->func->name);
		REQUIRE(!(f->flags &
			  ~(uint32_t)(GO_FRAME_TRAP | GO_FRAME_SYSTEM | GO_FRAME_SIGNAL)));
		REQUIRE(go_place_at(&rt->symtab, f->func, go_frame_sym_pc(f)).n);
		if (i < 50)
			REQUIRE(go_args_text(rt, f, &args) == 0);
	}
}

static void check_values(struct go_runtime *rt, uint64_t addr)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct go_labels labels;
	REQUIRE(go_interface_text(rt, addr, &text) == 0);
	free(go_interface_type(rt, addr));
	go_labels_read(rt, addr, &labels);
	REQUIRE(labels.n <= GO_LABELS_MAX);
	for (size_t i = 0; i < labels.n; i++)
		REQUIRE(labels.list[i].key && labels.list[i].value);
	go_labels_deinit(&labels);
}

static void walk_all(struct go_runtime *rt, const struct goprogram *p)
{
	struct go_stack stack = { 0 };
	for (int i = 0; i < GOPROGRAM_OBJECTS; i++) {
		REQUIRE(go_walk_parked(rt, p->objects[i], &stack) == 0);
		check_stack(rt, &stack);
		check_values(rt, p->objects[i]);
	}
	for (size_t i = 0; i < rt->core->n_threads; i++) {
		struct go_regs regs;
		if (!rt->arch->thread_regs(&rt->core->threads[i], &regs))
			continue;
		for (int m = GOPROGRAM_M0; m <= GOPROGRAM_M1; m++) {
			REQUIRE(go_walk_thread(rt, p->objects[m], &regs, &stack) == 0);
			check_stack(rt, &stack);
			REQUIRE(go_walk_in_c(rt, go_u64(rt, p->objects[m], GO_M_CURG),
					     p->objects[m], &regs, &stack) == 0);
			check_stack(rt, &stack);
		}
	}
	go_stack_deinit(&stack);
}

/// Everything that looks at one goroutine.
static void wait_all(struct go_runtime *rt, const struct goprogram *p)
{
	struct go_goroutines gs = { .rt = rt, .now = 1 };
	struct go_object objects[GO_OBJECTS_MAX];
	for (int i = 0; i < GOPROGRAM_GS; i++) {
		struct go_goroutine g = { .addr = p->objects[i], .status = GO_WAITING };
		g.reason = go_u8(rt, g.addr, GO_G_WAITREASON);
		REQUIRE(go_goroutine_state(&gs, &g));
		(void)go_wait_object(&gs, &g);
		(void)go_wake_time(&gs, &g);
		REQUIRE(go_wait_objects(&gs, &g, objects) <= GO_OBJECTS_MAX);
	}
	go_goroutines_deinit(&gs);
}

static void run(struct source *src, const struct goprogram *p)
{
	_cleanup_(core_closep) struct core *core = NULL;
	struct snap_error *err = core_open(src, NULL, &core);
	REQUIRE(!err);
	struct image image = { .name = "" };
	struct images none = { 0 };
	_cleanup_(native_destroyp) struct native *native = native_create(core, &none, NULL);
	REQUIRE(native);
	struct go_runtime rt = { .core = core, .mem = &core->memory, .image = &image,
				 .layout = p->gc.layout };
	struct go_module module;
	rt.arch = go_arch_of(core->machine);
	rt.native = native;
	rt.globals.wait_reasons = p->gc.wait_reasons;
	go_symtab_init(&rt.symtab, rt.mem, &rt.layout, rt.arch->quantum);
	if (go_module_read(rt.mem, &rt.layout, p->gc.module, &module) &&
	    go_symtab_add(&rt.symtab, &module) == 0) {
		walk_all(&rt, p);
		wait_all(&rt, p);
	}
	go_symtab_deinit(&rt.symtab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct patches in = { data, size };
	struct goprogram p;
	_cleanup_strbuf_ struct strbuf file = { 0 };
	(void)patches_program(&in, &p);
	gocore_core(&p.gc, &file);
	gocore_deinit(&p.gc);
	_cleanup_close_ int fd = gocore_memfd(file.data, file.len);
	_cleanup_(source_destroyp) struct source *src = NULL;
	struct snap_error *err = source_create(fd, SOURCE_FILE, &src);
	REQUIRE(!err);
	run(src, &p);
	return 0;
}
