/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"
#include "daemon/config.h"

/**
 * DOC: Handler= and HandlerOnStop= of procsnap.conf
 *
 * Done by `procsnapd --handler=start` and `--handler=stop`, processes of their own that the unit
 * runs with all privileges when the daemon is ready and after it has ended. The daemon itself
 * cannot: it has given up the capabilities, and its unit does not let it write to /proc/sys.
 *
 * @root is as in common/handler.h; @store is the daemon's, or NULL for the usual one. What was
 * done is logged.
 */
struct snap_error *crashhandler_start(const struct config *config, const char *root,
				      const char *store) _must_check_;
/// A socket on which nobody listens any more is replaced by the pipe, if it is not restored.
struct snap_error *crashhandler_stop(const struct config *config, const char *root,
				     const char *store) _must_check_;
