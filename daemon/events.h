/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "daemon/server.h"

/**
 * DOC: Telling clients that a dump has been recorded
 *
 * The last EVENTS_MAX dumps are remembered, each with a number that goes up. A client says which
 * number he has seen; he gets what came after it, at once or as soon as there is something. So
 * nothing is lost between two calls, and one who waits costs his connection and nothing else. A
 * daemon that was started anew begins with another name before its numbers: then all it has is new.
 */

struct events;

enum {
	// Some 1 KiB each. Whoever has not asked for that long has missed some.
	EVENTS_MAX = 1024,
};

struct snap_error *events_create(struct events **ret) _must_check_;
/// Answers nobody; the connections are gone, or go with their server.
void events_destroy(struct events *events);
DEFINE_CLEANUP(struct events *, events_destroy);
/// Answers all who wait with an error, and whoever comes later.
void events_stop(struct events *events);
/**
 * A dump of a process of @uid has been recorded, or a crash without a core. Takes ownership of
 * @entry, an Entry of the interface; NULL (out of memory) is forgotten.
 */
void events_add(struct events *events, uid_t uid, bool owner_reads, struct json *entry);
/// The method Wait, for whoever may see all (@privileged) or only what is his.
struct snap_error *events_wait(struct events *events, struct connection *connection,
			       const struct call *call, bool privileged) _must_check_;
