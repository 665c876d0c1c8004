// SPDX-License-Identifier: LGPL-2.1-or-later
#include "daemon/crashcounts.h"

#include "fuzz.h"

enum { NOW_NS = 1000000 };

static void check(void *userdata, const struct crash_counter *counter)
{
	size_t *n = userdata;
	REQUIRE(counter->key_len >= 1 && counter->key_len < 2 * CRASHPOLICY_KEY_MAX);
	REQUIRE(counter->begin_ns <= counter->used_ns && counter->used_ns <= NOW_NS);
	++*n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	// A copy of exactly this size, so that reading beyond it is seen.
	_cleanup_free_ char *text = malloc(size ? size : 1);
	memcpy(text, data, size);
	_cleanup_(json_destroyp) struct json *json = json_parse(text, size);
	if (!json)
		return 0;
	struct crashpolicy *policy = NULL, *again = NULL;
	size_t n = 0;
	REQUIRE(!crashpolicy_create(&policy) && !crashpolicy_create(&again));
	crashcounts_from_json(json, NOW_NS, "boot", NOW_NS, policy);
	crashpolicy_each(policy, check, &n);
	REQUIRE(n == crashpolicy_count(policy) && n <= CRASHPOLICY_COUNTERS_MAX);
	// What was read is written so that it is read again.
	_cleanup_(json_destroyp) struct json *written =
		crashcounts_to_json(policy, NOW_NS, "boot", NOW_NS);
	crashcounts_from_json(written, NOW_NS, "boot", NOW_NS, again);
	REQUIRE(crashpolicy_count(again) == n);
	crashpolicy_destroy(policy);
	crashpolicy_destroy(again);
	return 0;
}
