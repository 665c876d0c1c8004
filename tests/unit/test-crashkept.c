// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "daemon/crashkept.h"

/*
 * What is kept is tried again, later each time, and not without end; and there is not too much of it.
 */

static sd_event *event;
static struct crashkept *kept;
static char tried[64][32];
static size_t n_tried;
static bool fails; ///< at once, within the call

static const uint64_t waits[] = { 1000, 2000 };

static bool keep(const char *name, uid_t uid, uint64_t bytes, uint64_t max)
{
	const struct crashkept_core core = {
		.name = name, .uid = uid, .disk_bytes = 4 * bytes, .dump_bytes = bytes
	};
	return crashkept_add(kept, &core, max);
}

static void on_try(void *userdata _unused_, const char *name)
{
	assert_true(crashkept_has(kept, name));
	assert_false(crashkept_waits(kept, name));
	assert_true(n_tried < ARRAY_SIZE(tried));
	(void)snprintf(tried[n_tried++], sizeof(tried[0]), "%s", name);
	if (fails)
		assert_true(keep(name, 1, 10, 0));
}

static int begin(void **state _unused_)
{
	n_tried = 0;
	fails = false;
	return sd_event_new(&event) < 0 ||
	       crashkept_create(event, waits, ARRAY_SIZE(waits), on_try, NULL, &kept) != NULL;
}

static int end(void **state _unused_)
{
	crashkept_destroy(kept);
	event = sd_event_unref(event);
	return 0;
}

/// Runs until nothing more is due by itself.
static void run(void)
{
	int r;
	do
		r = sd_event_run(event, 200000);
	while (r > 0);
	assert_int_equal(r, 0);
}

static void test_waits(void **state _unused_)
{
	fails = true;
	assert_true(keep("1.1", 1, 10, 0));
	assert_true(crashkept_waits(kept, "1.1"));
	assert_false(crashkept_waits(kept, "1.2"));
	run();
	assert_int_equal(n_tried, ARRAY_SIZE(waits)); // and then not by itself
	assert_true(crashkept_waits(kept, "1.1"));
	crashkept_try_all(kept);
	assert_int_equal(n_tried, ARRAY_SIZE(waits) + 1);
	run();
	assert_int_equal(n_tried, ARRAY_SIZE(waits) + 1);
}

static void test_success(void **state _unused_)
{
	assert_true(keep("1.1", 1, 10, 0));
	assert_true(keep("2.2", 1, 10, 0));
	run();
	assert_int_equal(n_tried, 2);
	assert_string_equal(tried[0], "1.1");
	// It is being worked on now, and is not begun twice.
	crashkept_try_all(kept);
	run();
	assert_int_equal(n_tried, 2);
	crashkept_forget(kept, "1.1");
	crashkept_forget(kept, "9.9");
	assert_false(crashkept_has(kept, "1.1"));
	struct crashkept_counts counts = crashkept_count(kept);
	assert_int_equal(counts.n, 1);
	assert_int_equal(counts.disk_bytes, 40);
}

static void test_room(void **state _unused_)
{
	assert_false(keep("1.1", 1, 51, 100)); // more than one user's part
	assert_true(keep("1.1", 1, 50, 100));
	assert_false(keep("1.2", 1, 1, 100));
	assert_true(keep("2.1", 2, 30, 100));
	assert_true(keep("3.1", 3, 20, 100));
	assert_false(keep("4.1", 4, 1, 100));
	assert_int_equal(crashkept_count(kept).n, 3);
	assert_true(keep("2.1", 2, 30, 100)); // itself does not count twice
	// There is less room than there was.
	assert_false(keep("2.1", 2, 30, 50));
	assert_false(crashkept_has(kept, "2.1"));
	assert_true(keep("5.1", 5, 1000000, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits, begin, end),
		cmocka_unit_test_setup_teardown(test_success, begin, end),
		cmocka_unit_test_setup_teardown(test_room, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
