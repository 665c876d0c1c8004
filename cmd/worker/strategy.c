// SPDX-License-Identifier: LGPL-2.1-or-later
#include "strategy.h"

#include "common/cleanup.h"
#include "ptrace/feature.h"

enum {
	// Freezing and letting go.
	BASE_NS = 300 * 1000,
	THREAD_NS = 26 * 1000,
	// Copying to pages of the page cache that are ready.
	COPY_GIB_NS = 150 * 1000 * 1000,
	// Asking for written pages, and what is written meanwhile by a process of which that is not
	// known yet.
	SCAN_GIB_NS = 200 * 1000,
	DIRTY_NS = 700 * 1000,
	// fork(), of memory in small pages, and in huge ones.
	FORK_NS = 700 * 1000,
	FORK_GIB_NS = 25 * 1000 * 1000,
	FORK_HUGE_GIB_NS = 1000 * 1000,
	// What it must be worth: nobody should be made to fork for less.
	FORK_GAIN_NS = 3 * 1000 * 1000,
};

static uint64_t for_bytes(uint64_t bytes, uint64_t gib_ns)
{
	return (uint64_t)((double)bytes / (double)(1 << 30) * (double)gib_ns);
}

void forecast_make(struct forecast *f, struct capture *capture, const struct snapshot *known,
		   const struct plan *plan, uint64_t threads, uint32_t flags)
{
	uint64_t base = BASE_NS + threads * THREAD_NS;
	uint64_t now = plan->data_bytes - plan->later_bytes; // copy reads all of it
	uint64_t followed = MIN(capture_followed_bytes(known), now);
	struct forked_bytes forked = capture_forked_bytes(known);
	uint64_t kept = MIN(forked.kept, now);
	uint64_t *ns = f->pause_ns;
	*f = (struct forecast){ .best = STRATEGY_COPY };
	ns[STRATEGY_COPY] = base + for_bytes(plan->data_bytes, COPY_GIB_NS);
	ns[STRATEGY_PRECOPY] = base + DIRTY_NS + for_bytes(followed, SCAN_GIB_NS) +
			       for_bytes(now - followed, COPY_GIB_NS);
	ns[STRATEGY_FORK] = base + FORK_NS + for_bytes(forked.small, FORK_GIB_NS) +
			    for_bytes(forked.huge, FORK_HUGE_GIB_NS) +
			    for_bytes(now - kept, COPY_GIB_NS);
	bool better = ns[STRATEGY_PRECOPY] < ns[STRATEGY_COPY] || feature_masked("copy");
	if (better || flags & FORECAST_PRECOPY)
		f->veto[STRATEGY_PRECOPY] = capture_can_follow(capture, known);
	if (better && !f->veto[STRATEGY_PRECOPY])
		f->best = STRATEGY_PRECOPY;
	better = ns[STRATEGY_FORK] + FORK_GAIN_NS < ns[f->best];
	if (better || flags & FORECAST_FORK)
		f->veto[STRATEGY_FORK] = capture_can_fork(capture, known);
	if (better && !f->veto[STRATEGY_FORK])
		f->best = STRATEGY_FORK;
}

bool forecast_turn_to_fork(struct forecast *f, struct capture *capture,
			   const struct snapshot *known, uint64_t left_bytes)
{
	uint64_t *ns = f->pause_ns;
	ns[STRATEGY_PRECOPY] += for_bytes(left_bytes, COPY_GIB_NS);
	if (ns[STRATEGY_FORK] + FORK_GAIN_NS >= ns[STRATEGY_PRECOPY])
		return false;
	if (!f->veto[STRATEGY_FORK])
		f->veto[STRATEGY_FORK] = capture_can_fork(capture, known);
	if (f->veto[STRATEGY_FORK])
		return false;
	f->best = STRATEGY_FORK;
	return true;
}

void forecast_deinit(struct forecast *f)
{
	for (int i = 0; i < STRATEGY_MAX; i++)
		snap_error_destroy(f->veto[i]);
	*f = (struct forecast){ 0 };
}

const char *strategy_name(enum strategy strategy)
{
	static const char *const names[STRATEGY_MAX] = { "copy", "precopy", "fork" };
	return names[strategy];
}

struct json *forecast_to_json(const struct forecast *f)
{
	struct json *list = json_new_array();
	for (int i = 0; i < STRATEGY_MAX; i++) {
		struct json *one = json_new_object();
		json_set_text(one, "mode", strategy_name((enum strategy)i));
		json_set_u64(one, "pause_ns", f->pause_ns[i]);
		if (f->veto[i])
			json_set_text(one, "veto", f->veto[i]->message);
		json_add(list, one);
	}
	return list;
}
