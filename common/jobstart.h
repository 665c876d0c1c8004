/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job.h"

/**
 * Starts procsnap-worker, which waits for its job. @ret_pid is a child to be waited for; @ret_sock,
 * owned by the caller, is where it listens and answers (common/job.h).
 */
struct snap_error *job_start(pid_t *ret_pid, int *ret_sock) _must_check_;
/**
 * Sends @job with descriptors, which stay the caller's; those at the end that the job does not need
 * are negative. A worker that is gone already is no error: its end tells why.
 */
struct snap_error *job_send(int sock, const struct job *job, const int fds[static JOB_FD_MAX])
	_must_check_;
