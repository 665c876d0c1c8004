// SPDX-License-Identifier: LGPL-2.1-or-later
#include "events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "common/str.h"

struct event {
	struct json *entry;
	uid_t uid;
	bool owner_reads;
};

struct waiter {
	LIST_ENTRY(waiter) entry;
	struct events *events;
	struct connection *connection;
	uint64_t seen; ///< number of the last event he knows
	bool privileged;
};

struct events {
	uint64_t instance; ///< which daemon the numbers are of
	uint64_t last; ///< number of the newest event; the first one is 1
	struct event ring[EVENTS_MAX]; ///< number N is at N % EVENTS_MAX
	LIST_HEAD(, waiter) waiters;
	bool stopped;
};

struct snap_error *events_create(struct events **ret)
{
	struct events *events = calloc(1, sizeof(*events));
	if (!events)
		return snap_error_oom();
	LIST_INIT(&events->waiters);
	if (getrandom(&events->instance, sizeof(events->instance), 0) !=
	    (ssize_t)sizeof(events->instance)) {
		free(events);
		return snap_error_new(SNAP_FAILED, "there are no random numbers");
	}
	*ret = events;
	return NULL;
}

static void waiter_destroy(struct waiter *waiter)
{
	LIST_REMOVE(waiter, entry);
	free(waiter);
}

void events_destroy(struct events *events)
{
	struct waiter *waiter;
	if (!events)
		return;
	while ((waiter = LIST_FIRST(&events->waiters)))
		waiter_destroy(waiter);
	for (size_t i = 0; i < EVENTS_MAX; i++)
		json_destroy(events->ring[i].entry);
	free(events);
}

static bool may_see(const struct waiter *waiter, const struct event *event)
{
	return event->entry &&
	       (waiter->privileged ||
		(event->owner_reads && event->uid == connection_peer(waiter->connection)->uid));
}

/// What he has not seen and may see, or NULL.
static struct json *news_for(const struct waiter *waiter)
{
	const struct events *events = waiter->events;
	uint64_t first = waiter->seen + 1;
	struct json *entries = NULL;
	if (events->last >= EVENTS_MAX)
		first = MAX(first, events->last - EVENTS_MAX + 1);
	for (uint64_t n = first; n <= events->last; n++) {
		const struct event *event = &events->ring[n % EVENTS_MAX];
		if (!may_see(waiter, event))
			continue;
		entries = entries ? entries : json_new_array();
		json_add(entries, json_share(event->entry));
	}
	return entries;
}

/// Takes ownership of @entries.
static void reply(const struct waiter *waiter, struct json *entries)
{
	char position[40];
	struct json *answer = json_new_object();
	(void)snprintf(position, sizeof(position), "%016" PRIx64 ".%" PRIu64,
		       waiter->events->instance, waiter->events->last);
	json_set_text(answer, "position", position);
	json_set(answer, "entries", entries);
	connection_reply(waiter->connection, answer, -EBADF);
}

static void refuse(const struct waiter *waiter, const char *why)
{
	struct snap_error *err = snap_error_new(SNAP_CANCELLED, "%s", why);
	connection_fail(waiter->connection, err);
	snap_error_destroy(err);
}

static void on_cancel(void *userdata)
{
	struct waiter *waiter = userdata;
	refuse(waiter, "nobody waits any more");
	waiter_destroy(waiter);
}

void events_add(struct events *events, uid_t uid, bool owner_reads, struct json *entry)
{
	struct waiter *waiter, *following;
	struct event *slot;
	if (!entry)
		return;
	slot = &events->ring[++events->last % EVENTS_MAX];
	json_destroy(slot->entry);
	*slot = (struct event){ entry, uid, owner_reads };
	for (waiter = LIST_FIRST(&events->waiters); waiter; waiter = following) {
		following = LIST_NEXT(waiter, entry);
		struct json *news = news_for(waiter);
		if (!news)
			continue;
		reply(waiter, news);
		waiter_destroy(waiter);
	}
}

void events_stop(struct events *events)
{
	struct waiter *waiter;
	events->stopped = true;
	while ((waiter = LIST_FIRST(&events->waiters))) {
		refuse(waiter, "procsnapd ends");
		waiter_destroy(waiter);
	}
}

/// "INSTANCE.NUMBER", as replies have it; false for anything else.
static bool parse_position(const struct events *events, const char *text, uint64_t *ret)
{
	char instance[17];
	uint64_t number;
	(void)snprintf(instance, sizeof(instance), "%016" PRIx64, events->instance);
	if (strspn(text, "0123456789abcdef") != 16 || text[16] != '.' ||
	    strspn(text + 17, "0123456789") != strlen(text + 17) ||
	    snap_parse_u64(text + 17, &number) < 0)
		return false;
	// Another daemon's, or one from the future: whatever there is, is new.
	bool ours = !memcmp(text, instance, 16) && number <= events->last;
	*ret = ours ? number : 0;
	return true;
}

struct snap_error *events_wait(struct events *events, struct connection *connection,
			       const struct call *call, bool privileged)
{
	const char *position = json_get_text(call->parameters, "position");
	struct waiter now = { .events = events,
			      .connection = connection,
			      .privileged = privileged };
	if (!position) {
		reply(&now, json_new_array());
		return NULL;
	}
	if (!parse_position(events, position, &now.seen))
		return snap_error_new(SNAP_USAGE, "%s: 'position' is none", call->method);
	if (events->stopped)
		return snap_error_new(SNAP_CANCELLED, "procsnapd ends");
	struct json *news = news_for(&now);
	if (news) {
		reply(&now, news);
		return NULL;
	}
	struct waiter *waiter = malloc(sizeof(*waiter));
	if (!waiter)
		return snap_error_oom();
	*waiter = now;
	LIST_INSERT_HEAD(&events->waiters, waiter, entry);
	connection_wait(connection, on_cancel, waiter);
	return NULL;
}
