/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/snapshot.h"

/**
 * DOC: Which memory is the most useful
 *
 * When a core cannot have everything, it should have what debuggers ask for first: the stacks near
 * their ends, the data of programs and libraries, and the heap of Go, where goroutines have their
 * stacks. Found without reading memory, and from what every snapshot has: ranges, permissions,
 * names of files, auxv and registers. What only /proc tells (inodes, pages, names of stacks) is
 * used where it is there and not needed; a snapshot made from the program headers and NT_FILE of
 * the kernel's core gives the same, if it says in anon_bytes which files have pages of the process
 * (p_filesz is more than the first page).
 */

enum priority {
	PRIORITY_STACK, ///< the ends of the stacks and what threads point to
	PRIORITY_DATA, ///< .data and .bss of programs and libraries, ELF headers, vdso
	PRIORITY_DEEP_STACK, ///< the rest of the stacks
	PRIORITY_GO, ///< the heap of a Go program
	PRIORITY_REST, ///< everything else: in no list
	PRIORITY_MAX,
};

struct priority_range {
	uint64_t start, end; ///< page-aligned
	enum priority priority;
};

/// Ascending and not overlapping. A range may reach over several mappings.
struct priorities {
	struct priority_range *list;
	size_t n;
};

/**
 * Finds the ranges in the mappings of @snap.
 *
 * Of a snapshot without threads, a look at a running process, what can only be guessed is more than
 * it will be: whole mappings that may be stacks.
 */
struct snap_error *priorities_find(const struct snapshot *snap, struct priorities *ret)
	_must_check_;
/// A zeroed one is fine.
void priorities_deinit(struct priorities *priorities);
#define _cleanup_priorities_ _cleanup_(priorities_deinit)
