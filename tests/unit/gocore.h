/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "analyzer/core.h"
#include "analyzer/go/arch.h"
#include "analyzer/go/layout.h"
#include "common/fd.h"
#include "common/snapnote.h"
#include "common/strbuf.h"

/**
 * DOC: A Go program that does not exist
 *
 * Makes the memory of a small Go program of any version and machine: its table of functions, its
 * moduledata, code that names the global variables, goroutines with their stacks, threads. And of
 * that a core, and an executable. What is in the program is up to the caller; gocore_program() in
 * goprogram.h makes one that has a bit of everything.
 *
 * Unit tests and fuzz targets use it, so there are no asserts of cmocka in here: what cannot be is
 * an abort(). Writing where the program has no memory does nothing and returns false, which is what
 * a fuzzer wants; others check.
 *
 * Formats are those of the sources of Go, not of what is tested: src/cmd/link/internal/ld/pcln.go.
 */

#define GOCORE_CHECK(condition)                                                        \
	do {                                                                           \
		if (!(condition)) {                                                    \
			(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
				      #condition);                                     \
			abort();                                                       \
		}                                                                      \
	} while (0)

enum gocore_part {
	GOCORE_HEADER, ///< of the executable: ELF header, program headers, build IDs
	GOCORE_TEXT,
	GOCORE_RODATA, ///< the table of functions, types, texts
	GOCORE_DATA, ///< build information, moduledata, global variables
	GOCORE_HEAP,
	GOCORE_STACKS,
	GOCORE_PARTS,
	GOCORE_IMAGE_PARTS = GOCORE_HEAP, ///< those before it are in the executable
};

static const struct gocore_range {
	uint64_t start;
	size_t size;
	uint32_t flags;
} gocore_ranges[GOCORE_PARTS] = {
	[GOCORE_HEADER] = { 0x400000, 0x1000, PF_R },
	[GOCORE_TEXT] = { 0x401000, 0x2000, PF_R | PF_X },
	[GOCORE_RODATA] = { 0x404000, 0x6000, PF_R },
	[GOCORE_DATA] = { 0x40b000, 0xc000, PF_R | PF_W },
	[GOCORE_HEAP] = { 0xc000000000, 0x8000, PF_R | PF_W },
	[GOCORE_STACKS] = { 0xc000100000, 0x4000, PF_R | PF_W },
};

enum {
	GOCORE_BASE = 0x400000, ///< where the executable is mapped
	// Where things are in GOCORE_RODATA. Up to 1.15 all but the last two are one table.
	GOCORE_FTAB = 0x100,
	GOCORE_FUNCS = 0x800,
	GOCORE_NAMES = 0x2800,
	GOCORE_CUTAB = 0x3000,
	GOCORE_FILES = 0x3200,
	GOCORE_PCTAB = 0x3400,
	GOCORE_GOFUNC = 0x4400,
	GOCORE_TYPES = 0x4a00,
	GOCORE_TEXTS = 0x5000,
	GOCORE_FUNCS_MAX = 64,
	GOCORE_FILES_MAX = 16,
	GOCORE_NPCDATA = 4,
	GOCORE_NFUNCDATA = 7,
	GOCORE_CODE_BYTES = 64, ///< of a function that does not say
	GOCORE_THREADS_MAX = 8,
	GOCORE_EXTRA_MAX = 512,
	GOCORE_NS_TIDS = 1000, ///< between the numbers of threads outside and inside the process
};

struct gocore_func {
	uint64_t entry, end;
	uint64_t at; ///< of its struct _func
	uint32_t frame;
	const char *name;
};

struct gocore_thread {
	int32_t tid;
	uint16_t signal;
	struct go_regs regs;
	uint64_t g; ///< what the thread itself says it runs
};

/// Memory that is in no part: more PT_LOAD, several of which may show the same bytes.
struct gocore_extra {
	uint64_t start, size;
	size_t at; ///< in gocore.more
	uint32_t flags;
};

struct gocore {
	int minor;
	uint16_t machine;
	struct go_layout layout;
	bool link_register;
	uint8_t *parts[GOCORE_PARTS];
	size_t used[GOCORE_PARTS];
	// The table of functions, as far as it is made.
	struct gocore_func funcs[GOCORE_FUNCS_MAX];
	size_t n_funcs, n_files;
	const char *files[GOCORE_FILES_MAX];
	uint32_t file_at[GOCORE_FILES_MAX];
	size_t func_bytes, name_bytes, file_bytes, pctab_bytes, gofunc_bytes, type_bytes;
	size_t text_bytes;
	uint64_t module; ///< address of the moduledata
	// The globals, where they are.
	uint64_t allgs, allm, allp, wait_reasons, sched, m0, print_backlog, gcphase, semtable;
	// The core.
	struct gocore_thread threads[GOCORE_THREADS_MAX];
	size_t n_threads;
	struct strbuf more; ///< bytes of the extra memory
	struct gocore_extra extra[GOCORE_EXTRA_MAX];
	size_t n_extra;
	uint32_t omit; ///< bits of parts that are not in the core
	bool no_files; ///< no NT_FILE
	bool snapnote; ///< as if procsnap had written it
	uint64_t now;
	uint8_t siginfo[128];
	struct strbuf notes; ///< to be added behind the others
};

// ---- memory --------------------------------------------------------------------------------

static inline void gocore_init(struct gocore *gc, int minor, uint16_t machine)
{
	*gc = (struct gocore){ .minor = minor, .machine = machine };
	GOCORE_CHECK(go_layout_init(&gc->layout, minor, 9));
	gc->link_register = machine == EM_AARCH64;
	for (int i = 0; i < GOCORE_PARTS; i++) {
		gc->parts[i] = calloc(1, gocore_ranges[i].size);
		GOCORE_CHECK(gc->parts[i]);
	}
	gc->pctab_bytes = 1; // offset 0 means that there is no table
	gc->gofunc_bytes = 8;
	gc->type_bytes = 8;
}

static inline void gocore_deinit(struct gocore *gc)
{
	for (int i = 0; i < GOCORE_PARTS; i++)
		free(gc->parts[i]);
	strbuf_deinit(&gc->more);
	strbuf_deinit(&gc->notes);
}

/// The @size bytes at @addr; NULL when they are not all in one part.
static inline uint8_t *gocore_at(struct gocore *gc, uint64_t addr, size_t size)
{
	for (int i = 0; i < GOCORE_PARTS; i++) {
		uint64_t offset = addr - gocore_ranges[i].start;
		if (offset <= gocore_ranges[i].size && size <= gocore_ranges[i].size - offset)
			return gc->parts[i] + offset;
	}
	return NULL;
}

static inline bool gocore_put(struct gocore *gc, uint64_t addr, const void *data, size_t size)
{
	uint8_t *p = gocore_at(gc, addr, size);
	if (p && size)
		memcpy(p, data, size);
	return p != NULL;
}

static inline bool gocore_u64(struct gocore *gc, uint64_t addr, uint64_t v)
{
	return gocore_put(gc, addr, &v, sizeof(v));
}

static inline bool gocore_u32(struct gocore *gc, uint64_t addr, uint32_t v)
{
	return gocore_put(gc, addr, &v, sizeof(v));
}

static inline bool gocore_u8(struct gocore *gc, uint64_t addr, uint8_t v)
{
	return gocore_put(gc, addr, &v, sizeof(v));
}

/// How many bytes a field has.
static inline size_t gocore_field_bytes(enum go_field field)
{
	switch (field) {
	case GO_G_WAITREASON:
	case GO_G_RUNNING_CLEANUPS:
	case GO_M_INCGO:
	case GO_M_ISEXTRA:
	case GO_SUDOG_IS_SELECT:
	case GO_SUDOG_SUCCESS:
	case GO_PANIC_RECOVERED:
	case GO_PANIC_ABORTED:
	case GO_PANIC_GOEXIT:
		return 1;
	case GO_G_ATOMICSTATUS:
	case GO_G_SIG:
	case GO_M_THROWING:
	case GO_M_DYING:
	case GO_P_ID:
	case GO_P_STATUS:
	case GO_P_RUNQHEAD:
	case GO_P_RUNQTAIL:
	case GO_SCHED_NMIDLE:
	case GO_SCHED_NPIDLE:
	case GO_SCHED_NMSPINNING:
	case GO_SCHED_RUNQSIZE:
	case GO_SCHED_GCWAITING:
	case GO_HCHAN_CLOSED:
		return 4;
	default:
		return 8;
	}
}

/// Sets a field of a structure at @addr; does nothing in versions without it.
static inline bool gocore_set(struct gocore *gc, uint64_t addr, enum go_field field, uint64_t v)
{
	int offset = gc->layout.offset[field];
	return offset == GO_NONE ||
	       gocore_put(gc, addr + (uint64_t)offset, &v, gocore_field_bytes(field));
}

static inline uint64_t gocore_get(struct gocore *gc, uint64_t addr)
{
	uint64_t v = 0;
	const uint8_t *p = gocore_at(gc, addr, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t gocore_alloc(struct gocore *gc, enum gocore_part part, size_t size)
{
	uint64_t addr = gocore_ranges[part].start + gc->used[part];
	gc->used[part] += (size + 15) & ~(size_t)15;
	GOCORE_CHECK(gc->used[part] <= gocore_ranges[part].size);
	return addr;
}

static inline uint64_t gocore_rodata(size_t offset)
{
	return gocore_ranges[GOCORE_RODATA].start + offset;
}

/// The bytes of @text somewhere; not terminated, as Go has them.
static inline uint64_t gocore_bytes(struct gocore *gc, const void *data, size_t len)
{
	uint64_t addr = gocore_rodata(GOCORE_TEXTS + gc->text_bytes);
	gc->text_bytes += len;
	GOCORE_CHECK(gocore_put(gc, addr, data, len));
	return addr;
}

/// A string header at @addr.
static inline void gocore_string(struct gocore *gc, uint64_t addr, const char *text)
{
	size_t len = strlen(text);
	GOCORE_CHECK(gocore_u64(gc, addr, len ? gocore_bytes(gc, text, len) : 0));
	GOCORE_CHECK(gocore_u64(gc, addr + 8, len));
}

// ---- the table of functions ----------------------------------------------------------------

struct gocore_step {
	int32_t value;
	uint32_t bytes; ///< of code that it is for
};

static inline size_t gocore_varint(uint8_t *p, uint32_t v)
{
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/// Up to 1.15 everything is in one table, so offsets into its sections count from its beginning.
static inline uint32_t gocore_section(const struct gocore *gc, uint32_t section)
{
	return gc->minor < 16 ? section : 0;
}

/// Adds bytes to pctab; the offset that a function names them by.
static inline uint32_t gocore_pctab_bytes(struct gocore *gc, const void *data, size_t len)
{
	uint32_t at = (uint32_t)gc->pctab_bytes;
	GOCORE_CHECK(at + len <= GOCORE_GOFUNC - GOCORE_PCTAB);
	GOCORE_CHECK(gocore_put(gc, gocore_rodata(GOCORE_PCTAB + at), data, len));
	gc->pctab_bytes += len;
	return gocore_section(gc, GOCORE_PCTAB) + at;
}

static inline uint32_t gocore_pctab(struct gocore *gc, const struct gocore_step *steps, size_t n)
{
	uint8_t bytes[256];
	size_t len = 0;
	int32_t value = -1;
	uint32_t quantum = gc->link_register ? 4 : 1;
	for (size_t i = 0; i < n; i++) {
		int32_t delta = steps[i].value - value;
		value = steps[i].value;
		GOCORE_CHECK(len + 10 < sizeof(bytes));
		len += gocore_varint(bytes + len, delta < 0 ? ((uint32_t)-delta << 1) - 1 :
							      (uint32_t)delta << 1);
		len += gocore_varint(bytes + len, steps[i].bytes / quantum);
	}
	bytes[len++] = 0;
	return gocore_pctab_bytes(gc, bytes, len);
}

/// Index of a source file.
static inline int32_t gocore_file(struct gocore *gc, const char *name)
{
	for (size_t i = 0; i < gc->n_files; i++)
		if (!strcmp(gc->files[i], name))
			return (int32_t)i;
	GOCORE_CHECK(gc->n_files < GOCORE_FILES_MAX);
	gc->files[gc->n_files] = name;
	gc->file_at[gc->n_files] = (uint32_t)gc->file_bytes;
	size_t len = strlen(name) + 1;
	GOCORE_CHECK(gc->file_bytes + len <= GOCORE_PCTAB - GOCORE_FILES);
	GOCORE_CHECK(gocore_put(gc, gocore_rodata(GOCORE_FILES + gc->file_bytes), name, len));
	gc->file_bytes += len;
	// cutab since 1.16, the filetab before: offsets, one after the other
	GOCORE_CHECK(gocore_u32(gc, gocore_rodata(GOCORE_CUTAB + gc->n_files * 4),
				gocore_section(gc, GOCORE_FILES) + gc->file_at[gc->n_files]));
	return (int32_t)gc->n_files++;
}

/// Offset of a function's name, by which its struct names it.
static inline uint32_t gocore_name(struct gocore *gc, const char *name)
{
	uint32_t at = (uint32_t)gc->name_bytes;
	size_t len = strlen(name) + 1;
	GOCORE_CHECK(at + len <= GOCORE_CUTAB - GOCORE_NAMES);
	GOCORE_CHECK(gocore_put(gc, gocore_rodata(GOCORE_NAMES + at), name, len));
	gc->name_bytes += len;
	return gocore_section(gc, GOCORE_NAMES) + at;
}

struct gocore_fn {
	const char *name, *file;
	int32_t line, args;
	uint32_t frame; ///< how far the stack pointer is down, all the time
	uint32_t size; ///< of its code, 0: GOCORE_CODE_BYTES
	uint8_t flags, id;
	bool no_pcsp;
	const uint8_t *code;
	size_t code_bytes;
};

static inline void gocore_func_u32(struct gocore *gc, uint64_t at, uint8_t field, uint32_t v)
{
	if (field != GO_FORMAT_NONE)
		GOCORE_CHECK(gocore_u32(gc, at + field, v));
}

static inline void gocore_func_u8(struct gocore *gc, uint64_t at, uint8_t field, uint8_t v)
{
	if (field != GO_FORMAT_NONE)
		GOCORE_CHECK(gocore_u8(gc, at + field, v));
}

/// Where the offset of a table by pc of @func is.
static inline uint64_t gocore_pcdata_at(const struct gocore *gc, const struct gocore_func *func,
					uint32_t table)
{
	return func->at + gc->layout.format.func_pcdata + table * 4ULL;
}

/// Sets the table number @table of @func to @offset of pctab.
static inline void gocore_set_pcdata(struct gocore *gc, const struct gocore_func *func,
				     uint8_t table, uint32_t offset)
{
	if (table != GO_FORMAT_NONE)
		GOCORE_CHECK(gocore_u32(gc, gocore_pcdata_at(gc, func, table), offset));
}

/// Sets the data number @index of @func to what lies at @addr, in the section gofunc; 0: none.
static inline void gocore_set_funcdata(struct gocore *gc, const struct gocore_func *func,
				       uint8_t index, uint64_t addr)
{
	uint64_t at = gocore_pcdata_at(gc, func, GOCORE_NPCDATA);
	if (index == GO_FORMAT_NONE)
		return;
	if (gc->layout.format.funcdata_offsets)
		GOCORE_CHECK(gocore_u32(gc, at + index * 4ULL,
					addr ? (uint32_t)(addr - gocore_rodata(GOCORE_GOFUNC)) :
					       UINT32_MAX));
	else
		GOCORE_CHECK(gocore_u64(gc, ((at + 7) & ~7ULL) + index * 8ULL, addr));
}

/// Bytes in the section that funcdata is in; where they are.
static inline uint64_t gocore_gofunc(struct gocore *gc, const void *data, size_t len)
{
	uint64_t addr = gocore_rodata(GOCORE_GOFUNC + gc->gofunc_bytes);
	gc->gofunc_bytes += (len + 7) & ~(size_t)7;
	GOCORE_CHECK(gc->gofunc_bytes <= GOCORE_TYPES - GOCORE_GOFUNC);
	GOCORE_CHECK(gocore_put(gc, addr, data, len));
	return addr;
}

/// Adds a function behind the others. Borrowed, until the next one is added.
static inline const struct gocore_func *gocore_func(struct gocore *gc, const struct gocore_fn *fn)
{
	const struct go_format *fmt = &gc->layout.format;
	uint32_t size = fn->size ? fn->size : GOCORE_CODE_BYTES;
	size_t word = fmt->funcdata_offsets ? 4 : 8;
	size_t struct_bytes = fmt->func_pcdata + GOCORE_NPCDATA * 4UL + 8 +
			      GOCORE_NFUNCDATA * word;
	GOCORE_CHECK(gc->n_funcs < GOCORE_FUNCS_MAX);
	struct gocore_func *f = &gc->funcs[gc->n_funcs++];
	*f = (struct gocore_func){ .frame = fn->frame, .name = fn->name };
	f->entry = gocore_alloc(gc, GOCORE_TEXT, size);
	f->end = f->entry + ((size + 15) & ~15U);
	size = (uint32_t)(f->end - f->entry);
	f->at = gocore_rodata(GOCORE_FUNCS + gc->func_bytes);
	gc->func_bytes += (struct_bytes + 7) & ~(size_t)7;
	GOCORE_CHECK(gc->func_bytes <= GOCORE_NAMES - GOCORE_FUNCS);
	GOCORE_CHECK(!fn->code || gocore_put(gc, f->entry, fn->code, fn->code_bytes));
	const struct gocore_step frame = { (int32_t)fn->frame, size }, line = { fn->line, size },
				 file = { gocore_file(gc, fn->file), size };
	if (fmt->functab_entry_bytes == 16)
		GOCORE_CHECK(gocore_u64(gc, f->at, f->entry));
	else
		GOCORE_CHECK(gocore_u32(gc, f->at,
					(uint32_t)(f->entry - gocore_ranges[GOCORE_TEXT].start)));
	gocore_func_u32(gc, f->at, fmt->func_name, gocore_name(gc, fn->name));
	gocore_func_u32(gc, f->at, fmt->func_args, (uint32_t)fn->args);
	gocore_func_u32(gc, f->at, fmt->func_pcsp, fn->no_pcsp ? 0 : gocore_pctab(gc, &frame, 1));
	gocore_func_u32(gc, f->at, fmt->func_pcfile, gocore_pctab(gc, &file, 1));
	gocore_func_u32(gc, f->at, fmt->func_pcln, gocore_pctab(gc, &line, 1));
	gocore_func_u32(gc, f->at, fmt->func_npcdata, GOCORE_NPCDATA);
	gocore_func_u32(gc, f->at, fmt->func_cu, 0);
	gocore_func_u8(gc, f->at, fmt->func_id, fn->id);
	gocore_func_u8(gc, f->at, fmt->func_flag, fn->flags);
	gocore_func_u8(gc, f->at, fmt->func_nfuncdata, GOCORE_NFUNCDATA);
	for (uint8_t i = 0; i < GOCORE_NFUNCDATA; i++)
		gocore_set_funcdata(gc, f, i, 0);
	return f;
}

static inline struct gocore_func *gocore_named(struct gocore *gc, const char *name)
{
	for (size_t i = 0; i < gc->n_funcs; i++)
		if (!strcmp(gc->funcs[i].name, name))
			return &gc->funcs[i];
	(void)fprintf(stderr, "there is no function %s\n", name);
	abort();
}

/// A pc in the middle of the function called @name.
static inline uint64_t gocore_pc(struct gocore *gc, const char *name)
{
	return gocore_named(gc, name)->entry + 16;
}

struct gocore_inlined {
	const char *name, *file;
	int32_t line; ///< where it is called; what 1.11 keeps
	int16_t parent; ///< index of the one it is inlined into, -1: the function
	uint32_t parent_pc; ///< offset from the function's beginning
	uint8_t id;
};

/// Gives @func an inline tree; @steps says which entry each pc is in.
static inline void gocore_inline(struct gocore *gc, const struct gocore_func *func,
				 const struct gocore_inlined *list, size_t n,
				 const struct gocore_step *steps, size_t n_steps)
{
	const struct go_format *fmt = &gc->layout.format;
	uint8_t bytes[512] = { 0 };
	GOCORE_CHECK(n * fmt->inl_bytes <= sizeof(bytes));
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = bytes + i * fmt->inl_bytes;
		uint32_t name = gocore_name(gc, list[i].name);
		int32_t file = gocore_file(gc, list[i].file);
		memcpy(p + fmt->inl_name, &name, 4);
		if (fmt->inl_id != GO_FORMAT_NONE)
			p[fmt->inl_id] = list[i].id;
		if (fmt->inl_parent != GO_FORMAT_NONE) {
			memcpy(p + fmt->inl_parent, &list[i].parent, 2);
			memcpy(p + fmt->inl_file, &file, 4);
			memcpy(p + fmt->inl_line, &list[i].line, 4);
		}
		if (fmt->inl_parent_pc != GO_FORMAT_NONE)
			memcpy(p + fmt->inl_parent_pc, &list[i].parent_pc, 4);
	}
	gocore_set_funcdata(gc, func, fmt->funcdata_inltree,
			    gocore_gofunc(gc, bytes, n * fmt->inl_bytes));
	gocore_set_pcdata(gc, func, fmt->pcdata_inltree, gocore_pctab(gc, steps, n_steps));
}

/// A type; @kind and flags as in internal/abi. Returns its address.
static inline uint64_t gocore_type(struct gocore *gc, const char *name, uint8_t kind, uint8_t flags)
{
	enum { TFLAG = 20, KIND = 23, STR = 40, BYTES = 48 };
	uint64_t types = gocore_rodata(GOCORE_TYPES), addr = types + gc->type_bytes;
	uint32_t str = (uint32_t)gc->type_bytes + BYTES;
	size_t len = strlen(name), head = gc->minor <= 16 ? 3 : 2;
	GOCORE_CHECK(len < 128);
	GOCORE_CHECK(gocore_u8(gc, addr + TFLAG, flags));
	GOCORE_CHECK(gocore_u8(gc, addr + KIND, kind));
	GOCORE_CHECK(gocore_u32(gc, addr + STR, str));
	GOCORE_CHECK(gocore_u8(gc, types + str + head - 1, (uint8_t)len));
	GOCORE_CHECK(gocore_put(gc, types + str + head, name, len));
	gc->type_bytes += (BYTES + head + len + 7) & ~(size_t)7;
	GOCORE_CHECK(gc->type_bytes <= GOCORE_TEXTS - GOCORE_TYPES);
	return addr;
}

static inline void gocore_slice(struct gocore *gc, enum go_field field, uint64_t addr, uint64_t len)
{
	uint64_t at = gc->module + (uint64_t)gc->layout.offset[field];
	if (gc->layout.offset[field] == GO_NONE)
		return;
	GOCORE_CHECK(gocore_u64(gc, at, addr) && gocore_u64(gc, at + 8, len) &&
		     gocore_u64(gc, at + 16, len));
}

static inline void gocore_module_range(struct gocore *gc, enum go_field start, enum go_field end,
				       uint64_t from, uint64_t to)
{
	GOCORE_CHECK(gocore_set(gc, gc->module, start, from));
	GOCORE_CHECK(gocore_set(gc, gc->module, end, to));
}

/// The header, the function table and the moduledata: when all functions have been added.
static inline void gocore_finish_functions(struct gocore *gc)
{
	static const struct {
		int minor;
		uint8_t magic;
	} eras[] = { { 11, 0xfb }, { 16, 0xfa }, { 18, 0xf0 }, { 20, 0xf1 } };
	const struct gocore_range *text = &gocore_ranges[GOCORE_TEXT],
				  *data = &gocore_ranges[GOCORE_DATA];
	uint64_t table = gocore_rodata(0), ftab = gocore_rodata(GOCORE_FTAB);
	bool old = gc->minor < 16, wide = gc->layout.format.functab_entry_bytes == 16;
	uint8_t head[8] = { 0, 0xff, 0xff, 0xff, 0, 0, gc->link_register ? 4 : 1, 8 };
	for (size_t i = 0; i < ARRAY_SIZE(eras); i++)
		head[0] = gc->minor >= eras[i].minor ? eras[i].magic : head[0];
	GOCORE_CHECK(gocore_put(gc, table, head, sizeof(head)));
	GOCORE_CHECK(gocore_u64(gc, table + 8, gc->n_funcs));
	uint64_t end = gc->n_funcs ? gc->funcs[gc->n_funcs - 1].end : text->start;
	for (size_t i = 0; i <= gc->n_funcs; i++) {
		uint64_t entry = i < gc->n_funcs ? gc->funcs[i].entry : end;
		uint64_t func = i < gc->n_funcs ?
					gc->funcs[i].at - (old ? table : ftab) :
					0;
		if (wide)
			GOCORE_CHECK(gocore_u64(gc, ftab + i * 16, entry) &&
				     gocore_u64(gc, ftab + i * 16 + 8, func));
		else
			GOCORE_CHECK(
				gocore_u32(gc, ftab + i * 8, (uint32_t)(entry - text->start)) &&
				gocore_u32(gc, ftab + i * 8 + 4, (uint32_t)func));
	}
	if (!gc->module)
		gc->module = gocore_alloc(gc, GOCORE_DATA, 592);
	GOCORE_CHECK(gocore_set(gc, gc->module, GO_MODULE_PC_HEADER, table));
	gocore_slice(gc, GO_MODULE_PCLNTABLE, old ? table : ftab,
		     old ? GOCORE_TYPES : GOCORE_NAMES - GOCORE_FTAB);
	gocore_slice(gc, GO_MODULE_FTAB, ftab, gc->n_funcs + 1);
	gocore_slice(gc, GO_MODULE_FUNCNAMETAB, gocore_rodata(GOCORE_NAMES), gc->name_bytes);
	// Too long by a factor of four before 1.26.
	gocore_slice(gc, GO_MODULE_CUTAB, gocore_rodata(GOCORE_CUTAB),
		     gc->n_files * (gc->minor < 26 ? 4 : 1));
	if (old)
		gocore_slice(gc, GO_MODULE_FILETAB, gocore_rodata(GOCORE_CUTAB), gc->n_files);
	else
		gocore_slice(gc, GO_MODULE_FILETAB, gocore_rodata(GOCORE_FILES), gc->file_bytes);
	gocore_slice(gc, GO_MODULE_PCTAB, gocore_rodata(GOCORE_PCTAB), gc->pctab_bytes);
	gocore_module_range(gc, GO_MODULE_MINPC, GO_MODULE_MAXPC, text->start, end);
	gocore_module_range(gc, GO_MODULE_TEXT, GO_MODULE_ETEXT, text->start, end);
	gocore_module_range(gc, GO_MODULE_NOPTRDATA, GO_MODULE_ENOPTRDATA, data->start,
			    data->start + data->size);
	gocore_module_range(gc, GO_MODULE_TYPES, GO_MODULE_ETYPES, gocore_rodata(GOCORE_TYPES),
			    gocore_rodata(GOCORE_TEXTS));
	GOCORE_CHECK(gocore_set(gc, gc->module, GO_MODULE_GOFUNC, gocore_rodata(GOCORE_GOFUNC)));
}

// ---- code ----------------------------------------------------------------------------------

/// Makes code at @pc, in at most @max bytes, that loads the words at @addrs; returns its length.
static inline size_t gocore_loads(const struct gocore *gc, uint64_t pc, const uint64_t *addrs,
				  size_t n, uint8_t *code, size_t max)
{
	size_t len = 0;
	for (size_t i = 0; i < n; i++) {
		GOCORE_CHECK(len + 8 <= max);
		if (!gc->link_register) { // mov disp32(%rip), %rax
			uint32_t disp = (uint32_t)(addrs[i] - (pc + len + 7));
			memcpy(code + len, "\x48\x8b\x05", 3);
			memcpy(code + len + 3, &disp, 4);
			len += 7;
			continue;
		}
		// adrp x1, page; ldr x0, [x1, #offset]
		uint64_t pages = (addrs[i] >> 12) - ((pc + len) >> 12);
		uint32_t adrp = 0x90000001 | (uint32_t)(pages & 3) << 29 |
				(uint32_t)((pages >> 2) & 0x7ffff) << 5;
		uint32_t ldr = 0xf9400020 | (uint32_t)((addrs[i] & 0xfff) >> 3) << 10;
		memcpy(code + len, &adrp, 4);
		memcpy(code + len + 4, &ldr, 4);
		len += 8;
	}
	return len;
}

// ---- goroutines ----------------------------------------------------------------------------

enum { GOCORE_STACK_BYTES = 0x400, GOCORE_G_BYTES = 0x1d0, GOCORE_M_BYTES = 0x480 };

/// A g with a stack, waiting.
static inline uint64_t gocore_g(struct gocore *gc, uint64_t id)
{
	uint64_t g = gocore_alloc(gc, GOCORE_HEAP, GOCORE_G_BYTES);
	uint64_t lo = gocore_alloc(gc, GOCORE_STACKS, GOCORE_STACK_BYTES);
	gocore_set(gc, g, GO_G_STACK_LO, lo);
	gocore_set(gc, g, GO_G_STACK_HI, lo + GOCORE_STACK_BYTES);
	gocore_set(gc, g, GO_G_GOID, id);
	gocore_set(gc, g, GO_G_SCHED_G, g);
	gocore_set(gc, g, GO_G_ATOMICSTATUS, 4);
	return g;
}

/// Writes the frames of @pcs, innermost first, to the top of a stack; where the innermost one's is.
static inline uint64_t gocore_frames(struct gocore *gc, uint64_t hi, const uint64_t *pcs, size_t n)
{
	uint64_t word = gc->link_register ? 0 : 8, sp = hi - 64;
	uint64_t frames[GOCORE_FUNCS_MAX];
	GOCORE_CHECK(n <= ARRAY_SIZE(frames));
	for (size_t i = 0; i < n; i++) {
		frames[i] = 0;
		for (size_t j = 0; j < gc->n_funcs; j++)
			if (pcs[i] >= gc->funcs[j].entry && pcs[i] < gc->funcs[j].end)
				frames[i] = gc->funcs[j].frame;
		sp -= frames[i] + word;
	}
	uint64_t first = sp;
	for (size_t i = 0; i < n; i++) {
		uint64_t caller = i + 1 < n ? pcs[i + 1] : 0;
		GOCORE_CHECK(gocore_u64(gc, gc->link_register ? sp : sp + frames[i], caller));
		sp += frames[i] + word;
	}
	return first;
}

/// Parks @g with that stack.
static inline uint64_t gocore_park(struct gocore *gc, uint64_t g, const uint64_t *pcs, size_t n)
{
	uint64_t sp = gocore_frames(gc, gocore_get(gc, g + 8), pcs, n);
	gocore_set(gc, g, GO_G_SCHED_SP, sp);
	gocore_set(gc, g, GO_G_SCHED_PC, pcs[0]);
	return sp;
}

/// The number of a wait reason in this version, by its text; 0 when it has none such.
static inline uint8_t gocore_reason(const struct gocore *gc, const char *text)
{
	for (uint8_t i = 0; i < gc->layout.n_wait_reasons; i++)
		if (!strcmp(gc->layout.wait_reasons[i], text))
			return i;
	return 0;
}

/// A sudog of @g that waits on @object, a channel unless @elem.
static inline uint64_t gocore_sudog(struct gocore *gc, uint64_t g, uint64_t object, bool elem)
{
	enum { TRACEABLE = 26, SUDOG_BYTES = 112 };
	uint64_t sudog = gocore_alloc(gc, GOCORE_HEAP, SUDOG_BYTES);
	uint64_t at = sudog + (uint64_t)gc->layout.offset[elem ? GO_SUDOG_ELEM : GO_SUDOG_C];
	gocore_set(gc, sudog, GO_SUDOG_G, g);
	GOCORE_CHECK(gocore_u64(gc, gc->minor >= TRACEABLE ? at + 8 : at, object));
	return sudog;
}

/// An m whose g0 has a stack; it is not in the list of them.
static inline uint64_t gocore_m(struct gocore *gc, uint64_t m, uint64_t id, uint64_t procid)
{
	uint64_t g0 = gocore_g(gc, 0);
	gocore_set(gc, g0, GO_G_M, m);
	gocore_set(gc, m, GO_M_G0, g0);
	gocore_set(gc, m, GO_M_ID, id);
	gocore_set(gc, m, GO_M_PROCID, procid);
	return m;
}

// ---- the executable ------------------------------------------------------------------------

static inline void gocore_note(struct strbuf *buf, const char *owner, uint32_t type,
			       const void *desc, size_t len)
{
	Elf64_Nhdr head = { (uint32_t)strlen(owner) + 1, (uint32_t)len, type };
	GOCORE_CHECK(strbuf_add(buf, &head, sizeof(head)) == 0);
	GOCORE_CHECK(strbuf_add(buf, owner, head.n_namesz) == 0 && strbuf_align(buf, 4) == 0);
	GOCORE_CHECK(strbuf_add(buf, desc, len) == 0 && strbuf_align(buf, 4) == 0);
}

enum { GOCORE_NOTES = 0x200 };

/// The first page of the executable. @build_id has 20 bytes; NULL: none.
static inline void gocore_header(struct gocore *gc, const char *build_id)
{
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = gc->machine,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = GOCORE_IMAGE_PARTS + 1,
		.e_shentsize = sizeof(Elf64_Shdr),
	};
	Elf64_Phdr phdrs[GOCORE_IMAGE_PARTS + 1] = { 0 };
	_cleanup_strbuf_ struct strbuf notes = { 0 };
	uint8_t *page = gc->parts[GOCORE_HEADER];
	memset(page, 0, gocore_ranges[GOCORE_HEADER].size);
	if (build_id)
		gocore_note(&notes, "GNU", NT_GNU_BUILD_ID, build_id, 20);
	for (int i = 0; i < GOCORE_IMAGE_PARTS; i++)
		phdrs[i] = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_flags = gocore_ranges[i].flags,
					 .p_offset = gocore_ranges[i].start - GOCORE_BASE,
					 .p_vaddr = gocore_ranges[i].start,
					 .p_filesz = gocore_ranges[i].size,
					 .p_memsz = gocore_ranges[i].size,
					 .p_align = 0x1000 };
	phdrs[GOCORE_IMAGE_PARTS] = (Elf64_Phdr){ .p_type = PT_NOTE,
						  .p_offset = GOCORE_NOTES,
						  .p_vaddr = GOCORE_BASE + GOCORE_NOTES,
						  .p_filesz = notes.len,
						  .p_memsz = notes.len };
	memcpy(page, &ehdr, sizeof(ehdr));
	memcpy(page + sizeof(ehdr), phdrs, sizeof(phdrs));
	if (notes.len)
		memcpy(page + GOCORE_NOTES, notes.data, notes.len);
}

static inline void gocore_add(struct strbuf *buf, const void *data, size_t len)
{
	GOCORE_CHECK(strbuf_add(buf, data, len) == 0);
}

/// One section; its name goes to @names.
static inline Elf64_Shdr gocore_shdr(struct strbuf *names, const char *name, uint32_t type,
				     uint64_t addr, uint64_t offset, uint64_t size)
{
	Elf64_Shdr s = { .sh_name = (uint32_t)names->len, .sh_type = type, .sh_addr = addr,
			 .sh_offset = offset, .sh_size = size };
	gocore_add(names, name, strlen(name) + 1);
	return s;
}

/// The executable: the parts that are mapped of it and, with @sections, those and symbols too.
static inline void gocore_executable(struct gocore *gc, bool sections, struct strbuf *ret)
{
	const struct gocore_range *data = &gocore_ranges[GOCORE_DATA];
	const struct {
		const char *name;
		uint64_t addr;
	} list[] = { { "runtime.allgs", gc->allgs },
		     { "runtime.allm", gc->allm },
		     { "runtime.allp", gc->allp },
		     { "runtime.waitReasonStrings", gc->wait_reasons },
		     { "runtime.sched", gc->sched },
		     { "runtime.gcphase", gc->gcphase },
		     { "runtime.printBacklog", gc->print_backlog },
		     { "runtime.semtable", gc->semtable },
		     { "main.variable", data->start } };
	_cleanup_strbuf_ struct strbuf names = { 0 }, strings = { 0 }, syms = { 0 };
	for (int i = 0; i < GOCORE_IMAGE_PARTS; i++) {
		uint64_t offset = gocore_ranges[i].start - GOCORE_BASE;
		while (ret->len < offset)
			gocore_add(ret, "", 1);
		gocore_add(ret, gc->parts[i], gocore_ranges[i].size);
	}
	if (!sections)
		return;
	gocore_add(&strings, "", 1);
	gocore_add(&names, "", 1);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		Elf64_Sym sym = { .st_name = (uint32_t)strings.len,
				  .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
				  .st_value = list[i].addr };
		gocore_add(&syms, &sym, sizeof(sym));
		gocore_add(&strings, list[i].name, strlen(list[i].name) + 1);
	}
	Elf64_Shdr shdrs[] = {
		{ 0 },
		gocore_shdr(&names, ".text", SHT_PROGBITS, gocore_ranges[GOCORE_TEXT].start,
			    0x1000, gocore_ranges[GOCORE_TEXT].size),
		gocore_shdr(&names, ".gopclntab", SHT_PROGBITS, gocore_rodata(0),
			    gocore_rodata(0) - GOCORE_BASE, gocore_ranges[GOCORE_RODATA].size),
		gocore_shdr(&names, ".go.buildinfo", SHT_PROGBITS, data->start,
			    data->start - GOCORE_BASE, 256),
		gocore_shdr(&names, ".strtab", SHT_STRTAB, 0, ret->len, strings.len),
		gocore_shdr(&names, ".symtab", SHT_SYMTAB, 0, ret->len + strings.len, syms.len),
		gocore_shdr(&names, ".shstrtab", SHT_STRTAB, 0, ret->len + strings.len + syms.len,
			    names.len),
	};
	shdrs[5].sh_link = 4;
	shdrs[5].sh_entsize = sizeof(Elf64_Sym);
	shdrs[6].sh_size = names.len;
	gocore_add(ret, strings.data, strings.len);
	gocore_add(ret, syms.data, syms.len);
	gocore_add(ret, names.data, names.len);
	Elf64_Ehdr ehdr;
	memcpy(&ehdr, ret->data, sizeof(ehdr));
	ehdr.e_shoff = ret->len;
	ehdr.e_shnum = ARRAY_SIZE(shdrs);
	ehdr.e_shstrndx = ARRAY_SIZE(shdrs) - 1;
	memcpy(ret->data, &ehdr, sizeof(ehdr));
	gocore_add(ret, shdrs, sizeof(shdrs));
}

// ---- the core ------------------------------------------------------------------------------

static inline void gocore_prstatus(struct gocore *gc, const struct gocore_thread *t,
				   struct strbuf *notes)
{
	enum { SIGNAL = 12, PID = 32, REGS = 112 };
	uint8_t desc[REGS + 34 * 8 + 8] = { 0 };
	uint64_t *regs = (uint64_t[34]){ 0 };
	size_t n = gc->link_register ? 34 : 27;
	memcpy(desc + SIGNAL, &t->signal, 2);
	memcpy(desc + PID, &t->tid, 4);
	if (gc->link_register) {
		regs[28] = t->g;
		regs[29] = t->regs.fp;
		regs[30] = t->regs.lr;
		regs[31] = t->regs.sp;
		regs[32] = t->regs.pc;
	} else {
		uint64_t tls = gocore_alloc(gc, GOCORE_HEAP, 16);
		gocore_u64(gc, tls, t->g);
		regs[4] = t->regs.fp;
		regs[16] = t->regs.pc;
		regs[19] = t->regs.sp;
		regs[21] = tls + 8; // FS
	}
	memcpy(desc + REGS, regs, n * 8);
	gocore_note(notes, "CORE", NT_PRSTATUS, desc, REGS + n * 8 + 8);
	if (t->signal)
		gocore_note(notes, "CORE", NT_SIGINFO, gc->siginfo, sizeof(gc->siginfo));
}

static inline void gocore_nt_file(struct strbuf *notes)
{
	uint64_t words[2 + GOCORE_IMAGE_PARTS * 3] = { GOCORE_IMAGE_PARTS, 4096 };
	static const char name[] = "/bin/prog";
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	for (int i = 0; i < GOCORE_IMAGE_PARTS; i++) {
		uint64_t start = gocore_ranges[i].start;
		words[2 + i * 3] = start;
		words[3 + i * 3] = start + gocore_ranges[i].size;
		words[4 + i * 3] = (start - GOCORE_BASE) / 4096;
	}
	gocore_add(&desc, words, sizeof(words));
	for (int i = 0; i < GOCORE_IMAGE_PARTS; i++)
		gocore_add(&desc, name, sizeof(name));
	gocore_note(notes, "CORE", NT_FILE, desc.data, desc.len);
}

static inline void gocore_snapnote(const struct gocore *gc, struct strbuf *notes)
{
	struct snapnote note = { .version = SNAPNOTE_VERSION,
				 .header_size = sizeof(note),
				 .gap_size = sizeof(struct snapnote_gap),
				 .thread_size = sizeof(struct snapnote_thread),
				 .n_threads = (uint32_t)gc->n_threads,
				 .monotonic_ns = gc->now,
				 .mode = "copy" };
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	gocore_add(&desc, &note, sizeof(note));
	for (size_t i = 0; i < gc->n_threads; i++) {
		struct snapnote_thread t = { .tid = gc->threads[i].tid + GOCORE_NS_TIDS,
					     .ns_tid = gc->threads[i].tid,
					     .state = 'S' };
		gocore_add(&desc, &t, sizeof(t));
	}
	gocore_note(notes, SNAPNOTE_OWNER, NT_PROCSNAP_SNAPSHOT, desc.data, desc.len);
}

static inline void gocore_notes(struct gocore *gc, struct strbuf *notes)
{
	enum { PRPSINFO_BYTES = 136, PID = 24, NAME = 40, ARGS = 56 };
	uint8_t info[PRPSINFO_BYTES] = { 0 };
	uint64_t auxv[] = { AT_PHDR,   GOCORE_BASE + sizeof(Elf64_Ehdr),
			    AT_PAGESZ, 4096,
			    AT_NULL,   0 };
	int32_t pid = gc->n_threads ? gc->threads[0].tid : 77;
	memcpy(info + PID, &pid, 4);
	memcpy(info + NAME, "prog", 5);
	memcpy(info + ARGS, "/bin/prog -x", 13);
	for (size_t i = 0; i < gc->n_threads; i++) {
		gocore_prstatus(gc, &gc->threads[i], notes);
		if (!i)
			gocore_note(notes, "CORE", NT_PRPSINFO, info, sizeof(info));
	}
	gocore_note(notes, "CORE", NT_AUXV, auxv, sizeof(auxv));
	if (!gc->no_files)
		gocore_nt_file(notes);
	if (gc->snapnote)
		gocore_snapnote(gc, notes);
	gocore_add(notes, gc->notes.data, gc->notes.len);
}

/// The core, as the bytes of a file.
static inline void gocore_core(struct gocore *gc, struct strbuf *ret)
{
	_cleanup_strbuf_ struct strbuf notes = { 0 };
	gocore_notes(gc, &notes);
	Elf64_Phdr *phdrs = calloc(GOCORE_PARTS + 1 + gc->n_extra, sizeof(*phdrs));
	GOCORE_CHECK(phdrs);
	size_t n = 1;
	uint64_t at = sizeof(Elf64_Ehdr) + (GOCORE_PARTS + 1 + gc->n_extra) * sizeof(*phdrs);
	phdrs[0] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = at, .p_filesz = notes.len };
	at += notes.len;
	for (int i = 0; i < GOCORE_PARTS; i++) {
		bool there = !(gc->omit & 1U << i);
		phdrs[n++] = (Elf64_Phdr){ .p_type = PT_LOAD,
					   .p_flags = gocore_ranges[i].flags,
					   .p_offset = at,
					   .p_vaddr = gocore_ranges[i].start,
					   .p_filesz = there ? gocore_ranges[i].size : 0,
					   .p_memsz = gocore_ranges[i].size };
		at += phdrs[n - 1].p_filesz;
	}
	for (size_t i = 0; i < gc->n_extra; i++)
		phdrs[n++] = (Elf64_Phdr){ .p_type = PT_LOAD,
					   .p_flags = gc->extra[i].flags,
					   .p_offset = at + gc->extra[i].at,
					   .p_vaddr = gc->extra[i].start,
					   .p_filesz = gc->extra[i].size,
					   .p_memsz = gc->extra[i].size };
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = gc->machine,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(*phdrs),
		.e_phnum = (uint16_t)n,
	};
	gocore_add(ret, &ehdr, sizeof(ehdr));
	gocore_add(ret, phdrs, n * sizeof(*phdrs));
	free(phdrs);
	gocore_add(ret, notes.data, notes.len);
	for (int i = 0; i < GOCORE_PARTS; i++)
		if (!(gc->omit & 1U << i))
			gocore_add(ret, gc->parts[i], gocore_ranges[i].size);
	gocore_add(ret, gc->more.data, gc->more.len);
}

/// Bytes as an unnamed file.
static inline int gocore_memfd(const void *data, size_t len)
{
	int fd = memfd_create("gocore", MFD_CLOEXEC);
	GOCORE_CHECK(fd >= 0);
	GOCORE_CHECK(snap_pwrite_all(fd, data, len, 0) == 0);
	return fd;
}
