// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goroutines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "wait.h"

enum {
	// Programs with ten million goroutines are not known, and would need as many 2 KiB stacks.
	GOROUTINES_MAX = 10 << 20,
	THREADS_MAX = 1 << 17,
	STATUS_MASK = 0xfff,
	STATUS_SCAN = 0x1000,
	BATCH = 1024, // pointers read at a time
};

const char *go_status_name(uint8_t status)
{
	static const char *const names[] = {
		[GO_IDLE] = "idle",	    [GO_RUNNABLE] = "runnable",
		[GO_RUNNING] = "running",   [GO_SYSCALL] = "syscall",
		[GO_WAITING] = "waiting",   [GO_DEAD] = "dead",
		[GO_COPYSTACK] = "copystack", [GO_PREEMPTED] = "preempted",
		[GO_LEAKED] = "leaked",	    [GO_DEADEXTRA] = "waiting for cgo callback",
	};
	const char *name = status < ARRAY_SIZE(names) ? names[status] : NULL;
	return name ? name : "???";
}

/// The binary's own text for a reason, or the table's.
static const char *reason_text(struct go_runtime *rt, uint8_t reason)
{
	uint64_t text, len, at = rt->globals.wait_reasons;
	if (at && memory_u64(rt->mem, at + reason * 16ULL, &text) &&
	    memory_u64(rt->mem, at + reason * 16ULL + 8, &len) && len && len < 64) {
		// Strings of Go do not end with a NUL; the table's is the same text if it fits.
		char buf[64];
		const char *known = reason < rt->layout.n_wait_reasons ?
					    rt->layout.wait_reasons[reason] :
					    NULL;
		if (!memory_read(rt->mem, text, buf, len))
			return known;
		buf[len] = '\0';
		if (!snap_is_printable(buf)) // it becomes a key
			return known;
		if (known && !strcmp(known, buf))
			return known;
		for (size_t i = 0; i < rt->layout.n_wait_reasons; i++)
			if (!strcmp(rt->layout.wait_reasons[i], buf))
				return rt->layout.wait_reasons[i];
		return go_symtab_keep(&rt->symtab, text, buf);
	}
	return reason < rt->layout.n_wait_reasons ? rt->layout.wait_reasons[reason] : NULL;
}

const char *go_goroutine_state(struct go_goroutines *gs, const struct go_goroutine *g)
{
	const char *text = NULL;
	if ((g->status == GO_WAITING || g->status == GO_LEAKED) && g->reason) {
		if (!gs->reasons[g->reason])
			gs->reasons[g->reason] = reason_text(gs->rt, g->reason);
		text = gs->reasons[g->reason];
	}
	return text ? text : go_status_name(g->status);
}

int64_t go_goroutine_wait_ns(const struct go_goroutines *gs, const struct go_goroutine *g)
{
	bool blocked = g->status == GO_WAITING || g->status == GO_SYSCALL ||
		       g->status == GO_LEAKED;
	if (!blocked || !g->wait_since || !gs->now || g->wait_since > gs->now ||
	    gs->now - g->wait_since > INT64_MAX)
		return -1;
	return (int64_t)(gs->now - g->wait_since);
}

const struct go_thread *go_thread_of(const struct go_goroutines *gs, uint64_t m)
{
	for (size_t i = 0; m && i < gs->n_threads; i++)
		if (gs->threads[i].addr == m)
			return &gs->threads[i];
	return NULL;
}

// ---- threads -------------------------------------------------------------------------------

static struct go_thread *add_thread(struct go_goroutines *gs, uint64_t m)
{
	for (size_t i = 0; i < gs->n_threads; i++)
		if (gs->threads[i].addr == m)
			return &gs->threads[i];
	if (gs->n_threads == THREADS_MAX)
		return NULL;
	if (!(gs->n_threads & (gs->n_threads - 1))) {
		struct go_thread *bigger = reallocarray(gs->threads,
							MAX(gs->n_threads * 2, (size_t)1),
							sizeof(*bigger));
		if (!bigger)
			return NULL;
		gs->threads = bigger;
	}
	struct go_runtime *rt = gs->rt;
	struct go_thread *t = &gs->threads[gs->n_threads++];
	*t = (struct go_thread){
		.addr = m,
		.id = (int64_t)go_u64(rt, m, GO_M_ID),
		.procid = (int32_t)go_u64(rt, m, GO_M_PROCID),
		.curg = go_u64(rt, m, GO_M_CURG),
		.p = go_u64(rt, m, GO_M_P),
		.lockedg = go_u64(rt, m, GO_M_LOCKEDG),
		.in_cgo = go_u8(rt, m, GO_M_INCGO) != 0,
	};
	return t;
}

/// The M of a thread of the core: by the g that the thread itself names, or by its number.
static struct go_thread *match_thread(struct go_goroutines *gs, const struct core_thread *thread)
{
	struct go_runtime *rt = gs->rt;
	uint64_t g = rt->arch->thread_g(thread, rt->mem);
	uint64_t m = g && go_is_g(rt, g) ? go_u64(rt, g, GO_G_M) : 0;
	if (m && go_is_m(rt, m) &&
	    (go_u64(rt, m, GO_M_G0) == g || go_u64(rt, m, GO_M_GSIGNAL) == g ||
	     go_u64(rt, m, GO_M_CURG) == g))
		return add_thread(gs, m);
	for (size_t i = 0; i < gs->n_threads; i++)
		if (gs->threads[i].procid == thread->ns_tid && !gs->threads[i].has_regs)
			return &gs->threads[i];
	return NULL;
}

static void read_threads(struct go_goroutines *gs)
{
	struct go_runtime *rt = gs->rt;
	uint64_t m = 0;
	if (rt->globals.allm)
		(void)memory_u64(rt->mem, rt->globals.allm, &m); // 0 then
	for (size_t i = 0; i < THREADS_MAX && go_is_m(rt, m); i++) {
		size_t before = gs->n_threads;
		if (!add_thread(gs, m) || gs->n_threads == before) // a circle
			break;
		m = go_u64(rt, m, GO_M_ALLLINK);
	}
	for (size_t i = 0; i < rt->core->n_threads; i++) {
		const struct core_thread *thread = &rt->core->threads[i];
		struct go_thread *t = match_thread(gs, thread);
		if (!t || t->has_regs)
			continue;
		t->tid = thread->tid;
		t->has_regs = !thread->partial && rt->arch->thread_regs(thread, &t->regs);
	}
}

// ---- the clock -----------------------------------------------------------------------------

/// The latest time that the runtime has noted anywhere: its clock stood there or later.
static uint64_t estimate_now(struct go_runtime *rt)
{
	uint64_t latest = 0, data = 0, len = 0;
	if (rt->globals.sched)
		latest = go_u64(rt, rt->globals.sched, GO_SCHED_LASTPOLL);
	if (!rt->globals.allp || !memory_u64(rt->mem, rt->globals.allp, &data) ||
	    !memory_u64(rt->mem, rt->globals.allp + 8, &len))
		return latest;
	for (uint64_t i = 0; i < len; i++) {
		uint64_t p;
		if (!memory_u64(rt->mem, data + i * 8, &p))
			break;
		latest = MAX(latest, go_u64(rt, p, GO_P_SYSMONTICK_SCHEDWHEN));
		latest = MAX(latest, go_u64(rt, p, GO_P_SYSMONTICK_SYSCALLWHEN));
	}
	return latest;
}

// ---- stacks --------------------------------------------------------------------------------

static int grow(void **array, size_t *max, size_t n, size_t more, size_t size)
{
	if (n + more <= *max)
		return 0;
	size_t bigger_max = MAX(*max * 2, n + more + 64);
	void *bigger = reallocarray(*array, bigger_max, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*max = bigger_max;
	return 0;
}

static uint64_t pc_of(uint64_t tagged)
{
	return tagged & ((1ULL << GO_PC_BITS) - 1);
}

static uint64_t tagged_pc(const struct go_frame *f)
{
	uint64_t tagged = pc_of(f->pc) | (uint64_t)f->gap << GO_PC_GAP;
	if (f->flags & GO_FRAME_TRAP)
		tagged |= 1ULL << GO_PC_TRAP;
	if (!(f->flags & GO_FRAME_NATIVE))
		return tagged;
	if (f->flags & GO_FRAME_SIGNAL)
		tagged |= 1ULL << GO_PC_SIGNAL;
	if (f->flags & GO_FRAME_GUESSED)
		tagged |= 1ULL << GO_PC_GUESSED;
	return tagged | 1ULL << GO_PC_NATIVE;
}

struct go_frame go_frame_of_pc(struct go_goroutines *gs, uint64_t tagged)
{
	struct go_frame f = { .pc = pc_of(tagged), .gap = tagged >> GO_PC_GAP & 7 };
	if (tagged >> GO_PC_TRAP & 1)
		f.flags |= GO_FRAME_TRAP;
	if (tagged >> GO_PC_SIGNAL & 1)
		f.flags |= GO_FRAME_SIGNAL;
	if (tagged >> GO_PC_GUESSED & 1)
		f.flags |= GO_FRAME_GUESSED;
	if (tagged >> GO_PC_NATIVE & 1)
		f.flags |= GO_FRAME_NATIVE;
	else
		f.func = go_func_at(&gs->rt->symtab, f.pc);
	return f;
}

/// What makes stacks equal: of native frames the function, wherever in it they are.
static uint64_t identity(const struct go_goroutines *gs, uint64_t tagged)
{
	if (!(tagged >> GO_PC_NATIVE & 1) || !gs->rt->native)
		return tagged;
	struct native_place place =
		native_place(gs->rt->native, pc_of(tagged), tagged >> GO_PC_TRAP);
	uint64_t gap = tagged & 7ULL << GO_PC_GAP;
	return place.start ? place.start | gap | 1ULL << GO_PC_NATIVE : tagged;
}

static uint64_t hash_stack(const struct go_goroutines *gs, const struct go_stack *stack)
{
	uint64_t h = stack->n;
	for (size_t i = 0; i < stack->n; i++) {
		h = (h ^ identity(gs, tagged_pc(&stack->frames[i]))) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return h;
}

static bool same_stack(const struct go_goroutines *gs, const struct go_stack_class *c,
		       const struct go_stack *stack)
{
	if (c->n != stack->n || c->stop != stack->stop)
		return false;
	for (size_t i = 0; i < stack->n; i++) {
		uint64_t a = gs->pcs[c->first + i], b = tagged_pc(&stack->frames[i]);
		if (a != b && identity(gs, a) != identity(gs, b))
			return false;
	}
	return true;
}

/// The class of @stack, a new one if need be. @seen maps hashes to classes.
static int classify(struct go_goroutines *gs, struct map *seen, const struct go_stack *stack,
		    uint64_t created_at, uint32_t *ret)
{
	uint64_t hash = hash_stack(gs, stack);
	uint32_t index;
	// Equal hashes of different stacks: the next number is tried.
	for (; map_get(seen, hash, &index); hash++)
		if (same_stack(gs, &gs->stacks[index], stack)) {
			gs->stacks[index].count++;
			*ret = index;
			return 0;
		}
	if (grow((void **)&gs->pcs, &gs->max_pcs, gs->n_pcs, stack->n, sizeof(*gs->pcs)) < 0 ||
	    grow((void **)&gs->stacks, &gs->max_stacks, gs->n_stacks, 1, sizeof(*gs->stacks)) < 0)
		return -ENOMEM;
	gs->stacks[gs->n_stacks] = (struct go_stack_class){
		.first = gs->n_pcs,
		.n = (uint32_t)stack->n,
		.count = 1,
		.created_at = created_at,
		.stop = stack->stop,
	};
	for (size_t i = 0; i < stack->n; i++)
		gs->pcs[gs->n_pcs++] = tagged_pc(&stack->frames[i]);
	if (map_set(seen, hash, (uint32_t)gs->n_stacks) < 0)
		return -ENOMEM;
	*ret = (uint32_t)gs->n_stacks++;
	return 0;
}

int go_goroutine_walk(struct go_goroutines *gs, const struct go_goroutine *g,
		      struct go_stack *stack)
{
	uint64_t m = go_u64(gs->rt, g->addr, GO_G_M);
	const struct go_thread *t = g->status == GO_RUNNING ? go_thread_of(gs, m) : NULL;
	if (g->status == GO_SYSCALL && m && gs->rt->native && go_u8(gs->rt, m, GO_M_INCGO)) {
		t = go_thread_of(gs, m);
		if (t && t->has_regs && t->curg == g->addr)
			return go_walk_in_c(gs->rt, g->addr, m, &t->regs, stack);
	}
	if (g->status != GO_RUNNING)
		return go_walk_parked(gs->rt, g->addr, stack);
	if (t && t->has_regs)
		return go_walk_thread(gs->rt, m, &t->regs, stack);
	stack->n = 0;
	stack->stop = GO_STOP_NO_REGISTERS;
	return 0;
}

// ---- goroutines ----------------------------------------------------------------------------

/// Began it with a function of the runtime's own? src/runtime/traceback.go isSystemGoroutine()
static bool is_system(struct go_runtime *rt, uint64_t g)
{
	static const char *const users[] = { "main", "handleAsyncEvent", "corostart" };
	const struct go_func *f = go_func_at(&rt->symtab, go_u64(rt, g, GO_G_STARTPC));
	if (!f || strncmp(f->name, "runtime.", 8) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(users); i++)
		if (!strcmp(f->name + 8, users[i]))
			return false;
	return !go_u8(rt, g, GO_G_RUNNING_CLEANUPS);
}

static bool counts(uint8_t status, uint64_t id)
{
	return status != GO_DEAD && status != GO_DEADEXTRA && !(status == GO_IDLE && !id);
}

/// Reads the g at @addr; false when it is dead, or none.
static bool read_one(struct go_goroutines *gs, uint64_t addr, struct go_goroutine *ret)
{
	struct go_runtime *rt = gs->rt;
	if (!memory_has(rt->mem, addr)) {
		gs->unread++;
		return false;
	}
	if (!go_is_g(rt, addr)) {
		gs->damaged++;
		return false;
	}
	uint32_t status = go_u32(rt, addr, GO_G_ATOMICSTATUS);
	*ret = (struct go_goroutine){
		.addr = addr,
		.id = go_u64(rt, addr, GO_G_GOID),
		.status = (uint8_t)(status & STATUS_MASK),
		.reason = go_u8(rt, addr, GO_G_WAITREASON),
		.wait_since = go_u64(rt, addr, GO_G_WAITSINCE),
		.labels = go_u64(rt, addr, GO_G_LABELS),
		.flags = status & STATUS_SCAN ? GO_G_SCAN : 0,
	};
	if (!counts(ret->status, ret->id))
		return false;
	if (go_u64(rt, addr, GO_G_LOCKEDM))
		ret->flags |= GO_G_LOCKED;
	if (is_system(rt, addr))
		ret->flags |= GO_G_SYSTEM;
	return true;
}

/// Finalizers run in a goroutine of the runtime's, but are code of the program.
static bool runs_finalizer(struct go_runtime *rt, const struct go_goroutine *g,
			   const struct go_stack *stack)
{
	const struct go_func *f = go_func_at(&rt->symtab, go_u64(rt, g->addr, GO_G_STARTPC));
	if (!f || (strcmp(f->name, "runtime.runfinq") != 0 &&
		   strcmp(f->name, "runtime.runFinalizers") != 0))
		return false;
	for (size_t i = 0; i < stack->n; i++)
		if (!stack->frames[i].func ||
		    strncmp(stack->frames[i].func->name, "runtime.", 8) != 0)
			return true;
	return false;
}

static int add_goroutine(struct go_goroutines *gs, struct map *seen, struct go_goroutine *g,
			 struct go_stack *stack)
{
	if (gs->n == GOROUTINES_MAX) {
		gs->dropped++;
		return 0;
	}
	uint64_t created_at = go_u64(gs->rt, g->addr, GO_G_GOPC);
	if (grow((void **)&gs->list, &gs->max, gs->n, 1, sizeof(*gs->list)) < 0 ||
	    go_goroutine_walk(gs, g, stack) < 0 ||
	    classify(gs, seen, stack, created_at, &g->stack) < 0)
		return -ENOMEM;
	if (g->flags & GO_G_SYSTEM && runs_finalizer(gs->rt, g, stack))
		g->flags &= (uint8_t)~GO_G_SYSTEM;
	g->object = go_wait_object(gs, g);
	gs->list[gs->n++] = *g;
	return 0;
}

static int read_list(struct go_goroutines *gs, uint64_t data, uint64_t len)
{
	struct map seen = { 0 };
	struct go_stack stack = { 0 };
	uint64_t batch[BATCH];
	int r = 0;
	for (uint64_t i = 0; r == 0 && i < len; i += BATCH) {
		size_t want = MIN(len - i, (uint64_t)BATCH) * 8;
		size_t n = memory_read_some(gs->rt->mem, data + i * 8, batch, want) / 8;
		gs->unread += want / 8 - n;
		for (size_t j = 0; r == 0 && j < n; j++) {
			struct go_goroutine g;
			if (read_one(gs, batch[j], &g))
				r = add_goroutine(gs, &seen, &g, &stack);
		}
		if (n < want / 8) // the rest of the list is not there either
			break;
	}
	map_deinit(&seen);
	go_stack_deinit(&stack);
	return r;
}

struct snap_error *go_goroutines_read(struct go_runtime *rt, struct go_goroutines *ret)
{
	struct go_goroutines gs = { .rt = rt };
	uint64_t data = 0, len = 0;
	if (!rt->globals.allgs || !memory_u64(rt->mem, rt->globals.allgs, &data) ||
	    !memory_u64(rt->mem, rt->globals.allgs + 8, &len))
		return snap_error_new(SNAP_FAILED, "the list of goroutines was not found");
	gs.now = rt->core->note.version ? rt->core->note.monotonic_ns : 0;
	gs.now_exact = gs.now != 0;
	if (!gs.now)
		gs.now = estimate_now(rt);
	read_threads(&gs);
	go_wait_prepare(&gs);
	if (read_list(&gs, data, len) < 0) {
		go_goroutines_deinit(&gs);
		return snap_error_oom();
	}
	*ret = gs;
	return NULL;
}

void go_goroutines_deinit(struct go_goroutines *gs)
{
	free(gs->list);
	free(gs->stacks);
	free(gs->pcs);
	free(gs->threads);
	free(gs->semaphores);
	free(gs->channels);
	map_deinit(&gs->channel_at);
	map_deinit(&gs->semaphore_of);
	*gs = (struct go_goroutines){ 0 };
}
