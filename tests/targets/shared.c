// SPDX-License-Identifier: LGPL-2.1-or-later
// shared MIB: as much shared memory, and a little of its own.
#include "target.h"

enum { SHARED_SEED = 11 };

static uint8_t *mem;
static size_t mem_bytes;

static void shared_check(void)
{
	target_verify("mem", mem, mem_bytes, SHARED_SEED);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = shared_check };

	target_init();
	if (argc < 2)
		target_die(1, "usage: shared MIB");
	mem_bytes = strtoul(argv[1], NULL, 10) << 20;
	mem = target_mmap(mem_bytes, PROT_READ | PROT_WRITE, MAP_SHARED);
	target_fill(mem, mem_bytes, SHARED_SEED);
	target_ready(0, 0, "mem=%p:%zu:%d:1", (void *)mem, mem_bytes, SHARED_SEED);
	return target_serve(&ops);
}
