// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "analyzer/go/layout.h"

enum { MINORS = GO_MINOR_MAX - GO_MINOR_MIN + 1 };

/*
 * Numbers that were taken from src/runtime of each version on their own, not from layout.c. The
 * fields are those that moved, and some that did not. From 1.11 to 1.27; -1: none.
 */
static const struct {
	enum go_field field;
	int offset[MINORS];
} expected[] = {
	{ GO_G_ATOMICSTATUS,
	  { 144, 144, 144, 144, 144, 144, 144, 144, 144, 144, 144, 144, 152, 152, 144, 144, 144 } },
	{ GO_G_GOID,
	  { 152, 152, 152, 152, 152, 152, 152, 152, 152, 152, 152, 152, 160, 160, 152, 152, 152 } },
	{ GO_G_SCHED_LR,
	  { 96, 96, 96, 96, 96, 96, 96, 96, 96, 96, 96, 96, 96, 96, 88, 88, 88 } },
	{ GO_G_LOCKEDM,
	  { 216, 216, 216, 216, 216, 216, 232, 232, 232, 232, 208, 208, 216, 216, 208, 208, 208 } },
	{ GO_G_STARTPC,
	  { 296, 296, 296, 296, 296, 296, 312, 312, 312, 312, 296, 296, 304, 304, 296, 304, 304 } },
	{ GO_G_LABELS,
	  { 344, 344, 344, 344, 344, 344, 360, 360, 360, 360, 344, 344, 352, 352, 344, 352, 352 } },
	{ GO_G_PARENT_GOID,
	  { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 272, 272, 280, 280, 272, 280, 280 } },
	{ GO_G_SLEEP_WHEN,
	  { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 368, 368, 360, 368, 368 } },
	{ GO_G_SIZE,
	  { 376, 376, 376, 376, 376, 376, 392, 392, 392, 392, 408, 424, 432, 440, 440, 456, 456 } },
	{ GO_M_PROCID,
	  { 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 64, 64, 64 } },
	{ GO_M_P,
	  { 208, 208, 208, 208, 208, 208, 208, 208, 208, 208, 208, 208, 208, 208, 200, 208, 208 } },
	{ GO_M_ALLLINK,
	  { 328, 336, 336, 336, 336, 344, 344, 336, 336, 336, 336, 328, 328, 328, 344, 352, 352 } },
	{ GO_M_LOCKEDG,
	  { 352, 360, 360, 360, 352, 360, 360, 352, 352, 352, 352, 344, 344, 344, 360, 384, 384 } },
	{ GO_M_VDSO_SP,
	  { 808, 816, 816, 808, 800, 832, 832, 800, 800, 800, 808, 1120, 856, 880,
	    896, 896, 896 } },
	{ GO_M_INCGO,
	  { 277, 281, 280, 280, 280, 280, 280, 280, 280, 280, 280, 280, 280, 280, 272, 280, 280 } },
	{ GO_P_STATUS,
	  { 12, 12, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4 } },
	{ GO_P_M,
	  { 64, 64, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 48, 48, 48, 48, 48 } },
	{ GO_P_RUNNEXT,
	  { 3560, 3560, 3552, 3576, 3576, 3576, 3576, 2456, 2456, 2456, 2456, 2456,
	    2448, 2448, 2448, 2456, 2456 } },
	{ GO_SCHED_NMIDLE,
	  { 32, 32, 32, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 48, 64, 64 } },
	{ GO_SUDOG_NEXT,
	  { 16, 16, 16, 16, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8 } },
	{ GO_SUDOG_ELEM,
	  { 32, 32, 32, 32, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24 } },
	{ GO_SUDOG_WAITLINK,
	  { 72, 72, 72, 72, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 72, 72 } },
	{ GO_SUDOG_C,
	  { 88, 88, 88, 88, 80, 80, 80, 80, 80, 80, 80, 80, 80, 80, 80, 88, 88 } },
	{ GO_HCHAN_CLOSED,
	  { 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28 } },
	{ GO_HCHAN_RECVQ_FIRST,
	  { 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 64, 64, 64, 64, 64 } },
	{ GO_HCHAN_SENDQ_FIRST,
	  { 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 80, 80, 80, 80, 80 } },
	{ GO_PANIC_ARG,
	  { 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 0, 0 } },
	{ GO_PANIC_LINK,
	  { 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 16, 16 } },
	{ GO_PANIC_RECOVERED,
	  { 32, 32, 32, 48, 48, 48, 48, 48, 48, 48, 48, 96, 96, 96, 96, 88, 88 } },
	{ GO_PANIC_GOEXIT,
	  { -1, -1, -1, 50, 50, 50, 50, 50, 50, 50, 50, 97, 97, 97, 98, 90, 90 } },
	{ GO_MODULE_FTAB,
	  { 24, 24, 24, 24, 24, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128 } },
	{ GO_MODULE_TYPES,
	  { 200, 200, 200, 200, 200, 280, 280, 280, 280, 296, 296, 296, 296, 296, 296, 296, 296 } },
	{ GO_MODULE_ETYPES,
	  { 208, 208, 208, 208, 208, 288, 288, 288, 288, 304, 304, 304, 304, 304, 304, 304, 312 } },
	{ GO_MODULE_GOFUNC,
	  { -1, -1, -1, -1, -1, -1, -1, 304, 304, 320, 320, 320, 320, 320, 320, 320, 344 } },
	{ GO_MODULE_NEXT,
	  { 448, 448, 448, 448, 448, 528, 528, 544, 544, 560, 584, 584, 576, 576, 576, 584, 560 } },
};

static void test_offsets(void **state _unused_)
{
	for (int minor = GO_MINOR_MIN; minor <= GO_MINOR_MAX; minor++) {
		struct go_layout layout;
		assert_true(go_layout_init(&layout, minor, 0));
		assert_int_equal(layout.minor, minor);
		for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
			int want = expected[i].offset[minor - GO_MINOR_MIN];
			if (layout.offset[expected[i].field] != want)
				fail_msg("1.%d, field %d: %d, not %d", minor, expected[i].field,
					 layout.offset[expected[i].field], want);
		}
	}
}

/// No field lies beyond its structure, and those that every version has are there.
static void test_sane(void **state _unused_)
{
	for (int minor = GO_MINOR_MIN; minor <= GO_MINOR_MAX; minor++) {
		struct go_layout l;
		assert_true(go_layout_init(&l, minor, 0));
		for (int f = 0; f < GO_FIELD_MAX; f++)
			assert_true(l.offset[f] >= GO_NONE && l.offset[f] < 4096);
		for (int f = GO_G_STACK_LO; f < GO_G_SIZE; f++)
			assert_true(l.offset[f] < l.offset[GO_G_SIZE]);
		assert_int_not_equal(l.offset[GO_G_LABELS], GO_NONE);
		assert_int_not_equal(l.offset[GO_SUDOG_ELEM], GO_NONE);
		assert_int_not_equal(l.offset[GO_PANIC_ARG], GO_NONE);
		assert_int_not_equal(l.offset[GO_MODULE_PCLNTABLE], GO_NONE);
	}
}

static void test_other_versions(void **state _unused_)
{
	struct go_layout layout, newest;
	assert_false(go_layout_init(&layout, GO_MINOR_MIN - 1, 0));
	assert_false(go_layout_init(&layout, 0, 0));
	assert_false(go_layout_init(&layout, -1, 0));
	assert_true(go_layout_init(&newest, GO_MINOR_MAX, 0));
	assert_true(go_layout_init(&layout, GO_MINOR_MAX + 1, 0)); // tried with the newest one
	assert_int_equal(layout.minor, GO_MINOR_MAX);
	assert_memory_equal(layout.offset, newest.offset, sizeof(newest.offset));
	assert_true(go_layout_init(&layout, INT32_MAX, INT32_MAX));
	assert_int_equal(layout.minor, GO_MINOR_MAX);
}

// ---- formats of the tables -----------------------------------------------------------------

static void test_formats(void **state _unused_)
{
	static const struct {
		int minor;
		uint8_t entry, name, pcsp, id, nfuncdata, pcdata, inl_bytes, parent_pc;
		uint8_t inltree_pcdata, inltree_funcdata, arginfo, wrapper;
		bool cu_table, offsets;
	} want[] = {
		{ 11, 16, 8, 20, 16, 36, 40, 16, 0xff, 1, 2, 0xff, 0xff, false, false },
		{ 12, 16, 8, 20, 36, 39, 40, 20, 16, 1, 2, 0xff, 20, false, false },
		{ 13, 16, 8, 20, 36, 39, 40, 20, 16, 2, 4, 0xff, 20, false, false },
		{ 15, 16, 8, 20, 36, 39, 40, 20, 16, 2, 4, 0xff, 22, false, false },
		{ 16, 16, 8, 20, 40, 43, 44, 20, 16, 2, 3, 0xff, 22, true, false },
		{ 17, 16, 8, 20, 40, 43, 44, 20, 16, 2, 3, 5, 22, true, false },
		{ 18, 8, 4, 16, 36, 39, 40, 20, 16, 2, 3, 5, 21, true, true },
		{ 20, 8, 4, 16, 40, 43, 44, 16, 8, 2, 3, 5, 21, true, true },
		{ 22, 8, 4, 16, 40, 43, 44, 16, 8, 2, 3, 5, 22, true, true },
		{ 25, 8, 4, 16, 40, 43, 44, 16, 8, 2, 3, 5, 23, true, true },
		{ 27, 8, 4, 16, 40, 43, 44, 16, 8, 2, 3, 5, 23, true, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct go_layout layout;
		assert_true(go_layout_init(&layout, want[i].minor, 0));
		const struct go_format *f = &layout.format;
		assert_int_equal(f->functab_entry_bytes, want[i].entry);
		assert_int_equal(f->func_name, want[i].name);
		assert_int_equal(f->func_pcsp, want[i].pcsp);
		assert_int_equal(f->func_id, want[i].id);
		assert_int_equal(f->func_nfuncdata, want[i].nfuncdata);
		assert_int_equal(f->func_pcdata, want[i].pcdata);
		assert_int_equal(f->inl_bytes, want[i].inl_bytes);
		assert_int_equal(f->inl_parent_pc, want[i].parent_pc);
		assert_int_equal(f->pcdata_inltree, want[i].inltree_pcdata);
		assert_int_equal(f->funcdata_inltree, want[i].inltree_funcdata);
		assert_int_equal(f->funcdata_arginfo, want[i].arginfo);
		assert_int_equal(f->id_wrapper, want[i].wrapper);
		assert_int_equal(f->cu_table, want[i].cu_table);
		assert_int_equal(f->funcdata_offsets, want[i].offsets);
	}
}

// ---- wait reasons --------------------------------------------------------------------------

static void test_reasons(void **state _unused_)
{
	static const struct {
		int minor, patch, n, value;
		const char *text;
	} want[] = {
		{ 11, 0, 24, 13, "chan receive" },
		{ 12, 17, 24, 23, "GC worker (idle)" },
		{ 13, 0, 25, 13, "GC scavenge wait" },
		{ 14, 0, 26, 25, "preempted" },
		{ 15, 0, 27, 26, "debug call" },
		{ 19, 13, 27, 18, "semacquire" },
		{ 20, 0, 32, 21, "sync.Mutex.Lock" },
		{ 21, 0, 32, 31, "stopping the world" },
		{ 22, 12, 37, 36, "coroutine" },
		{ 23, 3, 37, 36, "coroutine" },
		{ 23, 4, 38, 37, "GC weak to strong wait" },
		{ 24, 0, 44, 24, "sync.WaitGroup.Wait" },
		{ 24, 4, 44, 43, "select (synctest)" },
		{ 25, 0, 47, 18, "GOMAXPROCS updater (idle)" },
		{ 25, 0, 47, 46, "cleanup wait" },
		{ 26, 0, 47, 3, "dumping heap" },
		{ 26, 0, 47, 19, "chan receive" },
		{ 27, 4, 47, 15, "chan receive (nil chan)" },
		{ 28, 0, 47, 18, "select" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct go_layout layout;
		assert_true(go_layout_init(&layout, want[i].minor, want[i].patch));
		assert_int_equal(layout.n_wait_reasons, want[i].n);
		assert_string_equal(layout.wait_reasons[want[i].value], want[i].text);
		assert_string_equal(layout.wait_reasons[0], "");
		assert_string_equal(layout.wait_reasons[1], "GC assist marking");
		assert_string_equal(layout.wait_reasons[2], "IO wait");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets),	       cmocka_unit_test(test_sane),
		cmocka_unit_test(test_other_versions), cmocka_unit_test(test_formats),
		cmocka_unit_test(test_reasons),
	};
	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
