// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "analyzer/map.h"

static void test_empty(void **state _unused_)
{
	struct map map = { 0 };
	uint32_t v = 7;
	assert_false(map_get(&map, 0, &v));
	assert_int_equal(v, 7);
	map_deinit(&map);
	map_deinit(&map);
}

static void test_replace(void **state _unused_)
{
	struct map map = { 0 };
	uint32_t v;
	assert_int_equal(map_set(&map, 0, 1), 0);
	assert_int_equal(map_set(&map, UINT64_MAX, 2), 0);
	assert_int_equal(map_set(&map, 0, 3), 0);
	assert_int_equal(map.n, 2);
	assert_true(map_get(&map, 0, &v));
	assert_int_equal(v, 3);
	assert_true(map_get(&map, UINT64_MAX, &v));
	assert_int_equal(v, 2);
	assert_false(map_get(&map, 1, &v));
	map_deinit(&map);
	assert_false(map_get(&map, 0, &v));
}

/// Many, of the kinds that are put in: near to each other, far apart, and without any order.
static void test_many(void **state _unused_)
{
	enum { N = 100000 };
	static const uint64_t steps[] = { 1, 8, 4096, 1ULL << 32, 1ULL << 43, 0 };
	for (size_t k = 0; k < ARRAY_SIZE(steps); k++) {
		struct map map = { 0 };
		uint64_t random = 1, again = 1;
		uint32_t v;
		for (uint32_t i = 0; i < N; i++)
			assert_int_equal(map_set(&map,
						 steps[k] ? 0xc000000000 + i * steps[k] :
							    test_random(&random) << 1,
						 i),
					 0);
		for (uint32_t i = 0; i < N; i++) {
			uint64_t key = steps[k] ? 0xc000000000 + i * steps[k] :
						  test_random(&again) << 1;
			assert_true(map_get(&map, key, &v));
			assert_true(v == i || !steps[k]); // random ones may come twice
			assert_false(map_get(&map, key + 1, &v) && steps[k] > 1);
		}
		assert_true(map.max >= map.n && !(map.max & (map.max - 1)));
		map_deinit(&map);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
