/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <sys/types.h>

#include "cleanup.h"

/**
 * DOC: A pid that cannot be recycled
 *
 * A pid never travels without its pidfd. The pair is made at the first look at a process; every
 * later step checks with pidref_verify() that what it learned by number is still about that
 * process. Any process may use these calls.
 */
struct pidref {
	pid_t pid;
	int pidfd; ///< owned
};

#define PIDREF_NULL ((struct pidref){ .pid = 0, .pidfd = -EBADF })

/// Pins @pid, which must be a thread group leader. -ESRCH when there is none, -EINVAL for a thread.
int pidref_open(pid_t pid, struct pidref *ret);
/// Takes ownership of @pidfd and finds out its pid. -ESRCH when the process is gone already,
/// -EINVAL when it is of a thread.
int pidref_from_fd(int pidfd, struct pidref *ret);
/// One more of the same. A negative errno.
int pidref_dup(const struct pidref *ref, struct pidref *ret);
/// 0 while the process exists (a zombie counts until it is reaped), else -ESRCH.
int pidref_verify(const struct pidref *ref);
/// Opens /proc/PID as a directory that belongs to this very process; -ESRCH when it is gone.
int pidref_open_proc(const struct pidref *ref);
void pidref_deinit(struct pidref *ref);
#define _cleanup_pidref_ _cleanup_(pidref_deinit)
