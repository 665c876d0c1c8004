/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * DOC: RLIMIT_CORE
 *
 * core(5) has it for files, and the kernel ignores it for pipes (but for a limit of 1, which ends
 * the recursion of handlers: such a crash never comes to us) and for sockets. systemd-coredump
 * honours it all the same, and so do we, in the same way whoever asks:
 *   less than a page    no core, there is only a record
 *   else                no more than so many bytes are written of the memory; what does not fit is
 *                       left out, the most useful comes first (dumper/priority.h)
 * Where the kernel does not tell the limit (sockets) it comes from /proc/PID/limits, read while the
 * kernel holds the process.
 */

enum { CORELIMIT_PAGE = 4096 };

/// May there be a core at all?
static inline bool corelimit_allows(uint64_t rlimit)
{
	return rlimit >= CORELIMIT_PAGE;
}
