/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "json.h"

/**
 * DOC: The lines of an analysis as one object
 *
 * {"core": {...}, "images": [...], "warnings": [...], "runtimes": [{..., "threads": [...],
 * "findings": [...], "groups": [...], "crash": {...}}]}: what `snapctl goroutines --json` prints,
 * and what is attached to cores. Bounded: what comes beyond the limit is dropped, and "cut" says
 * so.
 */
struct summary {
	struct json *root, *runtime; ///< runtime: the one that lines belong to now, or NULL
	size_t bytes, max_bytes;
	bool cut;
};

void summary_init(struct summary *summary, size_t max_bytes);
/// Adds a line, which stays the caller's. -ENOMEM, or -EBADMSG for what is no object.
int summary_add(struct summary *summary, const char *kind, const struct json *value);
/// The whole, owned by the caller; NULL when no Go runtime was found, or out of memory.
struct json *summary_finish(struct summary *summary);
/// The name of the list that lines of @kind go into; NULL for those that stand alone.
const char *summary_list(const char *kind);
/// Calls @fn for every line that made @root, in order, until it returns a negative value.
int summary_replay(const struct json *root,
		   int (*fn)(void *userdata, const char *kind, const struct json *value),
		   void *userdata);
/// One of a single Go program, what a worker has found ("go" of its result); owned by the caller,
/// NULL when @go is none.
struct json *summary_of_go(const struct json *go);
