/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "span.h"

/**
 * DOC: Notes of ELF files
 *
 * What is told of a program in notes, above all its build ID. All of it comes from files that
 * others wrote: nothing is read beyond the span. Any process may call these.
 */

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
bool elf_build_id_equal(const struct elf_build_id *a, const struct elf_build_id *b);
/// As lower-case hexadecimal, "" for none.
void elf_build_id_format(const struct elf_build_id *id, char ret[static 2 * ELF_BUILD_ID_MAX + 1]);
