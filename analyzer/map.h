/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/**
 * DOC: Map of numbers
 *
 * Remembers a 32-bit value for each of some 64-bit keys: what was found at an address already. Open
 * addressing, grows by doubling. When out of memory it forgets, which only costs time.
 */
struct map {
	struct map_entry {
		uint64_t key;
		uint32_t value;
		bool used;
	} *entries;
	size_t n, max; ///< max is a power of two
};

void map_deinit(struct map *map);
/// False when @key is not in it.
bool map_get(const struct map *map, uint64_t key, uint32_t *ret);
/// Adds @key or replaces its value; -ENOMEM.
int map_set(struct map *map, uint64_t key, uint32_t value);
