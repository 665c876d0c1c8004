// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "analyzer/expression.h"
#include "analyzer/native.h"
#include "common/fd.h"
#include "ehmake.h"

/*
 * Expressions, entries and rows made by hand, right and wrong ones.
 */

enum { RBX = 3, RBP = 6, RSP = 7, R12 = 12 };

struct world {
	struct ehmake eh;
	int fd;
	struct source *source;
	struct memory mem;
	struct eh_frame frame;
	struct eh_entry entry;
	struct cfi_regs regs;
};

static void setup(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->frame = (struct eh_frame){ .start = EHMAKE_FRAME, .end = EHMAKE_HDR };
	w->regs.pc = EHMAKE_CODE + 0x80;
	cfi_set(&w->regs, RSP, EHMAKE_STACK + 0x100);
	cfi_set(&w->regs, RBP, EHMAKE_STACK + 0x200);
	cfi_set(&w->regs, RBX, 0xbbbb);
	for (uint64_t i = 0; i < 0x400; i += 8)
		eh_put_u64(&w->eh, EHMAKE_STACK + i, 0x5000 + i);
}

static void load(struct world *w)
{
	w->fd = test_memfd();
	assert_int_equal(snap_pwrite_all(w->fd, w->eh.bytes, EHMAKE_BYTES, 0), 0);
	assert_ok(source_create(w->fd, SOURCE_FILE, &w->source));
	const struct mem_region region = { .start = EHMAKE_BASE,
					   .end = EHMAKE_BASE + EHMAKE_BYTES,
					   .source = w->source };
	assert_int_equal(memory_add(&w->mem, MEM_CORE, &region), 0);
}

static void unload(struct world *w)
{
	memory_deinit(&w->mem);
	source_destroy(w->source);
	(void)close(w->fd);
}

static enum cfi_result step(struct world *w)
{
	assert_true(eh_find(&w->mem, &w->frame, w->regs.pc, &w->entry));
	return cfi_step(&w->entry, &native_x86_64.cfi, &w->mem, w->regs.pc, &w->regs);
}

/// What a function with these instructions does, called with the usual registers.
static enum cfi_result run(struct world *w, const void *code, size_t n)
{
	setup(w);
	eh_common(&w->eh, "zR", NULL, 0);
	(void)eh_function(&w->eh, 0, code, n);
	load(w);
	enum cfi_result result = step(w);
	unload(w);
	return result;
}

#define RUN(w, ...)                                          \
	({                                                   \
		const uint8_t _code[] = { __VA_ARGS__ };     \
		run(w, _code, sizeof(_code));                \
	})

// ---- numbers and expressions ---------------------------------------------------------------

static void test_leb128(void **state _unused_)
{
	static const struct {
		uint8_t bytes[12];
		size_t size;
		uint64_t u;
		int64_t s;
		bool bad;
	} cases[] = {
		{ { 0 }, 1, 0, 0, false },
		{ { 0x7f }, 1, 127, -1, false },
		{ { 0x80, 0x01 }, 2, 128, 128, false },
		{ { 0x80, 0x7f }, 2, 0x3f80, -128, false },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1 }, 10, UINT64_MAX, -1,
		  false },
		{ { 0x81, 0x80, 0x80, 0 }, 4, 1, 1, false }, // longer than need be
		{ { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0 }, 11, 0, 0, true },
		{ { 0x80, 0x80 }, 2, 0, 0, true }, // the end is missing
		{ { 0 }, 0, 0, 0, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span a = span_of(cases[i].bytes, cases[i].size), b = a;
		uint64_t at = 0, u = span_uleb(&a, &at);
		assert_true(cases[i].bad || at == cases[i].size);
		at = 0;
		int64_t s = span_sleb(&b, &at);
		assert_int_equal(a.bad, cases[i].bad);
		assert_int_equal(b.bad, cases[i].bad);
		assert_true(cases[i].bad || u == cases[i].u);
		assert_true(cases[i].bad || s == cases[i].s);
	}
}

static bool eval(struct world *w, const uint8_t *code, size_t n, uint64_t *ret)
{
	const struct expression_regs regs = { w->regs.values, w->regs.known, 17 };
	const uint64_t first = 100;
	return expression_eval(span_of(code, n), &w->mem, &regs, &first, ret);
}

#define EVAL(w, ret, ...)                                    \
	({                                                   \
		const uint8_t _code[] = { __VA_ARGS__ };     \
		eval(w, _code, sizeof(_code), ret);          \
	})

static void test_expressions(void **state _unused_)
{
	struct world w;
	uint64_t v;
	setup(&w);
	load(&w);
	assert_true(EVAL(&w, &v, 0x77, 8) && v == EHMAKE_STACK + 0x108); // breg7
	assert_true(EVAL(&w, &v, 0x92, 3, 0x7f) && v == 0xbbba); // bregx
	assert_true(EVAL(&w, &v, 0x77, 0, 0x06) && v == 0x5100); // deref
	assert_true(EVAL(&w, &v, 0x77, 0, 0x94, 1) && v == 0); // deref_size
	assert_true(EVAL(&w, &v, 0x23, 0x80, 1) && v == 228); // plus_uconst
	assert_true(EVAL(&w, &v, 0x09, 0xff) && v == UINT64_MAX); // const1s
	assert_true(EVAL(&w, &v, 0x0a, 1, 2) && v == 0x201); // const2u
	assert_true(EVAL(&w, &v, 0x0d, 0, 0, 0, 0x80) && v == 0xffffffff80000000ULL); // const4s
	assert_true(EVAL(&w, &v, 0x38, 0x32, 0x1c) && v == 6); // 8 - 2
	assert_true(EVAL(&w, &v, 0x3a, 0x33, 0x1b) && v == 3); // 10 / 3
	assert_true(EVAL(&w, &v, 0x31, 0x1f, 0x31, 0x26) && v == UINT64_MAX); // -1 >> 1
	assert_true(EVAL(&w, &v, 0x31, 0x08, 64, 0x24) && v == 0); // 1 << 64
	assert_true(EVAL(&w, &v, 0x31, 0x32, 0x33, 0x17, 0x13, 0x13) && v == 3); // rot
	assert_true(EVAL(&w, &v, 0x31, 0x32, 0x16) && v == 1); // swap
	assert_true(EVAL(&w, &v, 0x31, 0x32, 0x15, 1) && v == 1); // pick
	assert_true(EVAL(&w, &v, 0x31, 0x28, 1, 0, 0x30, 0x35) && v == 5); // bra over lit0
	assert_true(EVAL(&w, &v, 0x96) && v == 100); // what was there before
	unload(&w);
}

static void test_bad_expressions(void **state _unused_)
{
	struct world w;
	uint64_t v;
	uint8_t pushes[EXPRESSION_STACK];
	setup(&w);
	load(&w);
	assert_false(EVAL(&w, &v, 0x70, 0)); // a register that nobody knows
	assert_false(EVAL(&w, &v, 0x82, 0)); // one that the machine does not have
	assert_false(EVAL(&w, &v, 0x30, 0x06)); // memory that is not there
	assert_false(EVAL(&w, &v, 0x38, 0x30, 0x1b)); // division by 0
	assert_false(EVAL(&w, &v, 0x38, 0x30, 0x1d));
	assert_false(EVAL(&w, &v, 0x31, 0x08, 63, 0x24, 0x31, 0x1f, 0x1b)); // and what overflows
	assert_false(EVAL(&w, &v, 0x13, 0x13)); // nothing on the stack
	assert_false(EVAL(&w, &v, 0x13)); // nothing left of it
	assert_false(EVAL(&w, &v, 0x15, 1));
	assert_false(EVAL(&w, &v, 0x2f, 0xfd, 0xff)); // a circle
	assert_false(EVAL(&w, &v, 0x2f, 0xf0, 0xff)); // to before the beginning
	assert_false(EVAL(&w, &v, 0x2f, 1, 0)); // to behind the end
	assert_false(EVAL(&w, &v, 0x2f, 1)); // an operand that is cut
	assert_false(EVAL(&w, &v, 0x0e, 1, 2, 3));
	assert_false(EVAL(&w, &v, 0x94, 9));
	assert_false(EVAL(&w, &v, 0x9c)); // DW_OP_call_frame_cfa
	assert_false(EVAL(&w, &v, 0x03, 1));
	memset(pushes, 0x30, sizeof(pushes));
	assert_false(eval(&w, pushes, sizeof(pushes), &v));
	assert_true(eval(&w, pushes, sizeof(pushes) - 1, &v));
	unload(&w);
}

// ---- rows ----------------------------------------------------------------------------------

static void test_rows(void **state _unused_)
{
	struct world w;
	// At its beginning only the return address is on the stack.
	assert_int_equal(RUN(&w, 0), CFI_CALLER);
	assert_true(w.regs.pc == 0x5100);
	assert_true(w.regs.values[RSP] == EHMAKE_STACK + 0x108);
	assert_true(cfi_known(&w.regs, RBX) && w.regs.values[RBX] == 0xbbbb);
	assert_false(cfi_known(&w.regs, 0)); // rax is nobody's after a call
	// push rbp; mov rsp, rbp; push rbx
	assert_int_equal(RUN(&w, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x83, 3), CFI_CALLER);
	assert_true(w.regs.pc == 0x5208 && w.regs.values[RSP] == EHMAKE_STACK + 0x210);
	assert_true(w.regs.values[RBP] == 0x5200 && w.regs.values[RBX] == 0x51f8);
	// What comes behind the pc does not hold yet; what comes right at it does.
	assert_int_equal(RUN(&w, 0x02, 0x80, 0x0e, 24, 0x41, 0x0e, 48), CFI_CALLER);
	assert_true(w.regs.values[RSP] == EHMAKE_STACK + 0x118);
	// The state that was remembered, and the rule of the beginning.
	assert_int_equal(RUN(&w, 0x0e, 32, 0x83, 2, 0x0a, 0x0e, 8, 0xc3, 0x0b), CFI_CALLER);
	assert_true(w.regs.values[RSP] == EHMAKE_STACK + 0x120);
	assert_true(w.regs.values[RBX] == 0x5110);
	assert_int_equal(RUN(&w, 0x83, 2, 0xc3), CFI_CALLER);
	assert_true(w.regs.values[RBX] == 0xbbbb);
	// The caller's registers by all other rules.
	assert_int_equal(RUN(&w, 0x14, 3, 2, 0x09, 12, 6, 0x07, 6), CFI_CALLER);
	assert_true(w.regs.values[RBX] == EHMAKE_STACK + 0x108 - 16);
	assert_true(w.regs.values[R12] == EHMAKE_STACK + 0x200);
	assert_false(cfi_known(&w.regs, RBP));
	assert_int_equal(RUN(&w, 0x10, 3, 2, 0x23, 16, 0x16, 6, 2, 0x23, 16), CFI_CALLER);
	assert_true(w.regs.values[RBX] == 0x5118); // where it is
	assert_true(w.regs.values[RBP] == EHMAKE_STACK + 0x118); // what it is
	// The thread's first function.
	assert_int_equal(RUN(&w, 0x07, 16), CFI_TOP);
	assert_true(w.regs.pc == EHMAKE_CODE + 0x80);
	// Registers that are not kept.
	assert_int_equal(RUN(&w, 0x05, 60, 1, 0x2e, 5), CFI_CALLER);
}

/// As linkers make it for the table of procedures: 8 bytes more from the 12th byte of 16 on.
static void test_plt(void **state _unused_)
{
	static const uint8_t code[] = { 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a,
					0x3b, 0x2a, 0x33, 0x24, 0x22 };
	for (uint64_t pc = 0; pc < 32; pc++) {
		struct world w;
		setup(&w);
		eh_common(&w.eh, "zR", NULL, 0);
		(void)eh_function(&w.eh, 0, code, sizeof(code));
		load(&w);
		w.regs.pc = EHMAKE_CODE + pc;
		assert_int_equal(step(&w), CFI_CALLER);
		assert_true(w.regs.values[RSP] ==
			    EHMAKE_STACK + 0x108 + (pc % 16 >= 11 ? 8 : 0));
		unload(&w);
	}
}

static void test_bad_rows(void **state _unused_)
{
	struct world w;
	assert_int_equal(RUN(&w, 0x0b), CFI_UNKNOWN); // nothing was remembered
	assert_int_equal(RUN(&w, 0x0f, 0x20, 0x77, 8), CFI_UNKNOWN); // behind the end
	assert_int_equal(RUN(&w, 0x0f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
			     0x80, 0),
			 CFI_UNKNOWN);
	assert_int_equal(RUN(&w, 0x0f, 2, 0x77, 8, 0x0e, 8), CFI_UNKNOWN); // no number to change
	assert_int_equal(RUN(&w, 0x0f, 2, 0x77, 8, 0x0d, 6), CFI_UNKNOWN);
	assert_int_equal(RUN(&w, 0x0d, 40), CFI_UNKNOWN); // no such register
	assert_int_equal(RUN(&w, 0x0d, 0), CFI_UNKNOWN); // one that nobody knows
	assert_int_equal(RUN(&w, 0x01, 0, 0, 0, 0, 0, 0, 0, 0), CFI_UNKNOWN); // set_loc
	assert_int_equal(RUN(&w, 0x3f), CFI_UNKNOWN); // no such instruction
	assert_int_equal(RUN(&w, 0x0e, 0x80, 0x80, 0x80, 0x80, 4), CFI_UNREADABLE);
	assert_int_equal(RUN(&w, 0x16, 16, 1, 0x70), CFI_UNKNOWN);
	uint8_t remember[CFI_ROWS_KEPT + 1];
	memset(remember, 0x0a, sizeof(remember));
	assert_int_equal(run(&w, remember, sizeof(remember)), CFI_UNKNOWN);
	assert_int_equal(run(&w, remember, sizeof(remember) - 1), CFI_CALLER);
	// Numbers that overflow give addresses where nothing is.
	assert_int_equal(RUN(&w, 0x13, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
			 CFI_CALLER);
}

static void test_aarch64(void **state _unused_)
{
	static const uint8_t leaf[] = { 0x0c, 31, 0 }, sign[] = { 0x0c, 31, 0, 0x2d };
	const struct cfi_machine *machine = &native_aarch64.cfi;
	for (int i = 0; i < 2; i++) {
		struct cfi_regs regs = { .pc = 0x1000 };
		struct eh_entry entry = { .start = 0x1000, .end = 0x1100, .code_align = 4,
					  .data_align = -8, .return_column = 30 };
		struct memory mem = { 0 };
		entry.common = i ? span_of(sign, sizeof(sign)) : span_of(leaf, sizeof(leaf));
		cfi_set(&regs, 30, 0xab00000000002000);
		cfi_set(&regs, 31, 0x7000);
		cfi_set(&regs, 19, 19);
		cfi_set(&regs, 0, 1);
		assert_int_equal(cfi_step(&entry, machine, &mem, 0x1000, &regs), CFI_CALLER);
		assert_true(regs.pc == (i ? 0x2000 : 0xab00000000002000));
		assert_true(regs.values[31] == 0x7000 && regs.values[19] == 19);
		assert_false(cfi_known(&regs, 0) || cfi_known(&regs, 30));
	}
}

// ---- entries -------------------------------------------------------------------------------

static bool found(struct world *w, uint64_t pc)
{
	bool yes = eh_find(&w->mem, &w->frame, pc, &w->entry);
	if (yes)
		assert_true(pc >= w->entry.start && pc < w->entry.end);
	return yes;
}

static void test_find(void **state _unused_)
{
	enum { N = 100 };
	static const uint8_t nop = 0;
	for (int header = 0; header < 2; header++) {
		struct world w;
		uint64_t entries[N];
		setup(&w);
		for (int i = 0; i < N; i++) {
			if (i % 40 == 0)
				eh_common(&w.eh, i ? "zRS" : "zR", &nop, 1);
			entries[i] = eh_function(&w.eh, i, &nop, 1);
		}
		if (header) {
			eh_header(&w.eh, entries, N);
			w.frame.hdr = EHMAKE_HDR;
			w.frame.hdr_end = EHMAKE_HDR + 12 + N * 8;
			w.frame.start = w.frame.end = 0;
		}
		load(&w);
		for (int i = 0; i < N; i++) {
			uint64_t start = EHMAKE_CODE + (uint64_t)i * EHMAKE_FUNC_BYTES;
			assert_true(found(&w, start));
			assert_true(w.entry.start == start);
			assert_int_equal(w.entry.is_signal, i >= 40);
			assert_true(found(&w, start + EHMAKE_FUNC_BYTES - 1));
			assert_true(w.entry.start == start);
		}
		assert_false(found(&w, EHMAKE_CODE - 1));
		assert_false(found(&w, EHMAKE_CODE + N * EHMAKE_FUNC_BYTES));
		assert_false(found(&w, 0) || found(&w, UINT64_MAX));
		unload(&w);
	}
}

/// One thing after the other is wrong, at @offset of a CIE or an FDE behind it.
static void test_bad_entries(void **state _unused_)
{
	enum { COMMON = 0, OWN = 1 };
	static const struct {
		int entry;
		size_t offset, size;
		uint32_t value;
	} cases[] = {
		{ COMMON, 0, 4, 0 }, // the end
		{ COMMON, 0, 4, 3 },
		{ COMMON, 0, 4, UINT32_MAX }, // 64-bit DWARF
		{ COMMON, 0, 4, 0x7fffffff }, // longer than all there is
		{ COMMON, 4, 4, 4 }, // a CIE that is an FDE
		{ COMMON, 8, 1, 2 }, // a version that was never there
		{ COMMON, 9, 1, 'x' },
		{ COMMON, 15, 1, 0xff }, // augmentation, longer than the entry
		{ COMMON, 16, 1, 0x9b }, // indirect
		{ COMMON, 16, 1, 0x5b }, // aligned
		{ COMMON, 16, 1, 0x1f }, // no such format
		{ COMMON, 16, 1, 0xff }, // none at all
		{ OWN, 0, 4, UINT32_MAX },
		{ OWN, 0, 4, 0x10000 },
		{ OWN, 4, 4, 4 }, // it names itself as its CIE
		{ OWN, 4, 4, 0 },
		{ OWN, 4, 4, 0x100000 }, // before the beginning of memory
		{ OWN, 4, 4, 8 },
		{ OWN, 16, 1, 0x7f }, // augmentation
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int header = 0; header < 2; header++) {
			struct world w;
			setup(&w);
			eh_common(&w.eh, "zR", NULL, 0);
			uint64_t entries[] = { eh_function(&w.eh, 0, "", 1) };
			uint64_t at = cases[i].entry == OWN ? entries[0] : EHMAKE_FRAME;
			memcpy(w.eh.bytes + (at - EHMAKE_BASE) + cases[i].offset, &cases[i].value,
			       cases[i].size);
			eh_header(&w.eh, entries, 1);
			if (header)
				w.frame = (struct eh_frame){ .hdr = EHMAKE_HDR,
							     .hdr_end = EHMAKE_HDR + 20 };
			load(&w);
			if (found(&w, EHMAKE_CODE + 1))
				fail_msg("case %zu was believed", i);
			unload(&w);
		}
}

static void test_bad_headers(void **state _unused_)
{
	for (int i = 0; i < 6; i++) {
		struct world w;
		uint64_t entries[1];
		setup(&w);
		eh_common(&w.eh, "zR", NULL, 0);
		entries[0] = eh_function(&w.eh, 0, "", 1);
		eh_header(&w.eh, entries, 1);
		w.frame = (struct eh_frame){ .hdr = EHMAKE_HDR, .hdr_end = EHMAKE_HDR + 20 };
		uint8_t *head = w.eh.bytes + (EHMAKE_HDR - EHMAKE_BASE);
		bool want = true;
		if (i == 0)
			head[0] = 2, want = false; // another version, and no other table
		else if (i == 1)
			head[3] = 0xff; // no table, but it knows where the entries are
		else if (i == 2)
			head[2] = 0xff;
		else if (i == 3)
			eh_put_u32(&w.eh, EHMAKE_HDR + 8, UINT32_MAX); // more than there is room for
		else if (i == 4)
			eh_put_u32(&w.eh, EHMAKE_HDR + 8, 0), want = false;
		else
			w.frame.hdr_end = EHMAKE_HDR + 3, want = false;
		load(&w);
		assert_int_equal(found(&w, EHMAKE_CODE + 1), want);
		unload(&w);
	}
}

/// Whatever the bytes are, it ends, and what is found contains the pc.
static void test_any_bytes(void **state _unused_)
{
	uint64_t seed = 1;
	for (int i = 0; i < 3000; i++) {
		struct world w;
		uint64_t entries[1];
		setup(&w);
		eh_common(&w.eh, "zR", NULL, 0);
		entries[0] = eh_function(&w.eh, 0, "\x41\x0e\x10\x86\x02\x43\x0d\x06", 8);
		eh_header(&w.eh, entries, 1);
		if (i & 1)
			w.frame = (struct eh_frame){ .hdr = EHMAKE_HDR,
						     .hdr_end = EHMAKE_HDR + 20 };
		for (int j = 0; j < 3; j++) {
			size_t at = (size_t)test_random(&seed) % (w.eh.at + 20);
			uint8_t *to = at < w.eh.at ? w.eh.bytes + at :
						     w.eh.bytes + (EHMAKE_HDR - EHMAKE_BASE) +
							     (at - w.eh.at);
			*to = (uint8_t)test_random(&seed);
		}
		load(&w);
		if (found(&w, w.regs.pc))
			(void)cfi_step(&w.entry, &native_x86_64.cfi, &w.mem, w.regs.pc, &w.regs);
		unload(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leb128),	    cmocka_unit_test(test_expressions),
		cmocka_unit_test(test_bad_expressions), cmocka_unit_test(test_rows),
		cmocka_unit_test(test_plt),	    cmocka_unit_test(test_bad_rows),
		cmocka_unit_test(test_aarch64),	    cmocka_unit_test(test_find),
		cmocka_unit_test(test_bad_entries), cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_any_bytes),
	};
	return cmocka_run_group_tests_name("cfi", tests, NULL, NULL);
}
