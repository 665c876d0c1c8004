// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake.h"

#include <elf.h>

#include "common/fd.h"
#include "dumper/core.h"
#include "dumper/plan.h"
#include "dumper/reserve.h"

/*
 * Cores that are laid out over others, from looks at a process whose mappings come, go, grow and
 * move. The process is a row of pages, made up anew by chance for each look; what the core must
 * have in the end is known from them alone.
 */

enum { BASE = 0x10000000, PAGES = 200, LOOKS = 3, ROUNDS = 150, MAPPINGS_MAX = 24 };

struct page {
	bool mapped, unreadable;
	enum mem_kind kind;
	uint32_t content; ///< 0: zeros
};

struct look {
	struct fake fake;
	struct page pages[PAGES];
	struct plan *plan;
	struct core *core;
};

static uint64_t random_state;

static uint32_t pick(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % n;
}

static uint64_t word_of(uint32_t content, uint64_t addr)
{
	return content ? fake_word(addr + ((uint64_t)content << 40)) : 0;
}

static struct page *page_at(struct look *look, uint64_t addr)
{
	return &look->pages[(addr - BASE) / TEST_PAGE];
}

static int look_scan(struct memsource *source, const struct snap_mapping *map _unused_,
		     uint64_t start, uint64_t end, struct mem_range *ret, size_t max)
{
	struct look *look = (struct look *)source;
	size_t n = 0;
	for (uint64_t addr = start; addr < end; addr += TEST_PAGE) {
		enum mem_kind kind = page_at(look, addr)->kind;
		if (n && ret[n - 1].kind == kind)
			ret[n - 1].end = addr + TEST_PAGE;
		else if (n == MIN(max, (size_t)4))
			break;
		else
			ret[n++] = (struct mem_range){ addr, addr + TEST_PAGE, kind };
	}
	return (int)n;
}

static ssize_t look_read(struct memsource *source, const struct snap_mapping *map _unused_,
			 enum mem_kind kind _unused_, uint64_t addr, void *buf, size_t len)
{
	struct look *look = (struct look *)source;
	size_t done = 0;
	for (; done < len; done += TEST_PAGE) {
		const struct page *page = page_at(look, addr + done);
		uint64_t words[TEST_PAGE / 8];
		if (page->unreadable)
			break;
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = word_of(page->content, addr + done + i * 8);
		memcpy((char *)buf + done, words, sizeof(words));
	}
	return done ? (ssize_t)done : -EFAULT;
}

static const struct memsource_ops look_ops = { .scan = look_scan, .read = look_read };

/// What a page is now. @was is what it was at the look before; NULL: there was none.
static void make_page(struct page *page, const struct page *was, uint32_t content)
{
	page->content = content;
	switch (pick(was ? 8 : 4)) {
	case 0:
		*page = (struct page){ .kind = MEM_ZERO };
		break;
	case 1:
		page->kind = pick(4) ? MEM_DATA : MEM_GUARD;
		if (page->kind == MEM_GUARD)
			page->content = 0;
		break;
	case 2:
	case 3:
		page->kind = MEM_DATA;
		page->content = pick(5) ? content : 0; // zeros can be data, too
		break;
	default: // as it was, if that was looked at
		page->kind = was->mapped && was->kind != MEM_GUARD ? MEM_HELD : MEM_DATA;
		if (page->kind == MEM_HELD)
			page->content = was->content;
	}
}

static void make_look(struct look *look, struct look *before, uint32_t number)
{
	fake_init(&look->fake, ELFCLASS64, 1 + pick(3));
	look->fake.source.ops = &look_ops;
	memset(look->pages, 0, sizeof(look->pages));
	size_t mappings = 0;
	for (uint32_t at = pick(8); at < PAGES && mappings < MAPPINGS_MAX; mappings++) {
		uint32_t n = MIN(1 + pick(pick(3) ? 12 : 60), PAGES - at);
		// Some are just where one was before.
		fake_map(&look->fake, BASE + at * TEST_PAGE, n, SNAP_MAP_READ | SNAP_MAP_WRITE,
			 NULL, NULL);
		for (uint32_t i = at; i < at + n; i++) {
			struct page *page = &look->pages[i];
			make_page(page, before ? &before->pages[i] : NULL, number * 1000 + i);
			page->mapped = true;
			page->unreadable = number < LOOKS && page->kind == MEM_DATA && !pick(400);
		}
		at += n + (pick(2) ? 0 : pick(6));
	}
}

static void check_segment(struct look *last, int fd, const Elf64_Phdr *p)
{
	for (uint64_t pos = 0; pos < p->p_filesz; pos += TEST_PAGE) {
		uint64_t words[TEST_PAGE / 8], addr = p->p_vaddr + pos;
		const struct page *page = page_at(last, addr);
		assert_int_equal(snap_pread_full(fd, words, sizeof(words), p->p_offset + pos),
				 sizeof(words));
		assert_true(page->mapped);
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (words[i] != word_of(page->content, addr + i * 8))
				fail_msg("page %zu, kind %d, word %zu",
					 (size_t)((addr - BASE) / TEST_PAGE), (int)page->kind, i);
	}
}

/// What belongs to nothing is a hole, or zeros: not what a look before has left.
static void check_rest(int fd, const bool *used, size_t pages)
{
	static const uint64_t zeros[TEST_PAGE / 8];
	for (size_t i = 0; i < pages; i++) {
		uint64_t words[TEST_PAGE / 8];
		if (used[i])
			continue;
		assert_int_equal(snap_pread_full(fd, words, sizeof(words), i * TEST_PAGE),
				 sizeof(words));
		assert_memory_equal(words, zeros, sizeof(words));
	}
}

static void check_core(struct look *last, int fd)
{
	Elf64_Ehdr ehdr;
	uint64_t bytes = 0, mapped = 0;
	size_t pages = core_size(last->core) / TEST_PAGE;
	_cleanup_free_ bool *used = calloc(pages + 1, sizeof(*used));
	assert_non_null(used);
	used[0] = true;
	assert_int_equal(snap_pread_full(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	for (unsigned int i = 0; i < ehdr.e_phnum; i++) {
		Elf64_Phdr p;
		assert_int_equal(snap_pread_full(fd, &p, sizeof(p), ehdr.e_phoff + i * sizeof(p)),
				 sizeof(p));
		for (uint64_t at = p.p_offset / TEST_PAGE * TEST_PAGE; at < p.p_offset + p.p_filesz;
		     at += TEST_PAGE)
			used[at / TEST_PAGE] = true;
		if (p.p_type != PT_LOAD)
			continue;
		check_segment(last, fd, &p);
		bytes += p.p_filesz;
	}
	for (size_t i = 0; i < PAGES; i++)
		mapped += last->pages[i].mapped ? TEST_PAGE : 0;
	assert_int_equal(bytes, mapped);
	check_rest(fd, used, pages);
}

static void take_look(struct look *look, struct look *before, int fd, struct reserve *reserve)
{
	assert_null(plan_create(&look->fake.snap, &look->fake.source, 0, PLAN_ALL, &look->plan));
	if (!before) {
		uint64_t first = core_first_offset(&look->fake.snap, pick(6)) * pick(2);
		assert_null(core_create(&look->fake.snap, look->plan, first, &look->core));
	} else {
		assert_null(plan_cut_along(look->plan, before->plan));
		assert_null(core_create_over(&look->fake.snap, look->plan, before->core,
					     &look->core));
	}
	assert_null(core_copy(look->core, &look->fake.source, fd, reserve, 1 + pick(2),
			      before ? CORE_AGAIN : 0, NULL));
}

/// No segment crosses an end of one before, and together they are what they were.
static void check_cut(const struct look *look, const struct look *before)
{
	uint64_t end = 0;
	for (size_t i = 0; i < look->plan->n; i++) {
		const struct plan_segment *seg = &look->plan->segments[i];
		assert_true(seg->start < seg->end && end <= seg->start);
		assert_true(seg->map->start <= seg->start && seg->end <= seg->map->end);
		assert_true(end == seg->start || seg->map->start == seg->start);
		end = seg->end;
		for (size_t j = 0; j < before->plan->n; j++) {
			const struct plan_segment *b = &before->plan->segments[j];
			assert_false(seg->start < b->start && b->start < seg->end);
			assert_false(seg->start < b->end && b->end < seg->end);
		}
	}
}

static void one_round(uint64_t seed)
{
	struct look looks[LOOKS];
	struct reserve reserve;
	_cleanup_close_ int fd = test_memfd();
	random_state = seed * 0x9e3779b97f4a7c15 | 1;
	memset(looks, 0, sizeof(looks));
	for (uint32_t i = 0; i + 1 < LOOKS; i++) {
		make_look(&looks[i], i ? &looks[i - 1] : NULL, i + 1);
		take_look(&looks[i], i ? &looks[i - 1] : NULL, fd, NULL);
		if (i)
			check_cut(&looks[i], &looks[i - 1]);
	}
	struct look *last = &looks[LOOKS - 1];
	make_look(last, last - 1, LOOKS);
	reserve_init(&reserve, fd, 0);
	// Often too small for all.
	const size_t whole = reserve.spill_bytes;
	reserve.spill_bytes = (1U + pick(100)) * TEST_PAGE;
	take_look(last, last - 1, fd, &reserve);
	check_cut(last, last - 1);
	assert_null(core_finish(last->core, fd, &(struct core_facts){ .pause_ns = 1 }));
	check_core(last, fd);
	reserve.spill_bytes = whole;
	reserve_deinit(&reserve);
	for (int i = LOOKS; i-- > 0;) {
		core_destroy(looks[i].core);
		plan_destroy(looks[i].plan);
		fake_deinit(&looks[i].fake);
	}
}

static void test_over(void **state _unused_)
{
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		one_round(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_over) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
