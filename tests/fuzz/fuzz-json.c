// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/job.h"
#include "common/json.h"
#include "fuzz.h"

/// A job that was understood means the same when it is sent once more.
static void check_job(struct json *json)
{
	struct job job, again;
	memset(&job, 0xa5, sizeof(job));
	if (job_from_json(json, &job) < 0)
		return;
	_cleanup_(json_destroyp) struct json *out = job_to_json(&job);
	REQUIRE(out);
	REQUIRE(job_from_json(out, &again) == 0);
	REQUIRE(job.flags == again.flags && job.filter == again.filter);
	REQUIRE(job.max_pause_ns == again.max_pause_ns && job.free_bytes == again.free_bytes);
	REQUIRE(job.level == again.level);
}

static void check_error(const struct json *json)
{
	struct snap_error *err = job_error_from_json(json);
	REQUIRE(!err == !json_get(json, "error"));
	if (err)
		REQUIRE(err->message && err->code < SNAP_CODE_MAX);
	snap_error_destroy(err);
}

/// What a reader of progress and results does with a message.
static void check_getters(const struct json *json)
{
	const struct json *list = json_get(json, "gaps");
	for (size_t i = 0; i < json_length(list); i++) {
		(void)json_get_u64(json_at(list, i), "start", 0);
		(void)json_get_text(json_at(list, i), "reason");
		(void)json_text_value(json_at(list, i));
	}
	REQUIRE(!json_at(list, json_length(list)));
	(void)json_get_bool(json, "dumped", false);
	(void)json_get_text(json_get(json, "progress"), "phase");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	// Not terminated: the length counts.
	_cleanup_free_ char *bytes = malloc(size ? size : 1);
	REQUIRE(bytes);
	if (size)
		memcpy(bytes, data, size);
	_cleanup_(json_destroyp) struct json *json = json_parse(bytes, size);
	if (!json)
		return 0;
	const char *text = json_text(json);
	REQUIRE(text);
	for (const char *p = text; *p;)
		REQUIRE(fuzz_code_point(&p) >= 0); // valid UTF-8, as the parser promises
	_cleanup_(json_destroyp) struct json *again = json_parse(text, strlen(text));
	REQUIRE(again);
	REQUIRE(!strcmp(json_text(again), text));
	check_job(json);
	check_error(json);
	check_getters(json);
	return 0;
}
