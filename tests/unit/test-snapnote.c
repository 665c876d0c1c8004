// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/snapnote.h"

/// The format is an interface: where each member lies must not change with the version.
static void test_layout(void **state _unused_)
{
	assert_int_equal(NT_PROCSNAP_SNAPSHOT, 0x534e4150);
	assert_string_equal(SNAPNOTE_OWNER, "procsnap");
	assert_int_equal(offsetof(struct snapnote, version), 0);
	assert_int_equal(offsetof(struct snapnote, header_size), 4);
	assert_int_equal(offsetof(struct snapnote, flags), 8);
	assert_int_equal(offsetof(struct snapnote, gap_size), 12);
	assert_int_equal(offsetof(struct snapnote, n_gaps), 16);
	assert_int_equal(offsetof(struct snapnote, thread_size), 20);
	assert_int_equal(offsetof(struct snapnote, n_threads), 24);
	assert_int_equal(offsetof(struct snapnote, coredump_filter), 28);
	assert_int_equal(offsetof(struct snapnote, realtime_ns), 32);
	assert_int_equal(offsetof(struct snapnote, monotonic_ns), 40);
	assert_int_equal(offsetof(struct snapnote, pause_ns), 48);
	assert_int_equal(offsetof(struct snapnote, gap_bytes), 56);
	assert_int_equal(offsetof(struct snapnote, mode), 64);
	assert_int_equal(offsetof(struct snapnote, predicted_pause_ns), 80);
	assert_int_equal(offsetof(struct snapnote_gap, end), 8);
	assert_int_equal(offsetof(struct snapnote_gap, reason), 16);
	assert_int_equal(offsetof(struct snapnote_thread, ns_tid), 4);
	assert_int_equal(offsetof(struct snapnote_thread, flags), 8);
	assert_int_equal(offsetof(struct snapnote_thread, state), 12);
}

static void test_reasons(void **state _unused_)
{
	static const char *const names[] = { "unknown",	 "unreadable",	 "guard",
					     "past-eof", "not-resident", "aborted", "later" };
	assert_int_equal(ARRAY_SIZE(names), GAP_REASON_MAX);
	for (uint32_t i = 0; i < GAP_REASON_MAX; i++)
		assert_string_equal(gap_reason_name(i), names[i]);
	assert_string_equal(gap_reason_name(GAP_REASON_MAX), "unknown");
	assert_string_equal(gap_reason_name(UINT32_MAX), "unknown");
}

static void test_losses(void **state _unused_)
{
	assert_true(gap_reason_loses(GAP_UNREADABLE));
	assert_false(gap_reason_loses(GAP_GUARD));
	assert_false(gap_reason_loses(GAP_PAST_EOF));
	assert_true(gap_reason_loses(GAP_NOT_RESIDENT));
	assert_true(gap_reason_loses(GAP_ABORTED));
	assert_false(gap_reason_loses(GAP_LATER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_losses),
	};
	return cmocka_run_group_tests_name("snapnote", tests, NULL, NULL);
}
