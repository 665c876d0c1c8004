// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake.h"

#include "dumper/plan.h"

/*
 * The rules are those of fs/coredump.c vma_dump_size(); the expectations here were written from
 * that function and core(5), not from plan.c.
 */

enum {
	R = SNAP_MAP_READ,
	W = SNAP_MAP_WRITE,
	X = SNAP_MAP_EXEC,
	S = SNAP_MAP_SHARED,
	START = 0x10000000,
};

/// Classifies one mapping.
static enum plan_class classify(struct fake *fake, uint32_t filter, uint32_t flags,
				uint64_t *ret_bytes)
{
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	assert_ok(plan_create(&fake->snap, &fake->source, filter, flags, &plan));
	assert_int_equal(plan->n, 1);
	assert_ptr_equal(plan->segments[0].map, fake->snap.mappings);
	*ret_bytes = plan->segments[0].dump_bytes;
	uint64_t whole = fake->snap.mappings[0].end - fake->snap.mappings[0].start;
	enum plan_class class = plan->segments[0].class;
	assert_int_equal(*ret_bytes, !plan_class_dumped(class)	 ? 0 :
				     class == PLAN_ELF_HEADER ? TEST_PAGE :
								whole);
	assert_int_equal(plan->dump_bytes, *ret_bytes);
	assert_int_equal(plan->totals[class].mappings, 1);
	assert_int_equal(plan->totals[class].dump_bytes,
			 plan_class_dumped(class) ? *ret_bytes : whole);
	return class;
}

struct rule {
	uint32_t flags; ///< of the mapping
	const char *name; ///< NULL: anonymous
	uint64_t anon, swap; ///< pages of its own that it has
	uint32_t filter, plan_flags;
	enum plan_class want;
};

static void check_rules(const struct rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct rule *rule = &rules[i];
		struct fake fake;
		fake_init(&fake, ELFCLASS64, 1);
		struct snap_mapping *map = fake_map(&fake, START, 4, rule->flags, rule->name, "D");
		map->anon_bytes = rule->anon * TEST_PAGE;
		map->swap_bytes = rule->swap * TEST_PAGE;
		uint64_t bytes;
		enum plan_class class = classify(&fake, rule->filter, rule->plan_flags, &bytes);
		if (class != rule->want)
			fail_msg("rule %zu: %s, not %s", i, plan_class_name(class),
				 plan_class_name(rule->want));
		fake_deinit(&fake);
	}
}
#define CHECK_RULES(rules) check_rules(rules, ARRAY_SIZE(rules))

static void test_anonymous(void **state _unused_)
{
	static const struct rule rules[] = {
		{ R | W, NULL, 1, 0, FILTER_ANON_PRIVATE, 0, PLAN_ANON_PRIVATE },
		{ R | W, NULL, 0, 1, FILTER_ANON_PRIVATE, 0, PLAN_ANON_PRIVATE }, // all in swap
		{ 0, NULL, 1, 0, FILTER_ANON_PRIVATE, 0, PLAN_ANON_PRIVATE }, // PROT_NONE now
		{ R | W, NULL, 0, 0, FILTER_ANON_PRIVATE, 0, PLAN_NOT_TOUCHED },
		{ R | W, NULL, 0, 0, FILTER_MASK, 0, PLAN_NOT_TOUCHED },
		{ R | W, NULL, 0, 0, 0, 0, PLAN_NOT_TOUCHED },
		{ R | W, NULL, 1, 0, 0, 0, PLAN_FILTERED },
		{ R | W, NULL, 1, 0, FILTER_MASK & ~FILTER_ANON_PRIVATE, 0, PLAN_FILTERED },
	};
	CHECK_RULES(rules);
}

static void test_shared(void **state _unused_)
{
	enum { UNLINKED = S | SNAP_MAP_UNLINKED };
	static const struct rule rules[] = {
		{ R | W | UNLINKED, "/dev/zero (deleted)", 0, 0, FILTER_ANON_SHARED, 0,
		  PLAN_ANON_SHARED },
		{ R | UNLINKED, "/memfd:x (deleted)", 0, 0, FILTER_ANON_SHARED, 0,
		  PLAN_ANON_SHARED },
		{ R | W | UNLINKED, "/memfd:x (deleted)", 0, 0, FILTER_MASK & ~FILTER_ANON_SHARED,
		  0, PLAN_FILTERED },
		{ R | W | S, "/f", 0, 0, FILTER_FILE_SHARED, 0, PLAN_FILE_SHARED },
		{ R | W | S, "/f", 0, 0, FILTER_MASK & ~FILTER_FILE_SHARED, 0, PLAN_FILTERED },
		// Whether there are private pages does not matter for shared mappings.
		{ R | W | S, "/f", 3, 1, FILTER_ANON_PRIVATE, 0, PLAN_FILTERED },
		{ R | W | S, "/f", 0, 0, 0x33, 0, PLAN_FILTERED },
		{ R | W | UNLINKED, "/SYSV00000000 (deleted)", 0, 0, 0x33, 0, PLAN_ANON_SHARED },
		// ELF headers are a matter of private mappings.
		{ R | S, "/f", 0, 0, FILTER_ELF_HEADERS, 0, PLAN_FILTERED },
	};
	CHECK_RULES(rules);
}

static void test_private_file(void **state _unused_)
{
	static const struct rule rules[] = {
		{ R, "/f", 0, 0, FILTER_FILE_PRIVATE, 0, PLAN_FILE_PRIVATE },
		{ R | W, "/f", 1, 0, FILTER_ANON_PRIVATE, 0, PLAN_FILE_PRIVATE }, // written to
		{ R | W, "/f", 0, 1, FILTER_ANON_PRIVATE, 0, PLAN_FILE_PRIVATE },
		{ R | W, "/f", 0, 0, FILTER_ANON_PRIVATE, 0, PLAN_FILTERED },
		{ R | W, "/f", 1, 0, 0, 0, PLAN_FILTERED },
		{ R | W, "/f", 1, 0, FILTER_FILE_PRIVATE, 0, PLAN_FILE_PRIVATE },
		{ R, "/f", 0, 0, FILTER_FILE_SHARED, 0, PLAN_FILTERED },
		{ R, "/f", 0, 0, FILTER_ELF_HEADERS, 0, PLAN_FILTERED }, // no ELF file
	};
	CHECK_RULES(rules);
}

static void test_hugetlb(void **state _unused_)
{
	enum { H = R | W | SNAP_MAP_HUGETLB, HS = H | S };
	static const struct rule rules[] = {
		{ H, "/anon_hugepage (deleted)", 0, 0, FILTER_HUGETLB_PRIVATE, 0, PLAN_HUGETLB },
		{ H, "/anon_hugepage (deleted)", 1, 0, FILTER_MASK & ~FILTER_HUGETLB_PRIVATE, 0,
		  PLAN_FILTERED },
		{ HS, "/h", 0, 0, FILTER_HUGETLB_SHARED, 0, PLAN_HUGETLB },
		{ HS, "/h", 0, 0, FILTER_MASK & ~FILTER_HUGETLB_SHARED, 0, PLAN_FILTERED },
		{ HS | SNAP_MAP_UNLINKED, "/h", 0, 0, FILTER_ANON_SHARED, 0, PLAN_FILTERED },
		{ H, "/h", 0, 0, 0x33, 0, PLAN_HUGETLB }, // the kernel's default has them
		{ HS, "/h", 0, 0, 0x33, 0, PLAN_FILTERED },
	};
	CHECK_RULES(rules);
}

static void test_excluded(void **state _unused_)
{
	static const struct rule rules[] = {
		{ R | W | SNAP_MAP_DONTDUMP, NULL, 1, 0, FILTER_MASK, 0, PLAN_DONTDUMP },
		{ R | W | SNAP_MAP_DONTDUMP, NULL, 1, 0, 0, PLAN_ALL, PLAN_ANON_PRIVATE },
		{ R | W | SNAP_MAP_DONTDUMP, NULL, 0, 0, 0, PLAN_ALL, PLAN_NOT_TOUCHED },
		{ R | S | SNAP_MAP_DONTDUMP, "/f", 0, 0, 0, PLAN_ALL, PLAN_FILE_SHARED },
		{ R | SNAP_MAP_DONTDUMP | SNAP_MAP_HUGETLB, "/f", 0, 0, FILTER_MASK, 0,
		  PLAN_DONTDUMP },
		{ R | S | SNAP_MAP_IO, "/dev/mem", 0, 0, FILTER_MASK, 0, PLAN_DEVICE },
		{ R | S | SNAP_MAP_PFN, "/dev/x", 0, 0, FILTER_MASK, PLAN_ALL, PLAN_DEVICE },
		{ R | W | SNAP_MAP_IO, NULL, 4, 0, FILTER_MASK, PLAN_ALL, PLAN_DEVICE },
		// Drivers mark their memory both ways; what it is says more than that.
		{ R | S | SNAP_MAP_IO | SNAP_MAP_DONTDUMP, "/d", 0, 0, FILTER_MASK, PLAN_ALL,
		  PLAN_DEVICE },
	};
	CHECK_RULES(rules);
}

static void test_all(void **state _unused_)
{
	static const struct rule rules[] = {
		{ R | W, NULL, 1, 0, 0, PLAN_ALL, PLAN_ANON_PRIVATE },
		{ R, "/f", 0, 0, 0, PLAN_ALL, PLAN_FILE_PRIVATE },
		{ R | S, "/f", 0, 0, 0, PLAN_ALL, PLAN_FILE_SHARED },
		{ R | S | SNAP_MAP_UNLINKED, "/f", 0, 0, 0, PLAN_ALL, PLAN_ANON_SHARED },
		{ R | SNAP_MAP_HUGETLB, "/f", 0, 0, 0, PLAN_ALL, PLAN_HUGETLB },
		{ R | S | SNAP_MAP_HUGETLB, "/f", 0, 0, 0, PLAN_ALL, PLAN_HUGETLB },
	};
	CHECK_RULES(rules);
}

/// The vdso is dumped whatever the filter, [vvar] and an unreadable [vsyscall] never.
static void test_special(void **state _unused_)
{
	static const struct {
		uint32_t flags;
		const char *pages;
		enum plan_class want;
	} cases[] = {
		{ R | X | SNAP_MAP_SPECIAL, "D", PLAN_SPECIAL },
		{ R | X | SNAP_MAP_SPECIAL, "U", PLAN_DEVICE },
		{ R | SNAP_MAP_SPECIAL | SNAP_MAP_PFN, "D", PLAN_DEVICE },
		{ R | SNAP_MAP_SPECIAL | SNAP_MAP_IO, "D", PLAN_DEVICE },
		{ R | X | SNAP_MAP_SPECIAL | SNAP_MAP_DONTDUMP, "D", PLAN_SPECIAL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_fake_ struct fake fake;
		uint64_t bytes;
		fake_init(&fake, ELFCLASS64, 1);
		fake_map(&fake, START, 2, cases[i].flags, "[special]", cases[i].pages);
		fake.snap.mappings[0].inode = 0;
		assert_int_equal(classify(&fake, 0, 0, &bytes), cases[i].want);
	}
}

/// A source whose memory begins with the ELF magic, or almost.
struct elf_source {
	struct fake fake;
	const char *magic;
};

static ssize_t elf_read(struct memsource *source, const struct snap_mapping *map,
			enum mem_kind kind, uint64_t addr, void *buf, size_t len)
{
	struct elf_source *elf = (struct elf_source *)source;
	ssize_t n = fake_read(source, map, kind, addr, buf, len);
	if (n > 0)
		memcpy(buf, elf->magic, MIN((size_t)n, strlen(elf->magic)));
	return n;
}
static const struct memsource_ops elf_ops = { .scan = fake_scan, .read = elf_read };

static void test_elf_headers(void **state _unused_)
{
	static const struct {
		uint32_t flags;
		uint64_t offset;
		const char *magic, *pages;
		enum plan_class want;
	} cases[] = {
		{ R, 0, "\177ELF", "D", PLAN_ELF_HEADER },
		{ R, 0, "\177ELF", "F", PLAN_ELF_HEADER },
		{ R | X, 0, "\177ELF", "D", PLAN_ELF_HEADER },
		{ R, TEST_PAGE, "\177ELF", "D", PLAN_FILTERED },
		{ X, 0, "\177ELF", "D", PLAN_FILTERED },
		{ R, 0, "\177ELG", "D", PLAN_FILTERED },
		{ R, 0, "ELF", "D", PLAN_FILTERED },
		{ R, 0, "\177ELF", "Z", PLAN_FILTERED },
		{ R, 0, "\177ELF", "E", PLAN_FILTERED },
		{ R, 0, "\177ELF", "G", PLAN_FILTERED },
		{ R, 0, "\177ELF", "N", PLAN_FILTERED },
		{ R, 0, "\177ELF", "U", PLAN_FILTERED },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct elf_source elf = { .magic = cases[i].magic };
		uint64_t bytes;
		fake_init(&elf.fake, ELFCLASS64, 1);
		elf.fake.source.ops = &elf_ops;
		fake_map(&elf.fake, START, 3, cases[i].flags, "/lib", cases[i].pages)->offset =
			cases[i].offset;
		assert_int_equal(classify(&elf.fake, FILTER_ELF_HEADERS, 0, &bytes), cases[i].want);
		assert_int_equal(classify(&elf.fake, 0, 0, &bytes), PLAN_FILTERED);
		fake_deinit(&elf.fake);
	}
}

/// A scan that fails must not fail the plan.
static void test_source_fails(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	uint64_t bytes;
	fake_init(&fake, ELFCLASS64, 1);
	fake_map(&fake, START, 3, R, "/lib", "D");
	fake.scan_errno = EIO;
	assert_int_equal(classify(&fake, FILTER_ELF_HEADERS, 0, &bytes), PLAN_FILTERED);
	fake.scan_errno = 0;
	fake.fail_errno = ESRCH;
	assert_int_equal(classify(&fake, FILTER_ELF_HEADERS, 0, &bytes), PLAN_FILTERED);
}

static void test_binaries(void **state _unused_)
{
	static const struct {
		uint32_t flags;
		uint64_t inode, anon;
		enum plan_class want;
	} maps[] = {
		{ R, 1, 0, PLAN_FILE_PRIVATE }, // a program: data, code, data
		{ R | X, 1, 0, PLAN_FILE_PRIVATE },
		{ R, 1, 0, PLAN_FILE_PRIVATE },
		{ R | W, 1, 1, PLAN_FILE_PRIVATE },
		{ R | W, 0, 1, PLAN_ANON_PRIVATE },
		{ R, 2, 0, PLAN_FILTERED }, // a data file: nothing of it is code
		{ R, 2, 0, PLAN_FILTERED },
		{ R | X, 3, 0, PLAN_FILE_PRIVATE }, // a library beside another one
		{ R, 3, 0, PLAN_FILE_PRIVATE },
		{ R | X, 4, 0, PLAN_FILE_PRIVATE },
		{ R | S, 4, 0, PLAN_FILTERED }, // shared: it is not the program's own
		{ R | X, 0, 0, PLAN_NOT_TOUCHED }, // anonymous code
		{ R, 0, 0, PLAN_NOT_TOUCHED },
		{ R | SNAP_MAP_DONTDUMP, 5, 0, PLAN_DONTDUMP },
		{ R | X, 5, 0, PLAN_FILE_PRIVATE },
		{ R, 6, 0, PLAN_FILTERED }, // the last one
	};
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS64, 1);
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		struct snap_mapping *map = fake_map(&fake, START + i * 0x10000, 2, maps[i].flags,
						    maps[i].inode ? "/f" : NULL, "D");
		map->inode = maps[i].inode;
		map->anon_bytes = maps[i].anon * TEST_PAGE;
	}
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	assert_ok(plan_create(&fake.snap, &fake.source, FILTER_ANON_PRIVATE, PLAN_WITH_BINARIES,
			      &plan));
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		if (plan->segments[i].class != maps[i].want)
			fail_msg("mapping %zu: %s", i, plan_class_name(plan->segments[i].class));
}

/// Two files of one inode number on different devices are not one file.
static void test_binaries_devices(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS64, 1);
	fake_map(&fake, START, 1, R | X, "/a", "D");
	fake_map(&fake, START + 0x10000, 1, R, "/b", "D")->dev_major = 9;
	fake_map(&fake, START + 0x20000, 1, R, "/c", "D")->dev_minor = 9;
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	assert_ok(plan_create(&fake.snap, &fake.source, 0, PLAN_WITH_BINARIES, &plan));
	assert_int_equal(plan->segments[0].class, PLAN_FILE_PRIVATE);
	assert_int_equal(plan->segments[1].class, PLAN_FILTERED);
	assert_int_equal(plan->segments[2].class, PLAN_FILTERED);
}

static void test_totals(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS64, 1);
	fake_map(&fake, START, 10, R | W, NULL, "D");
	fake.snap.mappings[0].rss_bytes = 3 * TEST_PAGE;
	fake.snap.mappings[0].swap_bytes = 2 * TEST_PAGE;
	fake_map(&fake, START + 0x10000, 10, R | W, NULL, "D")->rss_bytes = 100 * TEST_PAGE;
	fake_map(&fake, START + 0x20000, 10, R, "/f", "D")->rss_bytes = TEST_PAGE;
	fake_map(&fake, START + 0x30000, 10, R | W | SNAP_MAP_DONTDUMP, NULL, "D");
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	assert_ok(plan_create(&fake.snap, &fake.source,
			      FILTER_ANON_PRIVATE | FILTER_FILE_PRIVATE, 0, &plan));
	assert_int_equal(plan->totals[PLAN_ANON_PRIVATE].mappings, 2);
	assert_int_equal(plan->totals[PLAN_ANON_PRIVATE].dump_bytes, 20 * TEST_PAGE);
	assert_int_equal(plan->totals[PLAN_ANON_PRIVATE].data_bytes, (5 + 10) * TEST_PAGE);
	// What is not resident comes from the file, and takes room as well.
	assert_int_equal(plan->totals[PLAN_FILE_PRIVATE].data_bytes, 10 * TEST_PAGE);
	assert_int_equal(plan->totals[PLAN_DONTDUMP].dump_bytes, 10 * TEST_PAGE);
	assert_int_equal(plan->dump_bytes, 30 * TEST_PAGE);
	assert_int_equal(plan->data_bytes, 25 * TEST_PAGE);
}

/// The largest shared ones, until the rest is little enough.
static void test_postpone(void **state _unused_)
{
	static const struct {
		uint32_t flags;
		uint64_t pages; ///< resident
		bool later[3]; ///< with room for 100, 11 and 0 pages
	} maps[] = {
		{ R | W, 50, { false, false, false } },
		{ R | W | SNAP_MAP_SHARED | SNAP_MAP_UNLINKED, 10, { false, true, true } },
		{ R | SNAP_MAP_SHARED, 9, { false, false, true } },
		{ R | W | SNAP_MAP_SHARED | SNAP_MAP_UNLINKED, 0, { false, false, false } },
		{ R | W | SNAP_MAP_SHARED | SNAP_MAP_UNLINKED, 2, { false, false, true } },
		{ R | W | SNAP_MAP_SHARED | SNAP_MAP_UNLINKED | SNAP_MAP_HUGETLB, 40,
		  { false, false, false } },
		{ R | W | SNAP_MAP_SHARED | SNAP_MAP_DONTDUMP, 40, { false, false, false } },
	};
	static const uint64_t room[] = { 100, 11, 0 }, later_pages[] = { 0, 10, 21 };
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS64, 1);
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		fake_map(&fake, START + i * 0x100000, 60, maps[i].flags, NULL, "D")->rss_bytes =
			maps[i].pages * TEST_PAGE;
	for (size_t k = 0; k < ARRAY_SIZE(room); k++) {
		_cleanup_(plan_destroyp) struct plan *plan = NULL;
		assert_ok(plan_create(&fake.snap, &fake.source, FILTER_MASK, 0, &plan));
		plan_postpone(plan, room[k] * TEST_PAGE);
		for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
			if (plan->segments[i].later != maps[i].later[k])
				fail_msg("mapping %zu with room for %zu pages", i, (size_t)room[k]);
		assert_int_equal(plan->later_bytes, later_pages[k] * TEST_PAGE);
		plan_postpone(plan, room[k] * TEST_PAGE); // once more
		assert_int_equal(plan->later_bytes, later_pages[k] * TEST_PAGE);
		plan_postpone_nothing(plan);
		assert_int_equal(plan->later_bytes, 0);
		assert_false(plan->segments[1].later);
	}
}

/// Of many there is an end, since this is done while a process stands still.
static void test_postpone_many(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS64, 1);
	size_t n = 0;
	for (size_t i = 0; i < 2 * PLAN_LATER_MAX; i++)
		fake_map(&fake, START + i * 0x10000, 4, R | SNAP_MAP_SHARED, NULL, "D")->rss_bytes =
			(i % 2 ? 4 : 1) * (uint64_t)TEST_PAGE;
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	assert_ok(plan_create(&fake.snap, &fake.source, FILTER_MASK, 0, &plan));
	plan_postpone(plan, 0);
	for (size_t i = 0; i < plan->n; i++) {
		assert_int_equal(plan->segments[i].later, i % 2);
		n += plan->segments[i].later;
	}
	assert_int_equal(n, PLAN_LATER_MAX);
}

static void test_empty(void **state _unused_)
{
	_cleanup_fake_ struct fake fake;
	fake_init(&fake, ELFCLASS64, 1);
	_cleanup_(plan_destroyp) struct plan *plan = NULL;
	assert_ok(plan_create(&fake.snap, &fake.source, FILTER_MASK, PLAN_WITH_BINARIES, &plan));
	assert_int_equal(plan->n, 0);
	assert_int_equal(plan->dump_bytes, 0);
	plan_destroy(NULL);
}

static void test_names(void **state _unused_)
{
	for (int i = 0; i < PLAN_CLASS_MAX; i++) {
		const char *name = plan_class_name((enum plan_class)i);
		assert_true(name && *name);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(name, plan_class_name((enum plan_class)j));
	}
	assert_true(plan_class_dumped(PLAN_SPECIAL));
	assert_false(plan_class_dumped(PLAN_NOT_TOUCHED));
	assert_false(plan_class_dumped(PLAN_DEVICE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anonymous),    cmocka_unit_test(test_shared),
		cmocka_unit_test(test_private_file), cmocka_unit_test(test_hugetlb),
		cmocka_unit_test(test_excluded),     cmocka_unit_test(test_all),
		cmocka_unit_test(test_special),	     cmocka_unit_test(test_elf_headers),
		cmocka_unit_test(test_source_fails), cmocka_unit_test(test_binaries),
		cmocka_unit_test(test_binaries_devices), cmocka_unit_test(test_totals),
		cmocka_unit_test(test_postpone),     cmocka_unit_test(test_postpone_many),
		cmocka_unit_test(test_empty),	     cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
