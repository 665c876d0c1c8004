/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "report.h"
#include "values.h"

/**
 * DOC: Goroutines with the same stack
 *
 * A program has a hundred thousand goroutines in ten places. A group is one place: how many are
 * there, in which states, for how long, and what labels all of them have.
 */

enum { GO_STATES_MAX = 32, GO_GROUP_IDS = 10, GO_LABELS_COMPARED = 256 };

/// How many are in which state. The least frequent ones beyond the limit are summed up as "other".
struct state_counts {
	struct state_count {
		const char *state; ///< borrowed
		uint64_t count;
	} list[GO_STATES_MAX];
	size_t n;
};
void state_counts_add(struct state_counts *states, const char *state);
/// {"state": count, ...}, largest first.
struct json *state_counts_json(const struct state_counts *states);

struct go_group {
	uint32_t stack; ///< index of the class
	uint64_t count, known_waits;
	int64_t min_wait_ns, max_wait_ns;
	struct state_counts states;
	uint64_t ids[GO_GROUP_IDS]; ///< the first ones
	size_t n_ids;
	bool system;
	struct go_labels labels; ///< that all have, as far as they were compared
	uint64_t labels_at; ///< address of the first one's, whose equals need not be read
	bool labels_known;
};

struct go_groups {
	struct go_group *list; ///< largest first
	size_t n;
};

/// Groups those that @filter accepts. -ENOMEM.
int go_groups_build(struct go_goroutines *gs, const struct report_filter *filter,
		    struct go_groups *ret);
void go_groups_deinit(struct go_groups *groups);
bool go_filter_accepts(struct go_goroutines *gs, const struct report_filter *filter,
		       const struct go_goroutine *g);
