// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashkept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "daemon/crashfolder.h"

#define MINUTE_USEC (60 * 1000000ULL)

static const uint64_t usual_waits[] = { MINUTE_USEC, 5 * MINUTE_USEC, 30 * MINUTE_USEC };

struct item {
	TAILQ_ENTRY(item) entry;
	char name[CRASHFOLDER_NAME_SIZE];
	uid_t uid;
	uint64_t disk_bytes, dump_bytes;
	size_t attempts; ///< that have failed
	uint64_t due_usec; ///< CLOCK_MONOTONIC; UINT64_MAX: not by itself
	bool trying;
};

struct crashkept {
	sd_event *event; ///< borrowed
	sd_event_source *timer;
	TAILQ_HEAD(, item) items;
	const uint64_t *waits_usec;
	size_t n_waits;
	crashkept_fn fn;
	void *userdata;
};

static struct item *find(const struct crashkept *k, const char *name)
{
	struct item *item;
	TAILQ_FOREACH(item, &k->items, entry)
	if (!strcmp(item->name, name))
		return item;
	return NULL;
}

static uint64_t now_usec(const struct crashkept *k)
{
	uint64_t now = 0;
	(void)sd_event_now(k->event, CLOCK_MONOTONIC, &now);
	return now;
}

static void set_timer(const struct crashkept *k)
{
	const struct item *item;
	uint64_t first = UINT64_MAX;
	TAILQ_FOREACH(item, &k->items, entry)
	if (!item->trying)
		first = MIN(first, item->due_usec);
	(void)sd_event_source_set_time(k->timer, first);
	(void)sd_event_source_set_enabled(k->timer,
					  first == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static struct item *find_due(const struct crashkept *k, uint64_t now)
{
	struct item *item;
	TAILQ_FOREACH(item, &k->items, entry)
	if (!item->trying && item->due_usec <= now)
		return item;
	return NULL;
}

/// The list may change with each call of @fn.
static void try_due(struct crashkept *k, uint64_t now)
{
	struct item *item;
	while ((item = find_due(k, now))) {
		char name[CRASHFOLDER_NAME_SIZE];
		memcpy(name, item->name, sizeof(name));
		item->trying = true;
		k->fn(k->userdata, name);
	}
	set_timer(k);
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	struct crashkept *k = userdata;
	try_due(k, now_usec(k));
	return 0;
}

struct snap_error *crashkept_create(sd_event *event, const uint64_t *waits_usec, size_t n_waits,
				    crashkept_fn fn, void *userdata, struct crashkept **ret)
{
	struct crashkept *k = calloc(1, sizeof(*k));
	if (!k)
		return snap_error_oom();
	k->event = event;
	k->waits_usec = waits_usec ? waits_usec : usual_waits;
	k->n_waits = waits_usec ? n_waits : ARRAY_SIZE(usual_waits);
	k->fn = fn;
	k->userdata = userdata;
	TAILQ_INIT(&k->items);
	int r = sd_event_add_time(event, &k->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, k);
	if (r >= 0)
		r = sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
	if (r < 0) {
		crashkept_destroy(k);
		return snap_error_errno(SNAP_FAILED, -r, "cannot set a timer");
	}
	*ret = k;
	return NULL;
}

static void drop(struct crashkept *k, struct item *item)
{
	TAILQ_REMOVE(&k->items, item, entry);
	free(item);
}

void crashkept_destroy(struct crashkept *k)
{
	struct item *item;
	if (!k)
		return;
	while ((item = TAILQ_FIRST(&k->items)))
		drop(k, item);
	sd_event_source_disable_unref(k->timer);
	free(k);
}

static bool has_room(const struct crashkept *k, const struct crashkept_core *core, uint64_t max)
{
	const struct item *item;
	uint64_t own = core->dump_bytes, others = 0;
	TAILQ_FOREACH(item, &k->items, entry)
	{
		if (item->uid == core->uid)
			own += item->dump_bytes;
		else
			others += item->dump_bytes;
	}
	return !max || (own <= max / 2 && own + others <= max);
}

bool crashkept_add(struct crashkept *k, const struct crashkept_core *core, uint64_t max_bytes)
{
	struct item *old = find(k, core->name);
	size_t attempts = old ? old->attempts : 0;
	if (old)
		drop(k, old);
	struct item *item = has_room(k, core, max_bytes) ? calloc(1, sizeof(*item)) : NULL;
	if (!item)
		return false;
	(void)snprintf(item->name, sizeof(item->name), "%s", core->name);
	item->uid = core->uid;
	item->disk_bytes = core->disk_bytes;
	item->dump_bytes = core->dump_bytes;
	item->due_usec = attempts < k->n_waits ? now_usec(k) + k->waits_usec[attempts] : UINT64_MAX;
	item->attempts = attempts + 1;
	TAILQ_INSERT_TAIL(&k->items, item, entry);
	set_timer(k);
	return true;
}

bool crashkept_has(const struct crashkept *k, const char *name)
{
	return find(k, name);
}

bool crashkept_waits(const struct crashkept *k, const char *name)
{
	const struct item *item = find(k, name);
	return item && !item->trying;
}

void crashkept_forget(struct crashkept *k, const char *name)
{
	struct item *item = find(k, name);
	if (item)
		drop(k, item);
}

void crashkept_try_all(struct crashkept *k)
{
	struct item *item;
	TAILQ_FOREACH(item, &k->items, entry)
	item->due_usec = 0;
	// What fails at once is due later again, so this ends.
	try_due(k, 0);
}

struct crashkept_counts crashkept_count(const struct crashkept *k)
{
	struct crashkept_counts counts = { 0 };
	const struct item *item;
	TAILQ_FOREACH(item, &k->items, entry)
	{
		counts.n++;
		counts.disk_bytes += item->disk_bytes;
	}
	return counts;
}
