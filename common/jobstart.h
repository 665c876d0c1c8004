/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job.h"

/**
 * Starts procsnap-worker, which waits for its job. @ret_pid is a child to be waited for; @ret_sock,
 * owned by the caller, is where it listens and answers (common/job.h).
 */
struct snap_error *job_start(pid_t *ret_pid, int *ret_sock) _must_check_;
/**
 * Sends @job with descriptors, which stay the caller's; @spool and @output are -EBADF where the job
 * needs none. A worker that is gone already is no error: its end tells why.
 */
struct snap_error *job_send(int sock, const struct job *job, int pidfd, int spool,
			    int output) _must_check_;
