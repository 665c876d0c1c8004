/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/memsource.h"
#include "common/snapshot.h"
#include "tracee.h"

/**
 * DOC: Thunks that killed workers have left
 *
 * The bytes of a thunk (thunk.h) stay where they were when its worker was killed, since the thread
 * has yet to run the rest of them. A moment later nobody needs them, but for a thread that a signal
 * interrupted just there, as long as its handler has not returned: then the address is its program
 * counter, or in the frame that the kernel put on its stack. So they are erased only while all
 * threads stand still, none of which has such an address there. What is not seen: a handler that
 * has left its stack for another one and is going to come back.
 */

/// Are there any? The process may run; @source reads it.
bool sweep_finds(const struct snapshot *snap, struct memsource *source);

/**
 * Erases them, if that is safe. @threads, @n of them, are all that the process has and have
 * stopped. For their tracer.
 *
 * Returns false when something is left.
 */
bool sweep(const struct snapshot *snap, struct memsource *source, const struct tracee *threads,
	   size_t n);
