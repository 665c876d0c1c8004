/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/elfnote.h"
#include "common/error.h"
#include "common/span.h"
#include "source.h"

/**
 * DOC: ELF files
 *
 * Reads headers of 64-bit little-endian ELF files, cores and executables, from a source. Everything
 * in them is checked against the size of the file; a table that does not fit is cut, not an error.
 */

enum {
	// The kernel allows vm.max_map_count mappings, which administrators set to some millions.
	ELF_MAX_SEGMENTS = 16 << 20,
	ELF_MAX_SECTIONS = 65535,
	// NT_FILE of 70 000 mappings is 5 MB, register sets of 4000 threads 50 MB.
	ELF_MAX_NOTE_BYTES = 1 << 30,
};

struct elf_file {
	struct source *source;
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdrs;
	size_t n_phdrs;
	Elf64_Shdr *shdrs;
	size_t n_shdrs;
	char *names; ///< of sections, NUL-terminated
	size_t names_size;
};

/// @source stays the caller's. Fails for what is no ELF file of that kind.
struct snap_error *elf_init(struct elf_file *elf, struct source *source) _must_check_;
void elf_deinit(struct elf_file *elf);

/// The section called @name, or NULL.
const Elf64_Shdr *elf_section(const struct elf_file *elf, const char *name);
/// A copy of @size bytes at @offset, with a NUL behind it; @size is cut to what there is. NULL for
/// none.
uint8_t *elf_copy(const struct elf_file *elf, uint64_t offset, size_t *size);

/// The build ID of the file (common/elfnote.h).
void elf_build_id(const struct elf_file *elf, struct elf_build_id *ret);
