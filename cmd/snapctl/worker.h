/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "common/job.h"
#include "common/json.h"
#include "common/pidref.h"
#include "progress.h"

/**
 * DOC: Running a worker from the command line
 *
 * SIGINT, SIGTERM and SIGHUP end the job: the worker is asked to let the process go and end, and is
 * killed when it does not do so soon, or at a second signal; its files have no name yet. With
 * JOB_KEEP_PARTIAL it has all the time it needs to finish what it has.
 */

/// Blocks the signals that cancel. Call it once, before anything else.
void worker_block_signals(void);

/// A descriptor that those signals are read from; -1 with errno. Owned by the caller.
int worker_signalfd(void);
/// Reads one of them, if one has come.
bool worker_take_signal(int signalfd);
/// Has one come since the start? Then nothing more is to be begun.
bool worker_signalled(void);

/// Holds process @pid by pidfd, from now on.
struct snap_error *worker_pin(pid_t pid, struct pidref *ret) _must_check_;

/**
 * Has procsnapd do @job when there is one, else starts procsnap-worker itself, and waits for its
 * end.
 *
 * @spool and @output are -EBADF where the job needs none. @ret is the result object, owned by the
 * caller.
 */
struct snap_error *worker_run(const struct job *job, const struct pidref *ref, int spool,
			      int output, const char *label, struct progress *progress,
			      struct json **ret) _must_check_;
