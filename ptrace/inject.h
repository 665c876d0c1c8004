/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "arch.h"
#include "common/error.h"
#include "common/pidref.h"
#include "common/snapshot.h"

/**
 * DOC: A descriptor that only the process itself can make
 *
 * userfaultfd() is about the memory of whoever calls it, and there is no way to ask for another's.
 * So one thread of the process is stopped for some tenths of a millisecond and made to call it. We
 * take the descriptor with pidfd_getfd(), and the thread closes its own and goes on (arch.h,
 * thunks). All other threads run meanwhile.
 *
 * The thread is one that sleeps in a system call, or failing that one that runs outside of a
 * restartable sequence (rseq(2)): the kernel would take a changed program counter in one as its
 * end, without ever running its abort handler. Threads that have a signal due, that run 32-bit
 * code, that dispatch their system calls (PR_SET_SYSCALL_USER_DISPATCH), or whose seccomp filters
 * would kill for it are left alone.
 *
 * What is left when we are killed in the middle of this: see thunk.h.
 */

/**
 * Makes a thread of @ref do @call, and gives the descriptor that came of it in @ret_fd, owned by
 * the caller; the process does not have it any more.
 *
 * @procfd is /proc/PID and @snap has the mappings of the process. An error means that no thread
 * could or would do it, and that nothing has changed. The calling thread must not trace anything,
 * and must end soon: with it ends every tie to the process. deadman_create() comes first: the timer
 * runs while a thread stands still.
 */
struct snap_error *inject_descriptor(const struct pidref *ref, int procfd,
				     const struct snapshot *snap, const struct arch_call *call,
				     int *ret_fd) _must_check_;
/**
 * Makes a thread of @ref do @call, of ARCH_THUNK_CALL, in the same way; @ret_result is what it
 * returned, negative errno included.
 */
struct snap_error *inject_call(const struct pidref *ref, int procfd, const struct snapshot *snap,
			       const struct arch_call *call, int64_t *ret_result) _must_check_;
/// Why no thread of the process could be used, as far as can be seen without stopping one.
const char *inject_obstacle(int procfd, const struct snapshot *snap);
