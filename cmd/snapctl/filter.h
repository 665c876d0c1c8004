/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "options.h"

/**
 * DOC: Which dumps are meant
 *
 * The options that list and wait have in common. They are the first rows of the table of either
 * verb, so a row below FILTER_MAX is one of these.
 */

enum filter_option {
	FILTER_PID,
	FILTER_COMM,
	FILTER_EXE,
	FILTER_UNIT,
	FILTER_UID,
	FILTER_KIND,
	FILTER_MAX,
};

#define FILTER_ROWS                                                                               \
	[FILTER_PID] = { "pid", 0, "PID", "Only dumps of process PID" },                          \
	[FILTER_COMM] = { "comm", 0, "PATTERN", "Only of processes of this name" },               \
	[FILTER_EXE] = { "exe", 0, "PATTERN", "Only of this program" },                           \
	[FILTER_UNIT] = { "unit", 0, "PATTERN", "Only of this unit of systemd" },                 \
	[FILTER_UID] = { "uid", 0, "USER", "Only of processes of USER, a name or a number" }

struct filter {
	const char *texts[FILTER_MAX]; ///< as they were given
	uint64_t pid, uid;
};

/// Takes one option; returns what is wrong with it, or NULL. Its argument stays the caller's.
const char *filter_apply(struct filter *filter, const struct option_use *use);
/// Is @entry, of the API, one of these?
bool filter_matches(const struct filter *filter, const struct json *entry);
