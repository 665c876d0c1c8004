// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/stat.h>

#include "daemon/crashcounts.h"

static const uint64_t SECOND = 1000000000, HOUR = 3600000000000;

struct setup {
	struct crashpolicy *policy;
	struct config *config;
	struct crash_verdict verdict;
};

static void setup_init(struct setup *s)
{
	static const char text[] = "[Crash]\nDuplicateLimit=2/1h\nUserRateLimit=100/10min\n";
	*s = (struct setup){ 0 };
	assert_ok(crashpolicy_create(&s->policy));
	assert_ok(config_create(&s->config));
	assert_ok(config_parse(s->config, "x.conf", text, strlen(text)));
}

static void setup_deinit(struct setup *s)
{
	crashpolicy_destroy(s->policy);
	config_destroy(s->config);
}
#define _cleanup_setup_ _cleanup_(setup_deinit)

static enum crash_action crash(struct setup *s, uid_t uid, uint64_t now_ns)
{
	const struct crash_facts facts = { .uid = uid,
					   .signal = SIGSEGV,
					   .rlimit = UINT64_MAX,
					   .dumpable = 1,
					   .exe = "/usr/bin/f\xff\no",
					   .module = "/usr/lib/libfoo.so",
					   .offset = 16 };
	crashpolicy_decide(s->policy, s->config, &facts, now_ns, &s->verdict);
	return s->verdict.action;
}

static void test_goes_on(void **state _unused_)
{
	_cleanup_setup_ struct setup a, b;
	setup_init(&a);
	setup_init(&b);
	assert_int_equal(crash(&a, 1000, 10 * SECOND), CRASH_KEEP);
	assert_int_equal(crash(&a, 1000, 11 * SECOND), CRASH_KEEP);
	assert_int_equal(crash(&a, 1000, 12 * SECOND), CRASH_NONE);
	assert_int_equal(crash(&a, 1000, 13 * SECOND), CRASH_NONE);
	assert_int_equal(a.verdict.suppressed, 2);
	_cleanup_(json_destroyp) struct json *json =
		crashcounts_to_json(a.policy, HOUR, "boot", 13 * SECOND);
	const char *text = json_text(json);
	_cleanup_(json_destroyp) struct json *read = json_parse(text, strlen(text));
	crashcounts_from_json(read, HOUR, "boot", 14 * SECOND, b.policy);
	assert_int_equal(crashpolicy_count(b.policy), crashpolicy_count(a.policy));
	assert_int_equal(crash(&b, 1000, 15 * SECOND), CRASH_NONE);
	assert_int_equal(b.verdict.suppressed, 3);
	assert_int_equal(crash(&b, 1001, 15 * SECOND), CRASH_KEEP);
	assert_int_equal(b.verdict.suppressed, 0);
	// The time of the limit still begins with the first of them.
	assert_int_equal(crash(&b, 1000, HOUR + 10 * SECOND), CRASH_KEEP);
	assert_int_equal(b.verdict.suppressed, 3);
}

static void test_forgotten(void **state _unused_)
{
	_cleanup_setup_ struct setup a, b;
	setup_init(&a);
	setup_init(&b);
	for (uint64_t i = 0; i < 3; i++)
		(void)crash(&a, 1000, i);
	(void)crash(&a, 1001, HOUR / 2);
	_cleanup_(json_destroyp) struct json *json =
		crashcounts_to_json(a.policy, HOUR, "boot", HOUR / 2);
	crashcounts_from_json(json, HOUR, "another", HOUR / 2, b.policy);
	assert_int_equal(crashpolicy_count(b.policy), 0);
	crashcounts_from_json(json, HOUR, "boot", HOUR / 2 - 1, b.policy); // of the future
	assert_int_equal(crashpolicy_count(b.policy), 3);
	assert_int_equal(crash(&b, 1000, HOUR / 2), CRASH_NONE);
	setup_deinit(&b);
	setup_init(&b);
	crashcounts_from_json(json, HOUR, "boot", HOUR + 3, b.policy);
	assert_int_equal(crashpolicy_count(b.policy), 3); // of 1001
	assert_int_equal(crash(&b, 1000, HOUR + 3), CRASH_KEEP);
	_cleanup_(json_destroyp) struct json *later =
		crashcounts_to_json(a.policy, HOUR, "boot", HOUR + 3);
	assert_int_equal(json_length(json_get(later, "counters")), 3);
}

/// Bounded, and without what cannot be.
static void test_hostile(void **state _unused_)
{
#define KEY "\"key\":\"652f00\""
	static const char *const bad[] = {
		"{\"uid\":1,\"begin_ns\":5,\"used_ns\":6," KEY "}", // of the future
		"{\"uid\":1,\"begin_ns\":3,\"used_ns\":2," KEY "}",
		"{\"uid\":4294967296,\"begin_ns\":1,\"used_ns\":2," KEY "}",
		"{\"begin_ns\":1,\"used_ns\":2," KEY "}",
		"{\"uid\":1,\"begin_ns\":-1,\"used_ns\":2," KEY "}",
		"{\"uid\":1,\"begin_ns\":1,\"used_ns\":2,\"key\":\"\"}",
		"{\"uid\":1,\"begin_ns\":1,\"used_ns\":2,\"key\":\"6\"}",
		"{\"uid\":1,\"begin_ns\":1,\"used_ns\":2,\"key\":\"6g\"}",
		"{\"uid\":1,\"begin_ns\":1,\"used_ns\":2,\"key\":\"61\"}", // no kind
		"{\"uid\":1,\"begin_ns\":1,\"used_ns\":2,\"key\":\"7561\"}", // a user has no name
		"{\"uid\":1,\"begin_ns\":1,\"used_ns\":2,\"key\":7}",
		"{\"uid\":1,\"begin_ns\":1,\"used_ns\":2}",
		"7",
		"null",
	};
	_cleanup_setup_ struct setup s;
	setup_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), "{\"boot_id\":\"b\",\"counters\":[%s]}", bad[i]);
		_cleanup_(json_destroyp) struct json *json = json_parse(text, strlen(text));
		print_message("%s\n", bad[i]);
		assert_non_null(json);
		crashcounts_from_json(json, HOUR, "b", 4, s.policy);
		assert_int_equal(crashpolicy_count(s.policy), 0);
	}
	// Twice the same, a key that is too long, and far too many.
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	struct json *list = json_new_array();
	static char key[4 * CRASHPOLICY_KEY_MAX];
	for (uint64_t i = 0; i < 4096; i++) {
		struct json *of = json_new_object();
		(void)snprintf(key, sizeof(key), "65%0*d", i == 7 ? (int)sizeof(key) - 4 : 8,
			       (int)(i / 2));
		json_set_u64(of, "uid", i / 1024);
		json_set_u64(of, "begin_ns", 1);
		json_set_u64(of, "used_ns", 2);
		json_set_text(of, "key", key);
		json_add(list, of);
	}
	json_set_text(json, "boot_id", "b");
	json_set(json, "counters", list);
	crashcounts_from_json(json, HOUR, "b", 4, s.policy);
	assert_int_equal(crashpolicy_count(s.policy), CRASHPOLICY_COUNTERS_PER_USER);
	assert_int_equal(crash(&s, 0, 5), CRASH_KEEP);
	assert_true(crashpolicy_count(s.policy) <= CRASHPOLICY_COUNTERS_PER_USER);
}

// ---- the file --------------------------------------------------------------------------------

struct files {
	char dir[64], file[96];
	sd_event *event;
};

static void files_init(struct files *f)
{
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/procsnap-counts.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->file, sizeof(f->file), "%s/crash.counts", f->dir);
	assert_true(sd_event_default(&f->event) >= 0);
}

static void files_deinit(struct files *f)
{
	(void)unlink(f->file);
	assert_int_equal(rmdir(f->dir), 0); // nothing else is there
	sd_event_unref(f->event);
}

/// How many counters another daemon would have.
static size_t found(struct files *f)
{
	_cleanup_setup_ struct setup s;
	struct crashcounts *counts = NULL;
	setup_init(&s);
	assert_ok(crashcounts_create(f->event, f->dir, s.policy, s.config, &counts));
	size_t n = crashpolicy_count(s.policy);
	crashcounts_destroy(counts);
	return n;
}

static void test_file(void **state _unused_)
{
	_cleanup_(files_deinit) struct files f;
	_cleanup_setup_ struct setup s;
	struct crashcounts *counts = NULL;
	char other[128];
	files_init(&f);
	setup_init(&s);
	assert_int_equal(found(&f), 0);
	assert_ok(crashcounts_create(f.event, f.dir, s.policy, s.config, &counts));
	(void)crash(&s, 1000, 1);
	crashcounts_destroy(counts); // nothing was said to have changed
	assert_int_equal(access(f.file, F_OK), -1);
	setup_deinit(&s);
	setup_init(&s);
	assert_ok(crashcounts_create(f.event, f.dir, s.policy, s.config, &counts));
	struct timespec ts;
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	(void)crash(&s, 1000, (uint64_t)ts.tv_sec * SECOND);
	crashcounts_changed(counts, s.config);
	crashcounts_destroy(counts);
	assert_int_equal(found(&f), 3);
	// A second name, a file of too many bytes, a link, a pipe.
	(void)snprintf(other, sizeof(other), "%s/other", f.dir);
	assert_int_equal(link(f.file, other), 0);
	assert_int_equal(found(&f), 0);
	assert_int_equal(unlink(f.file), 0);
	assert_int_equal(symlink(other, f.file), 0);
	assert_int_equal(found(&f), 0);
	assert_int_equal(unlink(f.file), 0);
	assert_int_equal(mkfifo(f.file, 0600), 0);
	assert_int_equal(found(&f), 0);
	assert_int_equal(rename(other, f.file), 0);
	assert_int_equal(found(&f), 3);
	assert_int_equal(truncate(f.file, CRASHCOUNTS_MAX_BYTES + 1), 0);
	assert_int_equal(found(&f), 0);
	assert_int_equal(truncate(f.file, 20), 0);
	assert_int_equal(found(&f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
