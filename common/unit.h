/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

/**
 * DOC: Units and their processes
 *
 * Of the system's units, from the names of their control groups: no manager and no bus has to
 * answer. A group is a unit when all above it are slices; what is below belongs to it. Units of
 * users' managers are not meant. Any process may call these.
 */

/// What is looked for.
struct unit_walk {
	bool (*wants)(void *userdata, const char *unit);
	/// For each process of such a unit, maybe more than once; its number may be another's by
	/// now. Ends the walk by returning something else than 0.
	int (*process)(void *userdata, const char *unit, pid_t pid);
	void *userdata;
};

/// Returns 0, what process() has returned, or -errno.
int unit_walk(const struct unit_walk *want);
/**
 * Lists the processes of the system's unit @name ("nginx", "nginx.service").
 *
 * @ret is owned by the caller, ascending.
 */
struct snap_error *unit_processes(const char *name, pid_t **ret, size_t *ret_n) _must_check_;
/// Is process @pid in that unit now? For after it was pinned.
bool unit_has(const char *name, pid_t pid);
