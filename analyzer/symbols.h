/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "elf.h"
#include "memory.h"

/**
 * DOC: Names of functions
 *
 * The functions of one ELF file, by address: from .symtab, or from .dynsym when it is stripped. A
 * name is read when it is asked for, since files have a million of them and stacks a few.
 */

enum {
	// Browsers have a million.
	SYMBOLS_MAX = 4 << 20,
	// C++ names are long; what is longer is cut.
	SYMBOL_NAME_MAX = 4096,
};

struct symbols {
	struct symbol {
		uint64_t start; ///< as the file has it
		uint32_t size : 31; ///< of a label, up to the end of its section
		uint32_t is_label : 1; ///< of assembly, without a size
		uint32_t name; ///< offset in the strings
	} *list; ///< ascending
	size_t n;
	// the strings: of a file, or of memory
	struct source *source; ///< borrowed
	struct memory *mem; ///< borrowed
	uint64_t strings, strings_size;
};

/// Reads the table of the file @elf, which must live as long. Without a table, or memory for it,
/// there are no names.
void symbols_read(struct symbols *symbols, const struct elf_file *elf);
/// The same, of what is loaded: @dynamic is the address and @bytes the size of its dynamic section,
/// @bias what addresses in the file differ by.
void symbols_read_loaded(struct symbols *symbols, struct memory *mem, uint64_t dynamic,
			 uint64_t bytes, uint64_t bias);
void symbols_deinit(struct symbols *symbols);

/**
 * The name of the function that @addr, as the file has it, is in; owned by the caller. @ret_start
 * is where it begins. NULL when nobody knows.
 *
 * @entry: where the function begins by other knowledge, 0 for none. Labels in assembly have no
 * size, and only that tells that another function has begun since.
 */
char *symbols_find(const struct symbols *symbols, uint64_t addr, uint64_t entry,
		   uint64_t *ret_start);
