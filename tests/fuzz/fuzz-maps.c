// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/strbuf.h"
#include "fuzz.h"
#include "ptrace/procfs.h"

enum { KNOWN_FLAGS = (SNAP_MAP_UNLINKED << 1) - 1 };

static void check_mapping(const struct snap_mapping *map, const struct strbuf *names, size_t size)
{
	REQUIRE(map->start < map->end);
	REQUIRE(!(map->flags & ~(uint32_t)KNOWN_FLAGS));
	REQUIRE(map->rss_bytes % 1024 == 0 && map->rss_bytes <= INT64_MAX);
	REQUIRE(map->anon_bytes % 1024 == 0 && map->anon_bytes <= INT64_MAX);
	REQUIRE(map->swap_bytes % 1024 == 0 && map->swap_bytes <= INT64_MAX);
	// The name lies in the buffer, and so does its end.
	REQUIRE(map->name < names->len);
	size_t len = strnlen(names->data + map->name, names->len - map->name);
	REQUIRE(map->name + len < names->len);
	REQUIRE(len <= size);
	REQUIRE(!map->name == !len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_strbuf_ struct strbuf names = { 0 };
	struct procfs_maps walk = { .next = text };
	const char *end = text + strlen(text);
	for (;;) {
		struct snap_mapping map, before;
		memset(&map, 0xa5, sizeof(map));
		before = map;
		const char *from = walk.next;
		int r = procfs_maps_next(&walk, &names, &map);
		if (r <= 0) {
			REQUIRE(r == 0 || r == -EBADMSG);
			REQUIRE(r < 0 || from == end);
			REQUIRE(!memcmp(&map, &before, sizeof(map)));
			break;
		}
		REQUIRE(r == 1);
		REQUIRE(walk.next > from && walk.next <= end);
		check_mapping(&map, &names, size);
	}
	REQUIRE(!names.len || !names.data[0]); // offset 0 is the empty name
	REQUIRE(names.len <= 2 * size + 1);
	return 0;
}
