// SPDX-License-Identifier: LGPL-2.1-or-later
#include "globals.h"

#include <stdlib.h>
#include <string.h>

enum {
	CODE_MAX_BYTES = 16 << 10, // larger ones of the runtime: procresize, 3 KiB
	OPERANDS_MAX = 1024,
	SYMTAB_MAX_BYTES = 256 << 20,
	MS_MAX = 1 << 16, // for checks only; the runtime allows 10 000
};

// ---- symbols -------------------------------------------------------------------------------

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	{ "runtime.allgs", offsetof(struct go_globals, allgs) },
	{ "runtime.allm", offsetof(struct go_globals, allm) },
	{ "runtime.allp", offsetof(struct go_globals, allp) },
	{ "runtime.waitReasonStrings", offsetof(struct go_globals, wait_reasons) },
	{ "runtime.sched", offsetof(struct go_globals, sched) },
	{ "runtime.gcphase", offsetof(struct go_globals, gcphase) },
	{ "runtime.panicking", offsetof(struct go_globals, panicking) },
	{ "runtime.semtable", offsetof(struct go_globals, semtable) },
	{ "runtime.printBacklog", offsetof(struct go_globals, print_backlog) },
	{ "runtime.traceback_cache", offsetof(struct go_globals, traceback_cache) },
};

static void take_symbol(struct go_runtime *rt, const char *name, uint64_t value)
{
	if (strncmp(name, "runtime.", 8) != 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++)
		if (!strcmp(name, symbols[i].name))
			*(uint64_t *)((char *)&rt->globals + symbols[i].offset) =
				rt->image->bias + value;
}

static void read_symbols(struct go_runtime *rt)
{
	const struct elf_file *elf = &rt->image->elf;
	const Elf64_Shdr *table = elf_section(elf, ".symtab");
	if (!table || table->sh_link >= elf->n_shdrs || table->sh_entsize != sizeof(Elf64_Sym))
		return;
	const Elf64_Shdr *strings = &elf->shdrs[table->sh_link];
	size_t size = MIN(table->sh_size, (uint64_t)SYMTAB_MAX_BYTES);
	size_t names_size = MIN(strings->sh_size, (uint64_t)SYMTAB_MAX_BYTES);
	_cleanup_free_ uint8_t *syms = elf_copy(elf, table->sh_offset, &size);
	_cleanup_free_ uint8_t *names = elf_copy(elf, strings->sh_offset, &names_size);
	for (size_t i = 0; syms && names && (i + 1) * sizeof(Elf64_Sym) <= size; i++) {
		Elf64_Sym sym;
		memcpy(&sym, syms + i * sizeof(sym), sizeof(sym));
		if (ELF64_ST_TYPE(sym.st_info) == STT_OBJECT && sym.st_name < names_size)
			take_symbol(rt, (const char *)names + sym.st_name, sym.st_value);
	}
}

// ---- operands ------------------------------------------------------------------------------

struct operands {
	uint64_t list[OPERANDS_MAX];
	size_t n;
};

bool go_globals_in_data(const struct go_runtime *rt, uint64_t addr)
{
	const struct go_module *m = &rt->symtab.modules[0];
	return (addr >= m->noptrdata && addr < m->enoptrdata) ||
	       (addr >= m->data && addr < m->edata) || (addr >= m->bss && addr < m->ebss) ||
	       (addr >= m->noptrbss && addr < m->enoptrbss);
}

/// Adds the addresses of data that the function called @name names.
static void add_operands(struct go_runtime *rt, const char *name, struct operands *ops)
{
	const struct go_func *f = go_func_named(&rt->symtab, name);
	if (!f)
		return;
	size_t len = MIN(f->end - f->entry, (uint64_t)CODE_MAX_BYTES);
	_cleanup_free_ uint8_t *code = malloc(len);
	if (!code)
		return;
	len = memory_read_some(rt->mem, f->entry, code, len);
	size_t n = rt->arch->operands(code, len, f->entry, ops->list + ops->n,
				      OPERANDS_MAX - ops->n);
	size_t kept = ops->n;
	for (size_t i = ops->n; i < ops->n + n; i++)
		if (go_globals_in_data(rt, ops->list[i]))
			ops->list[kept++] = ops->list[i];
	ops->n = kept;
}

/// The first address in @ops that @check accepts; 0 for none.
static uint64_t first_that(struct go_runtime *rt, const struct operands *ops,
			   bool (*check)(struct go_runtime *rt, uint64_t addr))
{
	for (size_t i = 0; i < ops->n; i++)
		if (check(rt, ops->list[i]))
			return ops->list[i];
	return 0;
}

static bool names(const struct operands *ops, uint64_t addr)
{
	for (size_t i = 0; i < ops->n; i++)
		if (ops->list[i] == addr)
			return true;
	return false;
}

/// A slice of pointers, of which the first and the last one are looked at.
static bool is_slice_of(struct go_runtime *rt, uint64_t addr, size_t max,
			bool (*check)(struct go_runtime *rt, uint64_t element))
{
	uint64_t data, len, cap, first, last;
	return memory_u64(rt->mem, addr, &data) && memory_u64(rt->mem, addr + 8, &len) &&
	       memory_u64(rt->mem, addr + 16, &cap) && len && len <= cap && len <= max &&
	       memory_u64(rt->mem, data, &first) && check(rt, first) &&
	       memory_u64(rt->mem, data + (len - 1) * 8, &last) && check(rt, last);
}

static bool is_allgs(struct go_runtime *rt, uint64_t addr)
{
	enum { GS_MAX = 1 << 28 };
	return is_slice_of(rt, addr, GS_MAX, go_is_g);
}

static bool is_allm(struct go_runtime *rt, uint64_t addr)
{
	uint64_t m;
	if (!memory_u64(rt->mem, addr, &m))
		return false;
	// The list ends with m0, which is a variable of the runtime's, and is not that variable.
	for (int i = 0; i < MS_MAX && go_is_m(rt, m); i++) {
		uint64_t next = go_u64(rt, m, GO_M_ALLLINK);
		if (!next)
			return go_globals_in_data(rt, m);
		m = next;
	}
	return false;
}

static bool is_p(struct go_runtime *rt, uint64_t addr)
{
	enum { STATUS_MAX = 4, PROCS_MAX = 1 << 16 };
	return addr && !(addr & 7) && memory_has(rt->mem, addr) &&
	       go_u32(rt, addr, GO_P_ID) < PROCS_MAX &&
	       go_u32(rt, addr, GO_P_STATUS) <= STATUS_MAX;
}

static bool is_allp(struct go_runtime *rt, uint64_t addr)
{
	enum { PROCS_MAX = 1 << 16 };
	uint64_t data, len, p;
	if (!is_slice_of(rt, addr, PROCS_MAX, is_p) || !memory_u64(rt->mem, addr, &data) ||
	    !memory_u64(rt->mem, addr + 8, &len))
		return false;
	for (uint64_t i = 0; i < len; i++)
		if (!memory_u64(rt->mem, data + i * 8, &p) || !is_p(rt, p) ||
		    go_u32(rt, p, GO_P_ID) != i)
			return false;
	return true;
}

static bool string_is(struct go_runtime *rt, uint64_t addr, const char *text)
{
	size_t len;
	_cleanup_free_ char *s = go_copy_string(rt->mem, addr, 64, &len);
	return s && !strcmp(s, text);
}

static bool is_wait_reasons(struct go_runtime *rt, uint64_t addr)
{
	return string_is(rt, addr + 16, "GC assist marking") &&
	       string_is(rt, addr + 32, "IO wait");
}

static void find_allgs(struct go_runtime *rt)
{
	struct operands ops = { .n = 0 };
	add_operands(rt, "runtime.allgadd", &ops);
	for (size_t i = 0; i < ops.n; i++)
		if (names(&ops, ops.list[i] + 8) && names(&ops, ops.list[i] + 16) &&
		    is_allgs(rt, ops.list[i])) {
			rt->globals.allgs = ops.list[i];
			return;
		}
	rt->globals.allgs = first_that(rt, &ops, is_allgs);
}

/// The table of semaphores, ≤ 1.25: roots of trees of sudogs.
static bool is_semtable(struct go_runtime *rt, uint64_t addr)
{
	uint64_t used = 0, tree;
	for (uint64_t i = 0; i < GO_SEMTABLE_ROOTS; i++) {
		uint64_t root = addr + i * rt->arch->cache_line_bytes;
		if (!memory_u64(rt->mem, root + GO_SEMROOT_TREE, &tree))
			return false;
		if (tree && !go_is_g(rt, go_u64(rt, tree, GO_SUDOG_G)))
			return false;
		used += tree != 0;
	}
	return used; // an empty one cannot be told from other zeros, and is of no use
}

/// Has the runtime kept the words of a fatal error there?
static bool is_backlog(struct go_runtime *rt, uint64_t addr)
{
	enum { BACKLOG_BYTES = 512 };
	char text[BACKLOG_BYTES];
	return memory_read(rt->mem, addr, text, sizeof(text)) &&
	       memmem(text, sizeof(text), "fatal error: ", 13);
}

void go_globals_find(struct go_runtime *rt)
{
	struct go_globals *g = &rt->globals;
	struct operands ops = { .n = 0 };
	read_symbols(rt);
	// A symbol is believed only if what it names looks right.
	if (!g->allgs || !is_allgs(rt, g->allgs))
		find_allgs(rt);
	if (!g->allm || !is_allm(rt, g->allm)) {
		add_operands(rt, "runtime.mcommoninit", &ops);
		add_operands(rt, "runtime.schedtrace", &ops);
		g->allm = first_that(rt, &ops, is_allm);
	}
	if (!g->allp || !is_allp(rt, g->allp)) {
		ops.n = 0;
		add_operands(rt, "runtime.procresize", &ops);
		g->allp = first_that(rt, &ops, is_allp);
	}
	if (!g->print_backlog) {
		ops.n = 0;
		add_operands(rt, "runtime.recordForPanic", &ops);
		g->print_backlog = first_that(rt, &ops, is_backlog);
	}
	if (!g->semtable || !is_semtable(rt, g->semtable)) {
		ops.n = 0;
		add_operands(rt, "runtime.semacquire1", &ops);
		add_operands(rt, "runtime.semrelease1", &ops);
		g->semtable = first_that(rt, &ops, is_semtable);
	}
	if (!g->wait_reasons || !is_wait_reasons(rt, g->wait_reasons)) {
		ops.n = 0;
		add_operands(rt, "runtime.waitReason.String", &ops);
		add_operands(rt, "runtime.goroutineheader", &ops);
		g->wait_reasons = first_that(rt, &ops, is_wait_reasons);
	}
}
