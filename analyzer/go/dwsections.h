/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "analyzer/elf.h"
#include "common/span.h"

/**
 * DOC: Sections of debugging information
 *
 * Go's linker compresses them: until 1.18 as .zdebug_* with a head of its own, since then by
 * SHF_COMPRESSED. Other linkers and objcopy can use zstd for that. They are read and unpacked when
 * somebody asks for one, not before, and only those that types and arguments are found in.
 */

enum dw_section_index {
	DW_INFO,
	DW_ABBREV,
	DW_STR,
	DW_LINE_STR,
	DW_ADDR,
	DW_LOC,
	DW_LOCLISTS,
	DW_RANGES,
	DW_RNGLISTS,
	DW_SECTIONS,
	DW_LIBRARY_SECTIONS = DW_LOC, ///< those before it are what libdwarf gets
};

enum dw_packing {
	DW_PLAIN,
	DW_ZLIB,
	DW_ZSTD,
};

struct dw_sections {
	const struct elf_file *elf; ///< borrowed
	struct dw_section {
		char name[20]; ///< ".debug_info", whatever it is called in the file
		const Elf64_Shdr *shdr; ///< NULL: there is none
		uint64_t size; ///< unpacked
		uint64_t skip; ///< bytes before the packed ones
		enum dw_packing packing;
		bool bad; ///< could not be read or unpacked
		uint8_t *data; ///< NULL: nobody has asked for it
	} list[DW_SECTIONS];
};

/// Finds the sections; false when there is nothing to find types in. @elf must outlive them.
bool dw_sections_init(struct dw_sections *sections, const struct elf_file *elf);
void dw_sections_deinit(struct dw_sections *sections);
/// The bytes of a section, borrowed; NULL when there are none or they are damaged.
uint8_t *dw_section_data(struct dw_sections *sections, enum dw_section_index index);
/// The same from @offset on; an empty one when there are none.
struct span dw_section_from(struct dw_sections *sections, enum dw_section_index index,
			    uint64_t offset);
