/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"

/**
 * DOC: The dead-man timer
 *
 * While a process is stopped, a POSIX timer of the worker counts down to a SIGKILL for the worker
 * itself. The kernel then detaches all tracees and they run on. The signal is SIGKILL because that
 * is the only one that also ends a worker that was itself stopped, by SIGSTOP or a debugger; and
 * the timer is the kernel's, so that nothing of ours needs to be able to run.
 *
 * One per process.
 */

/// Makes the timer, disarmed.
struct snap_error *deadman_create(void) _must_check_;
/// Kills this process in @ns from now unless it is armed again or disarmed before that.
void deadman_arm(uint64_t ns);
void deadman_disarm(void);
