/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "analyzer/map.h"
#include "analyzer/memory.h"
#include "common/span.h"
#include "layout.h"

/**
 * DOC: Functions of Go modules
 *
 * Every Go program carries, stripped or not, a table of its functions (pclntab): names, files and
 * lines, frame sizes and inlined calls by pc. A module is what one linker run made: the program, a
 * plugin, a shared library; moduledata says where its tables are. All is read from the process's
 * memory, bounds-checked, and remembered by pc, since a million goroutines stand in a few hundred
 * places.
 *
 * src/runtime/symtab.go, src/internal/abi/symtab.go.
 */

struct go_slice {
	uint64_t addr, len;
};

struct go_module {
	uint64_t addr; ///< of its moduledata
	uint64_t pclntab; ///< of the header
	struct go_slice funcnametab, cutab, filetab, pctab, pclntable, ftab;
	uint64_t min_pc, max_pc, text, etext;
	uint64_t noptrdata, enoptrdata, data, edata, bss, ebss, noptrbss, enoptrbss;
	uint64_t types, etypes, gofunc, next;
};

/// What tracebacks need to know of functions; found by name, so that versions do not matter.
enum go_role {
	GO_ROLE_OTHER,
	GO_ROLE_GOEXIT,
	GO_ROLE_MSTART,
	GO_ROLE_MCALL,
	GO_ROLE_MORESTACK,
	GO_ROLE_RT0,
	GO_ROLE_SYSTEMSTACK,
	GO_ROLE_SYSTEMSTACK_SWITCH,
	GO_ROLE_ASMCGOCALL,
	GO_ROLE_CGOCALLBACK,
	GO_ROLE_SIGPANIC,
	GO_ROLE_ASYNC_PREEMPT,
	GO_ROLE_DEBUG_CALL,
	GO_ROLE_SIGTRAMP,
	GO_ROLE_GOGO,
	GO_ROLE_GOPANIC,
};

enum go_func_flags { // ≥ 1.17, internal/abi FuncFlag
	GO_FUNC_TOP_FRAME = 1,
	GO_FUNC_SP_WRITE = 2,
	GO_FUNC_ASM = 4,
};

struct go_func {
	const struct go_module *module;
	uint64_t addr; ///< of struct _func
	uint64_t entry, end; ///< pcs
	const char *name; ///< as the table has it, borrowed from the symtab
	int32_t args; ///< bytes of arguments
	uint32_t pcsp, pcfile, pcln, npcdata, cu;
	uint8_t id, flags, nfuncdata;
	enum go_role role;
};

/// One line of a stack: a function, or one that was inlined into another.
struct go_line {
	const char *name; ///< borrowed from the symtab
	const char *file; ///< the same; "?" when unknown
	int32_t line;
	bool inlined; ///< has no frame of its own
	bool wrapper; ///< made by the compiler
};

/// What lies at a pc: the physical function last.
struct go_place {
	struct go_line *lines;
	uint32_t n;
	uint64_t pc; ///< of the physical function: where it called what was inlined into it
};

struct go_symtab {
	struct memory *mem; ///< borrowed
	const struct go_layout *layout; ///< borrowed
	uint8_t quantum; ///< of pcs: 1 on amd64, 4 on arm64
	struct go_module *modules;
	size_t n_modules;
	// remembered
	struct map funcs_at, places_at, strings_at, deltas_at;
	struct go_func **funcs;
	struct go_place *places;
	char **strings;
	size_t n_funcs, n_places, n_strings;
};

void go_symtab_init(struct go_symtab *tab, struct memory *mem, const struct go_layout *layout,
		    uint8_t quantum);
void go_symtab_deinit(struct go_symtab *tab);

/// Reads the moduledata at @addr and checks it; false when it is none of this layout.
bool go_module_read(struct memory *mem, const struct go_layout *layout, uint64_t addr,
		    struct go_module *ret);
/// Adds a module and those it is linked to. Call it before any pc is looked up. -ENOMEM.
int go_symtab_add(struct go_symtab *tab, const struct go_module *module);

/// The function that @pc is in, borrowed; NULL when it is in none.
const struct go_func *go_func_at(struct go_symtab *tab, uint64_t pc);
/// The function called @name; NULL when there is none. Looks through the whole table.
const struct go_func *go_func_named(struct go_symtab *tab, const char *name);
/// The lines at @pc of @func, innermost inlined call first; borrowed.
struct go_place go_place_at(struct go_symtab *tab, const struct go_func *func, uint64_t pc);
/// How far the stack pointer is below the frame at @pc; false when the table does not say.
bool go_sp_delta(struct go_symtab *tab, const struct go_func *func, uint64_t pc, int32_t *ret);
/// A value of the table number @table at @pc; -1 when it has none.
int32_t go_pcdata(struct go_symtab *tab, const struct go_func *func, uint8_t table, uint64_t pc);
/// Address of the data number @index of a function; 0 when it has none.
uint64_t go_funcdata(struct go_symtab *tab, const struct go_func *func, uint8_t index);
/// Remembers the NUL-terminated string at @addr; NULL when there is none or it is too long.
const char *go_string_at(struct go_symtab *tab, uint64_t addr);
/// Remembers @text as what is at @addr; NULL when out of memory.
const char *go_symtab_keep(struct go_symtab *tab, uint64_t addr, const char *text);
