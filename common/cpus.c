// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cpus.h"

#include <sched.h>

#include "cleanup.h"

enum { THREADS_MAX = 8 };

unsigned int cpus_to_copy(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int)MIN(CPU_COUNT(&set), (int)THREADS_MAX);
}
