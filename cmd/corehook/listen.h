/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"

/**
 * Waits at the coredump socket, and calls @take in a fresh process for each crash, with the
 * connection as descriptor 0; its result is the exit status.
 *
 * So many run at once, users in turn, and no user has all places: whose processes crash without
 * end, or do not let go of their hooks, keeps nobody else waiting.
 *
 * The socket is the one that systemd passed, or a new one at @path. Nothing is done here but to
 * accept: the kernel does not wait in a queue that is full, and a crash that finds it so is lost.
 * Only returns when it cannot go on, or is told to end (SIGTERM); the processes it started do not
 * end with it.
 */
struct snap_error *listen_for_crashes(const char *path, int (*take)(void *userdata), void *userdata)
	_must_check_;
