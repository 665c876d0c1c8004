// SPDX-License-Identifier: LGPL-2.1-or-later
#include "polite.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLICE_NS = 100 * 1000 }; // the least there is

/// struct sched_attr as of Linux 3.14, under a name that cannot clash with newer C libraries.
struct sched_wishes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

void polite_become(int nice)
{
	// Not SCHED_IDLE, which on a busy machine would mean never.
	struct sched_wishes wishes = { .size = sizeof(wishes),
				       .policy = SCHED_OTHER,
				       .nice = nice,
				       .runtime = SLICE_NS };
	// Before Linux 6.12 the runtime is ignored.
	(void)syscall(SYS_sched_setattr, 0, &wishes, 0);
}
