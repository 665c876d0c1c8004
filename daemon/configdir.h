/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "common/error.h"

/// Paths of configuration files, in the order in which they are to be read. All are owned.
struct configdir {
	char **paths;
	size_t n;
};

/**
 * Finds procsnap.conf, if there is one, and its drop-ins below @root ("" for the real ones): of
 * those with the same name the one in /etc, else in /run, else in /usr/lib. SNAP_FAILED when a
 * folder cannot be read, or holds more than anybody would write. Called by the daemon.
 */
struct snap_error *configdir_list(const char *root, struct configdir *ret) _must_check_;
/// Frees what it holds and empties it; a zeroed one is fine.
void configdir_deinit(struct configdir *dir);
