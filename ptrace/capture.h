/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/memsource.h"
#include "common/pidref.h"
#include "common/snapshot.h"
#include "twincheck.h"

/**
 * DOC: From a live process to a snapshot and its memory
 *
 * capture_take() gives a snapshot and a memsource; capture_release() says that nobody needs the
 * memory any more. How long the process stands still between the two is the business of the pause
 * strategy behind this interface, and of nobody else:
 *
 * - "copy": the process stays stopped from take to release, while its memory is read.
 * - "precopy": capture_follow() before that. The memory is read while the process runs, and again
 *   what it has written meanwhile, until little is left; that little is read between take and
 *   release. Whoever reads must write to the same places again (memsource.h).
 * - "fork": capture_fork() before that. When the process has stopped it forks (twin.h). What the
 *   child does not have is read between take and release, and the rest, MEM_HELD until then, from
 *   capture_rest(), while the process runs again.
 *
 * A capture has a thread of its own, the tracer, which stops the process, watches over the time and
 * lets it go; it ends with the release, and with it every tie to the process. Call everything here
 * from one other thread of the worker, except where said.
 */

struct capture;

struct capture_options {
	uint64_t max_pause_ns; ///< 0: as long as it takes
	/// The worker is killed when it reads no memory for so long while the process is stopped.
	uint64_t stall_ns;
};

/// Prepares to capture @ref, which is borrowed and must outlive the capture. Does not touch it.
struct snap_error *capture_create(const struct pidref *ref, const struct capture_options *options,
				  struct capture **ret) _must_check_;
/// Releases the process if need be, and frees everything.
void capture_destroy(struct capture *capture);
DEFINE_CLEANUP(struct capture *, capture_destroy);

/**
 * Looks at the process without stopping it: identity and mappings, no threads.
 *
 * @ret_source (borrowed from @capture) reads it while it runs. For estimates.
 */
struct snap_error *capture_inspect(struct capture *capture, struct snapshot *snap,
				   struct memsource **ret_source) _must_check_;

/// Can it be followed? An error says why not, "it ..." being the process. Stops nothing.
struct snap_error *capture_can_follow(struct capture *capture, const struct snapshot *known)
	_must_check_;
/// How many bytes of @known capture_follow() would follow.
uint64_t capture_followed_bytes(const struct snapshot *known);

/**
 * Begins to follow which memory the process writes to, as far as that can be followed.
 *
 * @known is what capture_inspect() gave, and must live until the capture is taken. The memsource
 * that came with it then tells what is new; see "While the process runs" in memsource.h. One
 * thread of the process stops for some tenths of a millisecond. An error says why it cannot be
 * done, "it ..." being the process; nothing has changed then. May be called again with a later
 * look, for what is new in it.
 */
struct snap_error *capture_follow(struct capture *capture, const struct snapshot *known)
	_must_check_;

/// Ends that; the capture is then as if it had never followed. What was copied in advance is stale.
void capture_unfollow(struct capture *capture);

/// Can it be made to fork? An error says why not, "it ..." being the process. Stops nothing.
struct snap_error *capture_can_fork(struct capture *capture, const struct snapshot *known)
	_must_check_;
/// What fork() would have to copy the page tables of.
struct forked_bytes capture_forked_bytes(const struct snapshot *known);

/**
 * The process is to fork when it is stopped, if that is possible then; if not, and @must, that is
 * an error of capture_take().
 *
 * @known is what capture_inspect() gave, and must live until the capture is destroyed.
 */
void capture_fork(struct capture *capture, const struct snapshot *known, bool must);

/// Does beforehand what capture_take() does first otherwise, and what takes longer the more memory
/// the caller has. For a process that writes all the time.
void capture_make_ready(struct capture *capture);

/**
 * Takes the snapshot.
 *
 * @snap is filled in; @ret_source is borrowed from @capture and may be read until the release. On
 * error the process runs.
 */
struct snap_error *capture_take(struct capture *capture, struct snapshot *snap,
				struct memsource **ret_source) _must_check_;

/// After a look: would capture_postpone() do it?
bool capture_can_postpone(struct capture *capture, const struct snap_mapping *map);
/**
 * Between take and release: @map, shared memory, is to be read afterwards, from the file behind it,
 * whatever becomes of the process. False when it cannot be; then it is for now.
 */
bool capture_postpone(struct capture *capture, const struct snap_mapping *map);
/// The source for all that was postponed, borrowed from @capture; NULL: nothing was.
struct memsource *capture_postponed(struct capture *capture);

/**
 * Lets the process run, if it does not already.
 *
 * @ret_pause_ns is how long it was stopped. An error says that the pause budget ran out before:
 * the process was let go then, and what was read afterwards was refused by the memsource.
 */
struct snap_error *capture_release(struct capture *capture, uint64_t *ret_pause_ns) _must_check_;

/**
 * After the release: the memory that was MEM_HELD before it, in a child of the process.
 *
 * @ret_source is borrowed from @capture, and NULL when there is no such memory.
 */
struct snap_error *capture_rest(struct capture *capture, struct memsource **ret_source)
	_must_check_;
/**
 * Ends the child. Call it whatever capture_rest() said.
 *
 * @snap gets a warning when something of it stays. An error says why the child had to be ended
 * before, so that reading from it was refused.
 */
struct snap_error *capture_end_rest(struct capture *capture, struct snapshot *snap) _must_check_;

/// What a worker that was killed had left, and is gone now.
struct capture_left {
	size_t zombies;
	bool thunks; ///< code behind the vDSO (sweep.h)
};

/**
 * Has the process reap children like that which a worker left that was killed, zombies by now, and
 * erases the code that it left. For each of the children one thread stops for some tenths of a
 * millisecond, and for the code all of them; where there is nothing, nobody does.
 *
 * @known, empty, gets a look at the process, and @ret what there was. Not for a capture that is
 * taken, too.
 */
struct snap_error *capture_clean_left(struct capture *capture, struct snapshot *known,
				      struct capture_left *ret) _must_check_;
