/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/job.h"
#include "common/pidref.h"
#include "ptrace/capture.h"

/**
 * Analyses a process that is stopped meanwhile: only what is read of its memory is copied.
 *
 * Lines of the analysis go to @lines_fd, a regular file. @ret is the result of the job, owned by
 * the caller: pid, comm, pause_ns and the like.
 */
struct snap_error *live_analyze(const struct job *job, const struct pidref *ref,
				struct capture *capture, int lines_fd,
				struct json **ret) _must_check_;
