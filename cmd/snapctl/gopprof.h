/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "common/json.h"
#include "pprof.h"

/**
 * DOC: Groups as a goroutine profile
 *
 * What the program's own /debug/pprof/goroutine would have said: the same frames and counts. Beyond
 * that each sample has the label "state", and those that all goroutines of the group have.
 */
struct gopprof {
	struct pprof *profile;
	bool system;
	uint64_t mapping; ///< of the image that comes next, or that the groups belong to
	uint64_t start, end; ///< of its code
	uint64_t goroutines, groups;
};

/// Starts a profile of what is called @name.
struct snap_error *gopprof_begin(struct gopprof *g, const char *name, bool system) _must_check_;
/// Takes a line of the analysis, which stays the caller's. Returns 0 or -ENOMEM.
int gopprof_line(struct gopprof *g, const char *kind, const struct json *value);
/**
 * Writes it as @spec says: a file, a directory, or "-" for standard output. A file has it as a
 * whole or not at all. @ret_path is the file for messages, owned by the caller; NULL for standard
 * output.
 */
struct snap_error *gopprof_write(struct gopprof *g, const char *spec, char **ret_path) _must_check_;
void gopprof_deinit(struct gopprof *g);
