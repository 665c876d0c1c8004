// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/str.h"

static void test_i64(void **state _unused_)
{
	static const struct {
		const char *text;
		int result;
		int64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "-0", 0, 0 },
		{ "-1", 0, -1 },
		{ "  \t42", 0, 42 },
		{ "42 \t", 0, 42 },
		{ "42\nnext line", 0, 42 },
		{ "42 \t\nnext line", 0, 42 },
		{ "0042", 0, 42 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "-9223372036854775809", -ERANGE, 0 },
		{ "99999999999999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ " ", -EINVAL, 0 },
		{ "\n", -EINVAL, 0 },
		{ "\n1", -EINVAL, 0 },
		{ "-", -EINVAL, 0 },
		{ "--1", -EINVAL, 0 },
		{ "- 1", -EINVAL, 0 },
		{ "-\n1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1 x", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "\v1", -EINVAL, 0 },
		{ "1\r\n", -EINVAL, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t v = 4711;
		int r = snap_parse_i64(cases[i].text, &v);
		if (r != cases[i].result || v != (r ? 4711 : cases[i].value))
			fail_msg("'%s': %d, %lld", cases[i].text, r, (long long)v);
	}
}

static void test_u64(void **state _unused_)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "010", 0, 10 }, // never octal
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "0xffffffffffffffff", 0, UINT64_MAX },
		{ "0XfF", 0, 255 },
		{ " 0x7f ", 0, 127 },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "0x", -EINVAL, 0 },
		{ "0xg", -EINVAL, 0 },
		{ "0x-1", -EINVAL, 0 },
		{ "0x 1", -EINVAL, 0 },
		{ "0x0x1", -EINVAL, 0 },
		{ "ff", -EINVAL, 0 },
		{ "12ab", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "-0", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "1,0", -EINVAL, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 4711;
		int r = snap_parse_u64(cases[i].text, &v);
		if (r != cases[i].result || v != (r ? 4711 : cases[i].value))
			fail_msg("'%s': %d, %llu", cases[i].text, r, (unsigned long long)v);
	}
}

static void test_duration(void **state _unused_)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "1", 1000000000 },
		{ "1s", 1000000000 },
		{ "1.5s", 1500000000 },
		{ ".5s", 500000000 },
		{ "5.", 5000000000 },
		{ "250ms", 250000000 },
		{ "0.29ms", 290000 },
		{ "1us", 1000 },
		{ "7ns", 7 },
		{ "2m", 120000000000 },
		{ "1000000000", 1000000000000000000 },
		{ "1000000000000000000ns", 1000000000000000000 },
	};
	static const char *const bad[] = {
		"",    " ",   ".",     "-1",   "-0.1s", "+1",	"1h",	 "1 s",	 "1ss",	 "s",
		"ms",  "0x1", "0X1p3", "nan",  "inf",	"1inf", "1.5.5", "1,5s", "1sms", "1s\n2",
		"1e",  " 1s", "1S",    "1min", "1e999", "\n1",	"1m 5s",
	};
	static const char *const large[] = { "1000000001", "99999999999999999999", "1e30s",
					     "16666667m" };
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		uint64_t ns = 4711;
		int r = snap_parse_duration_ns(good[i].text, &ns);
		if (r || ns != good[i].ns)
			fail_msg("'%s': %d, %llu", good[i].text, r, (unsigned long long)ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t ns = 4711;
		int r = snap_parse_duration_ns(bad[i], &ns);
		if (r >= 0 || ns != 4711)
			fail_msg("'%s': %d, %llu", bad[i], r, (unsigned long long)ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(large); i++) {
		uint64_t ns = 4711;
		assert_int_equal(snap_parse_duration_ns(large[i], &ns), -ERANGE);
		assert_int_equal(ns, 4711);
	}
}

static void test_line_value(void **state _unused_)
{
	static const char text[] = "Name:\tTracerPid:\t7\n"
				   "X TracerPid:\t8\n"
				   "TracerPid:\t 9 \n"
				   "TracerPid:\t10\n"
				   "Empty:\n"
				   "Last: x";
	assert_ptr_equal(snap_line_value(text, "TracerPid:"), strstr(text, "9 \n"));
	assert_ptr_equal(snap_line_value(text, "Name:"), strstr(text, "TracerPid:\t7"));
	assert_ptr_equal(snap_line_value(text, "Empty:"), strstr(text, "\nLast"));
	assert_string_equal(snap_line_value(text, "Last:"), "x");
	uint64_t bytes = 4711;
	assert_int_equal(snap_line_kib("A:\t 3 kB\nB:\tx\nC: 18014398509481984 kB\n", "A:", &bytes),
			 0);
	assert_int_equal(bytes, 3072);
	assert_int_equal(snap_line_kib("A:\t 3 kB\nB:\tx\n", "D:", &bytes), -ENOENT);
	assert_true(snap_line_kib("A:\t 3 kB\nB:\tx\n", "B:", &bytes) < 0);
	assert_int_equal(snap_line_kib("C: 18014398509481984 kB\n", "C:", &bytes), -ERANGE);
	assert_int_equal(bytes, 3072);
	const char *p = "\t 12 x";
	uint64_t n = 4711;
	assert_int_equal(snap_take_u64(&p, &n), 0);
	assert_int_equal(n, 12);
	assert_string_equal(p, " x");
	assert_true(snap_take_u64(&p, &n) < 0);
	assert_string_equal(p, " x"); // not moved
	p = "18446744073709551615.";
	assert_int_equal(snap_take_u64(&p, &n), 0);
	assert_true(n == UINT64_MAX && *p == '.');
	p = "18446744073709551616";
	assert_int_equal(snap_take_u64(&p, &n), -ERANGE);
	p = "000000000000000000000000000000000000000001";
	assert_int_equal(snap_take_u64(&p, &n), -ERANGE);
	p = "-1";
	assert_int_equal(snap_take_u64(&p, &n), -EINVAL);
	assert_int_equal(snap_line_u64("A 7.5\nB x\n", "A ", &n), 0);
	assert_int_equal(n, 7);
	assert_int_equal(snap_line_u64("A 7.5\nB x\n", "B ", &n), -EINVAL);
	assert_int_equal(snap_line_u64("A 7.5\nB x\n", "C ", &n), -ENOENT);
	assert_null(snap_line_value(text, "Tracer:"));
	assert_null(snap_line_value(text, "ast:"));
	assert_null(snap_line_value("", "A:"));
	assert_null(snap_line_value("\n\n\n", "A:"));
	assert_null(snap_line_value("A", "A:"));
	assert_string_equal(snap_line_value("\n\nA:", "A:"), "");
}

static void check_escape(const char *in, size_t len, const char *want)
{
	_cleanup_free_ char *out = snap_escape(in, len);
	assert_non_null(out);
	assert_string_equal(out, want);
}
#define ESCAPE(in, want) check_escape(in, sizeof(in) - 1, want)

static void test_escape(void **state _unused_)
{
	ESCAPE("", "");
	ESCAPE("plain text~", "plain text~");
	ESCAPE("a\\b", "a\\x5cb");
	ESCAPE("\\x41", "\\x5cx41");
	ESCAPE("\0\x01\x1b[31m\n\r\t\x7f", "\\x00\\x01\\x1b[31m\\x0a\\x0d\\x09\\x7f");
	ESCAPE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	// C1 controls, also as the single bytes that some terminals obey
	ESCAPE("\xc2\x9b", "\\xc2\\x9b");
	ESCAPE("\xc2\x80", "\\xc2\\x80");
	ESCAPE("\x9b", "\\x9b");
	ESCAPE("\xc2\xa0", "\xc2\xa0");
	// overlong
	ESCAPE("\xc0\x80", "\\xc0\\x80");
	ESCAPE("\xc1\xbf", "\\xc1\\xbf");
	ESCAPE("\xe0\x80\xaf", "\\xe0\\x80\\xaf");
	ESCAPE("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf");
	ESCAPE("\xe0\xa0\x80", "\xe0\xa0\x80");
	ESCAPE("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf");
	ESCAPE("\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf");
	ESCAPE("\xf0\x90\x80\x80", "\xf0\x90\x80\x80");
	// surrogates and their neighbours
	ESCAPE("\xed\x9f\xbf", "\xed\x9f\xbf");
	ESCAPE("\xed\xa0\x80", "\\xed\\xa0\\x80");
	ESCAPE("\xed\xbf\xbf", "\\xed\\xbf\\xbf");
	ESCAPE("\xee\x80\x80", "\xee\x80\x80");
	// beyond U+10FFFF
	ESCAPE("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf");
	ESCAPE("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	ESCAPE("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
	ESCAPE("\xff\xfe", "\\xff\\xfe");
	// cut short, and continued by something else
	ESCAPE("\xe2\x82", "\\xe2\\x82");
	ESCAPE("\xc3", "\\xc3");
	ESCAPE("\xf0\x9f\x98", "\\xf0\\x9f\\x98");
	ESCAPE("\xe2\x82\x41", "\\xe2\\x82"
			       "A");
	ESCAPE("\xc3\xc3\xa9", "\\xc3\xc3\xa9");
}

/// Never looks behind the given length.
static void test_escape_bounds(void **state _unused_)
{
	char *text = malloc(3); // so that a sanitizer sees a step too far
	assert_non_null(text);
	memcpy(text, "ab\xe2", 3);
	check_escape(text, 3, "ab\\xe2");
	check_escape(text, 2, "ab");
	free(text);
	assert_null(snap_escape("x", SIZE_MAX / 4 + 1));
	assert_null(snap_escape("x", SIZE_MAX));
}

static void test_format_bytes(void **state _unused_)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ (1 << 20) - 1, "1.0 MiB" }, // and not 1024.0 KiB
		{ 1 << 20, "1.0 MiB" },
		{ 1ULL << 40, "1.0 TiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[16];
		assert_string_equal(snap_format_bytes(cases[i].bytes, buf), cases[i].text);
		assert_ptr_equal(snap_format_bytes(cases[i].bytes, buf), buf);
	}
}

static void test_format_ns(void **state _unused_)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0 us" },
		{ 1000, "1 us" },
		{ 999000, "999 us" },
		{ 1250000, "1.25 ms" },
		{ 1000000000, "1.00 s" },
		{ 90000000000, "90.00 s" },
		{ 1000000000000000000, "1000000000.00 s" }, // the longest that can be asked for
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[16];
		assert_string_equal(snap_format_ns(cases[i].ns, buf), cases[i].text);
	}
}

/// Every value fits its buffer with its unit; all bits set is the longest.
static void test_format_limits(void **state _unused_)
{
	for (int bit = 0; bit < 64; bit++) {
		uint64_t v = UINT64_MAX >> bit;
		char buf[16];
		assert_true(strchr("Bs", buf[strlen(snap_format_bytes(v, buf)) - 1]));
		assert_true(strchr("s", buf[strlen(snap_format_ns(v, buf)) - 1]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_i64),	     cmocka_unit_test(test_u64),
		cmocka_unit_test(test_duration),     cmocka_unit_test(test_line_value),
		cmocka_unit_test(test_escape),	     cmocka_unit_test(test_escape_bounds),
		cmocka_unit_test(test_format_bytes), cmocka_unit_test(test_format_ns),
		cmocka_unit_test(test_format_limits),
	};
	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
