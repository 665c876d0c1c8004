// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/span.h"

static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 'h', 'i', 0, 'x' };

static void test_numbers(void **state _unused_)
{
	struct span s = span_of(bytes, sizeof(bytes));
	assert_int_equal(span_u8(&s, 0), 1);
	assert_int_equal(span_u16(&s, 1), 0x0302);
	assert_int_equal(span_u32(&s, 1), 0x05040302);
	assert_true(span_u64(&s, 0) == 0x0807060504030201);
	assert_int_equal(span_u8(&s, sizeof(bytes) - 1), 'x');
	assert_false(s.bad);
}

/// One byte beyond the end is enough, and it stays bad.
static void test_beyond(void **state _unused_)
{
	static const uint64_t far[] = { sizeof(bytes), sizeof(bytes) + 1, UINT32_MAX,
					UINT64_MAX - 7, UINT64_MAX };
	struct span s = span_of(bytes, sizeof(bytes));
	assert_int_equal(span_u64(&s, sizeof(bytes) - 8) >> 56, 'x');
	assert_false(s.bad);
	assert_int_equal(span_u64(&s, sizeof(bytes) - 7), 0);
	assert_true(s.bad);
	assert_int_equal(span_u8(&s, 0), 1);
	assert_true(s.bad);
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		s = span_of(bytes, sizeof(bytes));
		assert_int_equal(span_u8(&s, far[i]), 0);
		assert_true(s.bad);
		s = span_of(bytes, sizeof(bytes));
		assert_int_equal(span_u16(&s, far[i]), 0);
		assert_true(s.bad);
		s = span_of(bytes, sizeof(bytes));
		assert_int_equal(span_u32(&s, far[i]), 0);
		assert_true(s.bad);
		s = span_of(bytes, sizeof(bytes));
		assert_int_equal(span_u64(&s, far[i]), 0);
		assert_true(s.bad);
	}
}

static void test_get(void **state _unused_)
{
	struct span s = span_of(bytes, sizeof(bytes));
	uint8_t copy[sizeof(bytes)], zeros[sizeof(bytes)] = { 0 };
	assert_true(span_get(&s, 0, copy, sizeof(copy)));
	assert_memory_equal(copy, bytes, sizeof(copy));
	assert_false(span_get(&s, 1, copy, sizeof(copy)));
	assert_memory_equal(copy, zeros, sizeof(copy)); // nothing of it
	assert_true(s.bad);
}

static void test_sub(void **state _unused_)
{
	struct span s = span_of(bytes, sizeof(bytes)), sub = span_sub(s, 2, 4);
	assert_int_equal(sub.size, 4);
	assert_int_equal(span_u32(&sub, 0), 0x06050403);
	assert_int_equal(span_u8(&sub, 4), 0); // though there is more behind it
	assert_true(sub.bad);
	assert_false(s.bad);
	assert_int_equal(span_sub(s, sizeof(bytes), 0).size, 0);
	assert_false(span_sub(s, sizeof(bytes), 0).bad);
	assert_true(span_sub(s, sizeof(bytes), 1).bad);
	assert_true(span_sub(s, sizeof(bytes) + 1, 0).bad);
	assert_true(span_sub(s, 1, UINT64_MAX).bad);
	assert_true(span_sub(s, UINT64_MAX, 2).bad);
	assert_null(span_sub(s, UINT64_MAX, UINT64_MAX).data);
}

static void test_text(void **state _unused_)
{
	struct span s = span_of(bytes, sizeof(bytes));
	assert_string_equal(span_text(&s, 8), "hi");
	assert_string_equal(span_text(&s, 10), "");
	assert_false(s.bad);
	assert_null(span_text(&s, 11)); // does not end
	assert_true(s.bad);
	s.bad = false;
	assert_null(span_text(&s, sizeof(bytes)));
	assert_true(s.bad);
	s = span_of(NULL, 0);
	assert_null(span_text(&s, 0));
	assert_true(s.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_beyond),
		cmocka_unit_test(test_get),	cmocka_unit_test(test_sub),
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
