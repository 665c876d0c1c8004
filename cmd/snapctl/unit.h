/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

/**
 * Lists the processes of the system's unit @name ("nginx", "nginx.service"), from its control
 * group: no manager and no bus has to answer. Units of users' managers are not meant.
 *
 * @ret is owned by the caller, ascending.
 */
struct snap_error *unit_processes(const char *name, pid_t **ret, size_t *ret_n) _must_check_;
/// Is process @pid in that unit now? For after it was pinned.
bool unit_has(const char *name, pid_t pid);
