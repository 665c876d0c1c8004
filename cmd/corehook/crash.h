/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/json.h"
#include "common/pidref.h"
#include "dumper/stream.h"

/**
 * DOC: What the kernel tells the hook of a crash
 *
 * Arguments as core_pattern lists them (core(5)): STORE %P %u %g %s %t %c %d %F %I %h. The kernel
 * expands each one after it has split the pattern at blanks, so no name can become two arguments;
 * a kernel that does not know one leaves it empty.
 */
struct crash {
	const char *store; ///< the daemon's store; borrowed from argv
	struct pidref ref; ///< without a pidfd when the process was gone before it was looked at
	/// The pidfd is the kernel's; else the number was looked up, and only the stream proves
	/// that it is still the process that crashed.
	bool by_pidfd;
	pid_t tid; ///< of the crashing thread; 0: unknown
	uid_t uid; ///< real
	gid_t gid; ///< real
	int signal;
	uint64_t usec; ///< CLOCK_REALTIME
	uint64_t rlimit; ///< RLIMIT_CORE, soft, bytes; UINT64_MAX: none
	int dumpable; ///< PR_GET_DUMPABLE when it crashed; -1: unknown
	const char *hostname; ///< of its UTS namespace; borrowed from argv, or NULL
};

enum {
	CRASH_STREAM_FD = 0, ///< what the kernel writes the core to
	CRASH_PIDFD = 3, ///< what %F says
	CRASH_ARGS = 12, ///< argc of a hook that the kernel has started
};

/// Reads the arguments; owned by the caller, who calls pidref_deinit(&crash->ref).
struct snap_error *crash_from_args(int argc, char *argv[], struct crash *ret) _must_check_;
/// Opens /proc/PID, or that of the thread that crashed when the leader has ended before, whose
/// number is @ret_tid; -errno.
int crash_open_proc(const struct crash *crash, pid_t *ret_tid);
/**
 * Does the kernel still hold the process for us?
 *
 * Its writing end of the stream is open as long as it has something to write. So if it is, after
 * the memory or the folder in /proc of a process was opened by its number, that number meant the
 * process that crashed. If it is not, then all that is left of the core is in the stream.
 */
bool crash_is_held(void);
/// Fills in from the core what the kernel has not told otherwise: thread and signal.
void crash_add_head(struct crash *crash, const struct snapshot *snap,
		    const struct stream_facts *facts);
/// What the daemon and the folder are told. NULL when out of memory; owned by the caller.
struct json *crash_to_json(const struct crash *crash);
