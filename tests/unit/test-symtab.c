// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

/*
 * Tables of functions in the formats of 1.11, 1.12, 1.16, 1.17, 1.18 and 1.20, made by hand
 * (tests/unit/gocore.h): names, files and lines, frame sizes, inlined calls.
 */

struct world {
	struct gocore gc;
	struct goopen o;
	struct go_symtab tab;
	struct go_module module;
};

static const int minors[] = { 11, 12, 13, 16, 17, 18, 20, 22, 26 };
static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };

/// What @fill adds, with its moduledata.
static void setup(struct world *w, int minor, uint16_t machine, void (*fill)(struct gocore *gc))
{
	*w = (struct world){ 0 };
	gocore_init(&w->gc, minor, machine);
	fill(&w->gc);
	gocore_finish_functions(&w->gc);
	goopen_core(&w->o, &w->gc);
	go_symtab_init(&w->tab, &w->o.core->memory, &w->gc.layout, go_arch_of(machine)->quantum);
	assert_true(go_module_read(w->tab.mem, &w->gc.layout, w->gc.module, &w->module));
	assert_int_equal(go_symtab_add(&w->tab, &w->module), 0);
	assert_int_equal(w->tab.n_modules, 1);
}

static void teardown(struct world *w)
{
	go_symtab_deinit(&w->tab);
	goopen_close(&w->o);
	gocore_deinit(&w->gc);
}

/// Calls @check in every format, on both machines.
static void each_format(void (*fill)(struct gocore *gc), void (*check)(struct world *w))
{
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++)
		for (size_t j = 0; j < ARRAY_SIZE(machines); j++) {
			struct world w;
			setup(&w, minors[i], machines[j], fill);
			check(&w);
			teardown(&w);
		}
}

// ---- functions -----------------------------------------------------------------------------

static void fill_three(struct gocore *gc)
{
	gocore_func(gc, &(struct gocore_fn){ .name = "runtime.goexit", .file = "asm.s", .line = 7,
					     .flags = 1, .id = 3 });
	gocore_func(gc, &(struct gocore_fn){ .name = "main.main", .file = "main.go", .line = 12,
					     .frame = 64, .args = 24, .size = 128 });
	gocore_func(gc, &(struct gocore_fn){ .name = "main.(*T[...]).m-fm", .file = "main.go",
					     .line = 99, .frame = 8, .no_pcsp = true });
}

static void check_functions(struct world *w)
{
	for (size_t i = 0; i < 3; i++) {
		const struct gocore_func *made = &w->gc.funcs[i];
		const struct go_func *f = go_func_at(&w->tab, made->entry);
		assert_non_null(f);
		assert_string_equal(f->name, made->name);
		assert_true(f->entry == made->entry && f->end == made->end);
		assert_ptr_equal(go_func_at(&w->tab, made->end - 1), f);
		assert_ptr_equal(go_func_at(&w->tab, made->entry + 1), f);
		assert_ptr_equal(go_func_named(&w->tab, made->name), f);
	}
	assert_null(go_func_at(&w->tab, w->gc.funcs[0].entry - 1));
	assert_null(go_func_at(&w->tab, w->gc.funcs[2].end));
	assert_null(go_func_at(&w->tab, 0));
	assert_null(go_func_at(&w->tab, UINT64_MAX));
	assert_null(go_func_named(&w->tab, "main.mai"));
	assert_null(go_func_named(&w->tab, "main.main2"));
	assert_null(go_func_named(&w->tab, ""));
	const struct go_func *f = go_func_named(&w->tab, "runtime.goexit");
	assert_int_equal(f->role, GO_ROLE_GOEXIT);
	assert_int_equal(f->flags, 1); // in its struct, or from the list of old versions
	assert_int_equal(f->id, 3);
	f = go_func_named(&w->tab, "main.main");
	assert_int_equal(f->role, GO_ROLE_OTHER);
	assert_int_equal(f->flags, 0);
	assert_int_equal(f->args, 24);
}

static void test_functions(void **state _unused_)
{
	each_format(fill_three, check_functions);
}

static void check_places(struct world *w)
{
	static const char *const files[] = { "asm.s", "main.go", "main.go" };
	static const int lines[] = { 7, 12, 99 };
	int32_t delta = -5;
	for (size_t i = 0; i < 3; i++) {
		const struct go_func *f = go_func_at(&w->tab, w->gc.funcs[i].entry + 4);
		struct go_place place = go_place_at(&w->tab, f, f->entry + 4);
		assert_int_equal(place.n, 1);
		assert_string_equal(place.lines[0].name, f->name);
		assert_string_equal(place.lines[0].file, files[i]);
		assert_int_equal(place.lines[0].line, lines[i]);
		assert_false(place.lines[0].inlined);
		assert_ptr_equal(go_place_at(&w->tab, f, f->entry + 4).lines, place.lines);
	}
	const struct go_func *f = go_func_named(&w->tab, "main.main");
	assert_true(go_sp_delta(&w->tab, f, f->entry, &delta));
	assert_int_equal(delta, 64);
	assert_true(go_sp_delta(&w->tab, f, f->end - 1, &delta));
	assert_true(go_sp_delta(&w->tab, f, f->end - 1, &delta)); // from memory
	assert_int_equal(delta, 64);
	delta = -5;
	f = go_func_at(&w->tab, w->gc.funcs[2].entry);
	assert_int_equal(f->pcsp, 0);
	assert_false(go_sp_delta(&w->tab, f, f->entry, &delta));
	assert_int_equal(delta, -5);
}

static void test_places(void **state _unused_)
{
	each_format(fill_three, check_places);
}

/// Roles are by name, in the runtime only.
static void fill_roles(struct gocore *gc)
{
	static const char *const names[] = {
		"runtime.mcall", "runtime.systemstack", "runtime.systemstack_switch",
		"runtime.asmcgocall", "runtime.sigpanic", "runtime.asyncPreempt",
		"runtime.cgocallback_gofunc", "runtime.sigtramp", "runtime.morestack",
		"runtime.gopanic", "runtime.debugCallV2", "main.sigpanic", "runtime.sigpanic0",
		"runtime.(*x).sigpanic",
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		gocore_func(gc, &(struct gocore_fn){ .name = names[i], .file = "x.go" });
}

static void check_roles(struct world *w)
{
	static const enum go_role roles[] = {
		GO_ROLE_MCALL, GO_ROLE_SYSTEMSTACK, GO_ROLE_SYSTEMSTACK_SWITCH, GO_ROLE_ASMCGOCALL,
		GO_ROLE_SIGPANIC, GO_ROLE_ASYNC_PREEMPT, GO_ROLE_CGOCALLBACK, GO_ROLE_SIGTRAMP,
		GO_ROLE_MORESTACK, GO_ROLE_GOPANIC, GO_ROLE_DEBUG_CALL, GO_ROLE_OTHER,
		GO_ROLE_OTHER, GO_ROLE_OTHER,
	};
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		assert_int_equal(go_func_at(&w->tab, w->gc.funcs[i].entry)->role, roles[i]);
}

static void test_roles(void **state _unused_)
{
	each_format(fill_roles, check_roles);
}

// ---- tables by pc --------------------------------------------------------------------------

static void fill_steps(struct gocore *gc)
{
	static const struct gocore_step up_down[] = {
		{ 0, 4 }, { 8, 4 }, { 264, 12 }, { 8, 4 }, { 0, 40 },
	};
	static const struct gocore_step lines[] = { { 100000, 8 }, { 3, 8 }, { 100001, 48 } };
	const struct gocore_func *f = gocore_func(
		gc, &(struct gocore_fn){ .name = "main.f", .file = "f.go", .line = 1 });
	gocore_func_u32(gc, f->at, gc->layout.format.func_pcsp,
			gocore_pctab(gc, up_down, ARRAY_SIZE(up_down)));
	gocore_func_u32(gc, f->at, gc->layout.format.func_pcln,
			gocore_pctab(gc, lines, ARRAY_SIZE(lines)));
}

static void check_steps(struct world *w)
{
	static const struct {
		unsigned int at;
		int delta, line;
	} want[] = {
		{ 0, 0, 100000 },   { 3, 0, 100000 },	{ 4, 8, 100000 },  { 7, 8, 100000 },
		{ 8, 264, 3 },	    { 15, 264, 3 },	{ 16, 264, 100001 }, { 19, 264, 100001 },
		{ 20, 8, 100001 },  { 24, 0, 100001 },	{ 63, 0, 100001 },
	};
	const struct go_func *f = go_func_named(&w->tab, "main.f");
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		int32_t delta;
		assert_true(go_sp_delta(&w->tab, f, f->entry + want[i].at, &delta));
		assert_int_equal(delta, want[i].delta);
		assert_int_equal(go_place_at(&w->tab, f, f->entry + want[i].at).lines[0].line,
				 want[i].line);
	}
}

static void test_steps(void **state _unused_)
{
	each_format(fill_steps, check_steps);
}

struct raw {
	const char *bytes;
	size_t len;
	bool found;
	int32_t value; ///< at the function's second byte
};

/// Tables as nobody should make them.
static const struct raw raws[] = {
	{ "\x02\x40\0", 3, true, 0 },
	{ "\x12\x40\0", 3, true, 8 },
	{ "\0", 1, false, 0 }, // the first value may be 0: then the pc is missing
	{ "\0\x40\0", 3, false, 0 }, // -1: no frame is that small
	{ "\x02", 1, false, 0 }, // nothing behind it but zeros: a pc delta of 0, and the end
	{ "\x02\0\0\x40", 4, false, 0 }, // the value 0 ends it
	{ "\x02\x01\x12\x40\0", 5, true, 9 }, // the second one
	{ "\x82\0\x40\0", 4, true, 0 }, // more bytes than needed
	{ "\x80\x80\x80\x80\x20\x40", 6, true, -1 }, // beyond 32 bits: cut
	{ "\x80\x80\x80\x80\x80\x80\x40", 7, false, 0 }, // more bytes than a number has
	{ "\x02\x80\x80\x80\x80\x80\x40", 7, false, 0 },
	{ "\xff\xff\xff\xff\x0f\x40", 6, true, INT32_MAX }, // -2^31 from -1: wraps, as in Go
	{ "\x05\x40\0", 3, false, 0 }, // -4
};

static size_t raw_index;

static void fill_raw(struct gocore *gc)
{
	const struct gocore_func *f = gocore_func(
		gc, &(struct gocore_fn){ .name = "main.f", .file = "f.go", .line = 1 });
	gocore_func_u32(gc, f->at, gc->layout.format.func_pcsp,
			gocore_pctab_bytes(gc, raws[raw_index].bytes, raws[raw_index].len));
	gocore_pctab_bytes(gc, "\0\0\0\0\0\0\0\0", 8);
}

static void test_raw_tables(void **state _unused_)
{
	for (raw_index = 0; raw_index < ARRAY_SIZE(raws); raw_index++) {
		struct world w;
		setup(&w, 22, EM_X86_64, fill_raw);
		const struct go_func *f = go_func_named(&w.tab, "main.f");
		int32_t delta = -1;
		bool found = go_sp_delta(&w.tab, f, f->entry + 1, &delta);
		if (raws[raw_index].value >= 0 &&
		    (found != raws[raw_index].found ||
		     (found && delta != raws[raw_index].value)))
			fail_msg("table %zu: %d, %d", raw_index, found, delta);
		teardown(&w);
	}
}

static void check_outside(struct world *w)
{
	const struct go_func *f = go_func_named(&w->tab, "main.main");
	struct go_func copy = *f;
	int32_t delta;
	static const uint32_t offsets[] = { 0, 1U << 20, INT32_MAX, UINT32_MAX };
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		copy.pcsp = copy.pcfile = copy.pcln = offsets[i];
		copy.npcdata = 255;
		copy.nfuncdata = 255;
		// Where nothing is remembered yet.
		uint64_t pc = f->entry + 40 + i;
		assert_false(go_sp_delta(&w->tab, &copy, pc, &delta));
		struct go_place place = go_place_at(&w->tab, &copy, pc);
		assert_int_equal(place.n, 1);
		assert_string_equal(place.lines[0].file, "?");
		assert_int_equal(place.lines[0].line, 0);
	}
	copy.addr = UINT64_MAX - 20;
	for (unsigned int i = 0; i < 256; i++) {
		assert_int_equal(go_pcdata(&w->tab, &copy, (uint8_t)i, f->entry), -1);
		assert_int_equal(go_funcdata(&w->tab, &copy, (uint8_t)i), 0);
	}
}

static void test_outside(void **state _unused_)
{
	each_format(fill_three, check_outside);
}

// ---- inlined calls -------------------------------------------------------------------------

static void fill_inlined(struct gocore *gc)
{
	static const struct gocore_inlined list[] = {
		{ .name = "main.a", .file = "a.go", .line = 31, .parent = -1, .parent_pc = 4 },
		{ .name = "main.b", .file = "b.go", .line = 32, .parent = 0, .parent_pc = 20 },
		{ .name = "main.c", .file = "c.go", .line = 33, .parent = 1, .parent_pc = 36 },
	};
	static const struct gocore_step tree[] = { { -1, 16 }, { 0, 16 }, { 1, 16 }, { 2, 16 } };
	static const struct gocore_step lines[] = {
		{ 31, 16 }, { 32, 16 }, { 33, 16 }, { 40, 16 },
	};
	struct gocore_step files[4];
	static const char *const names[] = { "main.go", "a.go", "b.go", "c.go" };
	const struct gocore_func *f = gocore_func(
		gc, &(struct gocore_fn){ .name = "main.main", .file = "main.go", .line = 1 });
	gocore_inline(gc, f, list, ARRAY_SIZE(list), tree, ARRAY_SIZE(tree));
	for (int i = 0; i < 4; i++)
		files[i] = (struct gocore_step){ gocore_file(gc, names[i]), 16 };
	gocore_func_u32(gc, f->at, gc->layout.format.func_pcln, gocore_pctab(gc, lines, 4));
	gocore_func_u32(gc, f->at, gc->layout.format.func_pcfile, gocore_pctab(gc, files, 4));
}

/// Innermost first: each call with the place where it stands in the one that it is inlined into.
static void check_inlined(struct world *w)
{
	static const struct go_line want[] = {
		{ "main.c", "c.go", 40, true, false },
		{ "main.b", "b.go", 33, true, false },
		{ "main.a", "a.go", 32, true, false },
		{ "main.main", "main.go", 31, false, false },
	};
	const struct go_func *f = go_func_named(&w->tab, "main.main");
	for (uint32_t depth = 0; depth < 4; depth++) {
		struct go_place place = go_place_at(&w->tab, f, f->entry + depth * 16 + 4);
		assert_int_equal(place.n, depth + 1);
		for (uint32_t i = 0; i <= depth; i++) {
			const struct go_line *line = &place.lines[i], *as = &want[3 - depth + i];
			assert_string_equal(line->name, as->name);
			// 1.11 keeps the places of calls beside the tree; they are the same here
			// but for the files, which it numbers for the caller.
			if (w->gc.minor > 11)
				assert_string_equal(line->file, as->file);
			if (i)
				assert_int_equal(line->line, as->line);
			assert_int_equal(line->inlined, as->inlined);
		}
	}
}

static void test_inlined(void **state _unused_)
{
	each_format(fill_inlined, check_inlined);
}

/// A call that is inlined into itself ends.
static void fill_circle(struct gocore *gc)
{
	static const struct gocore_inlined list[] = {
		{ .name = "main.a", .file = "a.go", .line = 31, .parent = 0, .parent_pc = 4 },
	};
	static const struct gocore_step tree[] = { { 0, 64 } };
	const struct gocore_func *f = gocore_func(
		gc, &(struct gocore_fn){ .name = "main.main", .file = "main.go", .line = 1 });
	gocore_inline(gc, f, list, 1, tree, 1);
}

static void check_circle(struct world *w)
{
	const struct go_func *f = go_func_named(&w->tab, "main.main");
	struct go_place place = go_place_at(&w->tab, f, f->entry + 4);
	assert_in_range(place.n, 2, 1000);
	assert_false(place.lines[place.n - 1].inlined);
	assert_string_equal(place.lines[place.n - 1].name, "main.main");
}

static void test_inlined_circle(void **state _unused_)
{
	each_format(fill_circle, check_circle);
}

/// Entries that lie beyond the tree, or before it.
static void fill_wild_tree(struct gocore *gc)
{
	static const struct gocore_step tree[] = { { 1 << 30, 16 }, { -7, 16 }, { 3, 32 } };
	const struct gocore_func *f = gocore_func(
		gc, &(struct gocore_fn){ .name = "main.main", .file = "main.go", .line = 1 });
	gocore_set_funcdata(gc, f, gc->layout.format.funcdata_inltree,
			    gocore_rodata(GOCORE_GOFUNC + 8));
	gocore_set_pcdata(gc, f, gc->layout.format.pcdata_inltree, gocore_pctab(gc, tree, 3));
}

static void check_wild_tree(struct world *w)
{
	const struct go_func *f = go_func_named(&w->tab, "main.main");
	for (uint64_t at = 0; at < 64; at += 16) {
		struct go_place place = go_place_at(&w->tab, f, f->entry + at);
		assert_in_range(place.n, 1, 1000);
		for (uint32_t i = 0; i < place.n; i++)
			assert_non_null(place.lines[i].name);
	}
}

static void test_wild_tree(void **state _unused_)
{
	each_format(fill_wild_tree, check_wild_tree);
}

// ---- strings -------------------------------------------------------------------------------

static void test_strings(void **state _unused_)
{
	struct world w;
	setup(&w, 22, EM_X86_64, fill_three);
	uint64_t at = gocore_rodata(GOCORE_NAMES);
	const char *s = go_string_at(&w.tab, at);
	assert_string_equal(s, "runtime.goexit");
	assert_ptr_equal(go_string_at(&w.tab, at), s); // one object for each
	assert_string_equal(go_string_at(&w.tab, at + 8), "goexit");
	assert_null(go_string_at(&w.tab, 0));
	assert_null(go_string_at(&w.tab, UINT64_MAX));
	s = go_symtab_keep(&w.tab, 77, "text");
	assert_string_equal(s, "text");
	assert_ptr_equal(go_symtab_keep(&w.tab, 77, "text"), s);
	assert_string_equal(go_symtab_keep(&w.tab, 77, "other"), "other");
	assert_string_equal(s, "text"); // what was handed out stays
	teardown(&w);
}

/// One that does not end in what there is, and one that never ends.
static void test_endless_strings(void **state _unused_)
{
	struct gocore gc;
	struct goopen o;
	struct go_symtab tab;
	uint64_t end = gocore_ranges[GOCORE_STACKS].start + gocore_ranges[GOCORE_STACKS].size;
	gocore_init(&gc, 22, EM_X86_64);
	gocore_put(&gc, end - 4, "abcd", 4);
	for (size_t i = 0; i < 200000; i++)
		gocore_add(&gc.more, "x", 1);
	gc.extra[0] = (struct gocore_extra){ .start = 0x7000000000, .size = gc.more.len };
	gc.n_extra = 1;
	goopen_core(&o, &gc);
	go_symtab_init(&tab, &o.core->memory, &gc.layout, 1);
	assert_null(go_string_at(&tab, end - 4));
	assert_null(go_string_at(&tab, 0x7000000000));
	assert_null(go_string_at(&tab, 0x7000000000 + 199990));
	go_symtab_deinit(&tab);
	goopen_close(&o);
	gocore_deinit(&gc);
}

// ---- modules -------------------------------------------------------------------------------

/// Each of these is no moduledata any more.
static void test_no_module(void **state _unused_)
{
	static const struct {
		enum go_field field;
		int64_t add;
	} changes[] = {
		{ GO_MODULE_MINPC, 1 },	   { GO_MODULE_MAXPC, 1 },    { GO_MODULE_TEXT, 1 << 30 },
		{ GO_MODULE_ETEXT, -64 },  { GO_MODULE_FTAB, 8 },     { GO_MODULE_FTAB, 1 << 30 },
		{ GO_MODULE_MINPC, 1 << 30 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++)
		for (size_t k = 0; k < ARRAY_SIZE(changes); k++) {
			struct gocore gc;
			struct goopen o;
			struct go_module m;
			gocore_init(&gc, minors[i], EM_X86_64);
			fill_three(&gc);
			gocore_finish_functions(&gc);
			uint64_t at = gc.module +
				      (uint64_t)gc.layout.offset[changes[k].field];
			gocore_u64(&gc, at, gocore_get(&gc, at) + (uint64_t)changes[k].add);
			goopen_core(&o, &gc);
			assert_false(go_module_read(&o.core->memory, &gc.layout, gc.module, &m));
			assert_false(go_module_read(&o.core->memory, &gc.layout, 0, &m));
			assert_false(go_module_read(&o.core->memory, &gc.layout, UINT64_MAX, &m));
			goopen_close(&o);
			gocore_deinit(&gc);
		}
}

static void test_ftab_length(void **state _unused_)
{
	static const uint64_t lengths[] = { 0, 1, 2, 3, 5, 1ULL << 32, 1ULL << 60, UINT64_MAX };
	for (size_t k = 0; k < ARRAY_SIZE(lengths); k++) {
		struct gocore gc;
		struct goopen o;
		struct go_module m;
		gocore_init(&gc, 22, EM_X86_64);
		fill_three(&gc);
		gocore_finish_functions(&gc);
		gocore_u64(&gc, gc.module + (uint64_t)gc.layout.offset[GO_MODULE_FTAB] + 8,
			   lengths[k]);
		goopen_core(&o, &gc);
		assert_false(go_module_read(&o.core->memory, &gc.layout, gc.module, &m));
		goopen_close(&o);
		gocore_deinit(&gc);
	}
}

/// Linked to itself, and to another one that is linked back.
static void test_module_circle(void **state _unused_)
{
	for (int same = 0; same < 2; same++) {
		struct world w = { 0 };
		gocore_init(&w.gc, 22, EM_X86_64);
		fill_three(&w.gc);
		gocore_finish_functions(&w.gc);
		uint64_t first = w.gc.module;
		if (!same) {
			w.gc.module = 0;
			gocore_finish_functions(&w.gc); // the same once more, elsewhere
			gocore_set(&w.gc, w.gc.module, GO_MODULE_NEXT, first);
		}
		gocore_set(&w.gc, first, GO_MODULE_NEXT, w.gc.module);
		goopen_core(&w.o, &w.gc);
		go_symtab_init(&w.tab, &w.o.core->memory, &w.gc.layout, 1);
		assert_true(go_module_read(w.tab.mem, &w.gc.layout, first, &w.module));
		assert_int_equal(go_symtab_add(&w.tab, &w.module), 0);
		assert_int_equal(w.tab.n_modules, same ? 1 : 2);
		assert_int_equal(go_symtab_add(&w.tab, &w.module), 0);
		assert_int_equal(w.tab.n_modules, same ? 1 : 2);
		teardown(&w);
	}
}

/// Entries out of order: a function or none, but always one that has the pc.
static void test_disorder(void **state _unused_)
{
	uint64_t random = 5;
	for (int round = 0; round < 300; round++) {
		struct world w = { 0 };
		gocore_init(&w.gc, minors[round % (int)ARRAY_SIZE(minors)], EM_X86_64);
		fill_roles(&w.gc);
		gocore_finish_functions(&w.gc);
		uint64_t ftab = gocore_rodata(GOCORE_FTAB),
			 bytes = w.gc.layout.format.functab_entry_bytes;
		for (int i = 0; i < 6; i++) { // the first and the last one are looked at
			uint64_t a = ftab + bytes * (1 + test_random(&random) % 12);
			uint64_t b = ftab + bytes * (1 + test_random(&random) % 12);
			uint8_t x[16], y[16];
			memcpy(x, gocore_at(&w.gc, a, bytes), bytes);
			memcpy(y, gocore_at(&w.gc, b, bytes), bytes);
			gocore_put(&w.gc, a, y, bytes);
			gocore_put(&w.gc, b, x, bytes);
		}
		goopen_core(&w.o, &w.gc);
		go_symtab_init(&w.tab, &w.o.core->memory, &w.gc.layout, 1);
		assert_true(go_module_read(w.tab.mem, &w.gc.layout, w.gc.module, &w.module));
		assert_int_equal(go_symtab_add(&w.tab, &w.module), 0);
		for (uint64_t pc = w.module.min_pc; pc < w.module.max_pc; pc += 8) {
			const struct go_func *f = go_func_at(&w.tab, pc);
			if (!f)
				continue;
			assert_non_null(f->name);
			(void)go_place_at(&w.tab, f, pc);
		}
		teardown(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_functions),     cmocka_unit_test(test_places),
		cmocka_unit_test(test_roles),	      cmocka_unit_test(test_steps),
		cmocka_unit_test(test_raw_tables),    cmocka_unit_test(test_outside),
		cmocka_unit_test(test_inlined),	      cmocka_unit_test(test_inlined_circle),
		cmocka_unit_test(test_wild_tree),     cmocka_unit_test(test_strings),
		cmocka_unit_test(test_endless_strings), cmocka_unit_test(test_no_module),
		cmocka_unit_test(test_ftab_length),   cmocka_unit_test(test_module_circle),
		cmocka_unit_test(test_disorder),
	};
	return cmocka_run_group_tests_name("symtab", tests, NULL, NULL);
}
