// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/json.h"

static struct json *parse(const char *text)
{
	return json_parse(text, strlen(text));
}

static struct json *round_trip(const struct json *json)
{
	const char *text = json_text(json);
	assert_non_null(text);
	assert_null(strchr(text, '\n'));
	struct json *back = parse(text);
	assert_non_null(back);
	return back;
}

static void test_numbers(void **state _unused_)
{
	static const uint64_t values[] = {
		0, 1, INT32_MAX, 1ULL << 32, INT64_MAX, 1ULL << 63, UINT64_MAX - 1, UINT64_MAX,
		(1ULL << 53) + 1, // where doubles lose the last bit
	};
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_(json_destroyp) struct json *json = json_new_object();
		json_set_u64(json, "n", values[i]);
		_cleanup_(json_destroyp) struct json *back = round_trip(json);
		assert_int_equal(json_get_u64(json, "n", 4711), values[i]);
		assert_int_equal(json_get_u64(back, "n", 4711), values[i]);
	}
}

static void test_values(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	struct json *list = json_new_array(), *inner = json_new_object();
	json_set_bool(json, "yes", true);
	json_set_bool(json, "no", false);
	json_set_text(json, "text", "a/b \"quoted\"");
	json_set_text(json, "null", NULL);
	json_set_text(inner, "deep", "down");
	json_set(json, "inner", inner);
	json_add_message(list, "one");
	json_add(list, json_new_object());
	json_add_message(list, NULL);
	json_set(json, "list", list);
	json_set_text(json, "again", "first");
	json_set_text(json, "again", "second");

	_cleanup_(json_destroyp) struct json *back = round_trip(json);
	assert_true(json_get_bool(back, "yes", false));
	assert_false(json_get_bool(back, "no", true));
	assert_string_equal(json_get_text(back, "text"), "a/b \"quoted\"");
	assert_null(json_get_text(back, "null"));
	assert_string_equal(json_get_text(json_get(back, "inner"), "deep"), "down");
	assert_int_equal(json_length(json_get(back, "list")), 3);
	assert_string_equal(json_text_value(json_at(json_get(back, "list"), 0)), "one");
	assert_null(json_text_value(json_at(json_get(back, "list"), 1)));
	assert_null(json_at(json_get(back, "list"), 3));
	assert_null(json_at(json_get(back, "list"), SIZE_MAX));
	assert_string_equal(json_get_text(back, "again"), "second");
}

/// A value that could not be made breaks everything it is put into.
static void test_broken(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	struct json *list = json_new_array(), *inner = json_new_object();
	json_set(inner, "lost", NULL);
	assert_null(json_text(inner));
	json_add(list, inner);
	assert_null(json_text(list));
	json_set_text(json, "whole", "so far");
	assert_non_null(json_text(json));
	json_set(json, "list", list);
	assert_null(json_text(json));
}

/// Keys that are missing or of another type give the fallback.
static void test_fallbacks(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *json =
		parse("{\"s\":\"12\",\"d\":1.5,\"b\":true,\"n\":null,\"o\":{},\"a\":[1],\"i\":7}");
	assert_non_null(json);
	static const char *const not_int[] = { "s", "d", "b", "n", "o", "a", "missing", "" };
	for (size_t i = 0; i < ARRAY_SIZE(not_int); i++)
		assert_int_equal(json_get_u64(json, not_int[i], 99), 99);
	assert_int_equal(json_get_u64(json, "i", 99), 7);
	assert_true(json_get_bool(json, "i", true));
	assert_false(json_get_bool(json, "s", false));
	assert_null(json_get_text(json, "i"));
	assert_null(json_get_text(json, "o"));
	assert_null(json_get(json_get(json, "a"), "key"));
	assert_null(json_get(json_get(json, "s"), "key"));
	assert_int_equal(json_length(json_get(json, "o")), 0);
	assert_int_equal(json_length(NULL), 0);
	assert_null(json_at(NULL, 0));
	assert_null(json_text_value(NULL));
	assert_int_equal(json_get_u64(NULL, "x", 5), 5);
	assert_null(json_text(NULL));
	json_destroy(NULL);
}

/// Without an object, setters free what they were given.
static void test_no_memory(void **state _unused_)
{
	json_set_u64(NULL, "a", 1);
	json_set_text(NULL, "a", "b");
	json_set(NULL, "a", json_new_object());
	json_add(NULL, json_new_array());
	json_add_message(NULL, "x");
}

/// What others control stays printable UTF-8.
static void test_escaped(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	json_set_text(json, "t", "a\x1b[0m\xff\xc2\x9b\xc3\xa9\\");
	_cleanup_(json_destroyp) struct json *back = round_trip(json);
	assert_string_equal(json_get_text(back, "t"),
			    "a\\x1b[0m\\xff\\xc2\\x9b\xc3\xa9\\x5c");
}

static void test_strict(void **state _unused_)
{
	static const char *const bad[] = {
		"",	  " ",	       "{",	    "}",	  "[]",		"[{}]",	     "null",
		"1",	  "\"x\"",     "true",	    "{}{}",	  "{} x",	"{}\v",	     "{}#",
		"{}]",	  "{\"a\"}",   "{\"a\":}",  "{\"a\":1,}", "{,}",	"{a:1}",
		"{\"a\":1 \"b\":2}",   "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}",
		"{\"a\":-}",
		"{\"a\":/* */1}", "{\"a\":\"\\x41\"}", "{\"a\":\"\\u12\"}",
		"{\"a\":tru}", "{\"a\":TRUE}", "\xef\xbb\xbf{}", "{\"a\":1e}", "{\"a\":0x10}",
		"{\"a\":nul}", "{\"a\":\"x}",
	};
	int accepted = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(json_destroyp) struct json *json = parse(bad[i]);
		if (json)
			print_error("accepted: %s\n", bad[i]);
		accepted += json != NULL;
	}
	assert_int_equal(accepted, 0);
	static const char *const good[] = { "{}", "{\"a\":{\"b\":[1,2,{}]}}", "{\"\":null}",
					    "{ \"a\" : -1 , \"b\" : 1.5e3 }",
					    "{\"a\":\"\\u00e9\\n\\\"\"}" };
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_(json_destroyp) struct json *json = parse(good[i]);
		if (!json)
			fail_msg("refused: %s", good[i]);
	}
}

static void test_bytes(void **state _unused_)
{
	assert_null(json_parse("{}\0", 3));
	assert_null(json_parse("{\"a\":\0 1}", 9));
	assert_null(json_parse("{\"a\":\"\0\"}", 9));
	assert_null(json_parse("\0{}", 3));
	assert_null(json_parse("{}", 1));
	assert_null(json_parse("{}", 0));
	assert_null(json_parse("{}", (size_t)INT32_MAX + 1));
	_cleanup_(json_destroyp) struct json *cut = json_parse("{} and what does not count", 2);
	assert_non_null(cut);
}

static void test_utf8(void **state _unused_)
{
	static const char *const bad[] = {
		"{\"a\":\"\xff\"}",	    "{\"\xff\":1}",	    "{\"a\":\"\xc3\"}",
		"{\"a\":\"\xc0\x80\"}",	    "{\"a\":\"\x80\"}",	    "{\"a\":\"\xf0\x9f\x98\"}",
		"{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xf5\x80\x80\x80\"}",
	};
	int accepted = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(json_destroyp) struct json *json = parse(bad[i]);
		if (json)
			print_error("accepted number %zu\n", i);
		accepted += json != NULL;
	}
	assert_int_equal(accepted, 0);
	// One of each length, the first and the last of each, as text and as key, and after escapes.
	static const char *const good[] = {
		"\xc2\x80",	   "\xdf\xbf",	      "\xe0\xa0\x80",	   "\xed\x9f\xbf",
		"\xee\x80\x80",   "\xef\xbf\xbf",	      "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
		"\xc3\xa9 \xf0\x9f\x98\x80\xe2\x82\xac", "\xc3\xa9t\xc3\xa9",
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char text[128];
		(void)snprintf(text, sizeof(text), "{\"%s\":\"\\\\%s\"}", good[i], good[i]);
		_cleanup_(json_destroyp) struct json *json = parse(text);
		assert_non_null(json);
		assert_string_equal(json_text(json), text);
	}
	assert_null(parse("{\"a\":\"\\\xc3\xa9\"}"));
	assert_null(parse("{\"a\":\xc3\xa9}"));
	assert_null(parse("{\"a\":1}\xc2\xa0"));
}

static struct json *parse_nested(int depth, bool arrays)
{
	char text[4096] = "{";
	size_t n = 1;
	for (int i = 1; i < depth; i++)
		n += (size_t)sprintf(text + n, "%s", arrays ? i == 1 ? "\"a\":[" : "[" : "\"a\":{");
	for (int i = 1; i < depth; i++)
		text[n++] = arrays ? ']' : '}';
	text[n++] = '}';
	return json_parse(text, n);
}

static void test_depth(void **state _unused_)
{
	for (int arrays = 0; arrays < 2; arrays++) {
		for (int depth = 1; depth < 400; depth = depth < 20 ? depth + 1 : depth * 2) {
			_cleanup_(json_destroyp) struct json *json = parse_nested(depth, arrays);
			if (!json != (depth > 16))
				fail_msg("%d deep: %s", depth, json ? "accepted" : "refused");
		}
	}
}

/// The last one of two equal keys counts, and nothing leaks.
static void test_duplicate_keys(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *json = parse("{\"a\":\"x\",\"a\":2,\"b\":1,\"a\":3}");
	if (!json)
		return; // refusing them is just as good
	assert_int_equal(json_get_u64(json, "a", 0), 3);
}

static void test_number_limits(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *max = parse("{\"a\":18446744073709551615}");
	assert_int_equal(json_get_u64(max, "a", 0), UINT64_MAX);
	// A number that does not fit must not turn into a small one.
	_cleanup_(json_destroyp) struct json *more = parse("{\"a\":18446744073709551617}");
	uint64_t v = json_get_u64(more, "a", 99);
	assert_true(v == 99 || v == UINT64_MAX);
	_cleanup_(json_destroyp) struct json *minus = parse("{\"a\":-1}");
	v = json_get_u64(minus, "a", 99);
	assert_true(v == 99 || v == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	  cmocka_unit_test(test_values),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_fallbacks), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_escaped),	  cmocka_unit_test(test_strict),
		cmocka_unit_test(test_bytes),	  cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_depth),	  cmocka_unit_test(test_duplicate_keys),
		cmocka_unit_test(test_number_limits),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
