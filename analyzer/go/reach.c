// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reach.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PIECE_BYTES = 4096,
	// All this may take as long as some 50 000 goroutines take elsewhere, and no longer: each
	// stack and each pointer leads to another place of the core.
	LIVE_MAX = 1 << 13,
	FOLLOWED_MAX = 1 << 16,
	READ_MAX_BYTES = 64 << 20,
	// Enough for most structures that have channels. More would be read of their neighbours,
	// which somebody else may have.
	FOLLOWED_BYTES = 128,
	// A lock is seldom further from the start of the structure that it is in.
	LOCK_DISTANCE = 256,
	FILTER_BITS = 18,
	SEEN = 1 << 13, // pointers that were followed last
	LOWEST = 0x10000, // below there is no memory
	SAVED_CONTEXT = 8, // from gobuf.g to gobuf.ctxt, src/runtime/runtime2.go
	TIME_BYTES = 24, // of a time.Time
};

static_assert(LOCK_DISTANCE == 1 << 8, "the filter has a bit for each block of so many bytes");

struct reach {
	struct go_goroutines *gs;
	struct go_awaited *list; ///< ascending
	size_t n;
	size_t wanted; ///< channels that nobody was found to have yet
	uint32_t *first; ///< by object: a goroutine that waits for it, its number plus 1
	uint32_t *next; ///< by goroutine: another one that waits for the same
	uint8_t *live;
	uint32_t *queue; ///< goroutines that can go on, and were not looked through yet
	size_t n_queue;
	uint64_t filter[(1 << FILTER_BITS) / 64]; ///< blocks of addresses that are worth a look
	uint64_t seen[SEEN];
	uint64_t read_before;
	size_t n_live, to_follow;
	bool unknown; ///< something is missing
};

/// Where words are being looked through.
struct place {
	uint64_t lo, hi; ///< the stack itself, whose addresses lead to nothing new
	uint32_t goroutine; ///< whose it is, when it is counted only
	bool follow; ///< it belongs to somebody; false: somebody points to it
	bool counting;
};

// ---- what is looked for --------------------------------------------------------------------

static size_t filter_bit(uint64_t block)
{
	return (block * 0x9e3779b97f4a7c15ULL) >> (64 - FILTER_BITS);
}

static void filter_add(struct reach *r, uint64_t addr)
{
	size_t bit = filter_bit(addr >> 8);
	r->filter[bit / 64] |= 1ULL << bit % 64;
}

static int by_addr(const void *a, const void *b)
{
	const struct go_awaited *x = a, *y = b;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/// The first object at @addr or behind it.
static size_t find(const struct reach *r, uint64_t addr)
{
	size_t low = 0, high = r->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (r->list[mid].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void make_live(struct reach *r, uint32_t goroutine)
{
	if (r->live[goroutine])
		return;
	r->live[goroutine] = 1;
	r->unknown |= ++r->n_live > LIVE_MAX;
	r->queue[r->n_queue++] = goroutine;
}

static void reach_object(struct reach *r, struct go_awaited *o)
{
	if (o->reached)
		return;
	o->reached = true;
	r->wanted -= o->channel && !o->timer;
	for (uint32_t i = r->first[o - r->list]; i; i = r->next[i - 1])
		make_live(r, i - 1);
}

/// Is the word at @addr part of a sudog? Those name what they wait for, and are nobody's, though
/// the runtime's own variables lead to them.
static bool in_sudog(struct go_runtime *rt, uint64_t addr)
{
	static const enum go_field fields[] = { GO_SUDOG_C, GO_SUDOG_ELEM };
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		for (uint64_t half = 0; half <= 8; half += 8) {
			uint64_t at = addr - half - (uint64_t)rt->layout.offset[fields[i]];
			uint64_t g = go_u64(rt, at, GO_SUDOG_G);
			if (go_is_g(rt, g))
				return true;
		}
	return false;
}

/// Counts a goroutine that has the object number @i, once.
static void count_holder(struct reach *r, size_t i, uint32_t goroutine)
{
	if (r->gs->list[goroutine].object == r->list[i].addr || r->first[i] == goroutine + 1)
		return;
	r->first[i] = goroutine + 1;
	r->list[i].others++;
}

/// The word at @at, @word, may be an address that is looked for.
static void take_word(struct reach *r, const struct place *p, uint64_t at, uint64_t word)
{
	for (size_t i = find(r, word); i < r->n; i++) {
		struct go_awaited *o = &r->list[i];
		uint64_t distance = o->addr - word;
		if (distance > LOCK_DISTANCE)
			break;
		if (o->reached || (o->channel && distance))
			continue;
		if (p->counting)
			count_holder(r, i, p->goroutine);
		else if (p->follow || !in_sudog(r->gs->rt, at))
			reach_object(r, o);
	}
}

// ---- memory --------------------------------------------------------------------------------

static bool in_module(const struct go_runtime *rt, uint64_t addr)
{
	for (size_t i = 0; i < rt->symtab.n_modules; i++) {
		const struct go_module *m = &rt->symtab.modules[i];
		if ((addr >= m->text && addr < m->etext) ||
		    (addr >= m->noptrdata && addr < m->enoptrdata) ||
		    (addr >= m->data && addr < m->edata) || (addr >= m->bss && addr < m->ebss) ||
		    (addr >= m->noptrbss && addr < m->enoptrbss) ||
		    (addr >= m->types && addr < m->etypes))
			return true;
	}
	return false;
}

static void take_words(struct reach *r, const struct place *p, uint64_t at, const uint64_t *words,
		       size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t bit = filter_bit(words[i] >> 8);
		if (r->filter[bit / 64] >> bit % 64 & 1)
			take_word(r, p, at + i * 8, words[i]);
	}
}

/// Looks through what @word points to, if it does.
static void follow(struct reach *r, const struct place *p, uint64_t word)
{
	uint64_t words[FOLLOWED_BYTES / 8];
	size_t slot = (word * 0x9e3779b97f4a7c15ULL) >> 51;
	if (word & 7 || word < LOWEST || word >> 56 || (word >= p->lo && word < p->hi) ||
	    r->seen[slot] == word || in_module(r->gs->rt, word))
		return;
	r->seen[slot] = word;
	if (!r->to_follow) {
		r->unknown = true;
		return;
	}
	r->to_follow--;
	const struct place there = { .lo = 0 };
	size_t n = memory_read_once(r->gs->rt->mem, word, words, sizeof(words));
	take_words(r, &there, word, words, n / 8);
}

static void scan_words(struct reach *r, const struct place *p, uint64_t at, const uint64_t *words,
		       size_t n)
{
	take_words(r, p, at, words, n);
	for (size_t i = 0; p->follow && i < n && r->wanted && !r->unknown; i++)
		follow(r, p, words[i]);
}

/// Looks through memory; when it is not in the core nothing is known.
static void scan(struct reach *r, const struct place *p, uint64_t start, uint64_t end)
{
	uint64_t words[PIECE_BYTES / 8];
	for (uint64_t at = start; at < end && r->wanted && !r->unknown; at += PIECE_BYTES) {
		size_t want = MIN(end - at, (uint64_t)PIECE_BYTES) & ~7ULL;
		size_t n = memory_read_once(r->gs->rt->mem, at, words, want);
		r->unknown |= n < want ||
			      r->gs->rt->mem->once_bytes - r->read_before > READ_MAX_BYTES;
		scan_words(r, p, at, words, n / 8);
	}
}

// ---- goroutines ----------------------------------------------------------------------------

/// Registers of the thread that runs it, and how much of its stack is in use.
static bool scan_thread(struct reach *r, const struct go_goroutine *g, struct place *p,
			uint64_t *sp)
{
	uint64_t m = go_u64(r->gs->rt, g->addr, GO_G_M);
	const struct go_thread *t = go_thread_of(r->gs, m);
	if (!t || !t->has_regs)
		return false;
	// On another stack its own one is used as far as nobody knows.
	*sp = t->regs.sp >= p->lo && t->regs.sp < p->hi ? t->regs.sp : p->lo;
	scan_words(r, p, 0, t->regs.all.values, CFI_COLUMNS);
	return true;
}

static uint64_t lower_sp(const struct place *p, uint64_t a, uint64_t b)
{
	bool a_fits = a >= p->lo && a < p->hi, b_fits = b >= p->lo && b < p->hi;
	if (a_fits && b_fits)
		return MIN(a, b);
	return a_fits ? a : b_fits ? b : p->lo;
}

static void scan_goroutine(struct reach *r, uint32_t index, bool counting)
{
	struct go_runtime *rt = r->gs->rt;
	const struct go_goroutine *g = &r->gs->list[index];
	struct place p = { .lo = go_u64(rt, g->addr, GO_G_STACK_LO),
			   .hi = go_u64(rt, g->addr, GO_G_STACK_HI),
			   .goroutine = index,
			   .follow = !counting,
			   .counting = counting };
	uint64_t sp = go_u64(rt, g->addr, GO_G_SCHED_SP);
	if (p.lo == p.hi) // has none yet
		return;
	if (g->status == GO_RUNNING && !scan_thread(r, g, &p, &sp)) {
		r->unknown = true; // it may have anything in its registers
		return;
	}
	if (g->status == GO_SYSCALL)
		sp = lower_sp(&p, sp, go_u64(rt, g->addr, GO_G_SYSCALLSP));
	if (sp < p.lo || sp > p.hi)
		sp = p.lo;
	// What it was started with, when it has not run yet, is in its saved registers.
	uint64_t saved = g->addr + (uint64_t)rt->layout.offset[GO_G_SCHED_G] + SAVED_CONTEXT;
	if (!counting)
		scan(r, &p, saved, saved + 8);
	scan(r, &p, ALIGN_DOWN(sp, (uint64_t)8), p.hi);
}

/// Global variables belong to everybody.
static void scan_globals(struct reach *r)
{
	const struct go_runtime *rt = r->gs->rt;
	const struct place p = { .follow = true };
	for (size_t i = 0; i < rt->symtab.n_modules; i++) {
		const struct go_module *m = &rt->symtab.modules[i];
		scan(r, &p, ALIGN_DOWN(m->data + 7, (uint64_t)8), m->edata);
		scan(r, &p, ALIGN_DOWN(m->bss + 7, (uint64_t)8), m->ebss);
	}
	for (size_t i = 0; i < r->n; i++)
		if (in_module(rt, r->list[i].addr))
			reach_object(r, &r->list[i]);
}

// ---- all of it -----------------------------------------------------------------------------

/// Can only a goroutine end this wait?
static bool is_blocked(struct go_goroutines *gs, const struct go_goroutine *g)
{
	const char *state = go_goroutine_state(gs, g);
	return (g->status == GO_WAITING || g->status == GO_LEAKED) &&
	       (!strncmp(state, "chan ", 5) || !strncmp(state, "select", 6) ||
		!strncmp(state, "sync.", 5) || !strncmp(state, "semacquire", 10));
}

static bool is_forever(const char *state)
{
	return strstr(state, "(nil chan)") || strstr(state, "(no cases)");
}

/// Sorts the goroutines: those that can go on, and by what the others wait for.
static void sort_goroutines(struct reach *r)
{
	struct go_goroutines *gs = r->gs;
	for (size_t i = 0; i < gs->n; i++) {
		const struct go_goroutine *g = &gs->list[i];
		size_t at = g->object ? find(r, g->object) : r->n;
		bool blocked = is_blocked(gs, g);
		if (blocked && at < r->n && r->list[at].addr == g->object) {
			r->next[i] = r->first[at];
			r->first[at] = (uint32_t)i + 1;
		} else if (!blocked || !is_forever(go_goroutine_state(gs, g))) {
			make_live(r, (uint32_t)i);
		}
	}
}

static void mark(struct reach *r)
{
	scan_globals(r);
	while (r->n_queue && r->wanted && !r->unknown)
		scan_goroutine(r, r->queue[--r->n_queue], false);
}

/// Counts who else has what is left over.
static void count_others(struct reach *r)
{
	if (r->gs->n - r->n_live > LIVE_MAX)
		return;
	// From here on: who was counted for it last.
	memset(r->first, 0, r->n * sizeof(*r->first));
	for (size_t i = 0; i < r->gs->n && r->wanted && !r->unknown; i++)
		if (!r->live[i])
			scan_goroutine(r, (uint32_t)i, true);
}

static int allocate(struct reach *r)
{
	r->first = calloc(r->n, sizeof(*r->first));
	r->next = calloc(r->gs->n, sizeof(*r->next));
	r->live = calloc(r->gs->n, 1);
	r->queue = calloc(r->gs->n, sizeof(*r->queue));
	return r->first && r->next && r->live && r->queue ? 0 : -ENOMEM;
}

/// Channels of timers are known to the runtime; before Go 1.23 they do not say so.
static bool is_timer(struct go_runtime *rt, uint64_t chan)
{
	if (rt->layout.offset[GO_HCHAN_TIMER] != GO_NONE)
		return go_u64(rt, chan, GO_HCHAN_TIMER);
	return (go_u64(rt, chan, GO_HCHAN_ELEMSIZE) & 0xffff) == TIME_BYTES &&
	       go_u64(rt, chan, GO_HCHAN_DATAQSIZ) == 1;
}

static void prepare(struct reach *r)
{
	qsort(r->list, r->n, sizeof(*r->list), by_addr);
	for (size_t i = 0; i < r->n; i++) {
		struct go_awaited *o = &r->list[i];
		o->reached = false;
		o->others = 0;
		o->timer = o->channel && is_timer(r->gs->rt, o->addr);
		r->wanted += o->channel && !o->timer;
		filter_add(r, o->addr);
		if (!o->channel && o->addr >= LOCK_DISTANCE)
			filter_add(r, o->addr - LOCK_DISTANCE);
	}
}

int go_reach_mark(struct go_goroutines *gs, struct go_awaited *list, size_t n)
{
	if (gs->unread || gs->damaged || gs->dropped || !gs->n || !n || n > GO_AWAITED_MAX)
		return 0;
	struct reach *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct reach){ .gs = gs,
			     .list = list,
			     .n = n,
			     .read_before = gs->rt->mem->once_bytes,
			     .to_follow = FOLLOWED_MAX };
	int ret = allocate(r);
	if (ret == 0) {
		prepare(r);
		if (r->wanted) {
			sort_goroutines(r);
			mark(r);
			count_others(r);
		}
		ret = !r->unknown;
	}
	free(r->first);
	free(r->next);
	free(r->live);
	free(r->queue);
	free(r);
	return ret;
}
