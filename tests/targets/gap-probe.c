// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * Knows how long it was stopped: threads that read CLOCK_MONOTONIC in a loop and keep the longest
 * gaps between two readings. What a dumper says of itself is not evidence, this is. On a busy
 * machine the scheduler makes gaps too: noise is the median of the longest gaps without the
 * longest, to compare with.
 *
 *   gap-probe [MIB] [--thp|--nothp] [--touch|--untouched] [--fill zero|random|heap]
 *             [--threads N] [--spinners N] [--write PAGES_PER_SECOND] [--hot MIB]
 *             [--life SECONDS]
 *
 * Commands: "reset" -> "reset"; "gap" -> "gap NS noise NS at NS": the longest gap of any spinner
 * since the reset, and the reading of CLOCK_MONOTONIC at its end; "pageout" -> "pageout": its
 * memory is in swap then, where there is any.
 *
 * Pages are filled with target_word() of the seed except for word 0, which the writer changes
 * in all of the memory or only the first MIB of it (--hot)
 * (--fill random, the default: nothing compresses it), with something that compresses as a heap
 * does (--fill heap), or with zeros that are written (--fill zero).
 */
#include "target.h"

#include <getopt.h>
#include <linux/futex.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum {
	PROBE_SEED = 171,
	PROBE_TOP = 64,			// gaps kept per spinner
	PROBE_MAX_SPINNERS = 64,
	PROBE_TICK_NS = 1000000,	// of the writer
};

enum probe_fill { FILL_RANDOM, FILL_HEAP, FILL_ZERO };

struct probe_options {
	size_t mib;
	enum probe_fill fill;
	int advice;			// MADV_HUGEPAGE, MADV_NOHUGEPAGE or -1
	bool untouched;
	int threads, spinners;
	unsigned long write_rate, hot;
};

struct gap {
	uint64_t ns, at_ns;
};

struct spinner {
	_Atomic bool locked;
	struct gap top[PROBE_TOP];		// a heap would be faster, gaps are rare
	uint64_t floor_ns;			// smallest of top
};

static struct probe_options opt = { .mib = 64, .advice = -1, .spinners = 1 };
static uint8_t *probe_mem;
static size_t probe_pages;
static struct spinner spinners[PROBE_MAX_SPINNERS];
static struct target_thread *probe_idle;
static _Atomic uint64_t probe_written;
static int probe_futex = 1;

/* ---- gaps ---- */

static void lock(struct spinner *s)
{
	while (atomic_exchange_explicit(&s->locked, true, memory_order_acquire))
		sched_yield();
}

static void unlock(struct spinner *s)
{
	atomic_store_explicit(&s->locked, false, memory_order_release);
}

static void note_gap(struct spinner *s, uint64_t ns, uint64_t at_ns)
{
	int min = 0;

	lock(s);
	for (int i = 1; i < PROBE_TOP; i++)
		if (s->top[i].ns < s->top[min].ns)
			min = i;
	if (ns > s->top[min].ns)
		s->top[min] = (struct gap) { ns, at_ns };
	s->floor_ns = UINT64_MAX;
	for (int i = 0; i < PROBE_TOP; i++)
		if (s->top[i].ns < s->floor_ns)
			s->floor_ns = s->top[i].ns;
	unlock(s);
}

static void *spin(void *arg)
{
	struct spinner *s = arg;
	uint64_t last = target_now_ns();

	pthread_setname_np(pthread_self(), "spinner");
	for (;;) {
		uint64_t now = target_now_ns();

		if (now - last > *(volatile uint64_t *)&s->floor_ns) {
			note_gap(s, now - last, now);
			// The time that the bookkeeping took is no gap.
			now = target_now_ns();
		}
		last = now;
	}
	return NULL;
}

static void reset_gaps(void)
{
	for (int i = 0; i < opt.spinners; i++) {
		lock(&spinners[i]);
		memset(spinners[i].top, 0, sizeof(spinners[i].top));
		spinners[i].floor_ns = 0;
		unlock(&spinners[i]);
	}
}

static int by_length(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	return (x->ns < y->ns) - (x->ns > y->ns);
}

static void print_gap(void)
{
	struct gap all[PROBE_TOP], longest = { 0 };
	uint64_t noise = 0;

	for (int i = 0; i < opt.spinners; i++) {
		lock(&spinners[i]);
		memcpy(all, spinners[i].top, sizeof(all));
		unlock(&spinners[i]);
		qsort(all, PROBE_TOP, sizeof(all[0]), by_length);
		if (all[0].ns > longest.ns) {
			longest = all[0];
			noise = all[PROBE_TOP / 2].ns;
		}
	}
	printf("gap %" PRIu64 " noise %" PRIu64 " at %" PRIu64 "\n", longest.ns, noise,
	       longest.at_ns);
}

/* ---- memory ---- */

// Eight words as a heap of small objects has them: pointers, lengths, text, zeros.
static void fill_heap_page(uint64_t *w, uint64_t page)
{
	for (size_t j = 0; j < TARGET_PAGE / 8; j += 8) {
		uint64_t r = target_word(PROBE_SEED, page, j);

		w[j] = (uintptr_t)probe_mem + (r % probe_pages) * TARGET_PAGE + (r >> 52) * 16;
		w[j + 1] = r >> 58;
		w[j + 2] = 0;
		memcpy(&w[j + 3], "user-000", 8);
		w[j + 4] = 0x3030303030303030 + (r & 0x0707);
		w[j + 5] = 0;
		w[j + 6] = 0x7f0000000000 + (r >> 60) * 4096;
		w[j + 7] = page / 8;
	}
}

static void fill_page(uint64_t *w, uint64_t page)
{
	switch (opt.fill) {
	case FILL_RANDOM:
		target_fill_page(w, PROBE_SEED, page);
		break;
	case FILL_HEAP:
		fill_heap_page(w, page);
		break;
	case FILL_ZERO:
		memset(w, 0, TARGET_PAGE);
		break;
	}
}

static uint64_t *page_at(size_t page)
{
	return (uint64_t *)(probe_mem + page * TARGET_PAGE);
}

static void make_memory(void)
{
	size_t len = opt.mib << 20, huge = 2 << 20;
	uint8_t *p = target_mmap(len + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);

	probe_mem = (uint8_t *)(((uintptr_t)p + huge - 1) & -huge);
	munmap(p, probe_mem - p);
	munmap(probe_mem + len, p + len + huge - (probe_mem + len));
	probe_pages = len / TARGET_PAGE;
	if (opt.advice >= 0 && madvise(probe_mem, len, opt.advice))
		target_die(77, "madvise for huge pages");
	for (size_t page = 0; page < probe_pages && !opt.untouched; page++)
		fill_page(page_at(page), page);
}

static void *write_pages(void *arg)
{
	struct timespec next;
	uint64_t start, random = 1, done = 0;
	size_t hot = (opt.hot << 20) / TARGET_PAGE;

	if (!hot || hot > probe_pages)
		hot = probe_pages;
	(void)arg;
	pthread_setname_np(pthread_self(), "writer");
	clock_gettime(CLOCK_MONOTONIC, &next);
	start = target_now_ns();
	for (;;) {
		uint64_t due = (target_now_ns() - start) / 1000 * opt.write_rate / 1000000;

		// After a stop there is no catching up: that would be a burst nobody asked for.
		if (due > done + opt.write_rate / 20) {
			start = target_now_ns();
			done = 0;
			due = 0;
		}
		for (; done < due; done++) {
			random = target_mix(random);
			(*page_at(random % hot))++;
			probe_written++;
		}
		next.tv_nsec += PROBE_TICK_NS;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return NULL;
}

/* ---- main ---- */

static long in_futex(struct target_thread *t)
{
	(void)t;
	return syscall(SYS_futex, &probe_futex, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

// Word 0 is the writer's. A 64th of the pages of a big memory is enough.
static void check_page(size_t page)
{
	static uint64_t want[TARGET_PAGE / 8];

	fill_page(want, page);
	if (memcmp(page_at(page) + 1, want + 1, TARGET_PAGE - 8))
		target_fail("page %zu changed", page);
}

static void probe_check(void)
{
	static uint64_t written;
	size_t step = probe_pages > 65536 ? 61 : 1;

	for (size_t page = 0; page < probe_pages && !opt.untouched; page += step)
		check_page(page);
	for (int i = 0; i < opt.threads; i++)
		target_check_thread(&probe_idle[i]);
	if (opt.write_rate && probe_written == written)
		target_sleep_ms(100);
	if (opt.write_rate && probe_written == written)
		target_fail("the writer does not run");
	written = probe_written;
}

static bool probe_command(const char *line)
{
	if (!strcmp(line, "gap")) {
		print_gap();
	} else if (!strcmp(line, "reset")) {
		reset_gaps();
		printf("reset\n");
	} else if (!strcmp(line, "pageout")) {
		(void)madvise(probe_mem, probe_pages * TARGET_PAGE, MADV_PAGEOUT);
		printf("pageout\n");
	} else {
		return false;
	}
	return true;
}

static void set_fill(const char *name)
{
	static const char *const names[] = { "random", "heap", "zero" };

	for (size_t i = 0; i < TARGET_ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i])) {
			opt.fill = i;
			return;
		}
	target_die(1, "--fill %s is not known", name);
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "thp", no_argument, NULL, 'h' },
		{ "nothp", no_argument, NULL, 'n' },
		{ "touch", no_argument, NULL, 't' },
		{ "untouched", no_argument, NULL, 'u' },
		{ "fill", required_argument, NULL, 'f' },
		{ "threads", required_argument, NULL, 'T' },
		{ "spinners", required_argument, NULL, 's' },
		{ "write", required_argument, NULL, 'w' },
		{ "hot", required_argument, NULL, 'H' },
		{ "life", required_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'h': opt.advice = MADV_HUGEPAGE; break;
		case 'n': opt.advice = MADV_NOHUGEPAGE; break;
		case 't': opt.untouched = false; break;
		case 'u': opt.untouched = true; break;
		case 'f': set_fill(optarg); break;
		case 'T': opt.threads = atoi(optarg); break;
		case 's': opt.spinners = atoi(optarg); break;
		case 'w': opt.write_rate = strtoul(optarg, NULL, 10); break;
		case 'H': opt.hot = strtoul(optarg, NULL, 10); break;
		case 'l': target_limit_life(atoi(optarg)); break;
		default: target_die(1, "wrong option");
		}
	}
	if (optind < argc)
		opt.mib = strtoul(argv[optind], NULL, 10);
	if (!opt.mib || opt.spinners < 0 || opt.spinners > PROBE_MAX_SPINNERS)
		target_die(1, "wrong size or number of spinners");
}

static void start_threads(void)
{
	probe_idle = calloc(opt.threads + 1, sizeof(*probe_idle));
	for (int i = 0; i < opt.threads; i++) {
		probe_idle[i] = (struct target_thread) { .name = "idle", .run = in_futex };
		if (!target_try_start(&probe_idle[i], 64 << 10))
			target_die(77, "cannot start thread %d", i);
	}
	for (int i = 0; i < opt.threads; i++)
		target_wait_blocked(&probe_idle[i]);
	if (opt.write_rate)
		target_spawn(write_pages, NULL);
	for (int i = 0; i < opt.spinners; i++)
		target_spawn(spin, &spinners[i]);
	target_sleep_ms(100);
	reset_gaps();
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = probe_check, .command = probe_command };

	target_init();
	parse_options(argc, argv);
	make_memory();
	start_threads();
	target_ready(0, 0, "mem=%p:%zu seed=%d fill=%s threads=%d spinners=%d write=%lu",
		     (void *)probe_mem, (size_t)(probe_pages * TARGET_PAGE), PROBE_SEED,
		     opt.untouched ? "untouched" : opt.fill == FILL_RANDOM ? "random" :
		     opt.fill == FILL_HEAP ? "heap" : "zero", opt.threads, opt.spinners,
		     opt.write_rate);
	return target_serve(&ops);
}
