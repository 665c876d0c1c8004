/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/pidref.h"
#include "common/snapshot.h"
#include "tracee.h"

/**
 * DOC: Stopping a process without a trace
 *
 * A freeze goes through seize, stop, collect, release, all called by one and the same thread, the
 * tracer: ptrace belongs to a thread. Whatever goes wrong, and also when the worker is killed, the
 * end of that thread lets every tracee go (kernel/ptrace.c exit_ptrace()), so nothing here may
 * leave a tracee in a state that is not good to run on from:
 *
 * - PTRACE_SEIZE and PTRACE_INTERRUPT only: no signal is sent, job control is not touched, and a
 *   process that was stopped by a signal goes back to that state by itself.
 * - Wait results are only looked at (WNOWAIT), never consumed. A thread that stopped to have a
 *   signal delivered keeps its signal in exit_code, which a consuming wait would set to 0: the
 *   signal would be lost if we died (kernel/exit.c wait_task_stopped()).
 * - A system call that would return EINTR only because of us is set up to be made again at once,
 *   when its thread has stopped, not when it is let go; the kernel still lets it return EINTR if a
 *   signal is handled first (arch.h).
 *
 * A thread in uninterruptible sleep, or the parent in vfork(), does not stop. It is waited for
 * during a bounded time and then taken as it is: it runs no code of its own.
 */

struct freeze;

struct freeze_limits {
	uint64_t deadline_ns; ///< CLOCK_MONOTONIC; 0: none. Set once the window is open.
	uint64_t max_pause_ns; ///< 0: no budget
};

/**
 * Prepares a freeze of @ref. @procfd is /proc/PID of the same process and must outlive the freeze.
 *
 * Nothing happens to the process yet.
 */
struct snap_error *freeze_create(const struct pidref *ref, int procfd, uint64_t max_pause_ns,
				 struct freeze **ret) _must_check_;
/// Frees it. The tracees must have been released, or the tracer thread must end now.
void freeze_destroy(struct freeze *freeze);
DEFINE_CLEANUP(struct freeze *, freeze_destroy);

/// Attaches to all threads while they run on.
struct snap_error *freeze_seize(struct freeze *freeze) _must_check_;
/// Stops all threads. On error some may be stopped: release, or end the thread.
struct snap_error *freeze_stop(struct freeze *freeze) _must_check_;
/// Reads the threads' registers into @snap->threads and hides our interruption.
struct snap_error *freeze_collect(struct freeze *freeze, struct snapshot *snap) _must_check_;
/// Lets all threads run on. Threads that never stopped stay attached until the thread ends.
void freeze_release(struct freeze *freeze);

/// The threads, for whoever makes one of them do something meanwhile (twin.h). Borrowed.
struct tracee *freeze_tracees(struct freeze *freeze, size_t *ret_n);
/// CLOCK_MONOTONIC when the first thread was interrupted; 0 before that.
uint64_t freeze_started_ns(const struct freeze *freeze);
/// A thread whose /proc/TID shows the memory of the process, even when the leader has ended.
pid_t freeze_memory_tid(const struct freeze *freeze);
