/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "daemon/config.h"

/**
 * DOC: Memory for cores
 *
 * Where the disk has no room for a raw core, a hook may have it in memory, until a worker has made
 * a dump of it (cmd/corehook/take.h). It is counted here from the moment it is promised to a hook
 * until the work on the core has ended: all of it together is never more than SpoolMemory=, nor
 * more than the machine can spare at that moment.
 *
 * For the daemon's only thread.
 */
struct crashspool {
	uint64_t promised; ///< to hooks that copy: none of it may be taken yet
	uint64_t held; ///< by cores that are complete
};

/// What there is of memory, in bytes.
struct crashspool_memory {
	uint64_t total;
	uint64_t available; ///< without writing to swap
};

/// Of this machine, now; all zero when it cannot be told.
struct crashspool_memory crashspool_look(void);
/// How much may be promised. Pure.
uint64_t crashspool_room(const struct crashspool *spool, const struct config *config,
			 const struct crashspool_memory *memory);
