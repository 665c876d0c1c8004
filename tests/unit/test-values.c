// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

#include <math.h>

#include "analyzer/go/values.h"

/*
 * Values as the runtime prints them: arguments of frames, what panics carry, labels. The texts of
 * numbers are what println() of Go 1.19 and 1.27 says.
 */

struct world {
	struct goprogram p;
	struct goopen o;
};

static const int minors[] = { 11, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27 };

static void setup(struct world *w, int minor, uint16_t machine)
{
	*w = (struct world){ 0 };
	goprogram_init(&w->p, minor, machine);
}

static void open_world(struct world *w)
{
	goopen_core(&w->o, &w->p.gc);
	goopen_runtime(&w->o);
	assert_non_null(w->o.rt);
}

static void teardown(struct world *w)
{
	goopen_close(&w->o);
	gocore_deinit(&w->p.gc);
}

// ---- interfaces ----------------------------------------------------------------------------

static uint64_t add_interface(struct world *w, uint64_t type, const void *data, size_t len)
{
	uint64_t addr = gocore_alloc(&w->p.gc, GOCORE_HEAP, 16);
	uint64_t at = gocore_alloc(&w->p.gc, GOCORE_HEAP, 24);
	GOCORE_CHECK(gocore_put(&w->p.gc, at, data, len));
	gocore_u64(&w->p.gc, addr, type);
	gocore_u64(&w->p.gc, addr + 8, at);
	return addr;
}

static void check_interface(struct world *w, uint64_t addr, const char *want)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	assert_int_equal(go_interface_text(w->o.rt, addr, &text), 0);
	assert_string_equal(text.data, want);
}

/// The text of one value of a type of the language.
static void check_value(int minor, uint8_t kind, const void *data, size_t len, const char *want)
{
	struct world w;
	setup(&w, minor, EM_X86_64);
	uint64_t type = gocore_type(&w.p.gc, "basic", kind, GOPROGRAM_TFLAG_NAMED);
	uint64_t addr = add_interface(&w, type, data, len);
	open_world(&w);
	check_interface(&w, addr, want);
	teardown(&w);
}

static void test_floats(void **state _unused_)
{
	static const struct {
		double v;
		const char *old, *new;
	} cases[] = {
		{ 0.0, "+0.000000e+000", "0" },
		{ -0.0, "-0.000000e+000", "-0" },
		{ 1.0, "+1.000000e+000", "1" },
		{ -1.5, "-1.500000e+000", "-1.5" },
		{ 0.1, "+1.000000e-001", "0.1" },
		{ 1e-300, "+1.000000e-300", "1e-300" },
		{ 5e-324, "+4.940656e-324", "5e-324" },
		{ 1.7976931348623157e308, "+1.797693e+308", "1.7976931348623157e+308" },
		{ 123456789, "+1.234568e+008", "1.23456789e+08" },
		{ 999999, "+9.999990e+005", "999999" },
		{ 1000000, "+1.000000e+006", "1e+06" },
		{ 0.0001, "+1.000000e-004", "0.0001" },
		{ 0.00001, "+1.000000e-005", "1e-05" },
		{ 9.9999995, "+1.000000e+001", "9.9999995" },
		{ 1e100, "+1.000000e+100", "1e+100" },
		{ 735.515, "+7.355150e+002", "735.515" },
		{ -228.867, "-2.288670e+002", "-228.867" },
		{ 6.934698245112694e+276, "+6.934698e+276", "6.934698245112694e+276" },
		{ INFINITY, "+Inf", "+Inf" },
		{ -INFINITY, "-Inf", "-Inf" },
		{ NAN, "NaN", "NaN" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_value(25, GO_KIND_FLOAT64, &cases[i].v, 8, cases[i].old);
		check_value(26, GO_KIND_FLOAT64, &cases[i].v, 8, cases[i].new);
	}
	float f = 0.1F;
	check_value(22, GO_KIND_FLOAT32, &f, 4, "+1.000000e-001");
	check_value(27, GO_KIND_FLOAT32, &f, 4, "0.1");
	f = 16777216;
	check_value(27, GO_KIND_FLOAT32, &f, 4, "1.6777216e+07");
}

static void test_complex(void **state _unused_)
{
	static const struct {
		double v[2];
		const char *old, *new;
	} cases[] = {
		{ { 1.5, -2 }, "(+1.500000e+000-2.000000e+000i)", "(1.5-2i)" },
		{ { 0, 1 }, "(+0.000000e+000+1.000000e+000i)", "(0+1i)" },
		// A sign that the number has already is not said again.
		{ { 1, INFINITY }, "(+1.000000e+000+Infi)", "(1+Infi)" },
		{ { 1, -INFINITY }, "(+1.000000e+000-Infi)", "(1-Infi)" },
		{ { 1, NAN }, "(+1.000000e+000NaNi)", "(1+NaNi)" },
		{ { 1, -0.0 }, "(+1.000000e+000-0.000000e+000i)", "(1-0i)" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_value(22, GO_KIND_COMPLEX128, cases[i].v, 16, cases[i].old);
		check_value(26, GO_KIND_COMPLEX128, cases[i].v, 16, cases[i].new);
	}
	float f[2] = { 0.1F, 3 };
	check_value(22, GO_KIND_COMPLEX64, f, 8, "(+1.000000e-001+3.000000e+000i)");
	check_value(27, GO_KIND_COMPLEX64, f, 8, "(0.1+3i)");
}

static void test_integers(void **state _unused_)
{
	static const struct {
		uint8_t kind;
		uint64_t v;
		const char *want;
	} cases[] = {
		{ GO_KIND_BOOL, 0, "false" },
		{ GO_KIND_BOOL, 1, "true" },
		{ GO_KIND_INT, UINT64_MAX, "-1" },
		{ GO_KIND_INT64, 1ULL << 63, "-9223372036854775808" },
		{ GO_KIND_INT32, 0xffffffff80000000, "-2147483648" },
		{ GO_KIND_INT32, 0xffffffff00000005, "5" },
		{ GO_KIND_INT16, 0x8000, "-32768" },
		{ GO_KIND_INT8, 0xff, "-1" },
		{ GO_KIND_INT8, 0x7f, "127" },
		{ GO_KIND_UINT, UINT64_MAX, "18446744073709551615" },
		{ GO_KIND_UINT64, 7, "7" },
		{ GO_KIND_UINT32, UINT64_MAX, "4294967295" },
		{ GO_KIND_UINT16, UINT64_MAX, "65535" },
		{ GO_KIND_UINT8, UINT64_MAX, "255" },
		{ GO_KIND_UINTPTR, 4096, "4096" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_value(22, cases[i].kind, &cases[i].v, 8, cases[i].want);
}

/// Types of the program are named, those of the language are not; others show where they are.
static void test_types(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++) {
		struct world w;
		setup(&w, minors[i], EM_X86_64);
		struct gocore *gc = &w.p.gc;
		enum { EXTRA_STAR = 2, NAMED = GOPROGRAM_TFLAG_NAMED };
		uint64_t string[2] = { gocore_bytes(gc, "text\n\x1b", 6), 6 }, five = 5;
		uint64_t cases[] = {
			add_interface(&w, gocore_type(gc, "string", 24, NAMED), string, 16),
			add_interface(&w, gocore_type(gc, "*main.S", 24, NAMED | EXTRA_STAR),
				      string, 16),
			add_interface(&w, gocore_type(gc, "main.N", 2, NAMED), &five, 8),
			add_interface(&w, gocore_type(gc, "*main.T", 22, 0), &five, 8),
			add_interface(&w, 0, &five, 8),
			add_interface(&w, 0x1234, &five, 8), // no type at all
		};
		uint64_t odd = gocore_type(gc, "x", 31, 0);
		gocore_u8(gc, odd + 23, 0xff); // no kind that there is
		uint64_t last = add_interface(&w, odd, &five, 8);
		char want[64];
		open_world(&w);
		check_interface(&w, cases[0], "text\n\x1b");
		check_interface(&w, cases[1], "main.S(\"text\n\x1b\")");
		check_interface(&w, cases[2], "main.N(5)");
		(void)snprintf(want, sizeof(want), "(*main.T) 0x%llx",
			       (unsigned long long)gocore_get(gc, cases[3] + 8));
		check_interface(&w, cases[3], want);
		check_interface(&w, cases[4], "nil");
		(void)snprintf(want, sizeof(want), "(?) 0x%llx",
			       (unsigned long long)gocore_get(gc, cases[5] + 8));
		check_interface(&w, cases[5], want);
		(void)snprintf(want, sizeof(want), "(x) 0x%llx",
			       (unsigned long long)gocore_get(gc, last + 8));
		check_interface(&w, last, want);
		check_interface(&w, UINT64_MAX - 3, "(not in the core)");
		_cleanup_free_ char *name = go_interface_type(w.o.rt, cases[1]);
		assert_string_equal(name, "main.S");
		assert_null(go_interface_type(w.o.rt, cases[4]));
		assert_null(go_interface_type(w.o.rt, cases[5]));
		assert_null(go_interface_type(w.o.rt, 8));
		teardown(&w);
	}
}

/// Strings of 4 GB, strings that are not there, and one that is as long as is shown.
static void test_long_strings(void **state _unused_)
{
	struct world w;
	enum { SHOWN = 64 << 10 };
	setup(&w, 22, EM_X86_64);
	struct gocore *gc = &w.p.gc;
	for (size_t i = 0; i < 3 * SHOWN / 2; i++)
		gocore_add(&gc->more, "s", 1);
	gc->extra[0] = (struct gocore_extra){ .start = 0x7000000000, .size = gc->more.len };
	gc->n_extra = 1;
	uint64_t type = gocore_type(gc, "string", 24, GOPROGRAM_TFLAG_NAMED);
	const uint64_t lengths[] = { 1ULL << 32, UINT64_MAX, 1ULL << 63, SHOWN + 1, SHOWN, 0 };
	uint64_t at[ARRAY_SIZE(lengths)];
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		at[i] = add_interface(&w, type, (uint64_t[]){ 0x7000000000, lengths[i] }, 16);
	uint64_t nowhere = add_interface(&w, type, (uint64_t[]){ 0x6000000000, 5 }, 16);
	open_world(&w);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		_cleanup_strbuf_ struct strbuf text = { 0 };
		assert_int_equal(go_interface_text(w.o.rt, at[i], &text), 0);
		if (lengths[i] > SHOWN)
			assert_string_equal(text.data, "(not in the core)");
		else
			assert_int_equal(text.len, lengths[i]);
	}
	check_interface(&w, nowhere, "(not in the core)");
	teardown(&w);
}

static void test_long_names(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++) {
		struct world w;
		setup(&w, minors[i], EM_X86_64);
		struct gocore *gc = &w.p.gc;
		uint64_t five = 5, type = gocore_type(gc, "main.T", 2, GOPROGRAM_TFLAG_NAMED);
		uint64_t addr = add_interface(&w, type, &five, 8);
		// The length, in all the bytes that it can have.
		gocore_put(gc, type + 48 + 1, "\xff\xff\xff\xff\xff\xff", 6);
		open_world(&w);
		assert_null(go_interface_type(w.o.rt, addr));
		check_interface(&w, addr, "5");
		teardown(&w);
		setup(&w, minors[i], EM_X86_64);
		type = gocore_type(&w.p.gc, "main.T", 2, GOPROGRAM_TFLAG_NAMED);
		addr = add_interface(&w, type, &five, 8);
		gocore_u32(&w.p.gc, type + 40, UINT32_MAX); // its name is outside
		open_world(&w);
		assert_null(go_interface_type(w.o.rt, addr));
		teardown(&w);
	}
}

// ---- arguments -----------------------------------------------------------------------------

/// The arguments of a frame of main.worker whose words are 0x10, 0x11, ...
static void check_args(int minor, uint16_t machine, const uint8_t *info, size_t n, bool live,
		       const char *want)
{
	struct world w;
	_cleanup_strbuf_ struct strbuf text = { 0 };
	setup(&w, minor, machine);
	struct gocore *gc = &w.p.gc;
	const struct gocore_func *worker = gocore_named(gc, "main.worker");
	const struct go_format *fmt = &gc->layout.format;
	uint64_t fp = gocore_ranges[GOCORE_STACKS].start + 0x100;
	for (uint64_t i = 0; i < 20; i++)
		gocore_u64(gc, fp + (gc->link_register ? 8 : 0) + i * 8, 0x10 + i);
	if (info)
		gocore_set_funcdata(gc, worker, fmt->funcdata_arginfo, gocore_gofunc(gc, info, n));
	if (!live)
		gocore_set_funcdata(gc, worker, fmt->funcdata_arglive, 0);
	open_world(&w);
	struct go_frame frame = { .pc = worker->entry + 20, .sp = fp - 96, .fp = fp };
	frame.func = go_func_at(&w.o.rt->symtab, frame.pc);
	assert_int_equal(go_args_text(w.o.rt, &frame, &text), 0);
	assert_string_equal(text.data ? text.data : "", want);
	teardown(&w);
}

static void test_args_info(void **state _unused_)
{
	static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };
	static const struct {
		uint8_t info[24];
		const char *want;
	} cases[] = {
		{ { 0xff }, "" },
		{ { 0, 8, 0xff }, "0x10" },
		{ { 0, 8, 8, 8, 0xff }, "0x10, 0x11" },
		{ { 0, 1, 8, 2, 16, 4, 0xff }, "0x10, 0x11, 0x12" },
		{ { 0xfe, 0, 8, 8, 8, 0xfd, 16, 8, 0xff }, "{0x10, 0x11}, 0x12" },
		{ { 0xfe, 0xfe, 0xfd, 0xfe, 0, 8, 0xfd, 0xfd, 0xff }, "{{}, {0x10}}" },
		{ { 0xfe, 0xfd, 0xff }, "{}" },
		{ { 0, 8, 0xfc, 0xff }, "0x10, ..." },
		{ { 0, 8, 0xfb, 0xff }, "0x10, _" },
		{ { 0, 200, 0xff }, "0x10" }, // no word is that large
	};
	for (size_t j = 0; j < ARRAY_SIZE(machines); j++)
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			check_args(17, machines[j], cases[i].info, sizeof(cases[i].info), false,
				   cases[i].want);
			check_args(27, machines[j], cases[i].info, sizeof(cases[i].info), false,
				   cases[i].want);
		}
}

/// What lies in a register's slot is marked when it may be old; from 1.18 on.
static void test_args_live(void **state _unused_)
{
	// The program's own: {0,8}, {8,8}, {16,8}; slots from 8 on, of which the second is live.
	check_args(17, EM_X86_64, NULL, 0, true, "0x10, {0x11, 0x12}");
	check_args(18, EM_X86_64, NULL, 0, true, "0x10, {0x11?, 0x12}");
	check_args(22, EM_AARCH64, NULL, 0, true, "0x10, {0x11?, 0x12}");
}

/// Up to 1.16 there are words, as many as the function says, and at most ten.
static void test_args_words(void **state _unused_)
{
	check_args(11, EM_X86_64, NULL, 0, false, "0x10, 0x11, 0x12");
	check_args(16, EM_AARCH64, NULL, 0, false, "0x10, 0x11, 0x12");
	static const struct {
		uint32_t bytes;
		const char *want;
	} cases[] = {
		{ 0, "" },
		{ 7, "" },
		{ 8, "0x10" },
		{ 80, "0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19" },
		{ 88, "0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, ..." },
		{ 0x80000000, // not known
		  "0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, ..." },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;
		_cleanup_strbuf_ struct strbuf text = { 0 };
		setup(&w, 15, EM_X86_64);
		const struct gocore_func *worker = gocore_named(&w.p.gc, "main.worker");
		uint64_t fp = gocore_ranges[GOCORE_STACKS].start + 0x100;
		for (uint64_t k = 0; k < 20; k++)
			gocore_u64(&w.p.gc, fp + k * 8, 0x10 + k);
		gocore_func_u32(&w.p.gc, worker->at, w.p.gc.layout.format.func_args,
				cases[i].bytes);
		open_world(&w);
		struct go_frame frame = { .pc = worker->entry + 20, .fp = fp };
		frame.func = go_func_at(&w.o.rt->symtab, frame.pc);
		assert_int_equal(go_args_text(w.o.rt, &frame, &text), 0);
		assert_string_equal(text.data ? text.data : "", cases[i].want);
		teardown(&w);
	}
}

/// Descriptions that do not end, nest without end, or lead out of the stack.
static void test_args_hostile(void **state _unused_)
{
	uint8_t info[200];
	uint64_t random = 3;
	for (int round = 0; round < 300; round++) {
		struct world w;
		_cleanup_strbuf_ struct strbuf text = { 0 };
		setup(&w, minors[2 + round % 9], round & 1 ? EM_AARCH64 : EM_X86_64);
		const struct gocore_func *worker = gocore_named(&w.p.gc, "main.worker");
		for (size_t i = 0; i < sizeof(info); i++)
			info[i] = round < 4 ?
					  (uint8_t)(0xfb + round) :
					  (uint8_t)(test_random(&random) | (round % 3 ? 0xf8 : 0));
		gocore_set_funcdata(&w.p.gc, worker, w.p.gc.layout.format.funcdata_arginfo,
				    gocore_gofunc(&w.p.gc, info, sizeof(info)));
		open_world(&w);
		struct go_frame frame = { .pc = worker->entry + 20 };
		frame.fp = gocore_ranges[GOCORE_STACKS].start + gocore_ranges[GOCORE_STACKS].size -
			   40;
		frame.func = go_func_at(&w.o.rt->symtab, frame.pc);
		assert_int_equal(go_args_text(w.o.rt, &frame, &text), 0);
		assert_in_range(text.len, 0, 4096);
		teardown(&w);
	}
}

// ---- labels --------------------------------------------------------------------------------

static void check_labels(struct world *w, uint64_t addr, size_t n)
{
	struct go_labels labels;
	go_labels_read(w->o.rt, addr, &labels);
	assert_int_equal(labels.n, n);
	if (n == 2) { // sorted, in the map as in the list
		assert_string_equal(labels.list[0].key, "key");
		assert_string_equal(labels.list[0].value, "value");
		assert_string_equal(labels.list[1].key, "other");
		assert_string_equal(labels.list[1].value, "more");
	}
	go_labels_deinit(&labels);
	assert_int_equal(labels.n, 0);
}

static void test_labels(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++) {
		struct world w;
		setup(&w, minors[i], EM_X86_64);
		open_world(&w);
		check_labels(&w, w.p.objects[GOPROGRAM_LABELS], 2);
		check_labels(&w, 0, 0);
		check_labels(&w, 1, 0);
		check_labels(&w, UINT64_MAX, 0);
		teardown(&w);
	}
}

/// Too many, too long, with their own address inside.
static void test_labels_hostile(void **state _unused_)
{
	static const uint64_t counts[] = { 65, 1ULL << 32, UINT64_MAX };
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++)
		for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
			struct world w;
			setup(&w, minors[i], EM_X86_64);
			struct gocore *gc = &w.p.gc;
			uint64_t addr = w.p.objects[GOPROGRAM_LABELS];
			gocore_u64(gc, minors[i] < 24 ? gocore_get(gc, addr) : addr + 8, counts[k]);
			open_world(&w);
			check_labels(&w, addr, 0);
			teardown(&w);
		}
	// A list whose strings are longer than labels are.
	struct world w;
	setup(&w, 25, EM_X86_64);
	uint64_t list = gocore_get(&w.p.gc, w.p.objects[GOPROGRAM_LABELS]);
	gocore_u64(&w.p.gc, list + 8, 1ULL << 32);
	open_world(&w);
	check_labels(&w, w.p.objects[GOPROGRAM_LABELS], 1);
	teardown(&w);
}

/// Buckets that lead to themselves, and as many of them as a map can have.
static void test_labels_circle(void **state _unused_)
{
	struct world w;
	struct go_labels labels;
	setup(&w, 22, EM_X86_64);
	struct gocore *gc = &w.p.gc;
	uint64_t hmap = gocore_get(gc, w.p.objects[GOPROGRAM_LABELS]);
	uint64_t bucket = gocore_get(gc, hmap + 16);
	for (uint64_t i = 0; i < 8; i++)
		gocore_u8(gc, bucket + i, 99); // all slots are in use
	gocore_u64(gc, bucket + 8 + 8 * 32, bucket);
	gocore_u8(gc, hmap + 9, 6);
	open_world(&w);
	go_labels_read(w.o.rt, w.p.objects[GOPROGRAM_LABELS], &labels);
	assert_in_range(labels.n, 2, GO_LABELS_MAX);
	go_labels_deinit(&labels);
	teardown(&w);
	for (unsigned int b = 7; b < 256; b += 31) { // more buckets than labels
		setup(&w, 22, EM_X86_64);
		hmap = gocore_get(&w.p.gc, w.p.objects[GOPROGRAM_LABELS]);
		gocore_u8(&w.p.gc, hmap + 9, (uint8_t)b);
		open_world(&w);
		check_labels(&w, w.p.objects[GOPROGRAM_LABELS], 0);
		teardown(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floats),	     cmocka_unit_test(test_complex),
		cmocka_unit_test(test_integers),     cmocka_unit_test(test_types),
		cmocka_unit_test(test_long_strings), cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_args_info),    cmocka_unit_test(test_args_live),
		cmocka_unit_test(test_args_words),   cmocka_unit_test(test_args_hostile),
		cmocka_unit_test(test_labels),	     cmocka_unit_test(test_labels_hostile),
		cmocka_unit_test(test_labels_circle),
	};
	return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
