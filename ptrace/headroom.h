/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"

/**
 * DOC: How much memory there is for the copy of a process
 *
 * A child that shares its memory with the process (twin.h) takes memory when the process writes:
 * of the machine, and of the control groups that the process is in. A group that is at its limit
 * has its processes killed, so there must be more than is needed: a twentieth of all, 64 MiB at
 * least. What only caches unused parts of files counts as free.
 */

/**
 * Is there room for @need bytes more, and for @whole where all of a group is killed together
 * (memory.oom.group)?
 *
 * An error, SNAP_NO_SPACE, says what lacks. @procfd is /proc/PID of the process. What cannot be
 * found out is no obstacle.
 */
struct snap_error *headroom_check(int procfd, uint64_t need, uint64_t whole) _must_check_;
/// May the control groups of the process have one more process? NULL, or a constant that says why
/// not.
const char *headroom_process(int procfd);
/// The number behind @key, "MemAvailable:", in @text, times @unit. UINT64_MAX: it is not there.
uint64_t headroom_number(const char *text, const char *key, uint64_t unit);
