// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/stat.h>

#include "common/sysctld.h"

static const char KEY[] = "kernel.core_pattern";

static void parse(struct sysctld *found, const char *file, const char *text)
{
	assert_ok(sysctld_parse(found, file, text, KEY));
}

static void test_lines(void **state _unused_)
{
	static const struct {
		const char *line, *value; ///< NULL: does not set it
		bool glob;
	} cases[] = {
		{ "kernel.core_pattern=x", "x", false },
		{ " kernel.core_pattern = |/a b %P \r", "|/a b %P", false },
		{ "-kernel.core_pattern=x", "x", false },
		{ "kernel/core_pattern=x", "x", false },
		{ "/kernel/core_pattern=x", "x", false },
		{ "kernel.core_pattern=", "", false },
		{ "kernel.core_pattern=a=b", "a=b", false },
		{ "kernel.core_*=x", "x", true },
		{ "kernel/core_patter?=x", "x", true },
		{ "*.core_pattern=x", "x", true },
		{ "*=x", NULL, false },
		{ "#kernel.core_pattern=x", NULL, false },
		{ ";kernel.core_pattern=x", NULL, false },
		{ "-kernel.core_pattern", NULL, false },
		{ "kernel.core_pattern", NULL, false },
		{ "kernel.core_pattern2=x", NULL, false },
		{ "kernel.core_uses_pid=x", NULL, false },
		{ "net.kernel.core_pattern=x", NULL, false },
		{ "=x", NULL, false },
		{ "", NULL, false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_sysctld_ struct sysctld found = { 0 };
		print_message("%s\n", cases[i].line);
		parse(&found, "/f", cases[i].line);
		assert_int_equal(found.n, cases[i].value != NULL);
		if (!found.n)
			continue;
		assert_string_equal(found.lines[0].value, cases[i].value);
		assert_int_equal(found.lines[0].glob, cases[i].glob);
	}
}

static void test_winner(void **state _unused_)
{
	_cleanup_sysctld_ struct sysctld found = { 0 };
	assert_null(sysctld_winner(&found, NULL));
	parse(&found, "/a", "# a\nkernel.core_*=glob\n");
	assert_string_equal(sysctld_winner(&found, NULL)->value, "glob");
	parse(&found, "/b", "\n\nkernel.core_pattern=one\nkernel.core_pattern=two");
	assert_string_equal(sysctld_winner(&found, NULL)->value, "two");
	assert_int_equal(sysctld_winner(&found, NULL)->number, 4);
	// A key that is written out wins over patterns, also later ones.
	parse(&found, "/c", "kernel.core_*=glob2\n");
	assert_string_equal(sysctld_winner(&found, NULL)->value, "two");
	assert_string_equal(sysctld_winner(&found, "/b")->value, "glob2");
}

// ---- folders ---------------------------------------------------------------------------------

static char root[64];

static void put(const char *path, const char *text)
{
	char name[256];
	(void)snprintf(name, sizeof(name), "%s%s", root, path);
	for (char *slash = name + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(name, 0755);
		*slash = '/';
	}
	FILE *file = fopen(name, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int make_root(void **state _unused_)
{
	(void)snprintf(root, sizeof(root), "/tmp/procsnap-sysctld.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state _unused_)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -r '%s'", root);
	return system(command); // NOLINT(cert-env33-c): a name of ours
}

static void test_folders(void **state _unused_)
{
	_cleanup_sysctld_ struct sysctld found = { 0 };
	put("/usr/lib/sysctl.d/50-coredump.conf", "kernel.core_pattern=systemd\n");
	put("/usr/lib/sysctl.d/95-late.conf", "kernel.core_pattern=hidden\n");
	put("/run/sysctl.d/95-late.conf", "kernel.core_pattern=run\n");
	put("/usr/local/lib/sysctl.d/10-early.conf", "kernel.core_pattern=local\n");
	put("/etc/sysctl.d/90-procsnap.conf", "kernel.core_pattern=ours\n");
	put("/etc/sysctl.d/99-not.conf~", "kernel.core_pattern=no\n");
	put("/etc/sysctl.d/.99.conf", "kernel.core_pattern=no\n");
	assert_ok(sysctld_find(root, KEY, &found));
	static const char *const want[] = { "local", "systemd", "ours", "run" };
	assert_int_equal(found.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_string_equal(found.lines[i].value, want[i]);
	assert_string_equal(found.lines[3].file, "/run/sysctl.d/95-late.conf");
	assert_false(found.incomplete);
}

static void test_masked(void **state _unused_)
{
	_cleanup_sysctld_ struct sysctld found = { 0 };
	char link[128];
	put("/usr/lib/sysctl.d/50-coredump.conf", "kernel.core_pattern=systemd\n");
	put("/etc/sysctl.d/1.conf", "");
	(void)snprintf(link, sizeof(link), "%s/etc/sysctl.d/50-coredump.conf", root);
	assert_int_equal(symlink("/dev/null", link), 0);
	assert_ok(sysctld_find(root, KEY, &found));
	assert_int_equal(found.n, 0);
	assert_false(found.incomplete);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_winner),
		cmocka_unit_test_setup_teardown(test_folders, make_root, remove_root),
		cmocka_unit_test_setup_teardown(test_masked, make_root, remove_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
