// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "daemon/unitpatterns.h"

static void test_find(void **state _unused_)
{
	struct unitpatterns p = { 0 };
	assert_null(unitpatterns_find(&p, "a.service"));
	assert_int_equal(unitpatterns_add(&p, "myapp@*.service\t web  *-go.scope"), 0);
	assert_int_equal(unitpatterns_add(&p, ""), 0);
	assert_int_equal(unitpatterns_add(&p, "worker?"), 0);
	assert_int_equal(p.n, 4);
	static const struct {
		const char *unit, *pattern;
	} cases[] = {
		{ "myapp@1.service", "myapp@*.service" },
		{ "myapp@.service", "myapp@*.service" },
		{ "myapp.service", NULL },
		{ "myapp@1.scope", NULL },
		{ "web.service", "web.service" },
		{ "web", NULL },
		{ "web.service.d", NULL },
		{ "xweb.service", NULL },
		{ "run-7-go.scope", "*-go.scope" },
		{ "worker1.service", "worker?.service" },
		{ "worker10.service", NULL },
		{ "", NULL },
		{ NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *found = unitpatterns_find(&p, cases[i].unit);
		print_message("%s\n", cases[i].unit ? cases[i].unit : "NULL");
		if (cases[i].pattern)
			assert_string_equal(found, cases[i].pattern);
		else
			assert_null(found);
	}
	unitpatterns_deinit(&p);
	assert_int_equal(p.n, 0);
}

static void test_refused(void **state _unused_)
{
	static const char *const bad[] = { "/system.slice/a.service", "a/b",   "a \"b\"", "100%",
					   "a[bc].service",	      "{a,b}", "\x1b",	  "a\xff" };
	struct unitpatterns p = { 0 };
	char text[UNITPATTERN_MAX + 2];
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_int_equal(unitpatterns_add(&p, bad[i]), -EINVAL);
	}
	unitpatterns_deinit(&p);
	memset(text, 'a', sizeof(text));
	text[UNITPATTERN_MAX + 1] = '\0';
	assert_int_equal(unitpatterns_add(&p, text), -ERANGE);
	assert_int_equal(p.n, 0);
	for (size_t i = 0; i < UNITPATTERNS_MAX; i++)
		assert_int_equal(unitpatterns_add(&p, text + 1), 0);
	assert_int_equal(unitpatterns_add(&p, "a"), -ERANGE);
	unitpatterns_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
