/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "daemon/server.h"

/**
 * Has @server listen to what systemd passed (sd_listen_fds(3)); when that is nothing, to a new
 * socket at @path, that everybody may connect to. SNAP_FAILED when another daemon listens there.
 */
struct snap_error *listen_all(struct server *server, const char *path) _must_check_;
