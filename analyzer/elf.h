/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

struct elf_note {
	const char *owner; ///< NUL-terminated
	uint32_t type;
	struct span desc;
};

/// Takes the next note off @notes; false at the end, or when the rest is damaged.
bool elf_next_note(struct span *notes, struct elf_note *ret);

enum { ELF_BUILD_ID_MAX = 64 };
struct elf_build_id {
	uint8_t bytes[ELF_BUILD_ID_MAX];
	size_t size; ///< 0: none
	bool gnu; ///< the GNU build ID, not that of Go
};

/// Finds the GNU build ID, or else the hash of the Go build ID, among @notes.
void elf_find_build_id(struct span notes, struct elf_build_id *ret);
/// The same, of a file.
void elf_build_id(const struct elf_file *elf, struct elf_build_id *ret);
bool elf_build_id_equal(const struct elf_build_id *a, const struct elf_build_id *b);
