/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/json.h"

/**
 * DOC: The summary of goroutines
 *
 * For someone who was called in the night: what program this is, what it died of, what looks wrong,
 * and then where its goroutines are, the largest groups first.
 */
struct gotext {
	FILE *out;
	bool system; ///< nothing is left out
	bool filtered; ///< not all goroutines were asked for
	struct json *core; ///< what the analyzer said of it
	// of the runtime that is shown now
	uint64_t user, shown, crashed; ///< crashed: the number of a goroutine, or 0
	bool in_runtime, in_findings, no_clock, known_waits, unknown_waits;
};

/// Takes a line of the analysis, which stays the caller's.
void gotext_line(struct gotext *t, const char *kind, const struct json *value);
/// After the last line.
void gotext_end(struct gotext *t);

/// "55 chan receive, 4 select, ..."; at most @max of them, with the others as a sum.
void gotext_counts(const struct json *counts, size_t max, FILE *out);
/// "go1.22.5, example.com/server v1.4.2, revision 3f2a9c1d0e42, modified"
void gotext_build(const struct json *runtime, FILE *out);
