/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/**
 * DOC: Which dumps must go
 *
 * Pure functions over a list of dumps: no disk, no clock. The rules, in this order:
 *
 * 1. Age: what is older than max_age goes. A dump from the future has no age.
 * 2. Executable: of one user and one executable, max_per_executable dumps stay, the newest ones.
 *    Users are counted apart, so that nobody's /usr/bin/python3 pushes out somebody else's.
 * 3. Number: there are at most max_entries dumps in all.
 * 4. MaxUse: all dumps weigh at most max_use bytes together.
 * 5. KeepFree: they weigh at most as much as leaves keep_free bytes on the disk, whoever else fills
 *    it.
 *
 * 3 to 5 are one rule with different weights: while all dumps weigh more than the limit, the oldest
 * dump of the user whose dumps weigh most goes. The fair share is the limit divided by the number
 * of users who have a dump in the list, the one who is about to get one included. A user who holds
 * no more than that loses nothing, however many dumps others make. Of two who are equally heavy
 * the one with a pinned dump pays, since it is that which needs the room. When those above the fair
 * share have only pinned dumps left, the room cannot be made, and the plan says what lacks.
 *
 * A pinned dump is never removed: the one just made, and those that are being written.
 *
 * Users are told apart by uid. Somebody who owns many uids (subordinate ones of containers) counts
 * as many users.
 */

enum retention_reason {
	RETENTION_KEEP,
	RETENTION_AGE, ///< MaxAge
	RETENTION_EXECUTABLE, ///< MaxPerExecutable
	RETENTION_ENTRIES, ///< the number of dumps that the store keeps
	RETENTION_MAX_USE, ///< MaxUse
	RETENTION_KEEP_FREE, ///< KeepFree, or with keep_free 0 the size of the disk
	RETENTION_REASON_MAX,
};

/// A limit that is to be worked out from the size of the file system.
#define RETENTION_DEFAULT UINT64_MAX

struct retention_limits {
	uint64_t max_use; ///< bytes in all; 0: no limit; RETENTION_DEFAULT: 10 %, 4 GiB at most
	uint64_t keep_free; ///< bytes; 0: none; RETENTION_DEFAULT: 15 %, 4 GiB at most
	uint64_t max_age_usec; ///< 0: no limit
	uint64_t max_per_executable; ///< dumps of one user and executable; 0: no limit
	uint64_t max_entries; ///< dumps in all; 0: no limit
};

/// One dump.
struct retention_item {
	uint64_t usec; ///< CLOCK_REALTIME when it was taken
	uint64_t bytes; ///< on disk, or that it is going to have
	uint64_t exe_key; ///< equal for dumps of the same executable
	uid_t uid;
	bool pinned;
};

struct retention_state {
	uint64_t now_usec; ///< CLOCK_REALTIME
	/// Bytes free on the file system, less what files that are being written will still take.
	/// Negative when that is more than there is.
	int64_t free_bytes;
};

struct retention_result {
	size_t n_removed;
	uint64_t removed_bytes;
	/// RETENTION_KEEP when all limits are kept after the removals; else the one that is not.
	enum retention_reason unmet;
	uint64_t short_bytes; ///< how many bytes (or dumps, for RETENTION_ENTRIES) that lacks
};

/// Puts numbers in the place of RETENTION_DEFAULT, for a file system of @fs_bytes, or 0: unknown.
struct retention_limits retention_resolve(struct retention_limits limits, uint64_t fs_bytes);
/**
 * Says for each of @items, in any order, why it must go, into @ret_reasons.
 *
 * Goes as far as the rules allow also when that is not far enough; whoever asks because of a new
 * dump may rather refuse that. Of several limits that cannot be kept @ret has the first.
 * @limits is resolved. Only fails when out of memory. May be called by any process and thread.
 */
struct snap_error *retention_plan(const struct retention_item *items, size_t n_items,
				  const struct retention_limits *limits,
				  const struct retention_state *state,
				  enum retention_reason *ret_reasons, struct retention_result *ret)
	_must_check_;
/// The key of the configuration that a reason belongs to, or words for it; never NULL.
const char *retention_reason_name(enum retention_reason reason);
