// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * Threads map, unmap, discard, move, protect and write pages as fast as they are told to. A table
 * in memory says for each page what it must hold at every instant, so a core that is one point in
 * time agrees with it, and one that has anything from an earlier instant does not.
 *
 * The row of a page: before it is changed, what it is going to be is written to `will` and seq is
 * made odd; afterwards `is` becomes that, and seq even. While seq is odd each word of the page may
 * be either. The README says what the values mean.
 *
 * Arguments: [--pages N] [--huge] [--arenas N] [--us N] [--ballast MIB]. One thread for each arena
 * of N pages, with N us of rest after each change; the ballast never changes.
 */
#include <sys/uio.h>
#include <sys/wait.h>

#include "target.h"

enum {
	REMAP_MAX_ARENAS = 16,
	REMAP_RANGE = 64,	// pages in one change, at most
	REMAP_HUGE_PAGES = 512,
	REMAP_FILE_PAGES = 256,
	REMAP_STACK_PAGES = 64,
	REMAP_MREMAP_DONTUNMAP = 4,
	REMAP_COLLAPSE = 25,	// MADV_COLLAPSE
	REMAP_GUARD_INSTALL = 102,
	REMAP_GUARD_REMOVE = 103,
	REMAP_BALLAST_SEED = 77,
};

// The low byte of a value; the rest is a number that no other page ever has.
enum kind {
	NOTHING,		// not mapped
	ZEROS,			// or nothing was ever touched
	NUMBERED,		// word j is target_word(value >> 8, 0, j)
	NUMBERED_OR_ZEROS,	// as a whole: MADV_FREE
	GUARDED,		// cannot be read
	KINDS,
};

struct row {			// 64 bytes; the README gives the offsets
	uint64_t addr;		// 0
	_Atomic uint64_t seq;	// 8
	_Atomic uint64_t is;	// 16
	_Atomic uint64_t will;	// 24
	_Atomic uint64_t loose;	// 32: nobody knows what the page is now
	uint64_t rest[3];
};

enum { WRITABLE = 1, SHARED = 2 };

struct arena {
	uint8_t *base;
	uint64_t pages;
	bool huge;
	struct row *rows;
	uint8_t *state;		// WRITABLE and SHARED of each page; 0 also if it is not mapped
	uint64_t random;
	_Atomic uint64_t changes;
	_Atomic bool paused;
	_Atomic uint64_t failed;	// moves that the kernel did not want
	struct row *stack_rows, *brk_rows;	// of the first arena only
	uint8_t *stack_top;
};

static struct arena arenas[REMAP_MAX_ARENAS];
static int narenas = 3;
static unsigned int rest_us = 100;
static int file = -1;
static _Atomic uint64_t next_number = 1;
static _Atomic bool pause_all = true;
static bool have_guards;

/* ---- the table ---- */

static void begin(struct row *r, uint64_t will)
{
	r->will = will;
	r->seq++;
}

static void end(struct row *r)
{
	r->is = r->will;
	r->seq++;
}

static uint64_t fresh(void)
{
	return next_number++ << 8 | NUMBERED;
}

static enum kind kind_of(const struct arena *a, uint64_t page)
{
	return a->rows[page].is & 0xff;
}

static uint8_t *page_at(const struct arena *a, uint64_t page)
{
	return a->base + page * TARGET_PAGE;
}

static void begin_all(struct arena *a, uint64_t from, uint64_t n, uint64_t will)
{
	for (uint64_t i = 0; i < n; i++)
		begin(&a->rows[from + i], will);
}

// When the kernel has not done it after all, all is as it was.
static bool end_all(struct arena *a, uint64_t from, uint64_t n, bool done)
{
	for (uint64_t i = 0; i < n; i++) {
		if (!done)
			a->rows[from + i].will = a->rows[from + i].is;
		end(&a->rows[from + i]);
	}
	return done;
}

static bool all_mapped(const struct arena *a, uint64_t from, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (kind_of(a, from + i) == NOTHING)
			return false;
	return true;
}

/* ---- changes ---- */

static void set_state(struct arena *a, uint64_t from, uint64_t n, uint8_t state)
{
	memset(a->state + from, state, n);
}

// Discarding shared memory does not change it, and it has an end.
static bool all_private(const struct arena *a, uint64_t from, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (kind_of(a, from + i) == NOTHING || a->state[from + i] & SHARED)
			return false;
	return true;
}

static void do_map(struct arena *a, uint64_t from, uint64_t n, int flags)
{
	begin_all(a, from, n, ZEROS);
	bool done = mmap(page_at(a, from), n * TARGET_PAGE, PROT_READ | PROT_WRITE,
			 flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
	if (done && a->huge)
		madvise(page_at(a, from), n * TARGET_PAGE, MADV_HUGEPAGE);
	if (end_all(a, from, n, done))
		set_state(a, from, n, WRITABLE | (flags & MAP_SHARED ? SHARED : 0));
	else
		target_die(1, "mmap");
}

static void do_unmap(struct arena *a, uint64_t from, uint64_t n)
{
	begin_all(a, from, n, NOTHING);
	if (end_all(a, from, n, !munmap(page_at(a, from), n * TARGET_PAGE)))
		set_state(a, from, n, 0);
}

static bool make_writable(struct arena *a, uint64_t from, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (kind_of(a, from + i) == NOTHING || kind_of(a, from + i) == GUARDED)
			return false;
		if (!(a->state[from + i] & WRITABLE) &&
		    mprotect(page_at(a, from + i), TARGET_PAGE, PROT_READ | PROT_WRITE))
			return false;
		a->state[from + i] |= WRITABLE;
	}
	return true;
}

static void do_write(struct arena *a, uint64_t from, uint64_t n)
{
	if (!make_writable(a, from, n))
		return;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t value = fresh();

		begin(&a->rows[from + i], value);
		target_fill_page(page_at(a, from + i), value >> 8, 0);
		end(&a->rows[from + i]);
	}
}

/** The same, but it is the kernel that writes. */
static void do_kernel_write(struct arena *a, uint64_t from, uint64_t n)
{
	static _Thread_local uint64_t text[TARGET_PAGE / 8];

	if (!make_writable(a, from, n))
		return;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t value = fresh();
		struct iovec local = { text, TARGET_PAGE };
		struct iovec remote = { page_at(a, from + i), TARGET_PAGE };
		uint64_t slot = a - arenas;

		target_fill_page(text, value >> 8, 0);
		if (pwrite(file, text, TARGET_PAGE, slot * TARGET_PAGE) != TARGET_PAGE)
			target_die(1, "pwrite");
		begin(&a->rows[from + i], value);
		if (i & 1 ? pread(file, remote.iov_base, TARGET_PAGE, slot * TARGET_PAGE) < 0 :
			    process_vm_writev(getpid(), &local, 1, &remote, 1, 0) < 0)
			target_die(1, "a write by the kernel");
		end(&a->rows[from + i]);
	}
}

static void do_discard(struct arena *a, uint64_t from, uint64_t n)
{
	if (!all_private(a, from, n))
		return;
	for (uint64_t i = 0; i < n; i++)
		if (kind_of(a, from + i) == GUARDED)
			return;
	begin_all(a, from, n, ZEROS);
	end_all(a, from, n, !madvise(page_at(a, from), n * TARGET_PAGE, MADV_DONTNEED));
}

static void do_free(struct arena *a, uint64_t from, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct row *r = &a->rows[from + i];
		uint64_t was = r->is;

		if ((was & 0xff) != NUMBERED)
			continue;
		begin(r, (was & ~0xffull) | NUMBERED_OR_ZEROS);
		if (madvise(page_at(a, from + i), TARGET_PAGE, MADV_FREE))
			r->will = was;
		end(r);
	}
}

/** What was there goes elsewhere, and something else comes to where it went. */
static void do_move(struct arena *a, uint64_t from, uint64_t to, uint64_t n, bool keep)
{
	uint64_t first = from < to ? from : to, last = from < to ? to : from;

	if (first + n > last || !(keep ? all_private : all_mapped)(a, from, n))
		return;
	// A move that fails may have unmapped where it was to go, and have moved a part.
	for (uint64_t i = 0; i < n; i++) {
		a->rows[to + i].loose = a->rows[from + i].loose = 1;
		begin(&a->rows[to + i], a->rows[from + i].is);
		begin(&a->rows[from + i], keep ? ZEROS : NOTHING);
	}
	bool done = mremap(page_at(a, from), n * TARGET_PAGE, n * TARGET_PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? REMAP_MREMAP_DONTUNMAP : 0),
			   page_at(a, to)) != MAP_FAILED;
	for (uint64_t i = 0; i < n; i++) {
		a->state[to + i] = done ? a->state[from + i] : 0;
		a->state[from + i] = done && !keep ? 0 : a->state[from + i];
	}
	end_all(a, from, n, done);
	end_all(a, to, n, done);
	if (!done) { // now it is known again what is there
		do_map(a, to, n, MAP_PRIVATE);
		do_map(a, from, n, MAP_PRIVATE);
		a->failed++;
	}
	for (uint64_t i = 0; i < n; i++)
		a->rows[to + i].loose = a->rows[from + i].loose = 0;
}

/** [from, from + n) becomes one half shorter, and then as long as before, of zeros. */
static void do_resize(struct arena *a, uint64_t from, uint64_t n)
{
	uint64_t half = n / 2;

	if (!half || !all_private(a, from, n))
		return;
	do_unmap(a, from + half, n - half);
	begin_all(a, from + half, n - half, ZEROS);
	bool done = mremap(page_at(a, from), half * TARGET_PAGE, n * TARGET_PAGE, 0) != MAP_FAILED;
	if (end_all(a, from + half, n - half, done))
		set_state(a, from + half, n - half, a->state[from + half - 1]);
}

static void do_protect(struct arena *a, uint64_t from, uint64_t n, int prot)
{
	if (!all_mapped(a, from, n) || mprotect(page_at(a, from), n * TARGET_PAGE, prot))
		return;
	for (uint64_t i = 0; i < n; i++)
		a->state[from + i] = (a->state[from + i] & SHARED) | (prot & PROT_WRITE ? WRITABLE : 0);
}

static void do_guard(struct arena *a, uint64_t from, uint64_t n)
{
	if (!have_guards || !all_private(a, from, n))
		return;
	begin_all(a, from, n, GUARDED);
	if (!end_all(a, from, n, !madvise(page_at(a, from), n * TARGET_PAGE, REMAP_GUARD_INSTALL)))
		return do_map(a, from, n, MAP_PRIVATE);
	begin_all(a, from, n / 2, ZEROS);
	if (!end_all(a, from, n / 2,
		     !madvise(page_at(a, from), n / 2 * TARGET_PAGE, REMAP_GUARD_REMOVE)))
		target_die(1, "MADV_GUARD_REMOVE");
}

/** Changes nothing that a reader sees. */
static void do_advise(struct arena *a, uint64_t from, uint64_t n)
{
	static const int advice[] = { MADV_COLD, MADV_PAGEOUT, REMAP_COLLAPSE, MADV_HUGEPAGE,
				      MADV_NOHUGEPAGE };
	a->random = target_mix(a->random);
	madvise(page_at(a, from), n * TARGET_PAGE, advice[a->random % TARGET_ARRAY_SIZE(advice)]);
	if (a->huge)
		madvise(a->base, a->pages * TARGET_PAGE, MADV_HUGEPAGE);
}

/** A child that changes everything it can, while this thread goes on. */
static void do_fork(struct arena *a)
{
	pid_t pid = fork();

	if (!pid) {
		for (uint64_t i = 0; i < a->pages; i++)
			if (kind_of(a, i) == NUMBERED && a->state[i] == WRITABLE &&
			    !(a->rows[i].seq & 1))
				memset(page_at(a, i), 0xee, TARGET_PAGE);
		_exit(0);
	}
	for (uint64_t i = 0; pid > 0 && i < 64; i++) {
		a->random = target_mix(a->random);
		do_write(a, a->random % a->pages, 1);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/** A stack that grows by itself, page by page, and goes. */
static void do_stack(struct arena *a)
{
	uint64_t n = REMAP_STACK_PAGES - 8;

	for (uint64_t i = 0; i < n; i++) {
		struct row *r = &a->stack_rows[i];
		uint64_t value = fresh();

		begin(r, value);
		target_fill_page((void *)(uintptr_t)r->addr, value >> 8, 0);
		end(r);
	}
	for (uint64_t i = 1; i < n; i++)
		begin(&a->stack_rows[i], NOTHING);
	if (munmap((void *)(uintptr_t)a->stack_rows[n - 1].addr, (n - 1) * TARGET_PAGE))
		target_die(1, "munmap of a stack");
	for (uint64_t i = 1; i < n; i++)
		end(&a->stack_rows[i]);
}

static void do_brk(struct arena *a)
{
	uint8_t *top = (uint8_t *)(uintptr_t)a->brk_rows[0].addr;

	uint64_t first = 0;

	while (first < REMAP_STACK_PAGES && a->brk_rows[first].is)
		first++;
	for (uint64_t i = first; i < REMAP_STACK_PAGES; i++)
		begin(&a->brk_rows[i], ZEROS);
	if (brk(top + REMAP_STACK_PAGES * TARGET_PAGE))
		target_die(1, "brk");
	for (uint64_t i = first; i < REMAP_STACK_PAGES; i++)
		end(&a->brk_rows[i]);
	for (uint64_t i = 0; i < REMAP_STACK_PAGES; i++) {
		uint64_t value = fresh();

		begin(&a->brk_rows[i], value);
		target_fill_page(top + i * TARGET_PAGE, value >> 8, 0);
		end(&a->brk_rows[i]);
	}
	a->random = target_mix(a->random);
	uint64_t keep = a->random % REMAP_STACK_PAGES;
	for (uint64_t i = keep; i < REMAP_STACK_PAGES; i++)
		begin(&a->brk_rows[i], NOTHING);
	if (brk(top + keep * TARGET_PAGE))
		target_die(1, "brk");
	for (uint64_t i = keep; i < REMAP_STACK_PAGES; i++)
		end(&a->brk_rows[i]);
}

static void change(struct arena *a)
{
	uint64_t r = a->random = target_mix(a->random);
	uint64_t n = 1 + (r >> 8) % REMAP_RANGE;
	uint64_t from = (r >> 16) % (a->pages - n), to = (r >> 40) % (a->pages - n);

	if (a->huge && r >> 63) { // whole huge pages
		n = REMAP_HUGE_PAGES;
		from = from / n * n;
		to = to / n * n;
	}
	switch (r % 24) {
	case 0: do_map(a, from, n, MAP_PRIVATE); break;
	case 1: do_unmap(a, from, n); break;
	case 2: do_discard(a, from, n); break;
	case 3: do_free(a, from, n); break;
	case 4: case 5: case 6: do_move(a, from, to, n, false); break;
	case 7: do_move(a, from, to, n, true); break;
	case 8: do_resize(a, from, n); break;
	case 9: do_protect(a, from, n, PROT_NONE); break;
	case 10: do_protect(a, from, n, PROT_READ); break;
	case 11: do_guard(a, from, n); break;
	case 12: do_advise(a, from, n); break;
	case 13: do_kernel_write(a, from, n); break;
	case 14: do_map(a, from, n, MAP_SHARED); do_write(a, from, n / 2); break;
	case 15: do_map(a, from, n, MAP_PRIVATE); do_write(a, from, n); break;
	case 16:
		if (!(r >> 32 & 63))
			do_fork(a);
		break;
	case 17:
		if (a->stack_rows)
			do_stack(a);
		break;
	case 18:
		if (a->brk_rows)
			do_brk(a);
		break;
	default: do_write(a, from, n); break;
	}
	// Now and then all is as at first: one mapping, of which all is written.
	if (!(r >> 20 & 1023)) {
		do_map(a, 0, a->pages, MAP_PRIVATE);
		do_write(a, 0, a->pages);
	}
	a->changes++;
}

static void *arena_main(void *arg)
{
	struct arena *a = arg;

	pthread_setname_np(pthread_self(), a->huge ? "huge" : "small");
	for (;;) {
		a->paused = pause_all;
		if (a->paused) {
			target_sleep_ms(1);
			continue;
		}
		change(a);
		struct timespec ts = { .tv_nsec = rest_us * 1000l };
		if (rest_us)
			nanosleep(&ts, NULL);
	}
	return NULL;
}

/* ---- its own check ---- */

static bool page_is(const uint64_t *words, uint64_t value)
{
	for (uint64_t j = 0; j < TARGET_PAGE / 8; j++)
		if (words[j] != (value ? target_word(value >> 8, 0, j) : 0))
			return false;
	return true;
}

static void check_row(const struct row *r, bool readable)
{
	uint64_t is = r->is;
	const uint64_t *words = (const uint64_t *)(uintptr_t)r->addr;
	bool good = true;

	if (!readable)
		return;
	switch (is & 0xff) {
	case ZEROS: good = page_is(words, 0); break;
	case NUMBERED: good = page_is(words, is); break;
	case NUMBERED_OR_ZEROS: good = page_is(words, is) || page_is(words, 0); break;
	default: break;
	}
	if (!good)
		target_fail("page %" PRIx64 " is not %" PRIx64, r->addr, is);
}

static void remap_check(void)
{
	static uint64_t last;
	uint64_t changes = 0;

	pause_all = true;
	for (int k = 0; k < narenas; k++)
		while (!arenas[k].paused)
			target_sleep_ms(1);
	for (int k = 0; k < narenas; k++) {
		struct arena *a = &arenas[k];

		changes += a->changes;
		for (uint64_t i = 0; i < a->pages; i++)
			check_row(&a->rows[i], a->state[i] & WRITABLE);
		for (uint64_t i = 0; a->stack_rows && i < REMAP_STACK_PAGES; i++) {
			check_row(&a->stack_rows[i], true);
			check_row(&a->brk_rows[i], true);
		}
	}
	if (changes == last)
		target_fail("nothing has changed since the last check");
	last = changes;
	pause_all = false;
	for (int k = 0; k < narenas; k++)
		while (arenas[k].paused)
			target_sleep_ms(1);
	printf("note: changes=%" PRIu64 " failed=%" PRIu64 "\n", changes, arenas[0].failed);
}

/* ---- set-up ---- */

static void set_up_arena(struct arena *a, struct row *rows, uint64_t pages, bool huge)
{
	uint64_t align = REMAP_HUGE_PAGES * TARGET_PAGE;
	uint8_t *p = target_mmap(pages * TARGET_PAGE + 2 * align, PROT_NONE, MAP_PRIVATE);

	p = (uint8_t *)(((uintptr_t)p + align - 1) / align * align);
	*a = (struct arena) { .base = p, .pages = pages, .huge = huge, .rows = rows };
	a->random = (a - arenas) + 1;
	a->state = target_mmap((pages + TARGET_PAGE) / TARGET_PAGE * TARGET_PAGE,
				  PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (uint64_t i = 0; i < pages; i++)
		rows[i].addr = (uintptr_t)page_at(a, i);
	do_map(a, 0, pages, MAP_PRIVATE);
	do_write(a, 0, pages);
}

static void set_up_edges(struct arena *a, struct row *rows)
{
	uint8_t *room = target_mmap(4 * REMAP_STACK_PAGES * TARGET_PAGE, PROT_NONE, MAP_PRIVATE);
	void *volatile heap = malloc(4 << 20); // what malloc will ever need is below
	uint8_t *top;

	free(heap);
	top = sbrk(0);
	// What cannot be accessed may be as near to a stack as it likes.
	munmap(room + 2 * REMAP_STACK_PAGES * TARGET_PAGE, 2 * REMAP_STACK_PAGES * TARGET_PAGE);
	a->stack_top = mmap(room + (3 * REMAP_STACK_PAGES - 1) * TARGET_PAGE, TARGET_PAGE,
			    PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	if (a->stack_top == MAP_FAILED)
		target_die(1, "MAP_GROWSDOWN");
	top += -(uintptr_t)top % TARGET_PAGE;
	for (uint64_t i = 0; i < REMAP_STACK_PAGES; i++) {
		rows[i].addr = (uintptr_t)a->stack_top - i * TARGET_PAGE;
		rows[REMAP_STACK_PAGES + i].addr = (uintptr_t)top + i * TARGET_PAGE;
	}
	rows[0].is = ZEROS;
	a->brk_rows = rows + REMAP_STACK_PAGES;
	a->stack_rows = rows;
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = remap_check };
	uint64_t pages = 2048, ballast = 32, rows;
	bool huge = false;
	struct row *table;
	uint8_t *heavy;

	target_init();
	for (int i = 1; i < argc; i++) {
		uint64_t v = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;

		if (!strcmp(argv[i], "--huge")) {
			huge = true;
			continue;
		}
		if (!strcmp(argv[i], "--pages"))
			pages = v;
		else if (!strcmp(argv[i], "--arenas"))
			narenas = (int)v;
		else if (!strcmp(argv[i], "--us"))
			rest_us = (unsigned int)v;
		else if (!strcmp(argv[i], "--ballast"))
			ballast = v;
		else
			target_die(1, "unknown option %s", argv[i]);
		i++;
	}
	if (pages < 2 * REMAP_HUGE_PAGES || pages % REMAP_HUGE_PAGES || narenas < 1 ||
	    narenas > REMAP_MAX_ARENAS)
		target_die(1, "bad arguments");
	file = memfd_create("text", MFD_CLOEXEC);
	have_guards = !madvise(target_mmap(TARGET_PAGE, PROT_READ, MAP_PRIVATE), TARGET_PAGE,
			       REMAP_GUARD_INSTALL);
	rows = narenas * pages + 2 * REMAP_STACK_PAGES;
	table = target_mmap(rows * sizeof(*table), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	heavy = target_mmap(ballast << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(heavy, ballast << 20, REMAP_BALLAST_SEED);
	for (int k = 0; k < narenas; k++)
		set_up_arena(&arenas[k], table + k * pages, pages, huge && k % 2 == 0);
	set_up_edges(&arenas[0], table + narenas * pages);
	for (int k = 0; k < narenas; k++)
		target_spawn(arena_main, &arenas[k]);
	pause_all = false;
	target_sleep_ms(50);
	target_ready(0, TARGET_MAPS_VARY | TARGET_CHILDREN_VARY | TARGET_CHILDREN,
		     "table=%p:%" PRIu64 ":%zu ballast=%p:%" PRIu64 ":%d guards=%d", (void *)table,
		     rows, sizeof(*table), (void *)heavy, ballast << 20, REMAP_BALLAST_SEED,
		     have_guards);
	return target_serve(&ops);
}
