/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "source.h"

/**
 * DOC: The memory of the process
 *
 * What the core has comes first; where it has nothing, the files that were mapped there answer, if
 * they were found and fit. Addresses are those of the process. Not for several threads.
 */

enum mem_layer {
	MEM_CORE, ///< bytes of the process itself
	MEM_FILES, ///< bytes of files that it had mapped
	MEM_LAYER_MAX,
};

enum mem_flags {
	MEM_READ = 1U << 0,
	MEM_WRITE = 1U << 1,
	MEM_EXEC = 1U << 2,
};

struct mem_region {
	uint64_t start, end; ///< half-open
	uint64_t offset; ///< of start in the source
	struct source *source; ///< borrowed
	uint32_t flags;
};

struct memory {
	struct mem_list {
		struct mem_region *regions; ///< ascending and not overlapping once sorted
		size_t n, max, last;
		bool sorted;
	} layers[MEM_LAYER_MAX];
	uint64_t once_bytes; ///< what memory_read_once() has read from files
};

void memory_deinit(struct memory *mem);
/// Adds a region; -ENOMEM. Of regions that overlap, the one that was added first counts.
int memory_add(struct memory *mem, enum mem_layer layer, const struct mem_region *region);
/// Calls @fn for the regions of @layer that touch [@start, @end), until it returns true.
bool memory_each(struct memory *mem, enum mem_layer layer, uint64_t start, uint64_t end,
		 bool (*fn)(void *userdata, const struct mem_region *region), void *userdata);

/// Reads up to @len bytes at @addr; returns how many there are before something is missing.
size_t memory_read_some(struct memory *mem, uint64_t addr, void *buf, size_t len);
/// The same, see source_read_once().
size_t memory_read_once(struct memory *mem, uint64_t addr, void *buf, size_t len);
/// Reads exactly @len bytes, or nothing.
bool memory_read(struct memory *mem, uint64_t addr, void *buf, size_t len);
bool memory_u8(struct memory *mem, uint64_t addr, uint8_t *ret);
bool memory_u16(struct memory *mem, uint64_t addr, uint16_t *ret);
bool memory_u32(struct memory *mem, uint64_t addr, uint32_t *ret);
bool memory_u64(struct memory *mem, uint64_t addr, uint64_t *ret);
/// Is there something at @addr?
bool memory_has(struct memory *mem, uint64_t addr);
