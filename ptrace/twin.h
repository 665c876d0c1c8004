/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/pidref.h"
#include "common/snapshot.h"
#include "tracee.h"

/**
 * DOC: A copy of a process that the kernel keeps
 *
 * One thread of a process that stands still is made to fork (thunk.h). The child shares all private
 * memory with the process, and whoever writes to a page first gets one of its own; so the child has
 * the memory of that instant, for as long as it lives, and the process may run again.
 *
 * The child never runs code of the process. It is our tracee from birth, and stopped. If we are
 * killed, it is killed (PTRACE_O_EXITKILL), or before that is set ends by itself, since its next
 * instructions are those of the thunk. It has no exit signal, so the process is told of neither its
 * birth nor its death: a waitpid() for any child does not see it, but with __WALL or __WCLONE.
 * What is left then is a zombie, which the process is made to reap. One that a worker left that
 * was killed stays until the next dump or start of the daemon (twin_find_left()), or until the
 * process ends.
 *
 * It shares no descriptors with the process, so that what the process closes is closed, and what
 * it holds when it ends is free. That is done once the process runs again.
 *
 * Its memory must never be read with process_vm_readv(), nor that of the process meanwhile: that
 * takes a copy of each page it reads.
 *
 * All calls are for the tracer thread.
 */
struct twin {
	struct tracee tracee; ///< tid 0: there is none
	pid_t ns_pid; ///< as the process calls it
	uint64_t cave; ///< where it has the thunk
	bool filtered; ///< it has seccomp filters, which are held off
};

/**
 * Makes one of the @n stopped threads fork.
 *
 * @snap has the mappings of the process as they are now, and @procfd is /proc/PID. On error they
 * have all stopped as before, unless it is SNAP_CANCELLED: then one runs, or has a thunk to finish,
 * and all must be let go. @ret_again says that signals were in the way, which have to be handled
 * first.
 */
struct snap_error *twin_make(const struct snapshot *snap, int procfd, struct tracee *threads,
			     size_t n, uint64_t patience_ns, struct twin *ret, bool *ret_again)
	_must_check_;
/**
 * Gives the child a name of its own, and takes its descriptors from it.
 *
 * When that is not possible the child must end, since the process could not really close anything.
 */
bool twin_settle(struct twin *twin);
/// Does it still live?
bool twin_lives(struct twin *twin);
/// Has somebody sent it a signal that asks to end? It stands still, and does not notice.
bool twin_is_asked_to_end(const struct twin *twin);
/// Ends it. What is left is a zombie of the process.
void twin_kill(struct twin *twin);
/**
 * Has the process reap child @ns_pid, of which a zombie is left. One thread stops for some tenths
 * of a millisecond. No error when the child is not there any more.
 *
 * The calling thread must not trace anything else, and must end soon (inject.h).
 */
struct snap_error *twin_reap(const struct pidref *ref, int procfd, const struct snapshot *snap,
			     pid_t ns_pid) _must_check_;
enum twin_left {
	TWIN_LEFT_ALL, ///< also those that were killed before they had their name
	TWIN_LEFT_NAMED, ///< those of which nobody can doubt what they are
};
/**
 * Zombies that are such children of the process, of which nobody has made the process reap.
 *
 * @ret has room for @max, and gets their numbers as the process has them. Returns how many. Needs
 * CONFIG_PROC_CHILDREN; any thread may call it.
 */
size_t twin_find_left(int procfd, enum twin_left which, pid_t *ret, size_t max);
