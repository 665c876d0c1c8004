/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "strbuf.h"

/**
 * DOC: What is kept of /proc/PID
 *
 * A process that has crashed is let go long before anybody asks who it was, so the files that tell
 * are copied into a folder, each under its name in /proc/PID, and nothing in them is interpreted:
 *
 *   as they are     status stat comm cgroup cmdline limits auxv environ mountinfo maps
 *   links, as text  exe cwd root
 *   made here       owner                two numbers: user and group to whom /proc says that the
 *                                        process belongs; root, when it may not be dumped
 *                   container_cmdline    of common/leader.h
 *                   fds                  of common/openfds.h
 *
 * A file that is missing could not be read. Of each, one byte more than its limit is kept, so that
 * whoever reads the folder cuts what is too long in the same way, and notices it. The folder holds
 * secrets (environ): it must be root's own, mode 0700.
 *
 * systemd/procid.h reads both, the folder and /proc/PID itself.
 */

/// How much is read of the file @name, one of those above that are copied as they are; else 0.
size_t procfolder_max(const char *name);

/// Reads up to @max bytes of a regular file, or one of /proc, below @dirfd; 1 when there were more,
/// or a negative errno (-ELOOP: a symbolic link). Any process may call it.
int procfolder_read(int dirfd, const char *name, size_t max, struct strbuf *ret);
/**
 * Copies what there is below @procfd, a directory /proc/PID, into the empty folder @dirfd.
 *
 * Most useful first; who is killed in the middle has left the rest out. Nothing is synced. Returns
 * 0, or the first negative errno of writing; what cannot be read is left out. Opens nothing but
 * files of /proc, and waits for nobody. Called by the hook, with the process still there.
 */
int procfolder_copy(int procfd, int dirfd);
