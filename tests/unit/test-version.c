// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

#include "analyzer/go/version.h"

static void test_parse(void **state _unused_)
{
	static const struct {
		const char *text;
		int minor, patch;
	} cases[] = {
		{ "go1.22.5", 22, 5 },	     { "go1.11", 11, 0 },
		{ "go1.24rc2", 24, 0 },	     { "go1.21beta1", 21, 0 },
		{ "devel go1.28-a1b2c3", 28, 0 }, { "go1.26.4 X:nodwarf5", 26, 4 },
		{ "go1.9.", 9, 0 },	     { "go1.20.x", 20, 0 },
		{ "xgo1.3.4", 3, 4 },
	};
	static const char *const none[] = { "", "go", "go1", "go1.", "go1.x", "go2.3", "1.22", "g",
					    "devel +abcdef Mon Jan 2", "Go1.22" };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int minor = -1, patch = -1;
		assert_true(go_version_parse(cases[i].text, &minor, &patch));
		assert_int_equal(minor, cases[i].minor);
		assert_int_equal(patch, cases[i].patch);
	}
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		int minor = -1, patch = -1;
		assert_false(go_version_parse(none[i], &minor, &patch));
		assert_int_equal(minor, -1);
	}
	int minor, patch;
	assert_true(go_version_parse("go1.99999999999999999999.99999999999999", &minor, &patch));
	assert_true(minor > 27);
}

struct world {
	struct goprogram p;
	struct goopen o;
	struct go_runtime rt;
	struct image image;
};

/// The program, with other bytes where its build information is.
static void setup(struct world *w, int minor, const void *info, size_t len)
{
	*w = (struct world){ 0 };
	goprogram_init(&w->p, minor, EM_X86_64);
	uint64_t addr = gocore_ranges[GOCORE_DATA].start;
	if (info)
		GOCORE_CHECK(gocore_put(&w->p.gc, addr, info, len));
	goopen_core(&w->o, &w->p.gc);
	w->image = (struct image){ .start = GOCORE_BASE,
				   .end = addr + gocore_ranges[GOCORE_DATA].size };
	w->rt = (struct go_runtime){ .core = w->o.core, .mem = &w->o.core->memory,
				     .image = &w->image };
}

static void teardown(struct world *w)
{
	free(w->rt.modinfo);
	goopen_close(&w->o);
	gocore_deinit(&w->p.gc);
}

static void test_both_forms(void **state _unused_)
{
	for (int minor = 13; minor <= 27; minor++) {
		struct world w;
		char want[16];
		(void)snprintf(want, sizeof(want), "go1.%d", minor);
		setup(&w, minor, NULL, 0);
		assert_true(go_version_read(&w.rt));
		assert_string_equal(w.rt.version, want);
		assert_non_null(w.rt.modinfo);
		assert_memory_equal(w.rt.modinfo, "path\tmain\n", 10); // without what is around it
		assert_string_equal(strrchr(w.rt.modinfo, '='), "=true\n");
		teardown(&w);
	}
}

static const char head[] = "\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Header and what follows it, in the form with strings inside.
static void check_inline(const void *tail, size_t len, bool want, const char *version)
{
	struct world w;
	uint8_t info[256] = { 0 };
	memcpy(info, head, 32);
	memcpy(info + 32, tail, len);
	setup(&w, 22, info, sizeof(info));
	assert_int_equal(go_version_read(&w.rt), want);
	assert_string_equal(w.rt.version, version);
	teardown(&w);
}

static void test_inline_strings(void **state _unused_)
{
	char text[140];
	check_inline("\x06go1.22\0", 8, true, "go1.22");
	check_inline("\x86\0go1.22", 8, true, "go1.22"); // more bytes of length than needed
	check_inline("\0\0", 2, false, "");
	check_inline("\xff\xff\xff\xff\xff\xff", 6, false, ""); // endless
	check_inline("\xff\xff\xff\x7f", 4, false, ""); // 256 MiB
	memset(text, 'x', sizeof(text));
	text[0] = (char)0x88;
	text[1] = 1; // 136
	check_inline(text, 138, true,
		     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	// Module information that is longer than what there is.
	check_inline("\x06go1.22\xff\xff\xff\x01", 11, true, "go1.22");
	// Too short to have what is around it.
	check_inline("\x06go1.22\x10""0123456789abcdef", 24, true, "go1.22");
}

/// Pointers to strings of 4 GB, or to nowhere.
static void test_hostile_pointers(void **state _unused_)
{
	uint64_t data = gocore_ranges[GOCORE_DATA].start;
	static const uint64_t lengths[] = { 1ULL << 32, UINT64_MAX, 513, 1ULL << 63 };
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct world w;
		uint64_t info[8];
		memcpy(info, head, 32);
		((uint8_t *)info)[15] = 0;
		info[2] = data + 32;
		info[3] = i == 1 ? UINT64_MAX - 4 : data + 32;
		info[4] = data;
		info[5] = lengths[i];
		info[6] = info[7] = 0;
		setup(&w, 22, info, sizeof(info));
		assert_false(go_version_read(&w.rt));
		assert_true(!w.rt.modinfo || lengths[i] == 513); // that is no long one for modules
		teardown(&w);
	}
}

/// Where it is not at the beginning of the data: the first good one counts.
static void test_search(void **state _unused_)
{
	struct world w;
	uint8_t info[512] = { 0 };
	memcpy(info + 8, head, 32); // not aligned
	memcpy(info + 8 + 32, "\x05go1.1", 6);
	memcpy(info + 128, head, 32);
	memcpy(info + 128 + 32, "\x05go1.2", 6);
	setup(&w, 22, info, sizeof(info));
	assert_true(go_version_read(&w.rt));
	assert_string_equal(w.rt.version, "go1.2");
	teardown(&w);
	// Behind the end of the image.
	setup(&w, 22, info, sizeof(info));
	w.image.end = gocore_ranges[GOCORE_DATA].start + 64;
	assert_false(go_version_read(&w.rt));
	teardown(&w);
}

static int search_briefly(void *userdata)
{
	struct world *w = userdata;
	struct rlimit cpu = { 20, 20 };
	if (setrlimit(RLIMIT_CPU, &cpu) < 0)
		return 2;
	return go_version_read(&w->rt) ? 1 : 0;
}

/// An executable that claims to be larger than all memory is not searched for as long.
static void test_huge_segment(void **state _unused_)
{
	Elf64_Phdr phdrs[] = {
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 0x10000,
		  .p_filesz = 1ULL << 62 },
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = UINT64_MAX - 0xffff,
		  .p_filesz = 0xffff },
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = UINT64_MAX - 7,
		  .p_filesz = 5 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(phdrs); i++) {
		struct world w;
		setup(&w, 22, "nothing of the kind", 20);
		w.image.elf.phdrs = &phdrs[i];
		w.image.elf.n_phdrs = 1;
		assert_int_equal(test_wait(test_fork(search_briefly, &w)), 0);
		w.image.elf = (struct elf_file){ 0 };
		teardown(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	       cmocka_unit_test(test_both_forms),
		cmocka_unit_test(test_inline_strings), cmocka_unit_test(test_hostile_pointers),
		cmocka_unit_test(test_search),	       cmocka_unit_test(test_huge_segment),
	};
	return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
