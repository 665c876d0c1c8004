// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/analysis.h"

static void test_hex(void **state _unused_)
{
	_cleanup_free_ char *empty = analysis_to_hex("", 0), *all = NULL, *back = NULL;
	char bytes[256];
	assert_string_equal(empty, "");
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	all = analysis_to_hex(bytes, sizeof(bytes));
	assert_int_equal(strlen(all), 512);
	assert_memory_equal(all, "000102030405060708090a0b0c0d0e0f10", 34);
	assert_string_equal(all + 504, "fcfdfeff");
	back = analysis_from_hex(all + 2); // without the NUL
	assert_non_null(back);
	assert_int_equal(strlen(back), 255);
	assert_memory_equal(back, bytes + 1, 255);
}

static void test_no_hex(void **state _unused_)
{
	static const char *const bad[] = { "0x", "4g", "g4", "4 ", " 4", "4G", "AA", "4142zz", "00",
					   "410042", "\xff\xff", "::", "@@", "``", "//" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(analysis_from_hex(bad[i]));
}

static void test_odd(void **state _unused_)
{
	static const struct {
		const char *hex, *text;
	} cases[] = { { "", "" }, { "4", "" }, { "414", "A" }, { "2f62696e", "/bin" } };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = analysis_from_hex(cases[i].hex);
		assert_non_null(text);
		assert_string_equal(text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_no_hex),
		cmocka_unit_test(test_odd),
	};
	return cmocka_run_group_tests_name("analysis", tests, NULL, NULL);
}
