/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "json.h"

/**
 * DOC: A job for procsnap-worker
 *
 * The starter sends one message: the job, with the descriptors JOB_FD_*. The worker answers with
 * any number of {"progress": {"phase", "done", "total"}} and ends with one {"result": {...}} or
 * {"error": {"code", "message"}}, then exits. If it just goes away it was killed; the process it
 * worked on runs then (ptrace/deadman.h).
 */

enum job_fd {
	JOB_FD_PIDFD, ///< of the process
	JOB_FD_STACKS = JOB_FD_PIDFD, ///< instead, for JOB_FINISH: an empty file for them, JSON
	JOB_FD_SPOOL, ///< empty regular file, read and write: the raw core is written there
	JOB_FD_OUTPUT, ///< for JOB_STREAM and JOB_COMPRESS: where the sink writes
	JOB_FD_PART, ///< for JOB_PACKED
	JOB_FD_MAX,
};

/// The socket of a worker.
enum { JOB_SOCKET_FD = 3 };

enum job_flags {
	JOB_ALL = 1U << 0,
	JOB_WITH_BINARIES = 1U << 1,
	JOB_KEEP_PARTIAL = 1U << 2,
	JOB_DRY_RUN = 1U << 3, ///< only say what would be done; no spool
	JOB_STREAM = 1U << 4, ///< copy the spool to the output
	JOB_COMPRESS = 1U << 5, ///< compress the spool to the output
	JOB_HAS_FILTER = 1U << 6, ///< filter counts, not the process's own coredump_filter
	JOB_SYNC = 1U << 7, ///< fsync() the file that was written last
	JOB_NO_SUMMARY = 1U << 8, ///< do not look for goroutines
	JOB_ANALYZE = 1U << 9, ///< no core: analyse the process; lines go to the spool
	JOB_STACKS = 1U << 10, ///< only what backtraces need
	/// The spool is a finished core: add what can be found out about it, then as for any other.
	JOB_FINISH = 1U << 11,
	JOB_ARM = 1U << 12, ///< no core: see job.arm; no spool
	// How the memory is frozen (ptrace/capture.h). None: whatever stops it for less time.
	JOB_COPY = 1U << 13, ///< while it stands still
	JOB_PRECOPY = 1U << 14, ///< in advance, or not at all
	JOB_FORK = 1U << 15, ///< by a child of the process, or not at all
	/// No core: what killed workers have left in the process is cleared away; no spool.
	JOB_CLEAN = 1U << 17,
	JOB_MODES = JOB_COPY | JOB_PRECOPY | JOB_FORK,
	/// Of JOB_FINISH, with JOB_COMPRESS: the spool is a packed core (dumper/pack.h), which may
	/// be used up, and JOB_FD_PART a raw core of the same process, which has not all of its
	/// memory but its stacks.
	JOB_PACKED = 1U << 16,
};

/// runtime/runtime1.go
enum {
	JOB_ARM_CRASH = 1U << 0, ///< tracebackCrash: die by SIGABRT after the traceback
	JOB_ARM_BITS = JOB_ARM_CRASH | 1U << 1, ///< tracebackAll
};

struct job {
	uint32_t flags;
	uint32_t filter;
	pid_t pid; ///< for messages only: the process is what JOB_FD_PIDFD says
	uint64_t max_pause_ns; ///< 0: no budget
	uint64_t free_bytes; ///< space for the core; 0: unknown
	int level; ///< of compression
	struct json *analysis; ///< request of JOB_ANALYZE (common/analysis.h), or NULL
	/**
	 * Of JOB_ARM: {"expect", "value"}: sets the word of GOTRACEBACK of a Go program to the
	 * value if it is as expected; the two may differ in the bits JOB_ARM_BITS only. NULL: only
	 * tells where the word is and what it is.
	 */
	struct json *arm;
	const char *exe; ///< its program, if not the process's own; borrowed, or NULL
	/// Of JOB_FINISH: the folder with the programs and libraries of the process
	/// (common/binaries.h); borrowed, or NULL.
	const char *binaries;
	/**
	 * Who the worker becomes before it looks at the process, borrowed: {"uid", "gid",
	 * "groups"}; NULL when it stays what it is. So it is the kernel that decides whether that
	 * user may trace the process. Nobody becomes root this way.
	 */
	struct json *identity;
};

/// NULL when out of memory. Owned by the caller.
struct json *job_to_json(const struct job *job);
/// -EBADMSG when the message is not a job. What @ret points to lives as long as @json.
int job_from_json(struct json *json, struct job *ret);

/// {"error": ...} for @err, which stays the caller's.
struct json *job_error_to_json(const struct snap_error *err);
/// The error of such a message; NULL when it has none.
struct snap_error *job_error_from_json(const struct json *json) _must_check_;
