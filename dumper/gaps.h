/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/snapnote.h"

/**
 * DOC: Memory that is not in the core although its segment is dumped
 *
 * Several threads add to the list while they copy; gaps_close() makes it final: sorted by address,
 * neighbours with one reason merged.
 */
struct gaps {
	pthread_mutex_t lock;
	struct snapnote_gap *list;
	size_t n, size;
	uint64_t bytes; ///< sum over all
	uint64_t lost_bytes; ///< of those where memory is lost
	size_t dropped; ///< gaps that were counted, but did not fit into the list
};

void gaps_init(struct gaps *gaps);
void gaps_deinit(struct gaps *gaps);
/// Adds [@start, @end). Never fails: what the list has no room for is counted all the same.
void gaps_add(struct gaps *gaps, uint64_t start, uint64_t end, enum gap_reason reason);
/// Sorts and merges; no gaps_add() after it.
void gaps_close(struct gaps *gaps);
