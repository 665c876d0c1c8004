/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "daemon/jobs.h"

/**
 * DOC: What killed workers have left
 *
 * The child of a process that was made to fork is killed with its worker, and then is a zombie that
 * the process knows nothing of, and only the process can reap (ptrace/twin.h). And the code that a
 * thread was running for the worker just then stays behind the vDSO (ptrace/sweep.h). Both are
 * looked for when the daemon starts: the zombies by their name, and the code by what lies there in
 * the daemon itself, which are some reads of a few hundred bytes for each process of the machine.
 * For each process that has something there is a job (JOB_CLEAN), whose worker looks closer, and
 * leaves alone what is not ours.
 */

/// Begins that with what there is now; @jobs does the rest, and the log is told. For the daemon's
/// only thread.
void leftovers_begin(struct jobs *jobs);
