/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"
#include "common/snapshot.h"

/**
 * Fills @snap's process and mappings from /proc.
 *
 * @procfd is /proc/PID of the leader, @piddir /proc/TID of a thread that still has memory; they are
 * the same unless the leader has ended. @scratch keeps the text buffer from call to call, so that a
 * call while the process is stopped needs no new memory. What the snapshot held there before is
 * replaced. Threads must be filled in already, if they are going to be: the width of the process
 * is taken from them.
 */
struct snap_error *process_read(pid_t pid, int procfd, int piddir, struct strbuf *scratch,
				struct snapshot *snap) _must_check_;

struct livemem;
/**
 * The same again, for a process that has stopped shortly after a look at it, @known.
 *
 * What only smaps tells is taken from @known for mappings that are still there, because smaps walks
 * through all page tables, which takes tens of milliseconds for each GiB. @mem is asked what new
 * mappings hold.
 */
struct snap_error *process_read_again(pid_t pid, int procfd, int piddir, struct strbuf *scratch,
				      const struct snapshot *known, struct livemem *mem,
				      struct snapshot *snap) _must_check_;
