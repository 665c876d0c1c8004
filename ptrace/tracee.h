/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch.h"
#include "procfs.h"

/**
 * DOC: One thread that we trace
 *
 * The steps of a freeze (freeze.h) for a single thread. All calls are for the tracer thread, but
 * tracee_reap_ended(), which any thread of the worker may make.
 */

enum tracee_state {
	TRACEE_SEIZED,
	TRACEE_INTERRUPTED, ///< asked to stop
	TRACEE_STOPPED,
	TRACEE_STUCK, ///< does not stop: uninterruptible
	TRACEE_GONE,
};

struct tracee {
	pid_t tid;
	enum tracee_state state;
	int stop; ///< what it stopped for: the upper bits of its wait status
	int signal; ///< to be delivered on release; 0: none
	bool regs_known;
	struct arch_regs regs; ///< as they were at the stop
	struct procfs_stat stat; ///< before the stop
};

/// Looks what became of it, without waiting and without consuming a stop.
void tracee_poll(struct tracee *tracee);
/// Lets a thread of another process go that got the number of one of ours.
void tracee_expel(struct tracee *tracee);
/**
 * Reads the registers of a stopped tracee, and sees to it that a system call which would fail with
 * EINTR only because of us is made again.
 */
void tracee_rewind(struct tracee *tracee);
/// Lets a stopped tracee run on as if nothing had happened.
void tracee_release(struct tracee *tracee);
/// The signals queued for a stopped thread itself (not for its process), bit N-1 for signal N.
uint64_t tracee_queued_signals(pid_t tid);
/// Reaps @tid if it has ended, or was reaped before: true then. Never consumes a stop.
bool tracee_reap_ended(pid_t tid);
