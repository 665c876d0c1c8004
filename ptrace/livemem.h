/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

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
 *
 * The environment variable PROCSNAP_MASK (comma-separated: pagemap_scan, process_vm_readv,
 * map_files) makes this module behave as if the kernel lacked those, for tests.
 */

struct livemem;

/**
 * Opens the memory of thread @tid, below the directory @piddir of /proc/TID, which is borrowed.
 *
 * Call it when the process has stopped: what is opened belongs to the program it runs now.
 */
struct snap_error *livemem_create(pid_t tid, int piddir, struct livemem **ret) _must_check_;
void livemem_destroy(struct livemem *mem);
DEFINE_CLEANUP(struct livemem *, livemem_destroy);
/// Borrowed from @mem.
struct memsource *livemem_source(struct livemem *mem);
/// How many calls it has answered: whoever watches sees that work goes on. Any thread.
uint64_t livemem_activity(const struct livemem *mem);
/// From now on every read returns -ECANCELED: the process runs again. Any thread may call it.
void livemem_release(struct livemem *mem);
