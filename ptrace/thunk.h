/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arch.h"
#include "common/snapshot.h"
#include "tracee.h"

/**
 * DOC: A system call that a stopped thread does for us
 *
 * The steps of it, with the thunks of arch.h, for one thread that we trace. Whoever is killed in
 * the middle of this, or finds that a signal has come, leaves the bytes of the thunk in the private
 * copy of the vDSO's last page, since the thread may still come back to them, until they are swept
 * away (sweep.h). There is room for four; then the first of them is replaced.
 *
 * The tracee needs PTRACE_O_TRACESYSGOOD. All calls are for the tracer thread.
 */

/// Stops of a tracee (tracee.h) beside those with signals.
enum thunk_stop {
	THUNK_SYSCALL_STOP = 5 | 0x80, ///< SIGTRAP, a system call begins or ends
	THUNK_EVENT_STOP = 5 | 128 << 8, ///< SIGTRAP, PTRACE_EVENT_STOP
	THUNK_CLONE_STOP = 5 | 3 << 8, ///< SIGTRAP, PTRACE_EVENT_CLONE
};

/// Places for thunks, each of ARCH_THUNK_BYTES, from the end of the vDSO on.
enum { THUNK_PLACES = 4 };

struct thunk {
	struct tracee *tracee;
	const struct arch_call *call;
	uint64_t room; ///< thunk_room()
	uint64_t patience_ns; ///< how long the call may take; 0: as long as a stop
	uint64_t ignored; ///< signals to be dropped, bit N-1 for signal N: the process ignores them
	uint64_t cave; ///< where the code goes
	bool left; ///< the thread has yet to run the rest of it
	struct arch_regs home; ///< with which the thread goes on
	const char *why; ///< it was not used, "it ..." being the process
};

/// Why a thread is not used that will do in a moment; known by its address.
extern const char thunk_signal_due[];

/// The end of the vDSO, in front of which there is room. 0: there is no vDSO.
uint64_t thunk_room(const struct snapshot *snap);
/**
 * Can the thread, which has stopped, be used? If not, @thunk->why says why.
 *
 * @filtered: it has seccomp filters, which are asked. @procfd and @snap are of the process; an
 * execve() since then is found out.
 */
bool thunk_suits(struct thunk *thunk, int procfd, const struct snapshot *snap, bool filtered);
/// Waits until @tracee stops. False when it has ended or does not stop in @patience_ns (0: 500 ms).
bool thunk_wait(struct tracee *tracee, uint64_t patience_ns);
/// Lets the thread go on to its next stop, which must be a @wanted one (enum thunk_stop).
bool thunk_run_to(struct thunk *thunk, int request, int wanted);
/**
 * Gives a thread that suits the thunk, and lets it begin the call.
 *
 * False when that was not to be. Wherever it ends early, here and below, the thread has a signal to
 * handle or is about to end. It is to be let go as it is then: with its own registers, or with
 * those of a thunk that gives it its own.
 */
bool thunk_begin(struct thunk *thunk);
/// Lets it do the call.
bool thunk_do(struct thunk *thunk, int64_t *ret_result);
/// Gives it its own registers again. It has stopped then, as at first.
bool thunk_finish(struct thunk *thunk);
/// Puts the zeros back that were at @addr, of a stopped thread's process.
bool thunk_erase(pid_t tid, uint64_t addr);
/// Writes words of @len bytes, a multiple of 8, also where the process itself may not.
bool thunk_poke(pid_t tid, uint64_t addr, const uint8_t *bytes, size_t len);
