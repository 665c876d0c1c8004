// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Debugging information: of a program that does not exist, in the four ways to pack it; damaged.
 *
 * test-dwarf compare FILE MINOR compares the structures of a real program with our tables, for
 * tests/integration/golang-dwarf.bats.
 */
#include "test.h"

#include "analyzer/go/dwarf.h"
#include "analyzer/go/dwparams.h"
#include "analyzer/go/dwsections.h"
#include "common/str.h"
#include "godwarf.h"

struct file {
	struct strbuf bytes;
	int fd;
	struct source *source;
	struct elf_file elf;
};

static void open_file(struct file *f, int fd)
{
	f->fd = fd;
	assert_true(f->fd >= 0);
	assert_ok(source_create(f->fd, SOURCE_FILE, &f->source));
	assert_ok(elf_init(&f->elf, f->source));
}

static void close_file(struct file *f)
{
	elf_deinit(&f->elf);
	source_destroy(f->source);
	snap_closep(&f->fd);
	strbuf_deinit(&f->bytes);
}

static void make_file(struct file *f, enum godwarf_packing packing, uint64_t lie)
{
	struct godwarf_sample s;
	godwarf_sample(&s);
	const struct godwarf_section list[] = {
		{ "debug_abbrev", godwarf_abbrev, sizeof(godwarf_abbrev), packing, 0 },
		{ "debug_info", s.info.data, s.info.len, packing, lie },
		{ "debug_loc", s.loc.data, s.loc.len, packing, 0 },
		{ "debug_ranges", s.ranges.data, s.ranges.len, packing, 0 },
	};
	*f = (struct file){ 0 };
	godwarf_file(list, ARRAY_SIZE(list), &f->bytes);
	open_file(f, gocore_memfd(f->bytes.data, f->bytes.len));
	godwarf_sample_deinit(&s);
}

static void test_layout(void **state _unused_)
{
	for (enum godwarf_packing p = GODWARF_PLAIN; p <= GODWARF_ZSTD; p++) {
		struct file f;
		struct go_layout layout;
		make_file(&f, p, 0);
		struct go_dwarf *dw = go_dwarf_open(&f.elf);
		assert_non_null(dw);
		assert_true(go_layout_init(&layout, GO_MINOR_MAX, 0));
		int16_t m_id = layout.offset[GO_M_ID];
		assert_int_equal(go_dwarf_layout(dw, &layout), 4);
		assert_int_equal(layout.offset[GO_G_GOID], GODWARF_GOID);
		assert_int_equal(layout.offset[GO_G_SCHED_SP], GODWARF_SCHED);
		assert_int_equal(layout.offset[GO_G_SCHED_PC], GODWARF_SCHED + 8);
		assert_int_equal(layout.offset[GO_G_SIZE], GODWARF_G_BYTES);
		assert_int_equal(layout.offset[GO_G_STACK_LO], GO_NONE); // the structure has none
		assert_int_equal(layout.offset[GO_M_ID], m_id); // there is no such structure
		go_dwarf_close(dw);
		close_file(&f);
	}
}

static void assert_value(struct go_params *params, const struct go_param *param,
			 const struct go_frame *frame, const char *want)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	assert_int_equal(go_param_text(params, param, frame, &text), 0);
	assert_string_equal(text.data, want);
}


static void test_arguments(void **state _unused_)
{
	enum { BIAS = 0x10000 };
	struct file f;
	// What a value may come from: the file itself, as memory at 0.
	struct go_runtime rt = { 0 };
	struct memory mem = { 0 };
	struct image image = { .bias = BIAS, .start = BIAS, .end = 1 << 30 };
	uint64_t stack[16] = { [3] = (uint64_t)-5, [4] = 0x2000, [6] = 4 };
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	size_t n;
	make_file(&f, GODWARF_COMPRESSED, 0);
	gocore_add(&bytes, stack, sizeof(stack));
	while (bytes.len < 0x2000)
		gocore_add(&bytes, "", 1);
	gocore_add(&bytes, "a\"b\n", 4);
	_cleanup_close_ int fd = gocore_memfd(bytes.data, bytes.len);
	struct source *source = NULL;
	assert_ok(source_create(fd, SOURCE_FILE, &source));
	const struct mem_region region = { 0, bytes.len, 0, source, MEM_READ };
	assert_int_equal(memory_add(&mem, MEM_CORE, &region), 0);
	rt.mem = &mem;
	rt.image = &image;
	struct go_dwarf *dw = go_dwarf_open(&f.elf);
	struct go_params *params = go_params_create(&rt, dw);
	struct go_func func = { .entry = GODWARF_PC + BIAS };
	const struct go_param *list = go_params_of(params, &func, &n);
	assert_non_null(list);
	assert_int_equal(n, 3);
	assert_string_equal(list[0].name, "number");
	assert_string_equal(list[0].type, "int");
	assert_string_equal(list[1].type, "string");
	struct go_frame frame = { .pc = func.entry + 16, .fp = 16, .func = &func };
	assert_value(params, &list[0], &frame, "-5");
	assert_value(params, &list[1], &frame, "?"); // until the call, that is before pc
	frame.pc++;
	assert_value(params, &list[1], &frame, "\"a\\\"b\\x0a\"");
	assert_value(params, &list[2], &frame, "?");
	frame.fp = 0x100000;
	assert_value(params, &list[0], &frame, "?");
	func.entry++; // no function begins there
	assert_null(go_params_of(params, &func, &n));
	func.entry = BIAS - 1;
	assert_null(go_params_of(params, &func, &n));
	go_params_destroy(params);
	go_dwarf_close(dw);
	memory_deinit(&mem);
	source_destroy(source);
	close_file(&f);
}

static void test_lies(void **state _unused_)
{
	static const uint64_t lies[] = { 1, 10, 100000, 1ULL << 31, 1ULL << 40, UINT64_MAX };
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		for (enum godwarf_packing p = GODWARF_COMPRESSED; p <= GODWARF_ZSTD; p++) {
			struct file f;
			struct go_layout layout;
			make_file(&f, p, lies[i]);
			struct go_dwarf *dw = go_dwarf_open(&f.elf);
			assert_true(go_layout_init(&layout, GO_MINOR_MAX, 0));
			if (dw)
				assert_int_equal(go_dwarf_layout(dw, &layout), 0);
			assert_true(!dw || lies[i] < 1ULL << 31); // not even tried
			go_dwarf_close(dw);
			close_file(&f);
		}
}

/// All zeros: as much from as little as each can, and a byte more than it can.
static void test_ratio(void **state _unused_)
{
	enum { SIZE = 8 << 20 };
	_cleanup_free_ char *zeros = calloc(1, SIZE);
	assert_non_null(zeros);
	for (enum godwarf_packing p = GODWARF_COMPRESSED; p <= GODWARF_ZSTD; p++)
		for (uint64_t lie = 0; lie < 2; lie++) {
			const struct godwarf_section list[] = {
				{ "debug_abbrev", godwarf_abbrev, sizeof(godwarf_abbrev), p, 0 },
				{ "debug_info", zeros, SIZE, p, lie ? SIZE + 1 : 0 },
			};
			struct file f = { 0 };
			struct dw_sections sections;
			godwarf_file(list, ARRAY_SIZE(list), &f.bytes);
			open_file(&f, gocore_memfd(f.bytes.data, f.bytes.len));
			assert_true(dw_sections_init(&sections, &f.elf));
			const uint8_t *data = dw_section_data(&sections, DW_INFO);
			assert_int_equal(data != NULL, !lie);
			if (data)
				assert_memory_equal(data, zeros, SIZE);
			dw_sections_deinit(&sections);
			close_file(&f);
		}
}

static void test_none(void **state _unused_)
{
	const struct godwarf_section list[] = {
		{ "debug_abbrev", godwarf_abbrev, sizeof(godwarf_abbrev), GODWARF_PLAIN, 0 },
	};
	struct file f = { 0 };
	godwarf_file(list, 1, &f.bytes);
	open_file(&f, gocore_memfd(f.bytes.data, f.bytes.len));
	assert_null(go_dwarf_open(&f.elf));
	close_file(&f);
}

/// Every cut of the sections gives what can be had, or nothing.
static void test_cut(void **state _unused_)
{
	struct godwarf_sample s;
	godwarf_sample(&s);
	for (size_t cut = 0; cut < s.info.len; cut++) {
		const struct godwarf_section list[] = {
			{ "debug_abbrev", godwarf_abbrev, sizeof(godwarf_abbrev),
			  GODWARF_PLAIN, 0 },
			{ "debug_info", s.info.data, cut, GODWARF_PLAIN, 0 },
		};
		struct file f = { 0 };
		struct go_layout layout;
		godwarf_file(list, ARRAY_SIZE(list), &f.bytes);
		open_file(&f, gocore_memfd(f.bytes.data, f.bytes.len));
		struct go_dwarf *dw = go_dwarf_open(&f.elf);
		assert_true(go_layout_init(&layout, GO_MINOR_MAX, 0));
		if (dw)
			(void)go_dwarf_layout(dw, &layout);
		go_dwarf_close(dw);
		close_file(&f);
	}
	godwarf_sample_deinit(&s);
}

/// Entries that may say where their siblings are, which libdwarf follows back, are not read.
static void test_siblings(void **state _unused_)
{
	enum { END = sizeof(godwarf_abbrev) - 1 };
	static const uint8_t more[] = { 8, 0x0b, 1, 0x03, 0x21, 0x05, 0x01, 0x13, 0, 0, 0 };
	for (int i = 0; i < 3; i++) {
		uint8_t abbrev[END + sizeof(more)];
		struct godwarf_sample s;
		struct file f = { 0 };
		struct go_layout layout;
		memcpy(abbrev, godwarf_abbrev, END);
		memcpy(abbrev + END, more, sizeof(more));
		if (i == 1)
			abbrev[END + 6] = 0x27; // another attribute
		if (i == 2)
			abbrev[END] = 0; // behind the last one of the unit
		godwarf_sample(&s);
		const struct godwarf_section list[] = {
			{ "debug_abbrev", abbrev, sizeof(abbrev), GODWARF_PLAIN, 0 },
			{ "debug_info", s.info.data, s.info.len, GODWARF_PLAIN, 0 },
		};
		godwarf_file(list, ARRAY_SIZE(list), &f.bytes);
		open_file(&f, gocore_memfd(f.bytes.data, f.bytes.len));
		struct go_dwarf *dw = go_dwarf_open(&f.elf);
		assert_non_null(dw);
		assert_true(go_layout_init(&layout, GO_MINOR_MAX, 0));
		assert_int_equal(go_dwarf_layout(dw, &layout), i ? 4 : 0);
		go_dwarf_close(dw);
		close_file(&f);
		godwarf_sample_deinit(&s);
	}
}

// ---- real programs -------------------------------------------------------------------------

static int compare(const char *path, const char *minor_text)
{
	enum { FIELDS_MIN = 90 }; // a reader that finds nothing would find no difference
	struct file f = { 0 };
	struct go_layout table, real;
	uint64_t minor = 0;
	int bad = 0;
	open_file(&f, open(path, O_RDONLY | O_CLOEXEC));
	assert_int_equal(snap_parse_u64(minor_text, &minor), 0);
	assert_true(go_layout_init(&table, (int)minor, 99));
	real = table;
	struct go_dwarf *dw = go_dwarf_open(&f.elf);
	size_t n = dw ? go_dwarf_layout(dw, &real) : 0;
	for (int i = 0; i < GO_FIELD_MAX; i++)
		if (table.offset[i] != real.offset[i]) {
			printf("Go 1.%s: field %d is at %d, not %d\n", minor_text, i,
			       real.offset[i], table.offset[i]);
			bad = 1;
		}
	printf("Go 1.%s: %zu fields\n", minor_text, n);
	go_dwarf_close(dw);
	close_file(&f);
	return n < FIELDS_MIN ? 1 : bad;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout), cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_lies),   cmocka_unit_test(test_none),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_siblings),
		cmocka_unit_test(test_ratio),
	};
	if (argc == 4 && !strcmp(argv[1], "compare"))
		return compare(argv[2], argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
