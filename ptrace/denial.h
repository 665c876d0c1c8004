/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "common/error.h"

/**
 * Explains why something about process @pid was refused: who traces it, what Yama says, which
 * capability is missing; or that it has ended.
 *
 * @procfd is its /proc directory, @what completes "cannot ... process N". Any process may call it.
 */
struct snap_error *denial_from_errno(pid_t pid, int procfd, int errnum, const char *what)
	_must_check_;
/// The error for a process that @tracer traces.
struct snap_error *denial_traced(pid_t pid, pid_t tracer) _must_check_;
