/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "dumper/core.h"
#include "ptrace/livemem.h"
#include "take.h"

/**
 * DOC: A core on its way
 *
 * What take.c and packed.c know of a core that they make, and what is told of it. There may be two
 * of one process: a part, and all of it.
 */
struct taking {
	struct hook *hook;
	struct head *head; ///< of the hook
	int piddir;
	struct livemem *mem; ///< NULL: the stream is read instead
	bool stream_stalled; ///< and does not go on
	const char *why_stream; ///< then
	struct core *core;
	int fd;
	bool stacks_only;
	uint64_t max_bytes; ///< of the core
	const char *why_max; ///< who says so; NULL: nothing that is wanted is left out
	uint64_t copy_ns;
};

/// Values of why_max, or of "why_short".
extern const char taking_no_room[], taking_stalled[];

/// The memory of the process, read with patience. Borrowed; one at a time.
struct memsource *taking_memory(const struct taking *t);
/// Does something that it was waited for in vain lack in the core?
bool taking_has_stalled(const struct taking *t);
/// Says that the limit is why something is missing.
void taking_note_limit(const struct taking *t, struct json *result);
/// All that the folder, or the daemon, is told of a core that is complete.
void taking_describe(const struct taking *t, struct json *result);
