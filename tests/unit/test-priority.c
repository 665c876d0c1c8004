// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake.h"

#include "dumper/order.h"
#include "dumper/plan.h"
#include "dumper/priority.h"

/*
 * A dynamically linked program of three threads, as /proc/PID/maps and as the kernel's core have
 * it; the latter without inodes, pages, and names of anything but files.
 */

enum {
	R = SNAP_MAP_READ,
	W = SNAP_MAP_WRITE,
	X = SNAP_MAP_EXEC,
	S = SNAP_MAP_SHARED,
	P = TEST_PAGE,
	RSP = 19 * 8, // of struct user_regs_struct, sys/user.h
	FS_BASE = 21 * 8,
	RESERVE_PAGES = 2048, // of a stack: 8 MiB
};

static const uint64_t program = 0x555555554000, heap = 0x555555600000, arena = 0xc000000000,
		      stack2 = 0x7ffff6000000, stack1 = 0x7ffff7000000, tls = 0x7ffff7d00000,
		      libc = 0x7ffff7d03000, big = 0x7ffff8000000, vdso = 0x7fffff000000,
		      stack = 0x7ffffff00000;

static void set_register(struct fake *fake, size_t thread, size_t offset, uint64_t value)
{
	struct snap_regset *regs = &fake->snap.threads[thread].regsets[0];
	memcpy((char *)(uintptr_t)regs->data + offset, &value, sizeof(value));
}

static void set_auxv(struct fake *fake, uint64_t headers, uint64_t vdso_at)
{
	const uint64_t auxv[4] = { AT_PHDR, headers, AT_SYSINFO_EHDR, vdso_at };
	memcpy(fake->snap.process.auxv, auxv, sizeof(auxv));
}

static void add_file(struct fake *fake, uint64_t start, uint64_t pages, uint32_t flags,
		     const char *name, uint64_t offset, bool own)
{
	struct snap_mapping *map = fake_map(fake, start, pages, flags, name, "D");
	map->offset = offset;
	map->anon_bytes = own ? P : 0;
}

static void make_process(struct fake *fake, bool from_kernel)
{
	fake_init(fake, ELFCLASS64, 3);
	fake_map(fake, arena, 1000, R | W, NULL, "D");
	add_file(fake, program, 2, R, "/bin/prog", 0, false);
	add_file(fake, program + 2 * P, 2, R | X, "/bin/prog", 2 * P, false);
	add_file(fake, program + 4 * P, 1, R, "/bin/prog", 4 * P, true); // RELRO
	add_file(fake, program + 5 * P, 1, R | W, "/bin/prog", 5 * P, true);
	fake_map(fake, program + 6 * P, 3, R | W, NULL, "D"); // .bss
	fake_map(fake, heap, 1000, R | W, NULL, "D");
	fake_map(fake, stack2 - P, 1, 0, NULL, "D");
	fake_map(fake, stack2, RESERVE_PAGES, R | W, NULL, "D");
	fake_map(fake, stack1 - P, 1, 0, NULL, "D");
	fake_map(fake, stack1, RESERVE_PAGES, R | W, NULL, "D");
	fake_map(fake, tls, 3, R | W, NULL, "D");
	add_file(fake, libc, 4, R, "/lib/libc.so", 0, false);
	add_file(fake, libc + 4 * P, 100, R | X, "/lib/libc.so", 4 * P, false);
	add_file(fake, libc + 104 * P, 2, R | W, "/lib/libc.so", 104 * P, true);
	add_file(fake, big, 500, R | W, "/data/base", 0, true); // no program: not .data
	add_file(fake, big + 500 * P, 20, R | W | S, "/data/base", 0, true);
	fake_map(fake, vdso, 2, R | X | (from_kernel ? 0U : SNAP_MAP_SPECIAL), NULL, "D");
	fake_map(fake, stack, 33, R | W, NULL, "D");
	set_auxv(fake, program + 64, vdso);
	set_register(fake, 0, RSP, stack + 20 * P + 100);
	set_register(fake, 0, FS_BASE, tls + P + 0x740);
	set_register(fake, 1, RSP, stack1 + 100 * P); // deep
	set_register(fake, 1, FS_BASE, stack1 + (RESERVE_PAGES - 1) * P + 0x700);
	set_register(fake, 2, RSP, arena + 50 * P + 8); // of a goroutine
	set_register(fake, 2, FS_BASE, 0);
	for (size_t i = 0; from_kernel && i < fake->snap.n_mappings; i++) {
		struct snap_mapping *map = &fake->snap.mappings[i];
		bool own = map->inode && map->anon_bytes;
		map->inode = map->dev_major = 0;
		map->rss_bytes = 0;
		map->anon_bytes = own ? P : 0; // p_filesz says so
	}
}

static enum priority priority_of(const struct priorities *p, uint64_t addr)
{
	for (size_t i = 0; i < p->n; i++)
		if (addr >= p->list[i].start && addr < p->list[i].end)
			return p->list[i].priority;
	return PRIORITY_REST;
}

/// Pages from @from to before @to have @want, those beside them have not.
static void expect_range(const struct priorities *p, uint64_t from, uint64_t to, enum priority want)
{
	for (uint64_t addr = from; addr < to; addr += P)
		if (priority_of(p, addr) != want)
			fail_msg("%llx: %d, not %d", (unsigned long long)addr, priority_of(p, addr),
				 want);
	assert_int_not_equal(priority_of(p, from - P), want);
	assert_int_not_equal(priority_of(p, to), want);
}

static void check_list(const struct priorities *p)
{
	for (size_t i = 0; i < p->n; i++) {
		assert_true(p->list[i].start < p->list[i].end);
		assert_int_equal(p->list[i].start % P | p->list[i].end % P, 0);
		assert_true(!i || p->list[i - 1].end <= p->list[i].start);
		assert_true(p->list[i].priority < PRIORITY_REST);
	}
}

static void check_process(bool from_kernel)
{
	_cleanup_fake_ struct fake fake;
	_cleanup_priorities_ struct priorities p = { 0 };
	make_process(&fake, from_kernel);
	assert_ok(priorities_find(&fake.snap, &p));
	check_list(&p);
	expect_range(&p, program, program + P, PRIORITY_DATA); // ELF header
	expect_range(&p, program + 4 * P, program + 9 * P, PRIORITY_DATA);
	expect_range(&p, heap, heap + 64 * P, PRIORITY_DATA); // of the loader
	expect_range(&p, libc, libc + P, PRIORITY_DATA);
	expect_range(&p, libc + 104 * P, libc + 106 * P, PRIORITY_DATA);
	expect_range(&p, vdso, vdso + 2 * P, PRIORITY_DATA);
	expect_range(&p, stack + 19 * P, stack + 33 * P, PRIORITY_STACK);
	expect_range(&p, tls, tls + 3 * P, PRIORITY_STACK); // thread pointer of the first thread
	// 256 KiB, and the red zone below; then what is deep, and the descriptor at the top.
	expect_range(&p, stack1 + 99 * P, stack1 + 164 * P, PRIORITY_STACK);
	expect_range(&p, stack1 + 164 * P, stack1 + (RESERVE_PAGES - 2) * P, PRIORITY_DEEP_STACK);
	expect_range(&p, stack1 + (RESERVE_PAGES - 2) * P, stack1 + RESERVE_PAGES * P,
		     PRIORITY_STACK);
	expect_range(&p, arena + 49 * P, arena + 67 * P, PRIORITY_STACK);
	assert_int_equal(priority_of(&p, arena), PRIORITY_GO);
	assert_int_equal(priority_of(&p, arena + 999 * P), PRIORITY_GO);
	// Nobody's stack, and no program's data.
	assert_int_equal(priority_of(&p, stack2), PRIORITY_REST);
	assert_int_equal(priority_of(&p, program + 2 * P), PRIORITY_REST);
	assert_int_equal(priority_of(&p, big), PRIORITY_REST);
	assert_int_equal(priority_of(&p, big + 500 * P), PRIORITY_REST);
}

static void test_process(void **state _unused_)
{
	check_process(false);
}

static void test_from_kernel(void **state _unused_)
{
	check_process(true);
}

/// A look: no registers. What may be a stack counts as one.
static void test_without_threads(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	_cleanup_priorities_ struct priorities p = { 0 };
	make_process(&fake, false);
	fake.snap.mappings[fake.snap.n_mappings - 1].name = (uint32_t)fake.snap.names.len;
	assert_int_equal(strbuf_add(&fake.snap.names, "[stack]", 8), 0);
	size_t n = fake.snap.n_threads;
	fake.snap.n_threads = 0;
	assert_ok(priorities_find(&fake.snap, &p));
	check_list(&p);
	expect_range(&p, stack1, stack1 + RESERVE_PAGES * P, PRIORITY_DEEP_STACK);
	expect_range(&p, stack2, stack2 + RESERVE_PAGES * P, PRIORITY_DEEP_STACK);
	expect_range(&p, stack, stack + 33 * P, PRIORITY_DEEP_STACK);
	fake.snap.n_threads = n;
}

/// Registers and auxv are the process's own: they may say anything.
static void test_hostile(void **state _unused_)
{
	static const uint64_t values[] = { 0, 1, UINT64_MAX, UINT64_MAX - P, 1ULL << 63, 127 };
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_fake_ struct fake fake;
		_cleanup_priorities_ struct priorities p = { 0 };
		make_process(&fake, false);
		for (size_t t = 0; t < fake.snap.n_threads; t++) {
			set_register(&fake, t, RSP, values[i]);
			set_register(&fake, t, FS_BASE, values[i]);
		}
		set_auxv(&fake, values[i], values[i]);
		fake.snap.threads[0].n_regsets = 0;
		fake.snap.threads[1].regsets[0].stored = RSP + 4;
		assert_ok(priorities_find(&fake.snap, &p));
		check_list(&p);
		assert_int_equal(priority_of(&p, stack1 + 200 * P), PRIORITY_REST);
	}
	_cleanup_fake_ struct fake empty;
	_cleanup_priorities_ struct priorities none = { 0 };
	fake_init(&empty, ELFCLASS32, 2);
	free(empty.snap.process.auxv);
	empty.snap.process.auxv = NULL;
	assert_ok(priorities_find(&empty.snap, &none));
	assert_int_equal(none.n, 0);
	priorities_deinit(&none);
	empty.snap.process.machine.elf_machine = EM_NONE;
	assert_ok(priorities_find(&empty.snap, &none));
	assert_int_equal(none.n, 0);
}

/// Each byte once, and the better ones first.
static void test_order(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	_cleanup_priorities_ struct priorities p = { 0 };
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	struct order order = { 0 };
	make_process(&fake, false);
	assert_ok(priorities_find(&fake.snap, &p));
	assert_ok(plan_create(&fake.snap, &fake.source, 0x33, 0, &plan));
	assert_ok(order_by_use(plan, &p, &order));
	uint64_t sum = 0;
	_cleanup_free_ uint64_t *done = calloc(plan->n, sizeof(*done));
	for (size_t i = 0; i < order.n; i++) {
		const struct order_span *span = &order.spans[i];
		const struct plan_segment *seg = &plan->segments[span->segment];
		assert_true(span->bytes && span->offset + span->bytes <= seg->dump_bytes);
		for (uint64_t at = 0; at < span->bytes; at += P)
			assert_int_equal(priority_of(&p, seg->start + span->offset + at),
					 span->priority);
		assert_true(!i || order.spans[i - 1].priority <= span->priority);
		sum += span->bytes;
		done[span->segment] += span->bytes;
	}
	assert_int_equal(sum, plan->dump_bytes);
	for (size_t i = 0; i < plan->n; i++)
		assert_int_equal(done[i], plan->segments[i].dump_bytes);
	// Of the rest the largest mapping is the last.
	const struct order_span *last = &order.spans[order.n - 1];
	const struct plan_segment *large = &plan->segments[last->segment];
	assert_int_equal(large->end - large->start, RESERVE_PAGES * P);
	order_deinit(&order);
	assert_ok(order_by_address(plan, &order));
	for (size_t i = 1; i < order.n; i++)
		assert_true(order.spans[i - 1].segment < order.spans[i].segment);
	order_deinit(&order);
}

/// PLAN_STACKS: what has a priority is in it, nothing else is, and together it is every mapping.
static void test_plan(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	_cleanup_priorities_ struct priorities p = { 0 };
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	make_process(&fake, false);
	assert_ok(priorities_find(&fake.snap, &p));
	assert_ok(plan_create(&fake.snap, &fake.source, FILTER_ANON_PRIVATE | FILTER_ELF_HEADERS,
			      PLAN_STACKS, &plan));
	size_t map = 0;
	uint64_t at = fake.snap.mappings[0].start;
	assert_true(plan->n > fake.snap.n_mappings);
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_segment *seg = &plan->segments[i];
		assert_ptr_equal(seg->map, &fake.snap.mappings[map]);
		assert_int_equal(seg->start, at);
		assert_true(seg->start < seg->end && seg->end <= seg->map->end);
		at = seg->end;
		bool dumped = plan_class_dumped(seg->class);
		assert_int_equal(seg->dump_bytes, dumped ? seg->end - seg->start : 0);
		for (uint64_t addr = seg->start; addr < seg->end; addr += P) {
			enum priority priority = priority_of(&p, addr);
			if (dumped)
				assert_true(priority <= PRIORITY_DEEP_STACK);
			else if (seg->class == PLAN_LEFT_OUT)
				assert_true(priority > PRIORITY_DEEP_STACK);
		}
		if (at == seg->map->end && ++map < fake.snap.n_mappings)
			at = fake.snap.mappings[map].start;
	}
	assert_int_equal(map, fake.snap.n_mappings);
	assert_true(plan->totals[PLAN_LEFT_OUT].dump_bytes > 900 * (uint64_t)P);
}

/// A plan of the kernel's: what is not sent is never in it, and what is sent is told of each part.
static void test_plan_of_kernel(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	_cleanup_priorities_ struct priorities p = { 0 };
	_cleanup_(plan_destroyp) struct plan *plan = calloc(1, sizeof(*plan));
	make_process(&fake, true);
	size_t n = fake.snap.n_mappings, map = 0;
	_cleanup_free_ uint64_t *sent = calloc(n, sizeof(*sent));
	plan->segments = calloc(n, sizeof(*plan->segments));
	plan->n = n;
	for (size_t i = 0; i < n; i++) {
		struct snap_mapping *m = &fake.snap.mappings[i];
		bool file = snap_mapping_name(&fake.snap, m)[0] == '/';
		sent[i] = !file || m->anon_bytes ? m->end - m->start : m->offset ? 0 : P;
		if (!(m->flags & R))
			sent[i] = 0;
		if (m->start == heap) // no kernel does so, but it is what the headers may say
			sent[i] = 30 * P;
		plan->segments[i] = (struct plan_segment){ .map = m,
							   .start = m->start,
							   .end = m->end,
							   .stream_bytes = sent[i],
							   .dump_bytes = sent[i] };
	}
	plan_from_kernel(plan);
	uint64_t before = plan->dump_bytes;
	assert_ok(priorities_find(&fake.snap, &p));
	assert_ok(plan_keep_stacks(plan, &fake.snap));
	uint64_t at = fake.snap.mappings[0].start, stream = 0, dump = 0, kept = 0;
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_segment *seg = &plan->segments[i];
		assert_ptr_equal(seg->map, &fake.snap.mappings[map]);
		assert_int_equal(seg->start, at);
		assert_true(seg->dump_bytes <= seg->stream_bytes);
		assert_true(seg->stream_bytes <= seg->end - seg->start);
		at = seg->end;
		stream += seg->stream_bytes;
		dump += seg->dump_bytes;
		for (uint64_t addr = seg->start; addr < seg->start + seg->dump_bytes; addr += P)
			kept += priority_of(&p, addr) <= PRIORITY_DEEP_STACK;
		if (at < seg->map->end)
			continue;
		assert_int_equal(stream, sent[map]);
		stream = 0;
		if (++map < n)
			at = fake.snap.mappings[map].start;
	}
	assert_int_equal(map, n);
	assert_int_equal(dump, plan->dump_bytes);
	assert_int_equal(kept * P, dump); // nothing that stacks do not need
	assert_true(dump > 33 * P && dump < before / 2);
	// All that they need and that is sent.
	for (size_t i = 0; i < n; i++)
		for (uint64_t done = 0; done < sent[i]; done += P)
			kept -= priority_of(&p, fake.snap.mappings[i].start + done) <=
				PRIORITY_DEEP_STACK;
	assert_int_equal(kept, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process),		cmocka_unit_test(test_from_kernel),
		cmocka_unit_test(test_without_threads), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_order),		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_plan_of_kernel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
