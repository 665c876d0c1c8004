// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/strbuf.h"

static void test_empty(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	assert_int_equal(strbuf_add(&buf, NULL, 0), 0);
	assert_int_equal(buf.len, 0);
	assert_string_equal(buf.data, "");
	strbuf_deinit(&buf);
	assert_null(buf.data);
	strbuf_deinit(&buf); // twice is fine
}

static void test_grow(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	for (int i = 0; i < 10000; i++) {
		char c = (char)('a' + i % 26);
		assert_int_equal(strbuf_add(&buf, &c, 1), 0);
		assert_int_equal(buf.len, i + 1);
		assert_int_equal(buf.data[buf.len], '\0');
	}
	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf.data[i], 'a' + i % 26);
	assert_int_equal(strbuf_add(&buf, "a\0b", 3), 0);
	assert_memory_equal(buf.data + 10000, "a\0b", 4);
}

static void test_reserve(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	assert_int_equal(strbuf_reserve(&buf, 1000), 0);
	assert_string_equal(buf.data, "");
	const char *before = buf.data;
	char zeros[1000] = { 0 };
	assert_int_equal(strbuf_add(&buf, zeros, sizeof(zeros)), 0);
	assert_ptr_equal(buf.data, before); // adding did not allocate
}

static void test_too_much(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	assert_int_equal(strbuf_add(&buf, "abc", 3), 0);
	assert_int_equal(strbuf_reserve(&buf, SIZE_MAX), -ENOMEM);
	assert_int_equal(strbuf_reserve(&buf, SIZE_MAX - 3), -ENOMEM);
	assert_int_equal(buf.len, 3);
	assert_string_equal(buf.data, "abc");
}

static void test_addf(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	assert_int_equal(strbuf_addf(&buf, "%s-%d", "x", 7), 0);
	assert_int_equal(strbuf_addf(&buf, "%200s", ""), 0);
	assert_int_equal(buf.len, 203);
	assert_memory_equal(buf.data, "x-7   ", 6);
}

static void test_align(void **state _unused_)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	assert_int_equal(strbuf_align(&buf, 4), 0);
	assert_int_equal(buf.len, 0);
	for (size_t align = 1; align <= 256; align *= 2) {
		assert_int_equal(strbuf_add(&buf, "x", 1), 0);
		size_t before = buf.len;
		assert_int_equal(strbuf_align(&buf, align), 0);
		assert_int_equal(buf.len % align, 0);
		assert_true(buf.len - before < align);
		for (size_t i = before; i <= buf.len; i++)
			assert_int_equal(buf.data[i], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	 cmocka_unit_test(test_grow),
		cmocka_unit_test(test_reserve),	 cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_addf),	 cmocka_unit_test(test_align),
	};
	return cmocka_run_group_tests_name("strbuf", tests, NULL, NULL);
}
