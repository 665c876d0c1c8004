/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "goroutines.h"

/**
 * DOC: What goroutines are blocked on
 *
 * A goroutine that waits for channels has a list of sudogs, one for each channel; since Go 1.26 one
 * that waits for a semaphore (mutexes, wait groups, conditions) has one too. In older versions
 * those are found through the table of semaphores.
 */

enum go_object_kind {
	GO_OBJECT_NONE,
	GO_OBJECT_CHANNEL,
	GO_OBJECT_SEMAPHORE, ///< the word that sync.Mutex and the like wait on
	GO_OBJECT_COND, ///< the notifyList of a sync.Cond
};

struct go_object {
	enum go_object_kind kind;
	uint64_t addr;
	bool sending; ///< to a channel
	// channels
	uint64_t length, capacity;
	uint32_t receivers, senders; ///< goroutines in its queues, at most GO_QUEUE_MAX
	bool closed;
};

enum {
	GO_OBJECTS_MAX = 64, ///< of a select; as many are listed
	GO_QUEUE_MAX = 100000, ///< where counting a queue ends
};

/// Reads who waits for which semaphore, where goroutines do not say it themselves. Call it once.
void go_wait_prepare(struct go_goroutines *gs);
/// The one object that @g is blocked on; 0 when there is none, or several, or it is not known.
uint64_t go_wait_object(struct go_goroutines *gs, const struct go_goroutine *g);
/// All of them, with details; returns how many were put into @ret.
size_t go_wait_objects(struct go_goroutines *gs, const struct go_goroutine *g,
		       struct go_object ret[static GO_OBJECTS_MAX]);
/// When a sleeping goroutine wakes up, by the runtime's clock; 0 when it does not sleep.
uint64_t go_wake_time(struct go_goroutines *gs, const struct go_goroutine *g);
const char *go_object_name(enum go_object_kind kind);
