/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/memsource.h"
#include "common/snapshot.h"

/**
 * DOC: What goes into a core
 *
 * Every mapping gets a segment, or with PLAN_STACKS one or several; the plan says how much of each
 * is dumped. The rules are the kernel's (fs/coredump.c vma_dump_size()), applied to
 * /proc/PID/coredump_filter, with the differences listed in procsnap-core(5).
 */

enum plan_flags {
	PLAN_ALL = 1U << 0, ///< everything that can be read, MADV_DONTDUMP included
	PLAN_WITH_BINARIES = 1U << 1, ///< programs and libraries whole
	/// Of what the filter takes only what backtraces need (dumper/priority.h): stacks, and the
	/// data and ELF headers of programs and libraries. Mappings are cut for that.
	PLAN_STACKS = 1U << 2,
};

/// Bits of /proc/PID/coredump_filter, Documentation/filesystems/proc.rst.
enum coredump_filter {
	FILTER_ANON_PRIVATE = 1U << 0,
	FILTER_ANON_SHARED = 1U << 1,
	FILTER_FILE_PRIVATE = 1U << 2,
	FILTER_FILE_SHARED = 1U << 3,
	FILTER_ELF_HEADERS = 1U << 4,
	FILTER_HUGETLB_PRIVATE = 1U << 5,
	FILTER_HUGETLB_SHARED = 1U << 6,
	FILTER_MASK = 0x1ff,
};

/// Why a mapping is dumped, or why not; shown by --dry-run.
enum plan_class {
	PLAN_ANON_PRIVATE,
	PLAN_ANON_SHARED,
	PLAN_FILE_PRIVATE,
	PLAN_FILE_SHARED,
	PLAN_HUGETLB,
	PLAN_ELF_HEADER, ///< first page only
	PLAN_SPECIAL, ///< vdso
	PLAN_BY_KERNEL, ///< of a crash: what the kernel decided
	// Classes from here on are not dumped.
	PLAN_NOT_TOUCHED, ///< private memory without a single page
	PLAN_FILTERED, ///< the filter leaves it out
	PLAN_DONTDUMP, ///< the program asked for it with MADV_DONTDUMP
	PLAN_DEVICE, ///< device memory
	PLAN_LEFT_OUT, ///< not needed for stacks
	PLAN_CLASS_MAX,
};

/// As many mappings are worth being read later; each is a file that is kept open, and one more look
/// through all mappings.
enum { PLAN_LATER_MAX = 64 };

struct plan_segment {
	const struct snap_mapping *map; ///< borrowed from the snapshot
	enum plan_class class;
	uint64_t start, end; ///< addresses: the whole mapping, or a part of it
	uint64_t dump_bytes; ///< p_filesz: from the start, page-aligned
	uint64_t stream_bytes; ///< of a crash: what the kernel sends of this segment
	bool later; ///< read when the process runs again: plan_postpone()
};

struct plan_total {
	size_t mappings; ///< or parts of them
	uint64_t dump_bytes; ///< address space dumped, or left out
	uint64_t data_bytes; ///< of that, resident or swapped out: about what will be on disk
};

struct plan {
	struct plan_segment *segments; ///< ascending; together all of each mapping
	size_t n;
	struct plan_total totals[PLAN_CLASS_MAX];
	uint64_t dump_bytes, data_bytes; ///< sums over the dumped classes
	uint64_t later_bytes; ///< of data_bytes, what is read later
};

/**
 * Decides for every mapping of @snap, which must outlive the plan.
 *
 * @filter is the mask to follow. @source is read for the first bytes of mapped files.
 */
struct snap_error *plan_create(const struct snapshot *snap, struct memsource *source,
			       uint32_t filter, uint32_t flags, struct plan **ret) _must_check_;
/**
 * The same for a process that was looked at before: files of which @before says what they are, are
 * not read again.
 */
struct snap_error *plan_create_again(const struct snapshot *snap, struct memsource *source,
				     uint32_t filter, uint32_t flags, const struct plan *before,
				     struct plan **ret) _must_check_;
/**
 * Cuts segments where those of @before begin or end, so that each lies either inside of one or
 * outside of all. Both plans are in the order of addresses.
 */
struct snap_error *plan_cut_along(struct plan *plan, const struct plan *before) _must_check_;
/**
 * Shared memory beyond @max_bytes is to be read when the process runs again, the largest mappings
 * first, PLAN_LATER_MAX at most: it belongs to others as well, who may change it even while the
 * process stands still.
 */
void plan_postpone(struct plan *plan, uint64_t max_bytes);
/// No, segment @i is read with the rest.
void plan_unpostpone(struct plan *plan, size_t i);
/// All is read with the rest.
void plan_postpone_nothing(struct plan *plan);
/// Completes a plan whose segments say what the kernel would dump of each (dumper/stream.h).
void plan_from_kernel(struct plan *plan);
/// Cuts such a plan of @snap down to what PLAN_STACKS takes.
struct snap_error *plan_keep_stacks(struct plan *plan, const struct snapshot *snap) _must_check_;
void plan_destroy(struct plan *plan);
DEFINE_CLEANUP(struct plan *, plan_destroy);

/// The name of a class as --dry-run shows it; never NULL.
const char *plan_class_name(enum plan_class class);
/// Is memory of this class dumped?
static inline bool plan_class_dumped(enum plan_class class)
{
	return class < PLAN_NOT_TOUCHED;
}
