// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tables of functions. An input is a version, a machine, where the tables are (16 bits each: offset
 * and length), and the memory that they are in.
 */
#include "analyzer/go/symtab.h"
#include "gopatch.h"

enum { ADDRESS = 0x10000, TEXT = 0x400000, LOOKUPS = 16 };

static struct go_slice take_slice(struct patches *in)
{
	uint64_t offset = patches_take(in, 2);
	return (struct go_slice){ .addr = ADDRESS + offset, .len = patches_take(in, 2) };
}

static void check_place(struct go_symtab *tab, const struct go_func *f, uint64_t pc)
{
	struct go_place place = go_place_at(tab, f, pc), again = go_place_at(tab, f, pc);
	REQUIRE(place.n && place.lines && place.lines == again.lines && place.n == again.n);
	for (uint32_t i = 0; i < place.n; i++) {
		REQUIRE(place.lines[i].name && place.lines[i].file);
		REQUIRE(place.lines[i].inlined == (i + 1 < place.n));
	}
	REQUIRE(!strcmp(place.lines[place.n - 1].name, f->name));
}

static void check_pc(struct go_symtab *tab, uint64_t pc)
{
	const struct go_func *f = go_func_at(tab, pc);
	int32_t delta;
	if (!f)
		return;
	REQUIRE(f == go_func_at(tab, pc));
	REQUIRE(f->name && f->module && f->npcdata < 256);
	(void)go_sp_delta(tab, f, pc, &delta);
	for (unsigned int i = 0; i < 8; i++)
		(void)go_pcdata(tab, f, (uint8_t)i, pc);
	for (unsigned int i = 0; i < 8; i++)
		(void)go_funcdata(tab, f, (uint8_t)i);
	check_place(tab, f, pc);
	if (pc & 64) // it looks through the whole table
		return;
	// With a table out of order it may be another one that begins there.
	const struct go_func *named = go_func_named(tab, f->name);
	REQUIRE(!named || named->name);
}

static void check_tables(struct memory *mem, const struct go_layout *layout, uint8_t quantum,
			 const struct go_module *module, struct patches *in)
{
	struct go_symtab tab;
	go_symtab_init(&tab, mem, layout, quantum);
	REQUIRE(go_symtab_add(&tab, module) == 0);
	REQUIRE(tab.n_modules);
	for (int i = 0; i < LOOKUPS; i++)
		check_pc(&tab,
			 module->min_pc + (i < 8 ? (uint64_t)i * 16 : patches_take(in, 1) * 4));
	check_pc(&tab, module->max_pc - 1);
	(void)go_func_named(&tab, "runtime.allgadd");
	(void)go_string_at(&tab, ADDRESS + in->left);
	go_symtab_deinit(&tab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct patches in = { data, size };
	int minor = GO_MINOR_MIN + (int)patches_below(&in, GO_MINOR_MAX - GO_MINOR_MIN + 1);
	uint8_t quantum = patches_take(&in, 1) & 1 ? 4 : 1;
	struct go_layout layout;
	struct go_module m = { .addr = 1, .min_pc = TEXT, .max_pc = TEXT + 0x400, .text = TEXT,
			       .etext = TEXT + 0x400 };
	m.funcnametab = take_slice(&in);
	m.cutab = take_slice(&in);
	m.filetab = take_slice(&in);
	m.pctab = take_slice(&in);
	m.pclntable = take_slice(&in);
	m.ftab = take_slice(&in);
	m.gofunc = ADDRESS + patches_take(&in, 2);
	uint64_t at = ADDRESS + patches_take(&in, 2);
	if (!in.left || m.ftab.len < 2)
		return 0;
	REQUIRE(go_layout_init(&layout, minor, 0));
	struct memory mem = { 0 };
	_cleanup_close_ int fd = gocore_memfd(in.data, in.left);
	_cleanup_(source_destroyp) struct source *src = NULL;
	struct snap_error *err = source_create(fd, SOURCE_FILE, &src);
	snap_error_destroy(err);
	if (!src) // looks compressed
		return 0;
	const struct mem_region region = { .start = ADDRESS, .end = ADDRESS + in.left,
					   .source = src, .flags = MEM_READ };
	REQUIRE(memory_add(&mem, MEM_CORE, &region) == 0);
	check_tables(&mem, &layout, quantum, &m, &in);
	if (go_module_read(&mem, &layout, at, &m)) {
		REQUIRE(m.min_pc < m.max_pc && m.ftab.len >= 2);
		check_tables(&mem, &layout, quantum, &m, &in);
	}
	memory_deinit(&mem);
	return 0;
}
