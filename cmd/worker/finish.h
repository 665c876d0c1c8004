/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"
#include "deliver.h"

/**
 * Finds out about a finished core, whose process is gone: what its goroutines did, which it gets as
 * a note, and its native stacks (common/stacks.h), which go to @stacks as JSON. Then delivers it.
 *
 * @part is JOB_FD_PART, where native stacks are then found: who finds them wants a raw core.
 *
 * @ret, owned by the caller: {"go", "bytes", "bytes_on_disk", "warnings"}. What cannot be found out
 * is a warning.
 */
struct snap_error *finish(const struct delivery *delivery, int stacks, int part, struct json **ret)
	_must_check_;
