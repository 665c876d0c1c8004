// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmfill [MIB=16]: a target with shared memory that it has never touched itself.
 *
 * A child fills every second page of "anon" (anonymous, inherited) and of "memfd", then stays. The
 * mapping of this process has no page of either, and none may appear.
 */
#include "target.h"

enum { SEED = 300 };

struct area {
	const char *name;
	uint64_t *mem;
	size_t bytes;
	unsigned int seed;
};

static struct area areas[2] = { { .name = "anon", .seed = SEED },
				{ .name = "memfd", .seed = SEED + 1 } };
static pid_t filler;

static size_t resident_pages(const struct area *a)
{
	size_t n = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; i < a->bytes / TARGET_PAGE; i++) {
		uint64_t entry = 0;

		if (pread64(fd, &entry, 8, ((uintptr_t)a->mem / TARGET_PAGE + i) * 8) != 8)
			target_die(1, "cannot read pagemap");
		n += entry >> 62 != 0;
	}
	close(fd);
	return n;
}

static void check(void)
{
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(areas); i++) {
		size_t n = resident_pages(&areas[i]);

		if (n)
			target_fail("%s: %zu pages appeared that nobody touched", areas[i].name, n);
	}
}

static void fill(int done)
{
	target_die_with_parent();
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(areas); i++)
		for (size_t page = 0; page < areas[i].bytes / TARGET_PAGE; page += 2)
			target_fill_page(areas[i].mem + page * 512, areas[i].seed, page);
	(void)!write(done, "x", 1);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = check };
	size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 16) << 20;
	int fd = memfd_create("shmfill", MFD_CLOEXEC), done[2];
	char c;

	target_init();
	if (fd < 0 || ftruncate(fd, bytes) || pipe2(done, O_CLOEXEC))
		target_die(1, "memfd");
	areas[0].mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	areas[1].mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	areas[0].bytes = areas[1].bytes = bytes;
	if (areas[0].mem == MAP_FAILED || areas[1].mem == MAP_FAILED)
		target_die(1, "mmap");
	filler = fork();
	if (!filler)
		fill(done[1]);
	if (read(done[0], &c, 1) != 1)
		target_die(1, "the child does not fill");
	target_ready(0, TARGET_CHILDREN, "anon=%p:%zu:%u:2 memfd=%p:%zu:%u:2",
		     (void *)areas[0].mem, bytes, areas[0].seed, (void *)areas[1].mem, bytes,
		     areas[1].seed);
	return target_serve(&ops);
}
