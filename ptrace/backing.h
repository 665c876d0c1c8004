/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/memsource.h"
#include "common/snapshot.h"

/**
 * DOC: The files behind mappings
 *
 * Shared memory is a file, with or without a name, which /proc/PID/map_files gives to whoever has
 * CAP_CHECKPOINT_RESTORE in the initial user namespace. It has also what the process itself has in
 * no page table, and can be read without making it a part of one. Whoever has it open can read it
 * when the process has unmapped it, or has ended.
 */

/// Opens the file behind @map for reading, if it is a regular one. @piddir is /proc/PID. Returns a
/// descriptor or a negative errno.
int backing_open(int piddir, const struct snap_mapping *map);
/// Where in @map a file of @size bytes ends, at a page; @end, if that lies before it.
uint64_t backing_eof(const struct snap_mapping *map, uint64_t size, uint64_t end);
/// As memsource_scan(), by what the file holds.
int backing_scan(int fd, const struct snap_mapping *map, uint64_t start, uint64_t end,
		 struct mem_range *ret, size_t max);
/// Reads what @map has at @addr, whole pages. 0: behind the end of the file. Else a negative errno.
ssize_t backing_read(int fd, const struct snap_mapping *map, uint64_t addr, void *buf, size_t len);

/// As many files can be kept.
enum { BACKINGS_MAX = 64 };

/// Files that are kept, and a memsource for the mappings they are behind. For one thread, but for
/// the source.
struct backings {
	struct memsource source; ///< first
	struct backing {
		uint64_t start, end; ///< of the mapping
		int fd;
	} list[BACKINGS_MAX];
	size_t n;
};

void backings_init(struct backings *backings);
void backings_deinit(struct backings *backings);
/// Keeps the file behind @map; false when it cannot be read.
bool backings_add(struct backings *backings, int piddir, const struct snap_mapping *map);
