// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <pthread.h>

#include "dumper/gaps.h"

static void check(const struct gaps *gaps, size_t i, uint64_t start, uint64_t end,
		  enum gap_reason reason)
{
	assert_true(i < gaps->n);
	assert_int_equal(gaps->list[i].start, start);
	assert_int_equal(gaps->list[i].end, end);
	assert_int_equal(gaps->list[i].reason, reason);
	assert_int_equal(gaps->list[i].reserved, 0);
}

static void test_none(void **state _unused_)
{
	struct gaps gaps;
	gaps_init(&gaps);
	gaps_close(&gaps);
	assert_int_equal(gaps.n, 0);
	assert_int_equal(gaps.bytes, 0);
	gaps_deinit(&gaps);
}

static void test_sorted_and_merged(void **state _unused_)
{
	struct gaps gaps;
	gaps_init(&gaps);
	gaps_add(&gaps, 0x9000, 0xa000, GAP_UNREADABLE);
	gaps_add(&gaps, 0x1000, 0x2000, GAP_UNREADABLE);
	gaps_add(&gaps, 0x3000, 0x4000, GAP_UNREADABLE);
	gaps_add(&gaps, 0x2000, 0x3000, GAP_UNREADABLE); // closes the one before it
	gaps_add(&gaps, 0x4000, 0x5000, GAP_GUARD); // a neighbour for another reason
	gaps_add(&gaps, 0x6000, 0x7000, GAP_GUARD); // no neighbour
	gaps_add(&gaps, UINT64_MAX - 0xfff, UINT64_MAX, GAP_ABORTED);
	gaps_close(&gaps);
	assert_int_equal(gaps.n, 5);
	check(&gaps, 0, 0x1000, 0x4000, GAP_UNREADABLE);
	check(&gaps, 1, 0x4000, 0x5000, GAP_GUARD);
	check(&gaps, 2, 0x6000, 0x7000, GAP_GUARD);
	check(&gaps, 3, 0x9000, 0xa000, GAP_UNREADABLE);
	check(&gaps, 4, UINT64_MAX - 0xfff, UINT64_MAX, GAP_ABORTED);
	assert_int_equal(gaps.bytes, 7 * 0x1000 - 1);
	assert_int_equal(gaps.lost_bytes, 5 * 0x1000 - 1);
	assert_int_equal(gaps.dropped, 0);
	gaps_deinit(&gaps);
}

/// One after the other, as a copy finds them: one entry, however many pages.
static void test_run(void **state _unused_)
{
	struct gaps gaps;
	gaps_init(&gaps);
	for (uint64_t i = 0; i < 3000000; i++)
		gaps_add(&gaps, i * 0x1000, (i + 1) * 0x1000, GAP_PAST_EOF);
	gaps_close(&gaps);
	assert_int_equal(gaps.n, 1);
	check(&gaps, 0, 0, 3000000ULL * 0x1000, GAP_PAST_EOF);
	assert_int_equal(gaps.lost_bytes, 0);
	gaps_deinit(&gaps);
}

/// Half a million gaps that fill the ones between: they all become one.
static void test_interleaved(void **state _unused_)
{
	enum { N = 100000 };
	struct gaps gaps;
	gaps_init(&gaps);
	for (uint64_t i = 0; i < N; i += 2)
		gaps_add(&gaps, i * 0x1000, (i + 1) * 0x1000, GAP_ABORTED);
	for (uint64_t i = 1; i < N; i += 2)
		gaps_add(&gaps, i * 0x1000, (i + 1) * 0x1000, GAP_ABORTED);
	gaps_close(&gaps);
	assert_int_equal(gaps.n, 1);
	check(&gaps, 0, 0, N * 0x1000ULL, GAP_ABORTED);
	gaps_deinit(&gaps);
}

/// What the list has no room for is counted all the same.
static void test_overflow(void **state _unused_)
{
	enum { MAX_GAPS = 1 << 20, MORE = 1000 };
	struct gaps gaps;
	gaps_init(&gaps);
	for (uint64_t i = 0; i < MAX_GAPS + MORE; i++)
		gaps_add(&gaps, i * 0x2000, i * 0x2000 + 0x1000, GAP_UNREADABLE);
	assert_int_equal(gaps.n, MAX_GAPS);
	assert_int_equal(gaps.dropped, MORE);
	assert_int_equal(gaps.bytes, (MAX_GAPS + MORE) * 0x1000ULL);
	assert_int_equal(gaps.lost_bytes, gaps.bytes);
	gaps_close(&gaps);
	assert_int_equal(gaps.n, MAX_GAPS);
	assert_int_equal(gaps.dropped, MORE);
	gaps_deinit(&gaps);
}

enum { THREADS = 4, PER_THREAD = 20000 };

static struct gaps shared;

static void *add_many(void *userdata)
{
	uint64_t first = (uint64_t)(uintptr_t)userdata;
	for (uint64_t i = 0; i < PER_THREAD; i++) {
		uint64_t page = i * THREADS + first;
		gaps_add(&shared, page * 0x1000, (page + 1) * 0x1000, GAP_NOT_RESIDENT);
	}
	return NULL;
}

static void test_threads(void **state _unused_)
{
	pthread_t ids[THREADS];
	gaps_init(&shared);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, add_many, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	gaps_close(&shared);
	assert_int_equal(shared.n, 1);
	check(&shared, 0, 0, (uint64_t)THREADS * PER_THREAD * 0x1000, GAP_NOT_RESIDENT);
	assert_int_equal(shared.bytes, (uint64_t)THREADS * PER_THREAD * 0x1000);
	gaps_deinit(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),	    cmocka_unit_test(test_sorted_and_merged),
		cmocka_unit_test(test_run),	    cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_overflow),    cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests_name("gaps", tests, NULL, NULL);
}
