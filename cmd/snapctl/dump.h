/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/job.h"
#include "common/json.h"

/// What one dump is to be; the verbs dump and gcore fill it in from their options.
struct dump_request {
	struct job job;
	const char *output; ///< as output_open() takes it
	const char *name; ///< file name where output names a folder
	bool replace; ///< an existing file
	bool quiet; ///< no progress
	bool store; ///< into the store of procsnapd, not to output
};

/**
 * Dumps process @pid as asked, and publishes the file.
 *
 * @ret is the worker's result with "path" and "wall_ns" added, owned by the caller.
 */
struct snap_error *dump_process(pid_t pid, const struct dump_request *request, struct json **ret)
	_must_check_;

/// Parses a pid argument. An error names the verb's usage mistake.
struct snap_error *dump_parse_pid(const char *arg, pid_t *ret) _must_check_;
