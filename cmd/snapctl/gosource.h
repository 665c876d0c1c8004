/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

/**
 * DOC: Where goroutines are read from
 *
 * A core, a summary that was attached to one, or a live process, all with the same lines of the
 * model as the result. A process is stopped while it is read, and goes on before the first line is
 * given.
 */
struct gosource {
	const char *what; ///< a file, or the number of a process
	const char *exe; ///< the program, or NULL
	bool is_core; ///< @what is a file, even if it is a number
	bool attached; ///< what was attached, not what can be found now
	uint64_t max_pause_ns; ///< of a process, 0: as long as it takes
	bool quiet; ///< no progress
};

/// Calls @line for each line, until it returns a negative errno. @ret_pause_ns: 0 for a core.
struct snap_error *gosource_run(const struct gosource *source, struct json *request,
				int (*line)(void *userdata, const char *kind,
					    const struct json *value),
				void *userdata, uint64_t *ret_pause_ns) _must_check_;
