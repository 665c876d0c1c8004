/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "common/pidref.h"
#include "common/snapshot.h"

/**
 * DOC: Which pages a running process writes to
 *
 * A userfaultfd with asynchronous write protection (UFFD_FEATURE_WP_ASYNC, Linux 6.7) lets the
 * kernel note each first write to a page after we have looked, without anybody being asked and
 * without a thread ever waiting for us: the fault takes a microsecond or two. PAGEMAP_SCAN reads
 * the notes, and protects pages anew (livemem.h).
 *
 * Only private anonymous memory is followed. What else there is does not fit: shared memory is
 * also written by others, and a discarded page of a private file comes back with what the file has
 * as if it were unchanged.
 *
 * Processes whose memory devices write to are not followed, since no fault tells of that: those
 * with pinned memory, with io_uring, or with files open for direct I/O.
 *
 * What is left when the worker is killed: nothing. The kernel closes the descriptor, and with it
 * ends the protection, which takes some 20 ms for each GiB during which the process cannot map
 * memory. track_end() does it in steps that nobody notices.
 */

struct track;

/// Why the process cannot be followed, as far as can be seen without stopping a thread; or NULL.
struct snap_error *track_check(int procfd, const struct snapshot *snap) _must_check_;
/// Is this mapping one that is followed?
bool track_follows(const struct snap_mapping *map);
/**
 * Begins to follow the larger private anonymous mappings of @snap, a look at the running @ref.
 *
 * @procfd is /proc/PID. An error says why that cannot be done; nothing has changed then. Stops one
 * thread for some tenths of a millisecond (inject.h). For the worker's main thread.
 */
struct snap_error *track_begin(const struct pidref *ref, int procfd, const struct snapshot *snap,
			       struct track **ret) _must_check_;
/// Follows the mappings of a later look @snap too.
struct snap_error *track_extend(struct track *track, const struct snapshot *snap) _must_check_;
/// Ends it, and frees it. May be called while the process runs, is stopped, or is gone.
void track_end(struct track *track);
DEFINE_CLEANUP(struct track *, track_end);

/**
 * Does a scan for written pages also report pages that were discarded since?
 *
 * Kernels differ in that. Where it does not, pages must be asked for one by one, which takes some
 * five times as long.
 */
bool track_reports_holes(const struct track *track);
