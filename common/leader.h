/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strbuf.h"

/**
 * Who started the container that a process is in: the nearest ancestor in another mount namespace,
 * such as containerd-shim, conmon or systemd-nspawn.
 *
 * Adds his arguments as /proc/PID/cmdline has them, at most @max bytes, to @buf. @procfd is
 * /proc/PID of the process. Returns 0, or -ENOENT when the process has the root of the system, when
 * nobody like that is above it, or when it cannot be told any more; -ENOMEM. Each step is
 * checked: an ancestor that was read counts only if he is still the parent afterwards. Any process
 * with the rights to look at /proc/PID/ns may call this.
 */
int leader_read_cmdline(int procfd, size_t max, struct strbuf *buf);
