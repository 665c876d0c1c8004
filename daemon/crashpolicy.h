/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "daemon/config.h"

/**
 * DOC: What is kept of a crash
 *
 * Asked for each crash, before its memory is copied. In this order, and the first that has
 * something against a core decides:
 *   1. the process: dumpable 0, or RLIMIT_CORE less than a page (common/corelimit.h)
 *   2. Rule=, the first that fits, else Storage=
 *   3. DuplicateLimit=: the same executable at the same place. The place is what was mapped where
 *      the program counter pointed, and where in that file, so it is the same however addresses
 *      are chosen, and another after an update that moves code; with the signal. Where that does
 *      not tell one mistake from another (abort() is always in libc) the hook adds the callers,
 *      or says no place at all; then this limit does not hold.
 *   4. RateLimit=: the executable, 5. UserRateLimit=: the user
 * Where the kernel can be told to write no core at all it is asked once before, without the place
 * (crash_facts.early): 1, 2, 4 and 5 may then decide already, and only a crash that they leave
 * without a core is counted.
 *
 * There is a record in any case. What 3 to 5 left without a core is counted for each user and
 * executable, and told with the next one that has a core.
 *
 * Everything is counted for one user at a time, so nobody's crashes cost those of another a core.
 * A process can choose the name of its executable (in a mount namespace of its own), so only the
 * limit of the user cannot be got around by the user.
 *
 * Memory is bounded: there are so many counters for all, and of one user so many; beyond that the
 * one that was not used for longest is forgotten, and so is what it had counted. Time is monotonic;
 * what is in the records is not looked at, so jumps of the clock do not matter. Another daemon goes
 * on with the counters of the one before (daemon/crashcounts.h). Pure, but for memory.
 */

enum {
	CRASHPOLICY_COUNTERS_MAX = 1024, ///< 200 KiB with usual names, at most 1.2 MiB
	CRASHPOLICY_COUNTERS_PER_USER = 256,
	CRASHPOLICY_KEY_MAX = 1024, ///< of names of files; what is longer counts as the same
	CRASHPOLICY_REASON_SIZE = 160,
};

/// What is known of a crash; all is borrowed, and NULL where it is not known.
struct crash_facts {
	uid_t uid; ///< real
	int signal;
	uint64_t rlimit; ///< RLIMIT_CORE, soft, bytes; UINT64_MAX: none
	int dumpable; ///< PR_GET_DUMPABLE; -1: unknown
	const char *exe, *comm, *unit, *user_unit, *cgroup;
	const char *module; ///< file that is mapped where it crashed
	uint64_t offset; ///< in that file
	uint64_t callers; ///< a number for those who called it; 0: not known
	bool early; ///< it will be asked again, unless the answer is CRASH_NONE
};

struct crash_verdict {
	enum crash_action action;
	uint64_t max_bytes; ///< of memory in the core; UINT64_MAX: all
	/// Crashes of the same user and executable that a limit has left without a core since the
	/// last one with a core; this one included, if it is one of them.
	uint64_t suppressed;
	char reason[CRASHPOLICY_REASON_SIZE]; ///< printable; "" when all is kept
};

struct crashpolicy;

struct snap_error *crashpolicy_create(struct crashpolicy **ret) _must_check_;
/// Accepts NULL.
void crashpolicy_destroy(struct crashpolicy *policy);
/**
 * Decides, and counts the crash. @now_ns is a clock that never goes back. Without memory for a
 * counter the limit behind it does not hold.
 */
void crashpolicy_decide(struct crashpolicy *policy, const struct config *config,
			const struct crash_facts *facts, uint64_t now_ns,
			struct crash_verdict *ret);
/// How many counters there are.
size_t crashpolicy_count(const struct crashpolicy *policy);

/// One of them, as it can be kept for the next daemon (daemon/crashcounts.h).
struct crash_counter {
	uid_t uid;
	uint64_t begin_ns; ///< of the time in which it counts, by the clock of crashpolicy_decide()
	uint64_t used_ns; ///< when it was used last
	uint64_t count; ///< cores since begin_ns, and those that there would have been
	uint64_t suppressed; ///< of an executable: since its last core
	const char *key; ///< bytes, which mean something to the policy only; borrowed
	size_t key_len;
};

/// Calls @fn for each, the one that was used last first.
void crashpolicy_each(const struct crashpolicy *policy,
		      void (*fn)(void *userdata, const struct crash_counter *counter),
		      void *userdata);
/**
 * Adds one that was told by crashpolicy_each(), behind those that are there. Whatever it says, it
 * is only a counter: false when it makes no sense (@now_ns is before it), is there already, or
 * there is no room for it.
 */
bool crashpolicy_restore(struct crashpolicy *policy, const struct crash_counter *counter,
			 uint64_t now_ns);
