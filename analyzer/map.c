// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map.h"

#include <errno.h>
#include <stdlib.h>

void map_deinit(struct map *map)
{
	free(map->entries);
	*map = (struct map){ 0 };
}

/// The place of @key, or the free one where it belongs.
static struct map_entry *find(struct map_entry *entries, size_t max, uint64_t key)
{
	uint64_t hash = key * 0x9e3779b97f4a7c15ULL; // Fibonacci hashing
	size_t i = (size_t)(hash >> 32) & (max - 1);
	while (entries[i].used && entries[i].key != key)
		i = (i + 1) & (max - 1);
	return &entries[i];
}

bool map_get(const struct map *map, uint64_t key, uint32_t *ret)
{
	if (!map->max)
		return false;
	const struct map_entry *e = find(map->entries, map->max, key);
	if (!e->used)
		return false;
	*ret = e->value;
	return true;
}

static int grow(struct map *map)
{
	size_t max = MAX(map->max * 2, (size_t)256);
	struct map_entry *entries = calloc(max, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (size_t i = 0; i < map->max; i++)
		if (map->entries[i].used)
			*find(entries, max, map->entries[i].key) = map->entries[i];
	free(map->entries);
	map->entries = entries;
	map->max = max;
	return 0;
}

int map_set(struct map *map, uint64_t key, uint32_t value)
{
	if (map->n * 4 >= map->max * 3 && grow(map) < 0)
		return -ENOMEM;
	struct map_entry *e = find(map->entries, map->max, key);
	map->n += !e->used;
	*e = (struct map_entry){ .key = key, .value = value, .used = true };
	return 0;
}
