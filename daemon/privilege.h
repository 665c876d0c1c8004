/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"

/**
 * Gives up, for the daemon and all it starts, every capability but those that jobs need, and the
 * way to get others by executing a program. Called once, by the daemon, before its first client.
 *
 *   CAP_SYS_PTRACE          stop processes of others, read their memory and /proc files
 *   CAP_CHECKPOINT_RESTORE  follow /proc/PID/map_files
 *   CAP_DAC_READ_SEARCH     read programs and libraries, wherever they are
 *   CAP_SETUID, CAP_SETGID  workers, and what sends a record, become a user
 *   CAP_KILL                end a worker that has become one
 *
 * A capability that we do not have in the first place is no error: what needs it says so.
 */
struct snap_error *privilege_drop(void) _must_check_;
/// Gives up all capabilities that there are, for what the administrator has run. They survive a
/// change of ids where SECBIT_NO_SETUID_FIXUP is set. A negative errno.
int privilege_drop_all(void);
