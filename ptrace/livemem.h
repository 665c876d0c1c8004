/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "common/memsource.h"

/**
 * DOC: The memory of a process as a memsource
 *
 * Private memory is read with process_vm_readv(), or through /proc/PID/mem where that cannot
 * (PROT_NONE, execute-only), and only pages that exist: reading an absent one would allocate it in
 * the process. Which ones exist is asked with PAGEMAP_SCAN (Linux 6.7) or read from pagemap.
 * Shared memory and files are read through /proc/PID/map_files, which neither faults pages into the
 * process nor depends on which of them it happens to have mapped; that needs
 * CAP_CHECKPOINT_RESTORE, and without it only the resident pages of shared memory are read.
 */

struct livemem;

/**
 * Opens the memory of thread @tid, below the directory @piddir of /proc/TID, which is borrowed.
 *
 * Call it when the process has stopped: what is opened belongs to the program it runs now.
 */
struct snap_error *livemem_create(pid_t tid, int piddir, struct livemem **ret) _must_check_;
enum livemem_mode {
	LIVEMEM_ALL, ///< a scan tells of all there is
	/// Of what is followed (track.h) a scan tells what was written since the last one, which it
	/// then begins to follow anew; of all else nothing.
	LIVEMEM_FOLLOW,
	/// The process has stopped: all but what was not written since.
	LIVEMEM_CHANGED,
	/// The process has stopped and forked: what the child does not have (livemem_forked()).
	LIVEMEM_FORKED,
};

/**
 * Does a child made by fork() have this mapping as it was, whatever the process does afterwards?
 *
 * Files may be written to by anybody, also those behind private mappings; and of what is younger
 * than the look at the process nobody knows what it said with madvise().
 */
bool livemem_forked(const struct snap_mapping *map);
/**
 * This is the memory of such a child, whose own mappings are @there, borrowed: a scan tells only
 * of what the other one, LIVEMEM_FORKED, does not.
 */
void livemem_set_child(struct livemem *mem, const struct snapshot *there);
/// Is the memory still there? It is gone when the process has ended, or has become another program.
bool livemem_lives(const struct livemem *mem);
/**
 * What scans tell from now on; LIVEMEM_ALL at first.
 *
 * @reports_holes is track_reports_holes().
 */
void livemem_set_mode(struct livemem *mem, enum livemem_mode mode, bool reports_holes);
/**
 * Does a private mapping hold anything of the process's own? When in doubt, it does.
 *
 */
bool livemem_written(struct livemem *mem, const struct snap_mapping *map);
void livemem_destroy(struct livemem *mem);
DEFINE_CLEANUP(struct livemem *, livemem_destroy);
/// Borrowed from @mem.
struct memsource *livemem_source(struct livemem *mem);
/// How many calls it has answered: whoever watches sees that work goes on. Any thread.
uint64_t livemem_activity(const struct livemem *mem);
/// From now on every read returns -ECANCELED: the process runs again. Any thread may call it.
void livemem_release(struct livemem *mem);
