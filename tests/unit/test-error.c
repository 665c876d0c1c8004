// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

static void test_codes(void **state _unused_)
{
	for (int i = 0; i < SNAP_CODE_MAX; i++) {
		enum snap_code code = (enum snap_code)i;
		const char *name = snap_code_name(code);
		assert_non_null(name);
		assert_true(*name);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
		assert_true(*snap_code_text(code));
		assert_int_equal(snap_code_from_name(name), code);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(name, snap_code_name((enum snap_code)j));
	}
	// Exit codes are an interface.
	assert_int_equal(snap_code_from_name("usage"), 2);
	assert_int_equal(snap_code_from_name("no-such-process"), 3);
	assert_int_equal(snap_code_from_name("not-permitted"), 4);
	assert_int_equal(snap_code_from_name("partial"), 5);
	assert_int_equal(snap_code_from_name("already-traced"), 6);
	assert_int_equal(snap_code_from_name("no-space"), 7);
	assert_int_equal(snap_code_from_name("pause-exceeded"), 8);
	assert_int_equal(snap_code_from_name("cancelled"), 9);
}

static void test_unknown_codes(void **state _unused_)
{
	assert_string_equal(snap_code_name((enum snap_code)-1), "failed");
	assert_string_equal(snap_code_name(SNAP_CODE_MAX), "failed");
	assert_string_equal(snap_code_text((enum snap_code)1000), snap_code_text(SNAP_FAILED));
	assert_int_equal(snap_code_from_name(NULL), SNAP_FAILED);
	assert_int_equal(snap_code_from_name(""), SNAP_FAILED);
	assert_int_equal(snap_code_from_name("okay"), SNAP_FAILED);
	assert_int_equal(snap_code_from_name("OK"), SNAP_FAILED);
}

static void test_messages(void **state _unused_)
{
	struct snap_error *err = snap_error_new(SNAP_USAGE, "no %s", "way");
	assert_int_equal(err->code, SNAP_USAGE);
	assert_int_equal(err->errnum, 0);
	assert_string_equal(err->message, "no way");
	snap_error_destroy(err);

	err = snap_error_errno(SNAP_NO_SPACE, ENOSPC, "cannot write %d", 7);
	assert_int_equal(err->code, SNAP_NO_SPACE);
	assert_int_equal(err->errnum, ENOSPC);
	assert_string_equal(err->message, "cannot write 7: No space left on device");
	snap_error_destroy(err);

	err = snap_error_errno(SNAP_FAILED, 0, "just text: 100%%");
	assert_string_equal(err->message, "just text: 100%");
	snap_error_destroy(err);
}

static void test_wrap(void **state _unused_)
{
	struct snap_error *err = snap_error_new(SNAP_TRACED, "inner %%s");
	err = snap_error_wrap(err, "outer %d", 1);
	err = snap_error_wrap(err, "top");
	assert_int_equal(err->code, SNAP_TRACED);
	assert_string_equal(err->message, "top: outer 1: inner %s");
	snap_error_destroy(err);
	assert_null(snap_error_wrap(NULL, "nothing"));
}

static void test_oom(void **state _unused_)
{
	struct snap_error *err = snap_error_oom();
	assert_ptr_equal(err, snap_error_oom());
	assert_ptr_equal(snap_error_wrap(err, "prefix"), err);
	assert_string_equal(err->message, "out of memory");
	assert_int_equal(err->code, SNAP_FAILED);
	snap_error_destroy(err);
	snap_error_destroy(err); // it is static
	assert_string_equal(snap_error_oom()->message, "out of memory");
	snap_error_destroy(NULL);
}

static void test_cleanup(void **state _unused_)
{
	_cleanup_(snap_error_destroyp) struct snap_error *err = snap_error_new(SNAP_FAILED, "x");
	_cleanup_(snap_error_destroyp) _unused_ struct snap_error *none = NULL;
	struct snap_error *taken = TAKE_PTR(err);
	assert_null(err);
	snap_error_destroy(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),	 cmocka_unit_test(test_unknown_codes),
		cmocka_unit_test(test_messages), cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_oom),	 cmocka_unit_test(test_cleanup),
	};
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
