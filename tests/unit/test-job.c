// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/job.h"

static void round_trip(const struct job *job, struct job *ret)
{
	_cleanup_(json_destroyp) struct json *json = job_to_json(job);
	const char *text = json_text(json);
	_cleanup_(json_destroyp) struct json *back = json_parse(text, strlen(text));
	assert_int_equal(job_from_json(back, ret), 0);
}

static void check(const struct job *a)
{
	struct job b;
	memset(&b, 0xa5, sizeof(b));
	round_trip(a, &b);
	assert_int_equal(a->flags, b.flags);
	assert_int_equal(a->filter, b.filter);
	assert_int_equal(a->max_pause_ns, b.max_pause_ns);
	assert_int_equal(a->free_bytes, b.free_bytes);
	assert_int_equal(a->level, b.level);
	assert_int_equal(a->pid, b.pid);
}

static void test_round_trip(void **state _unused_)
{
	check(&(struct job){ 0 });
	check(&(struct job){ .flags = UINT32_MAX,
			     .filter = UINT32_MAX,
			     .pid = INT32_MAX,
			     .max_pause_ns = UINT64_MAX,
			     .free_bytes = UINT64_MAX,
			     .level = INT32_MAX });
	check(&(struct job){ .flags = JOB_COMPRESS | JOB_SYNC,
			     .filter = 0x33,
			     .pid = 4711,
			     .max_pause_ns = 1,
			     .free_bytes = 2,
			     .level = 19 });
}

static void test_binaries(void **state _unused_)
{
	const struct job job = { .flags = JOB_FINISH, .binaries = "/var/lib/procsnap/binaries/x" };
	_cleanup_(json_destroyp) struct json *json = job_to_json(&job);
	struct job back;
	assert_int_equal(job_from_json(json, &back), 0);
	assert_string_equal(back.binaries, job.binaries);
	_cleanup_(json_destroyp) struct json *none = job_to_json(&(struct job){ 0 });
	assert_int_equal(job_from_json(none, &back), 0);
	assert_null(back.binaries);
}

static int parse(const char *text, struct job *ret)
{
	_cleanup_(json_destroyp) struct json *json = json_parse(text, strlen(text));
	assert_non_null(json);
	return job_from_json(json, ret);
}

static void test_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"{}",
		"{\"version\":0}",
		"{\"version\":2}",
		"{\"version\":1.0}",
		"{\"version\":\"1\"}",
		"{\"version\":true}",
		"{\"version\":[1]}",
		"{\"version\":-1}",
		"{\"version\":18446744073709551615}",
		"{\"version\":4294967297}",
		"{\"flags\":1}",
		"{\"progress\":{}}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct job job = { .level = 4711 };
		if (parse(bad[i], &job) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(job.level, 4711);
	}
	struct job job;
	assert_int_equal(job_from_json(NULL, &job), -EBADMSG);
}

/// A flag or filter that was cut to 32 bits would be another one.
static void test_too_wide(void **state _unused_)
{
	static const char *const bad[] = {
		"{\"version\":1,\"flags\":4294967296}",
		"{\"version\":1,\"flags\":18446744073709551615}",
		"{\"version\":1,\"filter\":4294967296}",
		"{\"version\":1,\"level\":4294967296}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct job job;
		if (parse(bad[i], &job) != -EBADMSG)
			fail_msg("accepted: %s", bad[i]);
	}
}

static struct snap_error *error_round_trip(struct snap_error *err)
{
	_cleanup_(json_destroyp) struct json *json = job_error_to_json(err);
	snap_error_destroy(err);
	const char *text = json_text(json);
	_cleanup_(json_destroyp) struct json *back = json_parse(text, strlen(text));
	return job_error_from_json(back);
}

static void test_errors(void **state _unused_)
{
	for (int i = 1; i < SNAP_CODE_MAX; i++) {
		enum snap_code code = (enum snap_code)i;
		struct snap_error *err = error_round_trip(snap_error_new(code, "text %d \"x\"", i));
		char want[32];
		(void)snprintf(want, sizeof(want), "text %d \"x\"", i);
		assert_int_equal(err->code, code);
		assert_string_equal(err->message, want);
		snap_error_destroy(err);
	}
	struct snap_error *err = error_round_trip(snap_error_oom());
	assert_string_equal(err->message, "out of memory");
	snap_error_destroy(err);
}

/// Messages are escaped already (common/error.h): they arrive as they were sent.
static void test_escaped_once(void **state _unused_)
{
	struct snap_error *err =
		error_round_trip(snap_error_new(SNAP_TRACED, "traced by '\\x1b[31m'"));
	_cleanup_free_ char *message = strdup(err->message);
	snap_error_destroy(err);
	assert_string_equal(message, "traced by '\\x1b[31m'");
}

static void test_foreign_errors(void **state _unused_)
{
	static const struct {
		const char *text;
		enum snap_code code;
		const char *message;
	} cases[] = {
		{ "{\"error\":{}}", SNAP_FAILED, "failed for an unknown reason" },
		{ "{\"error\":7}", SNAP_FAILED, "failed for an unknown reason" },
		{ "{\"error\":{\"code\":\"no-space\",\"message\":7}}", SNAP_NO_SPACE,
		  "failed for an unknown reason" },
		{ "{\"error\":{\"code\":\"new\",\"message\":\"100%s\"}}", SNAP_FAILED, "100%s" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_destroyp) struct json *json =
			json_parse(cases[i].text, strlen(cases[i].text));
		struct snap_error *err = job_error_from_json(json);
		assert_non_null(err);
		assert_int_equal(err->code, cases[i].code);
		assert_string_equal(err->message, cases[i].message);
		snap_error_destroy(err);
	}
	_cleanup_(json_destroyp) struct json *none = json_new_object();
	assert_null(job_error_from_json(none));
	assert_null(job_error_from_json(NULL));
}

/// An error is never a success, whatever it calls itself.
static void test_ok_is_no_error(void **state _unused_)
{
	static const char text[] = "{\"error\":{\"code\":\"ok\",\"message\":\"fine\"}}";
	_cleanup_(json_destroyp) struct json *json = json_parse(text, sizeof(text) - 1);
	struct snap_error *err = job_error_from_json(json);
	assert_non_null(err);
	enum snap_code code = err->code;
	snap_error_destroy(err);
	assert_int_equal(code, SNAP_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_binaries),     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_wide),       cmocka_unit_test(test_errors),
		cmocka_unit_test(test_escaped_once),   cmocka_unit_test(test_foreign_errors),
		cmocka_unit_test(test_ok_is_no_error),
	};
	return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
