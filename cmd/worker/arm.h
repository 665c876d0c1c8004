/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/job.h"
#include "common/pidref.h"
#include "ptrace/capture.h"

/**
 * DOC: Writing to a process that runs
 *
 * The only place where procsnap changes another process: two bits of one word of a Go program. What
 * makes that safe:
 *
 * - The sandboxed analyzer proves where the word is (analyzer/go/traceback.h), anew for every
 *   write. It gets a descriptor to read memory with, never the one that is written through.
 * - /proc/PID/mem stands for the memory that the process had when it was opened. When the process
 *   executes another program, or ends and its number is reused, the write fails.
 * - The word must be in a private mapping that the process itself can write to, and have the value
 *   that is expected. Whatever the analyzer says, no more than these two bits can change.
 * - Both bits are in one byte, and one byte is written: there is no moment at which half of it is
 *   there, whatever the kernel copies with, and whenever the worker is killed. So the process need
 *   not be stopped, and is not.
 * - The word is read again afterwards. The program may set it itself at any time
 *   (debug.SetTraceback): if it does between the comparison and the write, that is told when the
 *   value differs, and the level that the program has set may be lost.
 */

/**
 * Does what @job.arm says. @ret is the result, owned by the caller: "pid", "comm", "version",
 * "go" (it is such a program), "program" (different after each execve()), "address", "value"
 * (afterwards), "before", "symbol", "core_limit" (bytes; missing: unlimited), "plain" (false: the
 * kernel may write no core); or "refused" instead of what comes after "program".
 */
struct snap_error *arm_process(const struct job *job, const struct pidref *ref,
			       struct capture *capture, struct json **ret) _must_check_;
