/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "analyzer/native.h"
#include "arch.h"
#include "dwarf.h"
#include "symtab.h"

/**
 * DOC: Go runtimes in a process
 *
 * Usually one, the program itself; shared libraries made by Go bring their own. Each is found by
 * the table of functions in its image, then by its moduledata, then by the global variables that
 * its functions name, so that neither symbols nor debug information nor section headers are needed.
 * What is found is checked against what it must look like before anything is believed.
 */

enum { GO_VERSION_MAX = 128 };

/// src/runtime/sema.go
enum {
	GO_SEMTABLE_ROOTS = 251,
	GO_SEMROOT_TREE = 8, ///< offset of the tree in a root
};

/// Addresses of global variables; 0 when not found.
struct go_globals {
	uint64_t allgs; ///< a slice of *g
	uint64_t allm; ///< the list of Ms
	uint64_t allp; ///< a slice of *p
	uint64_t wait_reasons; ///< an array of strings
	uint64_t sched, gcphase, panicking, semtable, print_backlog;
	uint64_t traceback_cache; ///< by its symbol only; see traceback.h
};

struct go_runtime {
	struct core *core; ///< borrowed, like all that follows
	struct memory *mem;
	const struct go_arch *arch;
	struct image *image;
	struct native *native; ///< walks frames of C; NULL: nobody does
	char version[GO_VERSION_MAX]; ///< as the program has it, "" when it does not say
	char *modinfo; ///< lines of module and build information, NULL when there are none
	int minor, patch;
	bool newer; ///< than the newest known: tried with that one's layout
	unsigned int tables_tried; ///< what looked like a table of functions
	struct go_layout layout;
	bool layout_read; ///< from the debugging information, not from our tables
	struct go_dwarf *dwarf; ///< NULL: none, or nobody asked
	struct go_symtab symtab;
	struct go_globals globals;
};

/// Looks for a Go runtime in @image, which has been opened. NULL @ret: there is none.
struct snap_error *go_runtime_find(struct core *core, struct image *image,
				   struct go_runtime **ret) _must_check_;
void go_runtime_destroy(struct go_runtime *rt);
/// The debugging information of the program, borrowed; NULL when there is none.
struct go_dwarf *go_runtime_dwarf(struct go_runtime *rt);
DEFINE_CLEANUP(struct go_runtime *, go_runtime_destroy);

/// Reads a field of a structure at @addr; 0 when it has none or it cannot be read.
uint64_t go_u64(struct go_runtime *rt, uint64_t addr, enum go_field field);
uint32_t go_u32(struct go_runtime *rt, uint64_t addr, enum go_field field);
uint8_t go_u8(struct go_runtime *rt, uint64_t addr, enum go_field field);
/// Is there a g at @addr, as far as it can be told?
bool go_is_g(struct go_runtime *rt, uint64_t addr);
/// Is there an m at @addr?
bool go_is_m(struct go_runtime *rt, uint64_t addr);
/// Copies a Go string {pointer, length} at @addr, at most @max bytes; owned by the caller, or NULL.
char *go_copy_string(struct memory *mem, uint64_t addr, size_t max, size_t *ret_len);
