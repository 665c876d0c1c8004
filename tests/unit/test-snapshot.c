// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/snapshot.h"

static void test_names(void **state _unused_)
{
	struct snapshot snap = { 0 };
	struct snap_mapping map = { 0 };
	assert_string_equal(snap_mapping_name(&snap, &map), "");
	assert_int_equal(strbuf_add(&snap.names, "\0/bin/x", 8), 0);
	assert_string_equal(snap_mapping_name(&snap, &map), "");
	map.name = 1;
	assert_string_equal(snap_mapping_name(&snap, &map), "/bin/x");
	snapshot_deinit(&snap);
}

static void test_warnings(void **state _unused_)
{
	struct snapshot snap = { 0 };
	for (int i = 0; i < 20; i++)
		snapshot_warn(&snap, "warning %d", i);
	assert_int_equal(snap.n_warnings, 20);
	assert_string_equal(snap.warnings[19], "warning 19");
	snapshot_deinit(&snap);
	assert_int_equal(snap.n_warnings, 0);
	assert_null(snap.warnings);
}

/// Everything is freed, which a leak checker sees, and a second time does no harm.
static void test_deinit(void **state _unused_)
{
	struct snapshot snap = { 0 };
	snapshot_deinit(&snap);
	snap.n_threads = 2;
	snap.threads = calloc(2, sizeof(*snap.threads));
	snap.threads[0].n_regsets = 2;
	snap.threads[0].regsets[0].data = malloc(10);
	snap.threads[0].regsets[1].data = (const char *)snap.threads[0].regsets[0].data + 5;
	snap.mappings = calloc(1, sizeof(*snap.mappings));
	snap.n_mappings = 1;
	snap.mode = strdup("copy");
	snap.process.exe = strdup("/bin/x");
	snap.process.auxv = malloc(16);
	snapshot_warn(&snap, "x");
	snapshot_deinit(&snap);
	snapshot_deinit(&snap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_deinit),
	};
	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
