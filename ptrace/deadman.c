// SPDX-License-Identifier: LGPL-2.1-or-later
#include "deadman.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>

#include "common/clock.h"

static timer_t timer;
static bool created;

struct snap_error *deadman_create(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	if (!created && timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot make the dead-man timer");
	created = true;
	return NULL;
}

void deadman_arm(uint64_t ns)
{
	struct itimerspec spec = { .it_value = snap_timespec(ns ? ns : 1) };
	(void)timer_settime(timer, 0, &spec, NULL); // cannot fail for a valid timer and time
}

void deadman_disarm(void)
{
	struct itimerspec spec = { 0 };
	(void)timer_settime(timer, 0, &spec, NULL);
}
