/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libelf.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: Files that were mapped
 *
 * The names of NT_FILE, and which of them is the program, as far as a core tells.
 */

struct mapped_file {
	uint64_t start, end;
	const char *name; ///< as in the core, which may be anything
};

struct mapped {
	struct mapped_file *files; ///< in the order of the core, that is of addresses
	size_t n;
	const char *program; ///< what AT_PHDR points into; NULL when unknown
};

/// Names are borrowed from @core. What is damaged is left out. 0 or -ENOMEM.
int mapped_init(struct mapped *mapped, Elf *core);
void mapped_deinit(struct mapped *mapped);
/// The name of the file at @addr; NULL when there is none.
const char *mapped_at(const struct mapped *mapped, uint64_t addr);
