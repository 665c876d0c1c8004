/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "error.h"

/**
 * Makes @path a file with this @text and @mode, whatever was there: written beside it, synced, then
 * given its name. Whoever reads sees the old or the new one, also after a power failure. Missing
 * folders are errors; any process may call it.
 */
struct snap_error *replace_file(const char *path, const char *text, mode_t mode) _must_check_;
/// Removes @path for good. None there is fine.
struct snap_error *replace_remove(const char *path) _must_check_;
