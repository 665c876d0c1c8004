// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/armstate.h"

/// What a worker has found, or NULL for a text that is no JSON.
static struct json *found(const char *text)
{
	struct json *json = json_parse(text, strlen(text));
	assert_non_null(json);
	return json;
}

#define PROGRAM "\"go\":true,\"version\":\"go1.27\",\"program\":\"0x10\",\"address\":\"0x20\","

static void test_names(void **state _unused_)
{
	for (enum armstate i = 0; i < ARMSTATE_MAX; i++) {
		assert_int_equal(armstate_from_name(armstate_name(i)), i);
		assert_true(*armstate_text(i) != '?');
	}
	assert_int_equal(armstate_from_name("?"), ARMSTATE_MAX);
	assert_int_equal(armstate_from_name(NULL), ARMSTATE_MAX);
}

static void test_before(void **state _unused_)
{
	static const struct {
		const char *found;
		enum armstate without, with; ///< a record of {4 -> 7}
	} cases[] = {
		{ "{" PROGRAM "\"value\":4}", ARMSTATE_ARMED, ARMSTATE_ARMED },
		{ "{" PROGRAM "\"value\":7}", ARMSTATE_ALWAYS, ARMSTATE_ALREADY },
		{ "{" PROGRAM "\"value\":11}", ARMSTATE_ALWAYS, ARMSTATE_ALWAYS },
		{ "{\"program\":\"0x11\",\"address\":\"0x20\",\"value\":7}", ARMSTATE_ALWAYS,
		  ARMSTATE_ALWAYS },
		{ "{\"go\":false,\"refused\":\"x\"}", ARMSTATE_SKIPPED, ARMSTATE_SKIPPED },
		{ "{\"go\":true,\"refused\":\"x\"}", ARMSTATE_REFUSED, ARMSTATE_REFUSED },
	};
	_cleanup_(json_destroyp) struct json *look = found("{" PROGRAM "\"value\":4}");
	_cleanup_(json_destroyp) struct json *record = armstate_record(look);
	assert_int_equal(json_get_u64(record, "before", 0), 4);
	assert_int_equal(json_get_u64(record, "value", 0), 7);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_destroyp) struct json *json = found(cases[i].found);
		print_message("%s\n", cases[i].found);
		assert_int_equal(armstate_before(NULL, json), cases[i].without);
		assert_int_equal(armstate_before(record, json), cases[i].with);
	}
}

static void test_since(void **state _unused_)
{
	static const struct {
		const char *found;
		enum armstate state;
	} cases[] = {
		{ "{" PROGRAM "\"value\":7}", ARMSTATE_ARMED },
		{ "{" PROGRAM "\"value\":4}", ARMSTATE_DISARMED },
		{ "{" PROGRAM "\"value\":14}", ARMSTATE_CHANGED },
		{ "{\"program\":\"0x11\",\"address\":\"0x20\",\"value\":7}",
		  ARMSTATE_OTHER_PROGRAM },
		{ "{\"go\":false,\"refused\":\"x\"}", ARMSTATE_OTHER_PROGRAM },
	};
	_cleanup_(json_destroyp) struct json *look = found("{" PROGRAM "\"value\":4}");
	_cleanup_(json_destroyp) struct json *record = armstate_record(look);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_destroyp) struct json *json = found(cases[i].found);
		print_message("%s\n", cases[i].found);
		assert_int_equal(armstate_since(record, json), cases[i].state);
	}
	_cleanup_(json_destroyp) struct json *to = armstate_to_arm(look);
	_cleanup_(json_destroyp) struct json *back = armstate_to_disarm(record);
	assert_string_equal(json_text(to), "{\"expect\":4,\"value\":7}");
	assert_string_equal(json_text(back), "{\"expect\":7,\"value\":4}");
}

static void test_refusal(void **state _unused_)
{
	_cleanup_(json_destroyp) struct json *json = found("{\"refused\":\"it has 32 bits\"}");
	struct snap_error *err = armstate_refusal(json, 7);
	assert_int_equal(err->code, SNAP_FAILED);
	assert_string_equal(err->message, "process 7 was left alone because it has 32 bits");
	snap_error_destroy(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_before),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_refusal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
