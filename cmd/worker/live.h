/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/job.h"
#include "common/pidref.h"
#include "ptrace/capture.h"

/// Writes a core with headers and notes only into the empty file @fd: who the threads are, if @snap
/// has any, and what was mapped where.
struct snap_error *live_write_head(const struct snapshot *snap, struct memsource *source,
				   int fd) _must_check_;

/**
 * Analyses @core_fd, a core of process @ref that was made just now, as @snap says.
 *
 * The rest is as with live_analyze().
 */
struct snap_error *live_analyze_core(const struct job *job, const struct pidref *ref,
				     const struct snapshot *snap, int core_fd, int lines_fd,
				     uint64_t pause_ns, struct json **ret) _must_check_;

/**
 * Analyses a process that is stopped meanwhile: only what is read of its memory is copied.
 *
 * Lines of the analysis go to @lines_fd, a regular file. @ret is the result of the job, owned by
 * the caller: pid, comm, pause_ns and the like.
 */
struct snap_error *live_analyze(const struct job *job, const struct pidref *ref,
				struct capture *capture, int lines_fd,
				struct json **ret) _must_check_;
