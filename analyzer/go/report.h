/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"
#include "goroutines.h"

/**
 * DOC: The model
 *
 * Everything that was found, as JSON lines: one object a line with one key that says what it is, so
 * that a million goroutines need no more memory here than one. docs/GO.md lists the fields.
 * Addresses are strings in hexadecimal, since many readers of JSON lose bits of large numbers.
 */

/// Where lines go. Returns 0 or a negative errno, which ends the report.
struct report_sink {
	int (*line)(void *userdata, const char *kind, struct json *value); ///< takes ownership
	void *userdata;
};

/// Which goroutines are wanted. All conditions must hold; empty ones do.
struct report_filter {
	bool system; ///< also the runtime's own
	bool each; ///< goroutines one by one, beside the groups
	bool values; ///< of them, names and values of arguments where the program tells them
	bool traceback; ///< none: only a line "traceback" for each runtime (traceback.h)
	const char *state; ///< part of the state's text
	const char *function; ///< part of a function's name in the stack
	const char *label_key, *label_value; ///< value NULL: any
	int64_t min_wait_ns; ///< 0: any
	const uint64_t *ids;
	size_t n_ids; ///< 0: any
	uint64_t top; ///< at most so many groups; 0: all
};

/// Reports the runtime, its threads, groups, findings and, if wanted, each goroutine.
struct snap_error *go_report(struct go_goroutines *gs, const struct report_filter *filter,
			     const struct report_sink *sink) _must_check_;

/// "0x..." as a JSON value of @key, unless it is 0.
void report_address(struct json *object, const char *key, uint64_t addr);
