/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "common/error.h"
#include "common/json.h"

/**
 * DOC: What was changed in which process
 *
 * A file for each process that was armed, named after it, in /run/procsnap/armed for root and
 * $XDG_RUNTIME_DIR/procsnap/armed for others: what the word was and what it is now, so that it can
 * be put back. It is there before the process is written to. What is about an ended process is
 * dropped: pid, start time and boot tell.
 *
 * Fields: pid, start_time, boot_id, comm, version, program, address, before, value, realtime_ns.
 */
struct armed {
	int dirfd; ///< -EBADF before it was opened
};

/// Opens the folder, makes it if need be, and keeps others out until armed_close().
struct snap_error *armed_open(struct armed *armed) _must_check_;
void armed_close(struct armed *armed);
#define _cleanup_armed_ _cleanup_(armed_close)

/// The record of a process that still is the one it was; NULL: none. Owned by the caller.
struct json *armed_read(const struct armed *armed, pid_t pid);
/// Adds pid, start time, boot and time to @record, and writes it.
struct snap_error *armed_write(const struct armed *armed, pid_t pid,
			       struct json *record) _must_check_;
void armed_drop(const struct armed *armed, pid_t pid);
/// All records of processes that are there, as an array; those of others are removed.
struct snap_error *armed_list(const struct armed *armed, struct json **ret) _must_check_;
