/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/error.h"
#include "common/json.h"

/**
 * DOC: What a core is, as text
 *
 * One fact a line, its name to the left of a colon, as coredumpctl(1) does.
 */
struct infotext {
	FILE *out;
	struct json *file;
	bool has_core; ///< something was printed
	unsigned int runtimes, findings, groups; ///< findings and groups of the last runtime
};

enum { INFO_GROUPS = 3 };

/// Takes a line of the analysis, or "file", which stays the caller's.
void infotext_line(struct infotext *t, const char *kind, const struct json *value);
/// After the last line; @err is NULL, or what ended the analysis.
void infotext_end(struct infotext *t, const struct snap_error *err);
