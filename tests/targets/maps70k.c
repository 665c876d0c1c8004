// SPDX-License-Identifier: LGPL-2.1-or-later
// Many mappings (argument, default 70000): pages of one area with alternating permissions. The
// first word of every 100th page is written. Needs vm.max_map_count above that number.
#include "target.h"

enum { MAPS_SEED = 161, MAPS_STEP = 100 };

static uint8_t *maps_base;
static size_t maps_count = 70000;

static uint64_t *word_of(size_t page)
{
	return (uint64_t *)(maps_base + page * TARGET_PAGE);
}

static void maps_check(void)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t present = 0;

	for (size_t page = 0; page < maps_count; page++) {
		off_t at = ((uintptr_t)maps_base / TARGET_PAGE + page) * 8;
		uint64_t entry = 0;

		if (page % MAPS_STEP == 0 && *word_of(page) != target_word(MAPS_SEED, page, 0))
			target_fail("page %zu: wrong word", page);
		if (pread(pagemap, &entry, 8, at) != 8)
			target_fail("pagemap cannot be read");
		present += entry >> 62 != 0;
	}
	if (present != (maps_count + MAPS_STEP - 1) / MAPS_STEP)
		target_fail("%zu pages are present", present);
	close(pagemap);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = maps_check };

	target_init();
	if (argc > 1)
		maps_count = strtoul(argv[1], NULL, 10);
	maps_base = target_mmap(maps_count * TARGET_PAGE, PROT_READ, MAP_PRIVATE | MAP_NORESERVE);
	for (size_t page = 0; page < maps_count; page += 2)
		if (mprotect(word_of(page), TARGET_PAGE, PROT_READ | PROT_WRITE))
			target_die(77, "mapping %zu: vm.max_map_count is too low", page);
	for (size_t page = 0; page < maps_count; page += MAPS_STEP)
		*word_of(page) = target_word(MAPS_SEED, page, 0);
	target_ready(0, 0, "base=%p count=%zu step=%d seed=%d", (void *)maps_base, maps_count,
		     MAPS_STEP, MAPS_SEED);
	return target_serve(&ops);
}
