/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gosource.h"

/**
 * DOC: Having something analysed for a verb
 *
 * What the verbs that show an analysis have in common: warnings go to standard error, and a
 * failure to write ends the analysis.
 */
struct goread {
	struct gosource source;
	/// Takes every line; @value is borrowed. A negative errno ends the analysis.
	int (*line)(void *userdata, const char *kind, const struct json *value);
	void *userdata;
	unsigned int runtimes; ///< of Go that were found
	int write_error; ///< errno of a failure to write to standard output, or 0
};

/// Has the source analysed as @request says (common/analysis.h).
struct snap_error *goread_run(struct goread *read, struct json *request) _must_check_;
/// Makes sure that standard output got all, says @err, which it takes, and returns the exit status.
int goread_finish(struct snap_error *err);
