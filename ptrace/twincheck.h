/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "common/snapshot.h"

/// What fork() has to copy the page tables of, in bytes of memory.
struct forked_bytes {
	uint64_t small, huge; ///< in pages of 4 KiB, and in huge ones
	uint64_t kept; ///< of these, what is read from the child later
};
struct forked_bytes twincheck_bytes(const struct snapshot *snap);

/// Would a child of this thread, /proc/PID/task/TID being @taskfd, be the first process of another
/// namespace, which ends with it?
bool twincheck_has_namespace(int taskfd);

/**
 * Has it private memory of hugetlbfs?
 *
 * Whoever writes to a page of that after a fork needs another one. Where none is left, the kernel
 * takes the page from the child, if the process has set it aside when it mapped it; if it has not
 * (MAP_NORESERVE, or it came with a fork of its own), the process gets SIGBUS. That cannot be seen,
 * and the last page may be taken by others at any time.
 */
bool twincheck_has_huge_files(const struct snapshot *snap);

/**
 * Why the process should not be made to fork (twin.h), as far as can be seen without stopping it:
 * because it could not, or because somebody would notice, or be harmed.
 *
 * @snap is a look at it, and @procfd /proc/PID. "it ..." is the process.
 */
struct snap_error *twincheck(int procfd, const struct snapshot *snap) _must_check_;
