// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "daemon/crashpolicy.h"

static const uint64_t SECOND = 1000000000;

/// A policy with a configuration, and what it was told last.
struct setup {
	struct crashpolicy *policy;
	struct config *config;
	struct crash_verdict verdict;
};

static void setup_init(struct setup *s, const char *text)
{
	*s = (struct setup){ 0 };
	assert_ok(crashpolicy_create(&s->policy));
	assert_ok(config_create(&s->config));
	assert_ok(config_parse(s->config, "x.conf", text, strlen(text)));
	(void)crashrules_resolve(&s->config->rules);
}

static void setup_deinit(struct setup *s)
{
	crashpolicy_destroy(s->policy);
	config_destroy(s->config);
}
#define _cleanup_setup_ _cleanup_(setup_deinit)

static struct crash_facts usual(void)
{
	return (struct crash_facts){
		.uid = 1000,
		.signal = SIGSEGV,
		.rlimit = UINT64_MAX,
		.dumpable = 1,
		.exe = "/usr/bin/foo",
		.comm = "foo",
		.unit = "foo.service",
		.cgroup = "/system.slice/foo.service",
		.module = "/usr/lib/libfoo.so",
		.offset = 0x1234,
	};
}

static enum crash_action decide(struct setup *s, const struct crash_facts *facts, uint64_t now_ns)
{
	crashpolicy_decide(s->policy, s->config, facts, now_ns, &s->verdict);
	return s->verdict.action;
}

static enum crash_action decide_usual(struct setup *s, uint64_t now_ns)
{
	const struct crash_facts facts = usual();
	return decide(s, &facts, now_ns);
}

static void expect(struct setup *s, const struct crash_facts *facts, enum crash_action action,
		   const char *reason)
{
	assert_int_equal(decide(s, facts, SECOND), action);
	assert_string_equal(s->verdict.reason, reason);
}

// ---- the process itself ----------------------------------------------------------------------

static void test_default(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "");
	struct crash_facts facts = usual();
	expect(&s, &facts, CRASH_KEEP, "");
	assert_true(s.verdict.max_bytes == UINT64_MAX);
	assert_int_equal(s.verdict.suppressed, 0);
	// Nothing at all is known.
	facts = (struct crash_facts){ .uid = (uid_t)-1, .rlimit = UINT64_MAX, .dumpable = -1 };
	expect(&s, &facts, CRASH_KEEP, "");
}

static void test_rlimit(void **state _unused_)
{
	static const struct {
		uint64_t rlimit;
		enum crash_action action;
		uint64_t max_bytes;
	} cases[] = {
		{ 0, CRASH_NONE, 0 },
		{ 1, CRASH_NONE, 0 },
		{ 4095, CRASH_NONE, 0 },
		{ 4096, CRASH_KEEP, 4096 },
		{ 1 << 20, CRASH_KEEP, 1 << 20 },
		{ 1 << 30, CRASH_KEEP, 64 << 20 },
		{ UINT64_MAX, CRASH_KEEP, 64 << 20 },
	};
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nMaxCoreSize=64M\nRule=comm:foo keep\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct crash_facts facts = usual();
		facts.rlimit = cases[i].rlimit;
		print_message("%llu\n", (unsigned long long)facts.rlimit);
		assert_int_equal(decide(&s, &facts, SECOND), cases[i].action);
		if (cases[i].action == CRASH_KEEP)
			assert_true(s.verdict.max_bytes == cases[i].max_bytes);
		else
			assert_non_null(strstr(s.verdict.reason, "RLIMIT_CORE"));
	}
}

static void test_dumpable(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "");
	struct crash_facts facts = usual();
	facts.dumpable = 0;
	expect(&s, &facts, CRASH_NONE, "the process is not to be dumped (PR_SET_DUMPABLE)");
	facts.dumpable = 2; // only root reads it; it is kept
	expect(&s, &facts, CRASH_KEEP, "");
}

// ---- before there is a core ------------------------------------------------------------------

/// What is known without a core decides; what is not refused so is not counted.
static void test_early(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nRule=comm:none none\nRule=comm:thin stacks\n"
		       "DuplicateLimit=1/1h\nRateLimit=2/1h\nUserRateLimit=3/1h\n");
	struct crash_facts early = usual();
	early.early = true;
	early.module = NULL;
	for (int i = 0; i < 10; i++)
		expect(&s, &early, CRASH_KEEP, "");
	early.comm = "none";
	expect(&s, &early, CRASH_NONE, "Rule=comm:none none");
	early.comm = "thin";
	assert_int_equal(decide(&s, &early, SECOND), CRASH_STACKS);
	early.comm = "foo";
	early.rlimit = 0;
	assert_int_equal(decide(&s, &early, SECOND), CRASH_NONE);
	early.rlimit = UINT64_MAX;

	// A duplicate is told by its place, which nobody knows so early.
	assert_int_equal(decide_usual(&s, SECOND), CRASH_KEEP);
	expect(&s, &early, CRASH_KEEP, "");
	assert_int_equal(decide_usual(&s, SECOND), CRASH_NONE);
	assert_int_equal(s.verdict.suppressed, 1);
	struct crash_facts other = usual();
	other.offset++;
	assert_int_equal(decide(&s, &other, SECOND), CRASH_KEEP);
	// Now there are as many of this executable as there may be.
	assert_int_equal(decide(&s, &early, SECOND), CRASH_NONE);
	assert_non_null(strstr(s.verdict.reason, "RateLimit=2/1h"));
	assert_int_equal(s.verdict.suppressed, 1);
	early.exe = other.exe = "/usr/bin/bar";
	expect(&s, &early, CRASH_KEEP, "");
	assert_int_equal(decide(&s, &other, SECOND), CRASH_KEEP);
	early.exe = "/usr/bin/third";
	assert_int_equal(decide(&s, &early, SECOND), CRASH_NONE);
	assert_non_null(strstr(s.verdict.reason, "UserRateLimit=3/1h"));
}

// ---- rules -----------------------------------------------------------------------------------

static void test_storage(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nStorage=none\nRule=unit:bar* stacks\nRule=exe:/usr/bin/b* keep\n");
	struct crash_facts facts = usual();
	expect(&s, &facts, CRASH_NONE, "Storage=none");
	facts.exe = "/usr/bin/bar";
	expect(&s, &facts, CRASH_KEEP, "");
	facts.unit = "bar.service"; // the first that fits
	expect(&s, &facts, CRASH_STACKS, "Rule=unit:bar* stacks");
}

static void test_rules(void **state _unused_)
{
	static const struct {
		const char *rule;
		bool fits;
	} cases[] = {
		{ "exe:/usr/bin/foo none", true },
		{ "exe:/usr/bin/foo* none", true },
		{ "exe:* none", true },
		{ "exe:/usr/*oo none", true },
		{ "exe:/usr/bin/to none", false },
		{ "exe:foo none", false },
		{ "comm:foo none", true },
		{ "comm:f?? none", true },
		{ "comm:f? none", false },
		{ "unit:foo.service none", true },
		{ "unit:foo none", false },
		{ "unit:me.service none", true }, // of the user's manager
		{ "cgroup:/system.slice/* none", true },
		{ "cgroup:*/docker-* none", false },
		{ "user:1000 none", true },
		{ "user:0x3e8 none", true },
		{ "user:1001 none", false },
		{ "user:root none", false },
		{ "user:no-such-user none", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[128];
		_cleanup_setup_ struct setup s;
		(void)snprintf(text, sizeof(text), "[Crash]\nRule=%s\n", cases[i].rule);
		print_message("%s", text);
		setup_init(&s, text);
		struct crash_facts facts = usual();
		facts.user_unit = "me.service";
		assert_int_equal(decide(&s, &facts, 0), cases[i].fits ? CRASH_NONE : CRASH_KEEP);
	}
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nRule=user:root none\nRule=exe:* stacks\nRule=comm:* none\n");
	struct crash_facts facts = usual();
	facts.uid = 0;
	expect(&s, &facts, CRASH_NONE, "Rule=user:root none");
	facts.uid = 1;
	facts.exe = "/usr/bin/foo (deleted)";
	expect(&s, &facts, CRASH_STACKS, "Rule=exe:* stacks");
	facts.exe = NULL;
	expect(&s, &facts, CRASH_NONE, "Rule=comm:* none");
	facts.comm = NULL;
	expect(&s, &facts, CRASH_KEEP, "");
}

static void test_deleted(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nRule=exe:/usr/bin/foo none\n");
	struct crash_facts facts = usual();
	facts.exe = "/usr/bin/foo (deleted)";
	assert_int_equal(decide(&s, &facts, 0), CRASH_NONE);
	facts.exe = " (deleted)";
	assert_int_equal(decide(&s, &facts, 0), CRASH_KEEP);
}

/// Comparing takes no more than the product of the lengths.
static void test_pattern(void **state _unused_)
{
	char pattern[CRASHRULE_PATTERN_MAX], text[4096];
	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2) {
		pattern[i] = '*';
		pattern[i + 1] = 'a';
	}
	pattern[sizeof(pattern) - 2] = 'b';
	pattern[sizeof(pattern) - 1] = '\0';
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(crashrule_fits(pattern, text));
	text[sizeof(text) - 2] = 'b';
	assert_true(crashrule_fits(pattern, text));
	assert_true(crashrule_fits("", ""));
	assert_true(crashrule_fits("*", ""));
	assert_true(crashrule_fits("**", ""));
	assert_false(crashrule_fits("?", ""));
	assert_false(crashrule_fits("*", NULL));
	assert_true(crashrule_fits("*b*d", "abcbcd"));
	assert_false(crashrule_fits("a*b", "abc"));
	assert_true(crashrule_fits("*", "*"));
}

// ---- limits ----------------------------------------------------------------------------------

static void test_duplicates(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nDuplicateLimit=2/1min\n");
	assert_int_equal(decide_usual(&s, 100 * SECOND), CRASH_KEEP);
	assert_int_equal(decide_usual(&s, 101 * SECOND), CRASH_KEEP);
	assert_int_equal(s.verdict.suppressed, 0);
	for (uint64_t i = 1; i <= 1000; i++) {
		assert_int_equal(decide_usual(&s, 102 * SECOND), CRASH_NONE);
		assert_int_equal(s.verdict.suppressed, i);
	}
	assert_string_equal(s.verdict.reason, "DuplicateLimit=2/1min: there are as many cores "
					      "of this executable at this place");
	// Everything that makes it another crash.
	struct crash_facts others[] = { usual(), usual(), usual(), usual(), usual() };
	others[0].signal = SIGBUS;
	others[1].offset++;
	others[2].module = "/usr/lib/libbar.so";
	others[3].callers = 1;
	others[4].uid = 1001;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_int_equal(decide(&s, &others[i], 103 * SECOND), CRASH_KEEP);
		// The first one that has a core tells of those that have none; of its user.
		assert_int_equal(s.verdict.suppressed, i ? 0 : 1000);
	}
	assert_int_equal(decide_usual(&s, 159 * SECOND), CRASH_NONE);
	assert_int_equal(s.verdict.suppressed, 1);
	assert_int_equal(decide_usual(&s, 160 * SECOND), CRASH_KEEP);
	assert_int_equal(s.verdict.suppressed, 1);
	assert_int_equal(decide_usual(&s, 161 * SECOND), CRASH_KEEP);
	assert_int_equal(s.verdict.suppressed, 0);
	assert_int_equal(decide_usual(&s, 162 * SECOND), CRASH_NONE);
}

/// Where the place tells nothing.
static void test_no_place(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nDuplicateLimit=1/1min\n");
	struct crash_facts facts = usual();
	facts.module = NULL;
	for (int i = 0; i < 5; i++)
		assert_int_equal(decide(&s, &facts, 0), CRASH_KEEP);
	facts.callers = 4711; // a call through a null pointer
	assert_int_equal(decide(&s, &facts, 0), CRASH_KEEP);
	assert_int_equal(decide(&s, &facts, 0), CRASH_NONE);
}

static void test_rate(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nDuplicateLimit=infinity\nRateLimit=3/10s\nUserRateLimit=5/1h\n");
	struct crash_facts facts = usual();
	for (uint64_t i = 0; i < 3; i++) {
		facts.offset = i;
		assert_int_equal(decide(&s, &facts, 0), CRASH_KEEP);
	}
	assert_int_equal(decide(&s, &facts, 9 * SECOND), CRASH_NONE);
	assert_string_equal(s.verdict.reason,
			    "RateLimit=3/10s: there are as many cores of this executable");
	facts.exe = "/usr/bin/bar";
	assert_int_equal(decide(&s, &facts, 10 * SECOND), CRASH_KEEP);
	assert_int_equal(s.verdict.suppressed, 0);
	facts.exe = "/usr/bin/foo";
	assert_int_equal(decide(&s, &facts, 10 * SECOND), CRASH_KEEP);
	assert_int_equal(s.verdict.suppressed, 1);
	facts.exe = "/usr/bin/baz";
	assert_int_equal(decide(&s, &facts, 11 * SECOND), CRASH_NONE);
	assert_non_null(strstr(s.verdict.reason, "UserRateLimit=5/1h: there are as many cores of this user"));
	// Nobody else is concerned.
	facts.uid = 1001;
	assert_int_equal(decide(&s, &facts, 11 * SECOND), CRASH_KEEP);
}

static void test_zero_rate(void **state _unused_)
{
	_cleanup_(config_destroyp) struct config *config = NULL;
	static const char *const bad[] = { "0/1s", "1/0", "1", "/1s", "1/", "1/infinity", "-1/1s",
					   "1/1x",  "infinity/1s", "99999999999999999999/1s" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[80];
		(void)snprintf(text, sizeof(text), "[Crash]\nRateLimit=%s\n", bad[i]);
		print_message("%s", text);
		config_destroy(config);
		config = NULL;
		assert_ok(config_create(&config));
		assert_code(config_parse(config, "x.conf", text, strlen(text)), SNAP_USAGE);
	}
}

static void test_unwanted_do_not_count(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nRateLimit=1/1h\nRule=comm:no none\n");
	struct crash_facts facts = usual();
	facts.rlimit = 0;
	assert_int_equal(decide(&s, &facts, 0), CRASH_NONE);
	facts = usual();
	facts.comm = "no";
	assert_int_equal(decide(&s, &facts, 0), CRASH_NONE);
	assert_int_equal(s.verdict.suppressed, 0);
	assert_int_equal(decide_usual(&s, 0), CRASH_KEEP);
	assert_int_equal(s.verdict.suppressed, 0);
	assert_int_equal(decide_usual(&s, 0), CRASH_NONE);
}

/// What one limit refuses is no core for the others.
static void test_refused_do_not_count(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nDuplicateLimit=1/1h\nRateLimit=2/1h\n");
	assert_int_equal(decide_usual(&s, 0), CRASH_KEEP);
	for (int i = 0; i < 10; i++)
		assert_int_equal(decide_usual(&s, 0), CRASH_NONE);
	struct crash_facts facts = usual();
	facts.offset = 1;
	assert_int_equal(decide(&s, &facts, 0), CRASH_KEEP);
	assert_int_equal(s.verdict.suppressed, 10);
	facts.offset = 2;
	assert_int_equal(decide(&s, &facts, 0), CRASH_NONE);
	assert_non_null(strstr(s.verdict.reason, "RateLimit="));
}

static void test_clock(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nDuplicateLimit=1/1min\n");
	assert_int_equal(decide_usual(&s, 1000 * SECOND), CRASH_KEEP);
	assert_int_equal(decide_usual(&s, 1000 * SECOND), CRASH_NONE);
	assert_int_equal(decide_usual(&s, 10 * SECOND), CRASH_KEEP); // began anew
	assert_int_equal(decide_usual(&s, 11 * SECOND), CRASH_NONE);
	assert_int_equal(decide_usual(&s, UINT64_MAX), CRASH_KEEP);
}

// ---- memory ----------------------------------------------------------------------------------

/// One user cannot push out what is counted of others.
static void test_bounded(void **state _unused_)
{
	_cleanup_setup_ struct setup s;
	setup_init(&s, "[Crash]\nDuplicateLimit=1/1h\n");
	char name[8192];
	assert_int_equal(decide_usual(&s, 0), CRASH_KEEP);
	assert_int_equal(decide_usual(&s, 0), CRASH_NONE);
	for (uint64_t i = 0; i < 3000; i++) {
		struct crash_facts facts = usual();
		memset(name, 'x', sizeof(name));
		(void)snprintf(name + sizeof(name) - 32, 32, "/%llu", (unsigned long long)i);
		facts.uid = 666;
		facts.exe = facts.module = name;
		assert_int_equal(decide(&s, &facts, 0), CRASH_KEEP);
		assert_in_range(crashpolicy_count(s.policy), 0, CRASHPOLICY_COUNTERS_PER_USER + 2);
	}
	assert_int_equal(decide_usual(&s, 0), CRASH_NONE);
	assert_int_equal(s.verdict.suppressed, 2);
	for (uid_t uid = 2000; uid < 5000; uid++) {
		struct crash_facts facts = usual();
		facts.uid = uid;
		assert_int_equal(decide(&s, &facts, 0), CRASH_KEEP);
	}
	assert_int_equal(crashpolicy_count(s.policy), CRASHPOLICY_COUNTERS_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_rlimit),
		cmocka_unit_test(test_dumpable),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_pattern),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_no_place),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_zero_rate),
		cmocka_unit_test(test_unwanted_do_not_count),
		cmocka_unit_test(test_refused_do_not_count),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
