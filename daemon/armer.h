/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/error.h"
#include "daemon/config.h"
#include "daemon/jobs.h"

/**
 * DOC: Arming what the configuration names
 *
 * Arm= in procsnap.conf(5). Every two seconds the control groups of units that match are looked
 * at; that needs no manager, no bus and no privilege, finds what runs already, and cannot miss what
 * is started in a storm. A process is armed (daemon/armjob.h) when it was seen twice with the same
 * program: what has just been executed has no Go runtime yet, and what ends at once need not be
 * looked at. When it cannot be armed that is tried again later, a few times.
 *
 * A process is known by its pidfd, a program in it by the random bytes that the kernel gives it
 * (AT_RANDOM), which are elsewhere after each execve(). No program is armed twice, and no process
 * that somebody has disarmed.
 *
 * Bounded: so many processes, one job at a time, so many in an interval, each with a deadline and
 * low priority. Nothing stops a process for this.
 *
 * All calls are for the daemon's only thread.
 */
struct armer;

struct armer_counts {
	size_t patterns; ///< 0: nothing is configured
	size_t processes; ///< of matching units, that are known
	size_t armed; ///< of these
};

struct snap_error *armer_create(sd_event *event, struct jobs *jobs, struct armer **ret)
	_must_check_;
/// After the jobs. What is armed stays so. Accepts NULL.
void armer_destroy(struct armer *armer);
/// Borrowed, from now on.
void armer_configure(struct armer *armer, const struct config *config);
/// Begins nothing more.
void armer_stop(struct armer *armer);
struct armer_counts armer_count(const struct armer *armer);
