/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/memsource.h"
#include "common/snapshot.h"
#include "gaps.h"
#include "plan.h"
#include "priority.h"
#include "reserve.h"

/**
 * DOC: Writing a core
 *
 * The file is laid out before a byte is written: ELF header, program headers, notes, room for
 * procsnap's own note, then the dumped segments page-aligned one after the other. Memory is then
 * copied to its place by several threads (core_copy(), the only part that needs the process to
 * stand still), and at the end the headers and notes are filled in (core_finish()), when the pause
 * and the gaps are known. A file that never got there has no ELF magic and is no core.
 *
 * Absent and zero pages are not written, so they are holes where the file system has holes.
 */

struct core;

struct core_progress {
	void (*fn)(void *userdata, uint64_t done_bytes);
	void *userdata;
};

/**
 * Lays the core out. @snap and @plan are borrowed and must outlive it.
 *
 * The first segment lies at @first_offset if headers and notes end before that, so that a core
 * foretold from a look at a running process (core_reserve()) has its segments where the real one
 * will have them.
 */
struct snap_error *core_create(const struct snapshot *snap, const struct plan *plan,
			       uint64_t first_offset, struct core **ret) _must_check_;
/**
 * Lays the core out in the file of @before, a core that was laid out from an earlier look at the
 * same process and whose memory was copied already, so that what is in both keeps its place.
 *
 * @plan must have been cut along that of @before (plan_cut_along()). What @before has and this one
 * does not becomes a hole in the end. @before must outlive it, and may itself be laid out over
 * another one.
 */
struct snap_error *core_create_over(const struct snapshot *snap, const struct plan *plan,
				    const struct core *before, struct core **ret) _must_check_;
/// A good first offset for a process with @threads threads, whose registers are not known yet.
uint64_t core_first_offset(const struct snapshot *snap, size_t threads);
void core_destroy(struct core *core);
DEFINE_CLEANUP(struct core *, core_destroy);

/// The apparent size of the file.
uint64_t core_size(const struct core *core);

enum core_copy_flags {
	/// When the process ends or the copy is aborted, what is missing becomes gaps.
	CORE_KEEP_PARTIAL = 1U << 0,
	/// There is less room than the core needs: nothing is written before what is more useful.
	CORE_SHORT_OF_SPACE = 1U << 1,
	/// What the source calls MEM_HELD is in the file, from an earlier core_copy(), and all else
	/// replaces what is there.
	CORE_AGAIN = 1U << 2,
	/// Past the page cache, where the file system can.
	CORE_DIRECT = 1U << 3,
	/// Nobody waits: what was not reserved is written at once.
	CORE_UNHURRIED = 1U << 4,
	/// Only what the plan has for later, which all others leave out. It is told of as gaps.
	CORE_LATER = 1U << 5,
};

/**
 * Makes the page cache ready for the core that this one foretells.
 *
 * @core is laid out from a look at the process while it still runs; the core that is then taken is
 * another one, laid out anew, of which most will lie at the same places. With @but_anon, only for
 * mappings that are not private anonymous memory.
 */
struct snap_error *core_reserve(struct core *core, struct memsource *source, unsigned int threads,
				bool but_anon, struct reserve *reserve) _must_check_;

/// The part of that for headers and notes, so that those of a partial core fit in any case.
void core_reserve_head(struct core *core, int fd);

/**
 * Says what is to be copied first (dumper/order.h), for a core that may not become whole. Without
 * it memory is copied in the order of its addresses.
 */
struct snap_error *core_set_priorities(struct core *core, const struct priorities *priorities)
	_must_check_;

/**
 * No more than @max_bytes are to be written of memory and headers; what is beyond is as on a full
 * disk. Holes do not count, nor what is attached later. SNAP_NO_SPACE when not even the headers
 * fit.
 */
struct snap_error *core_set_limit(struct core *core, uint64_t max_bytes) _must_check_;

/**
 * Copies the memory into @fd, a regular file without data, with @threads threads (at least 1).
 *
 * @reserve belongs to the same file, or is NULL; it must live until core_finish(). The file has its
 * final size and holes only after that.
 * Without CORE_AGAIN, what the source calls MEM_HELD is the business of another core_copy(), before
 * or after this one, with the same @reserve: it is neither copied nor missing.
 * @progress is called by any of them after each piece with the bytes of address space done so far.
 */
struct snap_error *core_copy(struct core *core, struct memsource *source, int fd,
			     struct reserve *reserve, unsigned int threads, uint32_t flags,
			     const struct core_progress *progress) _must_check_;
/// How many bytes of contents core_copy() has read, the last time.
uint64_t core_copied(const struct core *core);
/// Makes a core_copy() that is under way end early, in any thread or a signal handler.
void core_abort(struct core *core);

/// The plan it was made with. Borrowed.
const struct plan *core_plan(const struct core *core);
/**
 * Instead of core_copy(), for memory that comes one piece after the other: writes @len bytes (whole
 * pages, of which zeros become holes) at @offset of segment @i.
 */
struct snap_error *core_put(struct core *core, int fd, size_t i, uint64_t offset, const char *buf,
			    size_t len, uint32_t flags) _must_check_;
/// Does it lack what was put last, and is nothing more to be put? The caller calls core_miss().
bool core_aborted(const struct core *core);
/// Segment @i has nothing from @offset on: a gap. Once for each segment.
void core_miss(struct core *core, size_t i, uint64_t offset);

/// Are there mappings in it of which is not known whether the program wants them in dumps?
bool core_has_young(const struct core *core);
/**
 * Leaves those out again that @later, a look at the process when it ran again, says it does not
 * want in dumps (MADV_DONTDUMP). @plan is the one the core was made with. Before core_finish().
 */
void core_leave_out(struct core *core, struct plan *plan, const struct snapshot *later);

struct core_facts {
	bool defer_writing; ///< leave it to others when the kernel begins to write to the disk
	uint64_t pause_ns, predicted_pause_ns; ///< how long it was, and was foretold
	uint32_t coredump_filter; ///< the mask that was followed
};

/// Writes headers and notes. The gaps are final afterwards.
struct snap_error *core_finish(struct core *core, int fd, const struct core_facts *facts)
	_must_check_;

/// What is missing; sorted once the core is finished. Borrowed.
const struct gaps *core_gaps(const struct core *core);
