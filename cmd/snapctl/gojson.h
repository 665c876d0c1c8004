/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/error.h"
#include "common/json.h"

/**
 * DOC: An analysis as one JSON object
 *
 * {"core": {...}, "runtimes": [{..., "crash": {...}, "threads": [...], ...}, ...], "images": [...],
 * "warnings": [...]} and, when something went wrong, "error". Printed while lines come, since a
 * million goroutines need not be in memory for it; whatever happens, what was printed is one
 * object.
 */
struct gojson {
	FILE *out;
	bool brief; ///< without lists of threads, groups and goroutines
	struct json *images, *warnings; ///< come between runtimes, and are few
	bool begun, has_core, in_runtime, any_runtime;
	unsigned int lists; ///< of the runtime: which were begun
	int list; ///< the one that is open, or -1
};

void gojson_begin(struct gojson *j, FILE *out, bool brief);
/// Takes a line of the analysis, which stays the caller's. Returns 0 or -ENOMEM.
int gojson_line(struct gojson *j, const char *kind, const struct json *value);
/// After the last line; @err is NULL, or what ended the analysis and stays the caller's.
void gojson_end(struct gojson *j, const struct snap_error *err);
