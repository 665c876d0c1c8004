/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gocore.h"

/**
 * DOC: The program that has a bit of everything
 *
 * Goroutines in each state that matters, stacks across each kind of border, inlined calls, labels,
 * arguments, a panic. Whoever tests something else changes it afterwards.
 */

enum goprogram_object {
	// goroutines, numbered from 1
	GOPROGRAM_MAIN, ///< waits for a channel, below an inlined call
	GOPROGRAM_SYSTEM, ///< the runtime's own
	GOPROGRAM_SELECT, ///< waits for two channels
	GOPROGRAM_RUNNING, ///< on the second thread; it panics
	GOPROGRAM_SYSCALL,
	GOPROGRAM_SLEEP, ///< with labels
	GOPROGRAM_LOCK, ///< waits for a mutex
	GOPROGRAM_DEAD,
	GOPROGRAM_GS,
	// and the rest
	GOPROGRAM_M0 = GOPROGRAM_GS,
	GOPROGRAM_M1,
	GOPROGRAM_P,
	GOPROGRAM_SUDOG0, ///< of main
	GOPROGRAM_SUDOG1, ///< of select, two of them
	GOPROGRAM_SUDOG2,
	GOPROGRAM_SUDOG3, ///< of lock
	GOPROGRAM_CHAN0,
	GOPROGRAM_CHAN1,
	GOPROGRAM_PANIC,
	GOPROGRAM_LABELS,
	GOPROGRAM_TIMER,
	GOPROGRAM_TYPE,
	GOPROGRAM_ARRAY, ///< what the slice of all goroutines points to
	GOPROGRAM_ALLGS,
	GOPROGRAM_MODULE,
	GOPROGRAM_SEMTABLE,
	GOPROGRAM_OBJECTS,
};

struct goprogram {
	struct gocore gc;
	uint64_t objects[GOPROGRAM_OBJECTS];
};

/// Value of abi.Kind.
enum { GOPROGRAM_KIND_STRING = 24, GOPROGRAM_TFLAG_NAMED = 4 };

static inline void goprogram_globals(struct goprogram *p)
{
	enum { SEM_ROOTS = 251, SEM_BYTES = 128 }; // src/runtime/sema.go; 64 on amd64
	struct gocore *gc = &p->gc;
	const struct gocore_range *data = &gocore_ranges[GOCORE_DATA];
	// Build information comes first, aligned.
	static const char magic[] = "\xff Go buildinf:";
	static const char start[] = "0123456789abcdef", mod[] = "path\tmain\nmod\tprog\tv1.2.3\n"
								"build\t-race=true\n";
	char version[16];
	(void)snprintf(version, sizeof(version), "go1.%d", gc->minor);
	uint64_t info = gocore_alloc(gc, GOCORE_DATA, 256);
	GOCORE_CHECK(info == data->start);
	GOCORE_CHECK(gocore_put(gc, info, magic, 14) && gocore_u8(gc, info + 14, 8));
	uint8_t modinfo[128];
	size_t len = sizeof(mod) - 1;
	memcpy(modinfo, start, 16);
	memcpy(modinfo + 16, mod, len);
	memcpy(modinfo + 16 + len, start, 16);
	len += 32;
	if (gc->minor >= 18) {
		uint8_t size = (uint8_t)strlen(version);
		gocore_u8(gc, info + 15, 2);
		gocore_u8(gc, info + 32, size);
		gocore_put(gc, info + 33, version, size);
		gocore_u8(gc, info + 33 + size, (uint8_t)len);
		gocore_put(gc, info + 34 + size, modinfo, len);
	} else {
		gocore_string(gc, info + 64, version);
		gocore_u64(gc, info + 80, gocore_bytes(gc, modinfo, len));
		gocore_u64(gc, info + 88, len);
		gocore_u64(gc, info + 16, info + 64);
		gocore_u64(gc, info + 24, info + 80);
	}
	gc->allgs = gocore_alloc(gc, GOCORE_DATA, 24);
	gc->allm = gocore_alloc(gc, GOCORE_DATA, 8);
	gc->allp = gocore_alloc(gc, GOCORE_DATA, 24);
	gc->gcphase = gocore_alloc(gc, GOCORE_DATA, 8);
	gc->sched = gocore_alloc(gc, GOCORE_DATA, 0x200);
	gc->wait_reasons = gocore_alloc(gc, GOCORE_DATA, gc->layout.n_wait_reasons * 16UL);
	gc->m0 = gocore_alloc(gc, GOCORE_DATA, GOCORE_M_BYTES);
	gc->print_backlog = gocore_alloc(gc, GOCORE_DATA, 512);
	gc->semtable = gocore_alloc(gc, GOCORE_DATA, (size_t)SEM_ROOTS * SEM_BYTES);
	for (size_t i = 0; i < gc->layout.n_wait_reasons; i++)
		gocore_string(gc, gc->wait_reasons + i * 16, gc->layout.wait_reasons[i]);
}

/// A function of the runtime whose code names variables.
static inline void goprogram_namer(struct gocore *gc, const char *name, const uint64_t *addrs,
				   size_t n)
{
	uint8_t code[64];
	uint64_t pc = gocore_ranges[GOCORE_TEXT].start + gc->used[GOCORE_TEXT];
	size_t len = gocore_loads(gc, pc, addrs, n, code, sizeof(code));
	gocore_func(gc, &(struct gocore_fn){ .name = name, .file = "runtime/proc.go", .line = 10,
					     .frame = 16, .code = code, .code_bytes = len });
}

static inline void goprogram_functions(struct gocore *gc)
{
	enum { TOP = 1, SP_WRITE = 2, ASM = 4 };
	static const struct gocore_fn list[] = {
		{ .name = "runtime.goexit", .file = "runtime/asm.s", .line = 1,
		  .flags = TOP | ASM },
		{ .name = "runtime.mstart", .file = "runtime/asm.s", .line = 2,
		  .flags = TOP | ASM },
		{ .name = "runtime.mcall", .file = "runtime/asm.s", .line = 3,
		  .frame = 16, .flags = SP_WRITE | ASM },
		{ .name = "runtime.morestack", .file = "runtime/asm.s", .line = 4,
		  .flags = SP_WRITE | ASM },
		{ .name = "runtime.systemstack", .file = "runtime/asm.s", .line = 5,
		  .frame = 16, .flags = SP_WRITE | ASM },
		{ .name = "runtime.systemstack_switch", .file = "runtime/asm.s", .line = 6 },
		{ .name = "runtime.asmcgocall", .file = "runtime/asm.s", .line = 7,
		  .frame = 16, .flags = SP_WRITE | ASM },
		{ .name = "runtime.cgocallback", .file = "runtime/asm.s", .line = 8,
		  .frame = 32, .flags = SP_WRITE | ASM },
		{ .name = "runtime.sigtramp", .file = "runtime/asm.s", .line = 9,
		  .frame = 48, .flags = TOP | ASM },
		{ .name = "runtime.sigpanic", .file = "runtime/signal.go", .line = 10,
		  .frame = 32 },
		{ .name = "runtime.asyncPreempt", .file = "runtime/asm.s", .line = 11,
		  .frame = 64 },
		{ .name = "runtime.gopanic", .file = "runtime/panic.go", .line = 12,
		  .frame = 48, .args = 16 },
		{ .name = "runtime.gopark", .file = "runtime/proc.go", .line = 13, .frame = 32 },
		{ .name = "runtime.chanrecv1", .file = "runtime/chan.go", .line = 14,
		  .frame = 48, .args = 16 },
		{ .name = "runtime.main", .file = "runtime/proc.go", .line = 15, .frame = 64 },
		{ .name = "runtime.forcegchelper", .file = "runtime/proc.go", .line = 16,
		  .frame = 32 },
		{ .name = "runtime.schedule", .file = "runtime/proc.go", .line = 17, .frame = 48 },
		{ .name = "syscall.Syscall", .file = "syscall/asm.s", .line = 18, .frame = 16 },
		{ .name = "time.Sleep", .file = "runtime/time.go", .line = 19,
		  .frame = 64, .args = 8 },
		{ .name = "main.main", .file = "main.go", .line = 20, .frame = 64 },
		{ .name = "main.worker", .file = "main.go", .line = 30, .frame = 96, .args = 24 },
		{ .name = "main.spin", .file = "main.go", .line = 40, .frame = 32 },
		{ .name = "main.(*T).lock", .file = "other.go", .line = 50,
		  .frame = 32, .args = 8 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		gocore_func(gc, &list[i]);
	goprogram_namer(gc, "runtime.allgadd",
			(uint64_t[]){ gc->allgs, gc->allgs + 8, gc->allgs + 16 }, 3);
	goprogram_namer(gc, "runtime.mcommoninit", (uint64_t[]){ gc->sched, gc->allm }, 2);
	goprogram_namer(gc, "runtime.procresize", (uint64_t[]){ gc->allp, gc->allp + 8 }, 2);
	goprogram_namer(gc, "runtime.waitReason.String", &gc->wait_reasons, 1);
	goprogram_namer(gc, "runtime.semacquire1", &gc->semtable, 1);
	goprogram_namer(gc, "runtime.recordForPanic", &gc->print_backlog, 1);
	// main.worker: arguments, and two calls inlined into each other in its second half
	const struct go_format *fmt = &gc->layout.format;
	const struct gocore_func *worker = gocore_named(gc, "main.worker");
	static const uint8_t args[] = { 0, 8, 0xfe, 8, 8, 16, 8, 0xfd, 0xff }, live[] = { 8, 2, 1 };
	static const struct gocore_inlined inlined[] = {
		{ .name = "main.outer", .file = "main.go", .line = 33, .parent = -1,
		  .parent_pc = 8 },
		{ .name = "main.inner", .file = "other.go", .line = 34, .parent = 0,
		  .parent_pc = 16 },
	};
	static const struct gocore_step tree[] = { { -1, 12 }, { 0, 12 }, { 1, 40 } },
					live_at[] = { { -1, 4 }, { 1, 60 } };
	gocore_set_funcdata(gc, worker, fmt->funcdata_arginfo,
			    gocore_gofunc(gc, args, sizeof(args)));
	gocore_set_funcdata(gc, worker, fmt->funcdata_arglive,
			    gocore_gofunc(gc, live, sizeof(live)));
	gocore_set_pcdata(gc, worker, fmt->pcdata_arglive,
			  gocore_pctab(gc, live_at, ARRAY_SIZE(live_at)));
	gocore_inline(gc, worker, inlined, ARRAY_SIZE(inlined), tree, ARRAY_SIZE(tree));
}

/// Labels as this version keeps them: {"key": "value", "other": "more"}.
static inline uint64_t goprogram_labels(struct gocore *gc)
{
	enum { LIST_MINOR = 24, HMAP_B = 9, HMAP_BUCKETS = 16, BUCKET = 8 + 8 * 32 + 8 };
	uint64_t labels = gocore_alloc(gc, GOCORE_HEAP, 24);
	if (gc->minor >= LIST_MINOR) {
		uint64_t list = gocore_alloc(gc, GOCORE_HEAP, 64);
		gocore_string(gc, list, "key");
		gocore_string(gc, list + 16, "value");
		gocore_string(gc, list + 32, "other");
		gocore_string(gc, list + 48, "more");
		gocore_u64(gc, labels, list);
		gocore_u64(gc, labels + 8, 2);
		return labels;
	}
	uint64_t hmap = gocore_alloc(gc, GOCORE_HEAP, 48);
	uint64_t bucket = gocore_alloc(gc, GOCORE_HEAP, BUCKET);
	gocore_u64(gc, labels, hmap);
	gocore_u64(gc, hmap, 2);
	gocore_u8(gc, hmap + HMAP_B, 0);
	gocore_u64(gc, hmap + HMAP_BUCKETS, bucket);
	gocore_u8(gc, bucket + 1, 77); // tophash of the slots that are in use
	gocore_u8(gc, bucket + 4, 99);
	gocore_string(gc, bucket + 8 + 16, "other");
	gocore_string(gc, bucket + 8 + 8 * 16 + 16, "more");
	gocore_string(gc, bucket + 8 + 4 * 16, "key");
	gocore_string(gc, bucket + 8 + 8 * 16 + 4 * 16, "value");
	return labels;
}

static inline void goprogram_wait(struct goprogram *p, enum goprogram_object g, const char *reason)
{
	gocore_set(&p->gc, p->objects[g], GO_G_WAITREASON, gocore_reason(&p->gc, reason));
}

static inline void goprogram_goroutines(struct goprogram *p)
{
	struct gocore *gc = &p->gc;
	uint64_t *o = p->objects, park = gocore_pc(gc, "runtime.gopark"),
		 end = gocore_named(gc, "runtime.goexit")->entry + 1,
		 worker = gocore_pc(gc, "main.worker") + 16;
	const char *mutex = gc->minor >= 20 ? "sync.Mutex.Lock" : "semacquire";
	for (int i = 0; i < GOPROGRAM_GS; i++) {
		o[i] = gocore_g(gc, (uint64_t)i + 1);
		gocore_set(gc, o[i], GO_G_GOPC, gocore_pc(gc, i ? "main.main" : "runtime.main"));
		gocore_set(gc, o[i], GO_G_PARENT_GOID, i ? 1 : 0);
		gocore_set(gc, o[i], GO_G_STARTPC, gocore_named(gc, "main.worker")->entry);
		gocore_u64(gc, o[GOPROGRAM_ARRAY] + (uint64_t)i * 8, o[i]);
	}
	gocore_set(gc, o[GOPROGRAM_MAIN], GO_G_STARTPC, gocore_named(gc, "runtime.main")->entry);
	gocore_set(gc, o[GOPROGRAM_SYSTEM], GO_G_STARTPC,
		   gocore_named(gc, "runtime.forcegchelper")->entry);
	gocore_park(gc, o[GOPROGRAM_MAIN],
		    (uint64_t[]){ park, gocore_pc(gc, "runtime.chanrecv1"), worker,
				  gocore_pc(gc, "main.main"), gocore_pc(gc, "runtime.main"), end },
		    6);
	gocore_park(gc, o[GOPROGRAM_SYSTEM],
		    (uint64_t[]){ park, gocore_pc(gc, "runtime.forcegchelper"), end }, 3);
	gocore_park(gc, o[GOPROGRAM_SELECT], (uint64_t[]){ park, worker, end }, 3);
	gocore_park(gc, o[GOPROGRAM_SLEEP],
		    (uint64_t[]){ park, gocore_pc(gc, "time.Sleep"), worker, end }, 4);
	gocore_park(gc, o[GOPROGRAM_LOCK],
		    (uint64_t[]){ park, gocore_pc(gc, "main.(*T).lock"), worker, end }, 4);
	// In a system call it has another pair of registers.
	uint64_t sp = gocore_frames(gc, gocore_get(gc, o[GOPROGRAM_SYSCALL] + 8),
				    (uint64_t[]){ gocore_pc(gc, "syscall.Syscall"), worker, end },
				    3);
	gocore_set(gc, o[GOPROGRAM_SYSCALL], GO_G_SYSCALLSP, sp);
	gocore_set(gc, o[GOPROGRAM_SYSCALL], GO_G_SYSCALLPC, gocore_pc(gc, "syscall.Syscall"));
	gocore_set(gc, o[GOPROGRAM_SYSCALL], GO_G_ATOMICSTATUS, 3);
	gocore_set(gc, o[GOPROGRAM_SYSCALL], GO_G_LOCKEDM, o[GOPROGRAM_M0]);
	gocore_set(gc, o[GOPROGRAM_DEAD], GO_G_ATOMICSTATUS, 6);
	goprogram_wait(p, GOPROGRAM_MAIN, "chan receive");
	goprogram_wait(p, GOPROGRAM_SYSTEM, "force gc (idle)");
	goprogram_wait(p, GOPROGRAM_SELECT, "select");
	goprogram_wait(p, GOPROGRAM_SLEEP, "sleep");
	goprogram_wait(p, GOPROGRAM_LOCK, mutex);
	gocore_set(gc, o[GOPROGRAM_MAIN], GO_G_WAITSINCE, 1000000000);
	gocore_set(gc, o[GOPROGRAM_LOCK], GO_G_WAITSINCE, 4000000000);
}

static inline void goprogram_channels(struct goprogram *p)
{
	struct gocore *gc = &p->gc;
	uint64_t *o = p->objects;
	o[GOPROGRAM_CHAN0] = gocore_alloc(gc, GOCORE_HEAP, 112);
	o[GOPROGRAM_CHAN1] = gocore_alloc(gc, GOCORE_HEAP, 112);
	o[GOPROGRAM_SUDOG0] = gocore_sudog(gc, o[GOPROGRAM_MAIN], o[GOPROGRAM_CHAN0], false);
	o[GOPROGRAM_SUDOG1] = gocore_sudog(gc, o[GOPROGRAM_SELECT], o[GOPROGRAM_CHAN0], false);
	o[GOPROGRAM_SUDOG2] = gocore_sudog(gc, o[GOPROGRAM_SELECT], o[GOPROGRAM_CHAN1], false);
	gocore_set(gc, o[GOPROGRAM_MAIN], GO_G_WAITING, o[GOPROGRAM_SUDOG0]);
	gocore_set(gc, o[GOPROGRAM_SELECT], GO_G_WAITING, o[GOPROGRAM_SUDOG1]);
	gocore_set(gc, o[GOPROGRAM_SUDOG1], GO_SUDOG_WAITLINK, o[GOPROGRAM_SUDOG2]);
	gocore_set(gc, o[GOPROGRAM_SUDOG0], GO_SUDOG_NEXT, o[GOPROGRAM_SUDOG1]);
	gocore_set(gc, o[GOPROGRAM_CHAN0], GO_HCHAN_RECVQ_FIRST, o[GOPROGRAM_SUDOG0]);
	gocore_set(gc, o[GOPROGRAM_CHAN1], GO_HCHAN_SENDQ_FIRST, o[GOPROGRAM_SUDOG2]);
	gocore_set(gc, o[GOPROGRAM_CHAN1], GO_HCHAN_QCOUNT, 3);
	gocore_set(gc, o[GOPROGRAM_CHAN1], GO_HCHAN_DATAQSIZ, 3);
	o[GOPROGRAM_SUDOG3] = gocore_sudog(gc, o[GOPROGRAM_LOCK], o[GOPROGRAM_CHAN1] + 4, true);
	if (gc->minor >= 26)
		gocore_set(gc, o[GOPROGRAM_LOCK], GO_G_WAITING, o[GOPROGRAM_SUDOG3]);
	else // the tree of the third root
		gocore_u64(gc, gc->semtable + (gc->link_register ? 256 : 128) + 8,
			   o[GOPROGRAM_SUDOG3]);
	o[GOPROGRAM_LABELS] = goprogram_labels(gc);
	gocore_set(gc, o[GOPROGRAM_SLEEP], GO_G_LABELS, o[GOPROGRAM_LABELS]);
	o[GOPROGRAM_TIMER] = gocore_alloc(gc, GOCORE_HEAP, 64);
	gocore_set(gc, o[GOPROGRAM_TIMER], GO_TIMER_WHEN, 9000000000);
	gocore_set(gc, o[GOPROGRAM_SLEEP], GO_G_TIMER, o[GOPROGRAM_TIMER]);
	gocore_set(gc, o[GOPROGRAM_SLEEP], GO_G_SLEEP_WHEN, 9000000000);
}

/// Two threads: the first one is idle on its own stack, the second one runs a goroutine.
static inline void goprogram_threads(struct goprogram *p)
{
	struct gocore *gc = &p->gc;
	uint64_t *o = p->objects, running = o[GOPROGRAM_RUNNING];
	uint64_t idle[] = { gocore_pc(gc, "runtime.schedule"), gocore_pc(gc, "runtime.mcall") };
	uint64_t spin[] = { gocore_pc(gc, "main.spin"), gocore_pc(gc, "main.worker") + 16,
			    gocore_named(gc, "runtime.goexit")->entry + 1 };
	o[GOPROGRAM_M1] = gocore_m(gc, gocore_alloc(gc, GOCORE_HEAP, GOCORE_M_BYTES), 1, 1002);
	(void)gocore_m(gc, o[GOPROGRAM_M0], 0, 1001);
	gocore_u64(gc, gc->allm, o[GOPROGRAM_M1]);
	gocore_set(gc, o[GOPROGRAM_M1], GO_M_ALLLINK, o[GOPROGRAM_M0]);
	gocore_set(gc, o[GOPROGRAM_M1], GO_M_CURG, running);
	gocore_set(gc, running, GO_G_M, o[GOPROGRAM_M1]);
	gocore_set(gc, running, GO_G_ATOMICSTATUS, 2);
	o[GOPROGRAM_P] = gocore_alloc(gc, GOCORE_HEAP, 0x1000);
	uint64_t list = gocore_alloc(gc, GOCORE_HEAP, 8);
	gocore_u64(gc, list, o[GOPROGRAM_P]);
	for (uint64_t i = 0; i < 2; i++)
		gocore_u64(gc, gc->allp + 8 + i * 8, 1);
	gocore_u64(gc, gc->allp, list);
	gocore_set(gc, o[GOPROGRAM_P], GO_P_STATUS, 1);
	gocore_set(gc, o[GOPROGRAM_P], GO_P_M, o[GOPROGRAM_M1]);
	gocore_set(gc, o[GOPROGRAM_P], GO_P_SYSMONTICK_SCHEDWHEN, 5000000000);
	gocore_set(gc, o[GOPROGRAM_M1], GO_M_P, o[GOPROGRAM_P]);
	uint64_t g0 = gocore_get(gc, o[GOPROGRAM_M0]);
	gc->threads[0] = (struct gocore_thread){
		.tid = 1001,
		.regs = { .pc = idle[0],
			  .sp = gocore_frames(gc, gocore_get(gc, g0 + 8), idle, 2) },
		.g = g0,
	};
	gc->threads[1] = (struct gocore_thread){
		.tid = 1002,
		.regs = { .pc = spin[0],
			  .sp = gocore_frames(gc, gocore_get(gc, running + 8), spin, 3) },
		.g = running,
	};
	gc->n_threads = 2;
	gc->now = 6000000000;
	gc->snapnote = true;
}

/// A panic of the goroutine that runs, with a string.
static inline void goprogram_panic(struct goprogram *p)
{
	struct gocore *gc = &p->gc;
	uint64_t *o = p->objects;
	uint64_t text = gocore_alloc(gc, GOCORE_HEAP, 16);
	o[GOPROGRAM_TYPE] = gocore_type(gc, "string", GOPROGRAM_KIND_STRING, GOPROGRAM_TFLAG_NAMED);
	gocore_string(gc, text, "it broke");
	o[GOPROGRAM_PANIC] = gocore_alloc(gc, GOCORE_HEAP, 112);
	uint64_t arg = o[GOPROGRAM_PANIC] + (uint64_t)gc->layout.offset[GO_PANIC_ARG];
	gocore_u64(gc, arg, o[GOPROGRAM_TYPE]);
	gocore_u64(gc, arg + 8, text);
	gocore_set(gc, o[GOPROGRAM_RUNNING], GO_G_PANIC, o[GOPROGRAM_PANIC]);
	gocore_set(gc, o[GOPROGRAM_M1], GO_M_DYING, 1);
}

/// Makes it; gocore_deinit(&p->gc) in the end.
static inline void goprogram_init(struct goprogram *p, int minor, uint16_t machine)
{
	struct gocore *gc = &p->gc;
	*p = (struct goprogram){ 0 };
	gocore_init(gc, minor, machine);
	gocore_header(gc, "0123456789abcdefghij");
	goprogram_globals(p);
	goprogram_functions(gc);
	gocore_finish_functions(gc);
	p->objects[GOPROGRAM_M0] = gc->m0;
	p->objects[GOPROGRAM_ALLGS] = gc->allgs;
	p->objects[GOPROGRAM_MODULE] = gc->module;
	p->objects[GOPROGRAM_SEMTABLE] = gc->semtable;
	p->objects[GOPROGRAM_ARRAY] = gocore_alloc(gc, GOCORE_HEAP, GOPROGRAM_GS * 8);
	gocore_u64(gc, gc->allgs, p->objects[GOPROGRAM_ARRAY]);
	gocore_u64(gc, gc->allgs + 8, GOPROGRAM_GS);
	gocore_u64(gc, gc->allgs + 16, GOPROGRAM_GS);
	goprogram_goroutines(p);
	goprogram_channels(p);
	goprogram_threads(p);
	goprogram_panic(p);
}
