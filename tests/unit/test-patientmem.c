// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmd/corehook/patience.c" // NOLINT(bugprone-suspicious-include)
#include "cmd/corehook/patientmem.c" // NOLINT(bugprone-suspicious-include)
#include "cmd/corehook/share.c" // NOLINT(bugprone-suspicious-include)
#include "fake.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

/*
 * Memory of which some does not answer: the rest is read, and nobody waits for ever.
 */

enum { START = 0x10000, PAGES = 8 };

static int never[2]; ///< a pipe into which nothing is written while a test runs
static uint64_t hole_addr; ///< reads from the mapping at this address do not come back

static void on_read(struct fake *fake, uint64_t addr)
{
	struct pollfd pfd = { .fd = never[0], .events = POLLIN };
	(void)fake;
	if (addr >= hole_addr && addr < hole_addr + PAGES * TEST_PAGE)
		(void)poll(&pfd, 1, -1);
}

/// Lives as long as the process, since threads do.
static struct fake *make_fake(const char *name)
{
	static struct fake *volatile fakes[2];
	static size_t n;
	struct fake *fake = calloc(1, sizeof(*fake));
	assert_non_null(fake);
	assert_true(n < ARRAY_SIZE(fakes));
	fakes[n++] = fake;
	fake_init(fake, ELFCLASS64, 1);
	for (uint64_t i = 0; i < 4; i++)
		(void)fake_map(fake, START + i * 16 * TEST_PAGE, PAGES, SNAP_MAP_READ, name, "D");
	fake->on_read = on_read;
	return fake;
}

static uint64_t mapping(uint64_t i)
{
	return START + i * 16 * TEST_PAGE;
}

static void test_stalls(void **state _unused_)
{
	struct fake *fake = make_fake("/file");
	struct share *share = share_create();
	static struct patientmem mem; // as long-lived
	char page[TEST_PAGE], other[TEST_PAGE];
	hole_addr = mapping(1);
	patientmem_init(&mem, &fake->source, share);
	mem.patience_ms = 50;
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < 4; i++) {
			const struct snap_mapping *map = &fake->snap.mappings[i];
			struct mem_range ranges[4];
			int n = memsource_scan(&mem.source, map, map->start, map->end, ranges, 4);
			ssize_t r = memsource_read(&mem.source, map, MEM_DATA, map->start, page,
						   sizeof(page));
			if (i == 1) {
				assert_int_equal(n, round ? -EIO : 1);
				assert_int_equal(r, -EIO);
				continue;
			}
			assert_int_equal(n, 1);
			assert_int_equal(ranges[0].end, map->end);
			assert_int_equal(r, sizeof(page));
			assert_int_equal(memsource_read(&fake->source, map, MEM_DATA, map->start,
							other, sizeof(other)),
					 sizeof(other));
			assert_memory_equal(page, other, sizeof(page));
		}
	}
	assert_int_equal(share->n_avoided, 1);
	assert_false(share_is_reading(share));
	// Others have runners of their own after a fork.
	pid_t pid = fork();
	if (pid == 0) {
		if (memsource_read(&mem.source, &fake->snap.mappings[2], MEM_DATA, mapping(2), page,
				   sizeof(page)) == (ssize_t)sizeof(page))
			(void)execlp("true", "true", (char *)NULL); // nobody looks for leaks of it
		_exit(1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/// Anonymous memory is read directly: the holder sees it, and the next copier leaves it out.
static void test_killed(void **state _unused_)
{
	struct fake *fake = make_fake(NULL);
	struct share *share = share_create();
	struct patientmem mem;
	char page[TEST_PAGE];
	hole_addr = mapping(2);
	patientmem_init(&mem, &fake->source, share);
	pid_t pid = fork();
	if (pid == 0) {
		for (uint64_t i = 0; i < 4; i++)
			(void)memsource_read(&mem.source, &fake->snap.mappings[i], MEM_DATA,
					     mapping(i), page, sizeof(page));
		_exit(0);
	}
	while (share->calls < 2 || !share_is_reading(share))
		(void)sched_yield();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	share_avoid(share);
	assert_false(share_is_reading(share));
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(memsource_read(&mem.source, &fake->snap.mappings[i], MEM_DATA,
						mapping(i), page, sizeof(page)),
				 i == 2 ? -EIO : (ssize_t)sizeof(page));
}

static void test_many(void **state _unused_)
{
	struct share *share = share_create();
	for (uint64_t i = 1; i <= SHARE_AVOIDED; i++)
		share_give_up(share, share_begin(share, i), i);
	assert_true(share_avoids(share, 1));
	assert_false(share_avoids(share, 1000));
	share_give_up(share, share_begin(share, 77), 77);
	assert_true(share_avoids(share, 1000)); // that is done on purpose
	// More readers than there is room for are not watched, and nothing else.
	size_t readers[SHARE_READERS + 2];
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		readers[i] = share_begin(share, i + 1);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		share_end(share, readers[i]);
	assert_false(share_is_reading(share));
}

static int begin(void **state _unused_)
{
	return pipe(never);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stalls),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests_name("patientmem", tests, begin, NULL);
}
