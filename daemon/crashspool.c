// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashspool.h"

#include <fcntl.h>

#include "common/fd.h"
#include "common/str.h"

// What stays for everybody else, whatever SpoolMemory= says: services that begin anew, workers, and
// the files that all programs use.
#define SPARE_SHARE 8

enum { MEMINFO_MAX = 64 << 10 };

struct crashspool_memory crashspool_look(void)
{
	_cleanup_free_ char *text = NULL;
	struct crashspool_memory memory = { 0 };
	if (snap_read_file_at(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &text) < 0 ||
	    snap_line_kib(text, "MemTotal:", &memory.total) < 0 ||
	    snap_line_kib(text, "MemAvailable:", &memory.available) < 0)
		return (struct crashspool_memory){ 0 };
	return memory;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

uint64_t crashspool_room(const struct crashspool *spool, const struct config *config,
			 const struct crashspool_memory *memory)
{
	uint64_t most = config_size_bytes(config->spool_memory, memory->total);
	// A core that is not compressed has no more room as a dump than it has now.
	if (!config->compress)
		return 0;
	uint64_t ours = less(less(most, spool->held), spool->promised);
	uint64_t spare = less(memory->available, memory->total / SPARE_SHARE);
	return MIN(ours, less(spare, spool->promised));
}
