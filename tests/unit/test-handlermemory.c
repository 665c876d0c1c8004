// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/stat.h>

#include "common/handlermemory.h"

static char root[64];

static int make_root(void **state _unused_)
{
	(void)snprintf(root, sizeof(root), "/tmp/procsnap-memory.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state _unused_)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -r '%s'", root);
	return system(command); // NOLINT(cert-env33-c): a name of ours
}

static void path_of(const char *name, char path[static 128])
{
	(void)snprintf(path, 128, "%s%s", root, name);
}

static int lock_folder(void)
{
	char path[128];
	int fd;
	path_of("/var", path);
	(void)mkdir(path, 0755);
	path_of("/var/lib", path);
	(void)mkdir(path, 0755);
	assert_ok(handlermemory_lock(root, &fd));
	return fd;
}

static struct handlermemory some(void)
{
	// All bytes that a pattern may have, in three parts.
	char bytes[256] = "";
	for (int i = 0, n = 0; i < 256; i++)
		if (i && i != '\n')
			bytes[n++] = (char)i;
	return (struct handlermemory){
		.found = { { strdup(bytes), strdup("16"), strdup("0") } },
		.set = { { strdup("|/hook"), strdup(""), strdup("2") } },
		.boot_id = strdup("0123"),
		.runtime = true,
	};
}

static void test_round(void **state _unused_)
{
	_cleanup_handlermemory_ struct handlermemory before = some(), after = { 0 };
	bool there = true;
	int lock = lock_folder();
	assert_ok(handlermemory_load(root, &after, &there));
	assert_false(there);
	assert_ok(handlermemory_save(root, &before));
	assert_ok(handlermemory_save(root, &before)); // over the first one
	assert_ok(handlermemory_load(root, &after, &there));
	assert_true(there);
	for (size_t i = 0; i < SYSCTL_KEY_MAX; i++) {
		assert_string_equal(after.found.of[i], before.found.of[i]);
		assert_string_equal(after.set.of[i], before.set.of[i]);
	}
	assert_string_equal(after.boot_id, "0123");
	assert_true(after.runtime);

	struct stat st;
	char path[128];
	path_of(HANDLERMEMORY_PATH, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_ok(handlermemory_remove(root));
	assert_int_equal(stat(path, &st), -1);
	assert_ok(handlermemory_remove(root));
	(void)close(lock);
}

static void test_damaged(void **state _unused_)
{
#define V(hex) "{\"hex\":\"" hex "\"}"
#define ALL(a) "{\"kernel.core_pattern\":" a ",\"kernel.core_pipe_limit\":" V("30") \
	",\"fs.suid_dumpable\":" V("30") "}"
#define BOTH(a) "{\"found\":" ALL(a) ",\"set\":" ALL(V("61")) "}"
	static const char *const bad[] = {
		"", "{}", "null", "{\"found\":{}}", "{\"found\":" ALL(V("61")) "}",
		BOTH(V("6")), BOTH(V("6g")), BOTH(V("00")), BOTH(V("610a")), BOTH(V("6A")),
		BOTH("{}"), BOTH("7"), BOTH("{\"hex\":7}"),
	};
	static const char good[] = BOTH(V("61"));
	_cleanup_handlermemory_ struct handlermemory memory = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_code(handlermemory_parse(bad[i], strlen(bad[i]), &memory), SNAP_FAILED);
		assert_null(memory.found.of[0]);
	}
	assert_ok(handlermemory_parse(good, strlen(good), &memory));
	assert_string_equal(memory.found.of[0], "a");
	assert_null(memory.boot_id);
	assert_false(memory.runtime);
}

static void test_not_trusted(void **state _unused_)
{
	_cleanup_handlermemory_ struct handlermemory memory = some(), after = { 0 };
	bool there = false;
	char path[128];
	int lock = lock_folder();
	assert_ok(handlermemory_save(root, &memory));
	path_of(HANDLERMEMORY_PATH, path);
	assert_int_equal(chmod(path, 0666), 0);
	assert_code(handlermemory_load(root, &after, &there), SNAP_FAILED);
	assert_false(there);
	(void)close(lock);
	path_of("/var/lib/procsnap", path);
	assert_int_equal(chmod(path, 0777), 0);
	assert_code(handlermemory_lock(root, &lock), SNAP_FAILED);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, make_root, remove_root),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test_setup_teardown(test_not_trusted, make_root, remove_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
