/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"
#include "common/snapshot.h"
#include "dumper/plan.h"
#include "ptrace/capture.h"

/**
 * DOC: Which way to freeze the memory of a process
 *
 * What each way would cost is foretold from a look at the running process, and the one that stops
 * it for less time is taken, of those that can be used. The figures behind it are measurements on
 * two cores (docs/PAUSE.md); they are good for choosing and no promise.
 */

enum strategy { STRATEGY_COPY, STRATEGY_PRECOPY, STRATEGY_FORK, STRATEGY_MAX };

struct forecast {
	uint64_t pause_ns[STRATEGY_MAX];
	struct snap_error *veto[STRATEGY_MAX]; ///< why it cannot be used, "it ..."; or NULL
	enum strategy best;
};

enum forecast_flags {
	// What is not best anyway is asked for a veto only then: all descriptors are looked at.
	FORECAST_PRECOPY = 1U << 0,
	FORECAST_FORK = 1U << 1,
	FORECAST_ALL = FORECAST_PRECOPY | FORECAST_FORK,
};

/// Foretells the pause of a dump of @plan, made from the look @known, with @threads threads.
void forecast_make(struct forecast *forecast, struct capture *capture, const struct snapshot *known,
		   const struct plan *plan, uint64_t threads, uint32_t flags);
/**
 * After the rounds of precopy, which have left @left_bytes: takes fork instead if that is shorter
 * now, and possible. Returns whether it does.
 */
bool forecast_turn_to_fork(struct forecast *forecast, struct capture *capture,
			   const struct snapshot *known, uint64_t left_bytes);
void forecast_deinit(struct forecast *forecast);
/// As messages name it.
const char *strategy_name(enum strategy strategy);
/// A list of all: {"mode", "pause_ns", "veto"}.
struct json *forecast_to_json(const struct forecast *forecast);
