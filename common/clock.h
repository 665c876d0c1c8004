/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <time.h>

/// Nanoseconds of any clock.
static inline uint64_t snap_clock_ns(clockid_t clock)
{
	struct timespec ts;
	(void)clock_gettime(clock, &ts); // cannot fail for the clocks used here
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline uint64_t snap_now_ns(void)
{
	return snap_clock_ns(CLOCK_MONOTONIC);
}

static inline struct timespec snap_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000),
				  .tv_nsec = (long)(ns % 1000000000) };
}

static inline void snap_sleep_ns(uint64_t ns)
{
	struct timespec ts = snap_timespec(ns);
	(void)nanosleep(&ts, NULL); // shorter after a signal, which no caller minds
}
