/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"
#include "json.h"

/**
 * DOC: What was changed in which process
 *
 * A file for each process that was armed, named after it, in /run/procsnap/armed for root and
 * $XDG_RUNTIME_DIR/procsnap/armed for others: what the word was and what it is now, so that it can
 * be put back. It is there before the process is written to. What is about an ended process is
 * dropped: pid and start time tell. That they are of this boot, too, follows from where the files
 * are; the id of the boot would not do, since systemd-nspawn has one of its own, which services
 * with ProtectKernelTunables= do not see. And nothing is written to a process whose program is not
 * the one that was armed. snapctl and the daemon use the same files, so each of them has the lock
 * of a process while it looks at it and changes it.
 *
 * Fields: pid, start_time, comm, version, program, address, before, value, realtime_ns; and of what
 * the daemon does: unit and pattern (of Arm=), or uid (who asked for it). When a process has been
 * disarmed there is only "disarmed", for as long as it lives: then Arm= does not count for it.
 */
struct armed {
	int dirfd; ///< -EBADF before it was opened
};

/// Opens the folder, makes it if need be.
struct snap_error *armed_open(struct armed *armed) _must_check_;
void armed_close(struct armed *armed);
#define _cleanup_armed_ _cleanup_(armed_close)

/// Keeps others away from what is kept of @pid, until the descriptor that it returns is closed.
/// -EAGAIN when somebody else does, or another -errno.
int armed_lock(const struct armed *armed, pid_t pid);
/// The record of a process that still is the one it was, and is armed as far as we know; NULL:
/// none. Owned by the caller.
struct json *armed_read(const struct armed *armed, pid_t pid);
/// Has somebody disarmed this very process?
bool armed_is_disarmed(const struct armed *armed, pid_t pid);
/// Adds pid, start time and time to @record, and writes it.
struct snap_error *armed_write(const struct armed *armed, pid_t pid, struct json *record)
	_must_check_;
/// Only that it was disarmed.
struct snap_error *armed_write_disarmed(const struct armed *armed, pid_t pid) _must_check_;
void armed_drop(const struct armed *armed, pid_t pid);
/// The same when it is about a process that is not there any more, and nobody works on it.
void armed_drop_ended(const struct armed *armed, pid_t pid);
/// All records of processes that are there and armed, as an array; those of ended ones are removed.
struct snap_error *armed_list(const struct armed *armed, struct json **ret) _must_check_;
