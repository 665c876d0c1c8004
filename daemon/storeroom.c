// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/str.h"
#include "storefile.h"
#include "storeimpl.h"

/// A plan of retention for the dumps in the list, and for what comes beside them.
struct room_plan {
	struct store_usage usage;
	struct retention_item *items; ///< those of the list first, in its order
	enum retention_reason *reasons; ///< of the items
	size_t n_items;
	uint64_t core_bytes, more_bytes; ///< what is asked for, and the spool beside it
	struct retention_result result;
};

static void room_plan_deinit(struct room_plan *plan)
{
	free(plan->items);
	free(plan->reasons);
}

static uint64_t allocated(int fd)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 ? storefile_disk_bytes(&st) : 0;
}

/// What is still to be written of @expected bytes.
static uint64_t pending(int fd, uint64_t expected)
{
	uint64_t done = allocated(fd);
	return expected > done ? expected - done : 0;
}

static uint64_t pending_of(const struct store_draft *draft)
{
	uint64_t core = pending(draft->core, draft->request.core_bytes);
	uint64_t spool = pending(draft->spool, draft->request.spool_bytes);
	// Nobody has half of 2^64 bytes; what is asked for beyond that is just too much.
	return MIN(core, (uint64_t)INT64_MAX / 2) + MIN(spool, (uint64_t)INT64_MAX / 2);
}

/// What will be free when all drafts are written.
static int64_t foreseen_free(const struct store *store, const struct store_room *room,
			     uint64_t free_bytes)
{
	int64_t left = (int64_t)MIN(free_bytes, (uint64_t)INT64_MAX);
	if (room->draft)
		left -= (int64_t)pending_of(room->draft);
	for (const struct store_draft *draft = store->drafts; draft; draft = draft->next)
		if (__builtin_sub_overflow(left, (int64_t)pending_of(draft), &left))
			return INT64_MIN;
	return left;
}

static struct retention_item item_of_entry(const struct store_entry *entry, bool pinned)
{
	return (struct retention_item){
		.usec = entry->usec,
		.bytes = entry->disk_bytes,
		.exe_key = entry->exe_key,
		.uid = entry->uid,
		.pinned = pinned,
	};
}

static struct retention_item item_of_draft(const struct store_draft *draft)
{
	uint64_t bytes = allocated(draft->core);
	if (bytes < draft->request.core_bytes)
		bytes = draft->request.core_bytes;
	return (struct retention_item){
		.usec = UINT64_MAX,
		.bytes = bytes,
		.exe_key = draft->id, // its executable does not count before there is a dump
		.uid = draft->request.uid,
		.pinned = true,
	};
}

static void add_items(const struct store *store, const struct store_room *room,
		      struct room_plan *plan)
{
	bool listed = false;
	for (size_t i = 0; i < store->n_entries; i++) {
		const struct store_entry *entry = store->entries[i];
		bool is_fresh = room->fresh && entry == room->fresh;
		plan->items[plan->n_items++] = item_of_entry(entry, is_fresh);
		listed |= is_fresh;
	}
	if (room->fresh && !listed)
		plan->items[plan->n_items++] = item_of_entry(room->fresh, true);
	// A finished dump does not give way to one that only may become as large as expected.
	if (!room->draft)
		return;
	plan->items[plan->n_items++] = item_of_draft(room->draft);
	for (const struct store_draft *draft = store->drafts; draft; draft = draft->next)
		plan->items[plan->n_items++] = item_of_draft(draft);
}

static struct snap_error *make_plan(const struct store *store, const struct store_room *room,
				    struct room_plan *plan)
{
	struct snap_error *err = store_usage(store, &plan->usage);
	if (err)
		return err;
	size_t n = plan->usage.n_dumps + plan->usage.n_drafts + 2;
	plan->items = calloc(n, sizeof(*plan->items));
	plan->reasons = calloc(n, sizeof(*plan->reasons));
	if (!plan->items || !plan->reasons)
		return snap_error_oom();
	add_items(store, room, plan);
	plan->core_bytes = room->draft ? room->draft->request.core_bytes :
			   room->fresh ? room->fresh->disk_bytes :
					 0;
	plan->more_bytes = room->draft ? room->draft->request.spool_bytes : 0;
	const struct retention_state state = {
		.now_usec = snap_clock_ns(CLOCK_REALTIME) / 1000,
		.free_bytes = foreseen_free(store, room, plan->usage.free_bytes),
	};
	return retention_plan(plan->items, plan->n_items, &plan->usage.limits, &state,
			      plan->reasons, &plan->result);
}

/// Is the limit that cannot be kept one that the dump is refused for?
static bool refuses(const struct room_plan *plan, const struct store_room *room)
{
	enum retention_reason unmet = plan->result.unmet;
	if (room->draft)
		return unmet != RETENTION_KEEP;
	// Its bytes are on the disk by now, and whoever filled that meanwhile was not the dump.
	return room->fresh && (unmet == RETENTION_MAX_USE || unmet == RETENTION_ENTRIES);
}

static struct snap_error *refusal(const struct store *store, const struct room_plan *plan)
{
	static const char what_to_do[] =
		"remove dumps, change the limit, or write the dump to another place";
	const struct store_usage *usage = &plan->usage;
	char core[16], both[16], used[16], limit[16];
	(void)snap_format_bytes(plan->core_bytes, core);
	switch (plan->result.unmet) {
	case RETENTION_ENTRIES:
		return snap_error_new(SNAP_NO_SPACE,
				      "no room for the dump in '%s': it has %zu dumps of at most "
				      "%llu; remove dumps",
				      store->path, usage->n_dumps,
				      (unsigned long long)usage->limits.max_entries);
	case RETENTION_MAX_USE:
		return snap_error_new(SNAP_NO_SPACE,
				      "no room for the dump in '%s': it needs %s, all dumps "
				      "together may use %s (MaxUse) and use %s, and not enough of "
				      "that may be removed; %s",
				      store->path, core,
				      snap_format_bytes(usage->limits.max_use, limit),
				      snap_format_bytes(usage->disk_bytes, used), what_to_do);
	default:
		return snap_error_new(
			SNAP_NO_SPACE,
			"no room for the dump in '%s': it needs %s and %s for the "
			"time of making it, the disk has %s free, of which %s are to "
			"stay free (KeepFree), and not enough dumps may be removed; %s",
			store->path, core, snap_format_bytes(plan->more_bytes, both),
			snap_format_bytes(usage->free_bytes, used),
			snap_format_bytes(usage->limits.keep_free, limit), what_to_do);
	}
}

static int add_removal(struct store_removals *removals, const struct store_entry *entry,
		       enum retention_reason reason)
{
	if (removals->n_items == removals->size) {
		size_t size = MAX(removals->size * 2, (size_t)8);
		struct store_removal *bigger = reallocarray(removals->items, size, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		removals->items = bigger;
		removals->size = size;
	}
	char *name = strdup(entry->name);
	if (!name)
		return -ENOMEM;
	removals->items[removals->n_items++] = (struct store_removal){
		.id = entry->id,
		.uid = entry->uid,
		.disk_bytes = entry->disk_bytes,
		.reason = reason,
		.name = name,
	};
	return 0;
}

void store_removals_deinit(struct store_removals *removals)
{
	for (size_t i = 0; i < removals->n_items; i++)
		free(removals->items[i].name);
	free(removals->items);
	*removals = (struct store_removals){ 0 };
}

/// Does @reason count also when the dump that asks for room does not get it?
static bool is_unconditional(enum retention_reason reason)
{
	return reason == RETENTION_AGE || reason == RETENTION_EXECUTABLE;
}

static struct snap_error *carry_out(struct store *store, const struct room_plan *plan,
				    bool unconditional_only, struct store_removals *removals)
{
	// From the end, so that the items before it keep the places of their entries.
	for (size_t i = store->n_entries; i-- > 0;) {
		enum retention_reason reason = plan->reasons[i];
		if (reason == RETENTION_KEEP || (unconditional_only && !is_unconditional(reason)))
			continue;
		const struct store_entry *entry = store->entries[i];
		if (add_removal(removals, entry, reason) < 0)
			return snap_error_oom();
		if (store_unlink(store->dirfd, entry->name) < 0) {
			// An immutable file, or a disk that can no longer be written: it stays.
			free(removals->items[--removals->n_items].name);
			continue;
		}
		store_forget(store, entry);
	}
	return NULL;
}

struct snap_error *store_check_room(struct store *store, const struct store_room *room)
{
	_cleanup_(room_plan_deinit) struct room_plan plan = { 0 };
	struct snap_error *err = make_plan(store, room, &plan);
	return !err && refuses(&plan, room) ? refusal(store, &plan) : err;
}

struct snap_error *store_make_room(struct store *store, const struct store_room *room,
				   struct store_removals *removals)
{
	_cleanup_(room_plan_deinit) struct room_plan plan = { 0 };
	struct snap_error *err = make_plan(store, room, &plan);
	if (err)
		return err;
	bool refused = refuses(&plan, room);
	if (!refused || room->draft)
		err = carry_out(store, &plan, refused, removals);
	return !err && refused ? refusal(store, &plan) : err;
}

/// Somebody else may remove files too: an administrator, or systemd-tmpfiles.
static void forget_vanished(struct store *store)
{
	for (size_t i = store->n_entries; i-- > 0;) {
		struct stat st;
		const struct store_entry *entry = store->entries[i];
		if (fstatat(store->dirfd, entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
		    errno != ENOENT)
			continue;
		(void)store_unlink(store->dirfd, entry->name); // its metadata
		store_forget(store, entry);
	}
}

struct snap_error *store_retain(struct store *store, struct store_removals *removals)
{
	const struct store_room room = { 0 };
	forget_vanished(store);
	storebinaries_retain(store->binaries);
	return store_make_room(store, &room, removals);
}
