/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"
#include "common/pidref.h"

/**
 * Analyses the finished core in @core and attaches what was found to @to, which is the same or, of
 * a packed core, its head (dumper/repack.h).
 *
 * Files are opened as @ref sees them while it lives; NULL: as we see them, and first of all from
 * the folder @binaries (common/binaries.h), unless that is NULL. @ret is a shorter form for the
 * result of the job, owned by the caller; NULL when the process is no Go program. An error means
 * that there is no summary; the core is whole without it.
 */
struct snap_error *attach_summary(int core, int to, const struct pidref *ref, const char *binaries,
				  struct json **ret) _must_check_;
