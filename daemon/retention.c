// SPDX-License-Identifier: LGPL-2.1-or-later
#include "retention.h"

#include <stdlib.h>

#include "common/cleanup.h"

/// The dumps that are still there, sorted as a rule needs them.
struct plan {
	const struct retention_item *items;
	size_t n_items;
	enum retention_reason *reasons; ///< of the items
	const struct retention_item **order;
	size_t n_order;
	struct retention_result result;
};

/// What one user has, [first, end) of the order; first moves on as dumps go.
struct user {
	size_t first, end;
	uint64_t weight;
	uint64_t usec; ///< of the oldest that may go
	uid_t uid;
	bool pinned; ///< one of them is
};

struct retention_limits retention_resolve(struct retention_limits limits, uint64_t fs_bytes)
{
	static const uint64_t cap = UINT64_C(4) << 30; // both as systemd-coredump has them
	bool wants_max_use = limits.max_use != 0;
	if (limits.max_use == RETENTION_DEFAULT)
		limits.max_use = fs_bytes ? MIN(fs_bytes / 10, cap) : cap;
	if (!limits.max_use && wants_max_use)
		limits.max_use = 1; // 0 would be no limit
	if (limits.keep_free == RETENTION_DEFAULT)
		limits.keep_free = MIN(fs_bytes / 20 * 3, cap);
	return limits;
}

static enum retention_reason *reason_of(struct plan *plan, const struct retention_item *item)
{
	return &plan->reasons[item - plan->items];
}

static void take(struct plan *plan, const struct retention_item *item, enum retention_reason reason)
{
	*reason_of(plan, item) = reason;
	plan->result.n_removed++;
	plan->result.removed_bytes += item->bytes;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_user(const void *pa, const void *pb)
{
	const struct retention_item *a = *(const struct retention_item *const *)pa;
	const struct retention_item *b = *(const struct retention_item *const *)pb;
	int r = compare(a->uid, b->uid);
	return r ? r : compare(a->usec, b->usec);
}

static int by_executable(const void *pa, const void *pb)
{
	const struct retention_item *a = *(const struct retention_item *const *)pa;
	const struct retention_item *b = *(const struct retention_item *const *)pb;
	int r = compare(a->uid, b->uid);
	r = r ? r : compare(a->exe_key, b->exe_key);
	return r ? r : compare(a->usec, b->usec);
}

/// Orders what no rule has taken yet.
static void sort(struct plan *plan, int (*compare_items)(const void *, const void *))
{
	plan->n_order = 0;
	for (size_t i = 0; i < plan->n_items; i++)
		if (plan->reasons[i] == RETENTION_KEEP)
			plan->order[plan->n_order++] = &plan->items[i];
	if (plan->n_order)
		qsort(plan->order, plan->n_order, sizeof(*plan->order), compare_items);
}

static void take_old(struct plan *plan, uint64_t max_age_usec, uint64_t now_usec)
{
	for (size_t i = 0; max_age_usec && i < plan->n_items; i++) {
		const struct retention_item *item = &plan->items[i];
		if (!item->pinned && now_usec > item->usec && now_usec - item->usec > max_age_usec)
			take(plan, item, RETENTION_AGE);
	}
}

/// Of [@first, @end) of the order, all of one user and executable, only @max stay.
static void take_of_executable(struct plan *plan, size_t first, size_t end, uint64_t max)
{
	size_t n = end - first;
	for (; first < end && n > max; first++) {
		if (plan->order[first]->pinned)
			continue;
		take(plan, plan->order[first], RETENTION_EXECUTABLE);
		n--;
	}
}

static void take_executables(struct plan *plan, uint64_t max)
{
	if (!max)
		return;
	sort(plan, by_executable);
	for (size_t first = 0, end; first < plan->n_order; first = end) {
		const struct retention_item *item = plan->order[first];
		for (end = first + 1; end < plan->n_order; end++)
			if (plan->order[end]->uid != item->uid ||
			    plan->order[end]->exe_key != item->exe_key)
				break;
		take_of_executable(plan, first, end, max);
	}
}

// -- The heaviest user pays ------------------------------------------------------------------

/// A number is what weighs for RETENTION_ENTRIES, bytes for everything else.
static uint64_t weigh(const struct retention_item *item, enum retention_reason reason)
{
	return reason == RETENTION_ENTRIES ? 1 : item->bytes;
}

static uint64_t total_weight(const struct plan *plan, enum retention_reason reason)
{
	uint64_t total = 0;
	for (size_t i = 0; i < plan->n_items; i++)
		if (plan->reasons[i] == RETENTION_KEEP &&
		    __builtin_add_overflow(total, weigh(&plan->items[i], reason), &total))
			return UINT64_MAX;
	return total;
}

/// Moves @user on to the oldest dump that may go and that it helps to remove; false: none is left.
static bool next_victim(const struct plan *plan, struct user *user, enum retention_reason reason)
{
	for (; user->first < user->end; user->first++) {
		const struct retention_item *item = plan->order[user->first];
		if (item->pinned || !weigh(item, reason))
			continue;
		user->usec = item->usec;
		return true;
	}
	return false;
}

/// The users of the order, one after the other; returns how many.
static size_t find_users(const struct plan *plan, struct user *users, enum retention_reason reason)
{
	size_t n = 0;
	for (size_t i = 0; i < plan->n_order; i++) {
		const struct retention_item *item = plan->order[i];
		if (!n || users[n - 1].uid != item->uid)
			users[n++] = (struct user){ .first = i, .uid = item->uid };
		struct user *user = &users[n - 1];
		user->end = i + 1;
		user->pinned |= item->pinned;
		if (__builtin_add_overflow(user->weight, weigh(item, reason), &user->weight))
			user->weight = UINT64_MAX;
	}
	return n;
}

/// Does @a pay before @b?
static bool pays_before(const struct user *a, const struct user *b)
{
	if (a->weight != b->weight)
		return a->weight > b->weight;
	if (a->pinned != b->pinned)
		return a->pinned;
	return a->usec != b->usec ? a->usec < b->usec : a->uid < b->uid;
}

/// Restores the order of a binary heap below @i; the one who pays first is at its top.
static void sift(struct user *heap, size_t n, size_t i)
{
	for (;;) {
		size_t top = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
			if (pays_before(&heap[child], &heap[top]))
				top = child;
		if (top == i)
			return;
		struct user swap = heap[i];
		heap[i] = heap[top];
		heap[top] = swap;
		i = top;
	}
}

/// Drops users who have nothing that may go, and puts the one who pays first at the top.
static size_t make_heap(const struct plan *plan, struct user *users, size_t n_users,
			enum retention_reason reason)
{
	size_t n = 0;
	for (size_t i = 0; i < n_users; i++)
		if (next_victim(plan, &users[i], reason))
			users[n++] = users[i];
	for (size_t i = n / 2; i-- > 0;)
		sift(users, n, i);
	return n;
}

/// Makes the heaviest users pay until @total is within @limit; returns what it is in the end.
static uint64_t make_pay(struct plan *plan, struct user *heap, size_t n, uint64_t total,
			 uint64_t limit, uint64_t share, enum retention_reason reason)
{
	while (n && total > limit && heap[0].weight > share) {
		const struct retention_item *victim = plan->order[heap[0].first++];
		take(plan, victim, reason);
		total -= weigh(victim, reason);
		heap[0].weight -= weigh(victim, reason);
		if (!next_victim(plan, &heap[0], reason))
			heap[0] = heap[--n];
		sift(heap, n, 0);
	}
	return total;
}

static struct snap_error *shrink(struct plan *plan, uint64_t limit, enum retention_reason reason)
{
	uint64_t total = total_weight(plan, reason);
	if (total <= limit)
		return NULL;
	_cleanup_free_ struct user *users = malloc(MAX(plan->n_items, (size_t)1) * sizeof(*users));
	if (!users)
		return snap_error_oom();
	sort(plan, by_user);
	size_t n_users = find_users(plan, users, reason);
	uint64_t share = limit / MAX(n_users, (size_t)1);
	size_t n = make_heap(plan, users, n_users, reason);
	total = make_pay(plan, users, n, total, limit, share, reason);
	if (total > limit && plan->result.unmet == RETENTION_KEEP) {
		plan->result.unmet = reason;
		plan->result.short_bytes = total - limit;
	}
	return NULL;
}

/// How much lacks on the disk for @keep_free after what has been taken already.
static uint64_t lacking(const struct plan *plan, uint64_t keep_free, int64_t free_bytes)
{
	// 128 bits, so that no limit and no file system is too large for the sum.
	__int128 lack = (__int128)keep_free - free_bytes - plan->result.removed_bytes;
	return lack <= 0 ? 0 : lack > (__int128)UINT64_MAX ? UINT64_MAX : (uint64_t)lack;
}

static struct snap_error *shrink_disk(struct plan *plan, uint64_t keep_free, int64_t free_bytes)
{
	uint64_t lack = lacking(plan, keep_free, free_bytes);
	if (!lack)
		return NULL;
	uint64_t total = total_weight(plan, RETENTION_KEEP_FREE);
	struct snap_error *err = shrink(plan, total > lack ? total - lack : 0, RETENTION_KEEP_FREE);
	lack = lacking(plan, keep_free, free_bytes);
	// Also when not even all dumps together weigh as much as lacks.
	if (!err && lack &&
	    (plan->result.unmet == RETENTION_KEEP || plan->result.unmet == RETENTION_KEEP_FREE)) {
		plan->result.unmet = RETENTION_KEEP_FREE;
		plan->result.short_bytes = lack;
	}
	return err;
}

struct snap_error *retention_plan(const struct retention_item *items, size_t n_items,
				  const struct retention_limits *limits,
				  const struct retention_state *state,
				  enum retention_reason *ret_reasons, struct retention_result *ret)
{
	_cleanup_free_ const struct retention_item **order =
		malloc(MAX(n_items, (size_t)1) * sizeof(*order));
	if (!order)
		return snap_error_oom();
	for (size_t i = 0; i < n_items; i++)
		ret_reasons[i] = RETENTION_KEEP;
	struct plan plan = {
		.items = items, .n_items = n_items, .reasons = ret_reasons, .order = order
	};
	take_old(&plan, limits->max_age_usec, state->now_usec);
	take_executables(&plan, limits->max_per_executable);
	struct snap_error *err = NULL;
	if (limits->max_entries)
		err = shrink(&plan, limits->max_entries, RETENTION_ENTRIES);
	if (!err && limits->max_use)
		err = shrink(&plan, limits->max_use, RETENTION_MAX_USE);
	if (!err)
		err = shrink_disk(&plan, limits->keep_free, state->free_bytes);
	if (!err)
		*ret = plan.result;
	return err;
}

const char *retention_reason_name(enum retention_reason reason)
{
	static const char *const names[RETENTION_REASON_MAX] = {
		[RETENTION_KEEP] = "kept",
		[RETENTION_AGE] = "MaxAge",
		[RETENTION_EXECUTABLE] = "MaxPerExecutable",
		[RETENTION_ENTRIES] = "the number of dumps",
		[RETENTION_MAX_USE] = "MaxUse",
		[RETENTION_KEEP_FREE] = "KeepFree",
	};
	return reason < RETENTION_REASON_MAX ? names[reason] : names[RETENTION_KEEP];
}
