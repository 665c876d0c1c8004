/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "snapshot.h"

/**
 * DOC: Memory sources
 *
 * A memsource gives the memory that belongs to a snapshot: which pages of a mapping exist, and
 * their bytes. A stopped process, a copy-on-write child, a pre-copied buffer and a core file are
 * all memory sources; whoever reads does not know which.
 *
 * While the process runs: a source that follows writes is read several times. While the process
 * runs, each scan gives what has changed since the last scan of the same range, or at first all
 * that it follows, and the rest as MEM_HELD. When the process has stopped, MEM_HELD is what has not
 * changed since it was last scanned: whoever has read it after each scan, has it. All other kinds
 * replace what was read before, also those that have no contents.
 *
 * Both calls may be used by several threads at once. Ranges are page-aligned and inside the mapping
 * that is passed along with them; the mapping must be one of the snapshot's.
 *
 * memsource_scan() never makes a page come into being; memsource_read() is only meant for ranges
 * that a scan called readable, because reading absent pages of a live process allocates
 * them there.
 */

enum mem_kind {
	MEM_DATA, ///< has contents: read it
	MEM_SWAPPED, ///< has contents, in swap: read it, and it is in memory then
	MEM_FILE, ///< not resident: the contents are those of the mapped file
	MEM_ZERO, ///< never written: reads as zeros
	MEM_GUARD, ///< guard region marker inside the mapping (MADV_GUARD_INSTALL, Linux 6.13)
	MEM_PAST_EOF, ///< beyond the end of the mapped file: reading it is SIGBUS for the process
	MEM_NOT_RESIDENT, ///< shared memory that can only be read with more privilege
	MEM_HELD, ///< nothing to be done now; see "While the process runs"
	MEM_KIND_MAX,
};

/// Is there anything to be read?
static inline bool mem_kind_readable(enum mem_kind kind)
{
	return kind == MEM_DATA || kind == MEM_SWAPPED || kind == MEM_FILE;
}

struct mem_range {
	uint64_t start, end;
	enum mem_kind kind;
};

/// Appends to a list of @max, merging with the last one; false when it is full.
static inline bool mem_range_add(struct mem_range *list, size_t max, size_t *n, uint64_t start,
				 uint64_t end, enum mem_kind kind)
{
	if (start >= end)
		return true;
	if (*n && list[*n - 1].kind == kind) {
		list[*n - 1].end = end;
		return true;
	}
	if (*n == max)
		return false;
	list[(*n)++] = (struct mem_range){ .start = start, .end = end, .kind = kind };
	return true;
}

struct memsource;
struct memsource_ops {
	int (*scan)(struct memsource *src, const struct snap_mapping *map, uint64_t start,
		    uint64_t end, struct mem_range *ret, size_t max);
	ssize_t (*read)(struct memsource *src, const struct snap_mapping *map, enum mem_kind kind,
			uint64_t addr, void *buf, size_t len);
	ssize_t (*read_many)(struct memsource *src, const struct snap_mapping *map,
			     const struct iovec *to, const struct iovec *from, size_t n);
};

/// Embedded as the first member of each implementation.
struct memsource {
	const struct memsource_ops *ops;
};

/**
 * Describes [@start, @end) of @map from its start on, without gaps between the ranges, with at most
 * @max (at least 1) of them: the last one's end may lie before @end, then ask again from there.
 *
 * Returns the number of ranges, at least 1, or a negative errno.
 */
static inline int memsource_scan(struct memsource *src, const struct snap_mapping *map,
				 uint64_t start, uint64_t end, struct mem_range *ret, size_t max)
{
	return src->ops->scan(src, map, start, end, ret, max);
}

/**
 * Reads up to @len bytes at @addr, in a range that a scan found to be of @kind, into @buf.
 *
 * Returns how many were read, fewer than @len when a page on the way cannot be read, or a negative
 * errno when the first one cannot: -EIO, -EFAULT for that page, -ESRCH when the process is gone,
 * -ECANCELED when the snapshot has been released meanwhile. Nothing read is ever stale: a source
 * that was released during the call returns -ECANCELED.
 */
static inline ssize_t memsource_read(struct memsource *src, const struct snap_mapping *map,
				     enum mem_kind kind, uint64_t addr, void *buf, size_t len)
{
	return src->ops->read(src, map, kind, addr, buf, len);
}

/// More ranges than this cannot be read at once.
enum { MEMSOURCE_MANY = 256 };

/**
 * Reads @n ranges of MEM_DATA at once, @from in the process to as many and as long ones in @to.
 *
 * Returns how many bytes were read, in this order, or a negative errno: -ENOTSUP when the source
 * cannot do that here. What is missing may be read one by one.
 */
static inline ssize_t memsource_read_many(struct memsource *src, const struct snap_mapping *map,
					  const struct iovec *to, const struct iovec *from,
					  size_t n)
{
	return src->ops->read_many ? src->ops->read_many(src, map, to, from, n) : -ENOTSUP;
}
