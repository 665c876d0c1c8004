// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/corepattern.h"

static void test_owner(void **state _unused_)
{
	static const struct {
		const char *pattern, *owner, *target;
	} cases[] = {
		{ "core", "file", NULL },
		{ "", "file", NULL },
		{ "/var/crash/core.%p", "file", NULL },
		{ "|/usr/libexec/procsnap/procsnap-corehook /var/lib/procsnap %P", "procsnap-pipe",
		  "/usr/libexec/procsnap/procsnap-corehook" },
		{ "|procsnap-corehook", "procsnap-pipe", "procsnap-corehook" },
		{ "|/x/not-procsnap-corehook %P", "other-pipe", "/x/not-procsnap-corehook" },
		{ "|/x/procsnap-corehook/y", "other-pipe", "/x/procsnap-corehook/y" },
		{ "|/x/procsnap-corehook2", "other-pipe", "/x/procsnap-corehook2" },
		{ "|/x/y /x/procsnap-corehook", "other-pipe", "/x/y" },
		{ "| /lib/systemd/systemd-coredump %P %u", "systemd-coredump",
		  "/lib/systemd/systemd-coredump" },
		{ "|/usr/share/apport/apport -p%p", "apport", "/usr/share/apport/apport" },
		{ "|/usr/libexec/abrt-hook-ccpp %s", "abrt", "/usr/libexec/abrt-hook-ccpp" },
		{ "|/bin/false", "nobody", "/bin/false" },
		{ "|", "other-pipe", "" },
		{ "@@/run/procsnap/coredump.socket", "procsnap-socket",
		  "/run/procsnap/coredump.socket" },
		{ "@@/run/procsnap/coredump.socket2", "other-socket",
		  "/run/procsnap/coredump.socket2" },
		{ "@@/run/systemd/coredump", "systemd-coredump", "/run/systemd/coredump" },
		{ "@/run/x", "other-socket", "/run/x" },
		{ "@", "other-socket", "" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("%s\n", cases[i].pattern);
		enum corepattern_owner owner = corepattern_owner(cases[i].pattern);
		_cleanup_free_ char *target = corepattern_target(cases[i].pattern);
		assert_string_equal(corepattern_owner_name(owner), cases[i].owner);
		assert_true(*corepattern_owner_text(owner));
		if (cases[i].target)
			assert_string_equal(target, cases[i].target);
		else
			assert_null(target);
		assert_int_equal(corepattern_is_ours(cases[i].pattern),
				 !strncmp(cases[i].owner, "procsnap", strlen("procsnap")));
	}
}

static void test_pipe(void **state _unused_)
{
	_cleanup_free_ char *pattern = NULL;
	assert_ok(corepattern_make_pipe("/usr/libexec/procsnap/procsnap-corehook",
					"/var/lib/procsnap", NULL, &pattern));
	assert_string_equal(pattern, "|/usr/libexec/procsnap/procsnap-corehook /var/lib/procsnap "
				     "%P %u %g %s %t %c %d %F %I %h");
	assert_true(corepattern_is_ours(pattern));
	_cleanup_free_ char *store = corepattern_store(pattern);
	assert_string_equal(store, "/var/lib/procsnap");
	assert_null(corepattern_store("|/x/procsnap-corehook "));
	assert_null(corepattern_store("|/x/other /store"));
	assert_null(corepattern_store("@@/run/procsnap/coredump.socket"));
}

static void test_limit(void **state _unused_)
{
	static const struct {
		const char *pattern, *limit;
	} cases[] = {
		// Debian 12, before and after the fix of CVE-2025-4598
		{ "|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h",
		  "9223372036854775808" },
		{ "|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h %d",
		  "9223372036854775808" },
		// Debian 13
		{ "|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h %d %F", NULL },
		{ "|/lib/systemd/systemd-coredump %P %u %g %s %t 0", "0" },
		{ "|/lib/systemd/systemd-coredump %P %u %g %s %t 12x %h", NULL },
		{ "|/lib/systemd/systemd-coredump %P %u %g %s %t 111111111111111111111 %h", NULL },
		{ "|/lib/systemd/systemd-coredump %P %u %g %s %t", NULL },
		{ "|/lib/systemd/systemd-coredump", NULL },
		{ "|/usr/share/apport/apport -p%p %u %g %s %t 5 %h", NULL },
		{ "core", NULL },
		{ "", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *limit = corepattern_limit(cases[i].pattern);
		assert_true(!limit == !cases[i].limit);
		if (limit)
			assert_string_equal(limit, cases[i].limit);
	}
	_cleanup_free_ char *pattern = NULL;
	assert_ok(corepattern_make_pipe("/x/procsnap-corehook", "/s", "12", &pattern));
	assert_string_equal(pattern, "|/x/procsnap-corehook /s %P %u %g %s %t 12 %d %F %I %h");
}

static void test_pipe_refused(void **state _unused_)
{
	static const char *const bad[] = { "x", "", "/a b", "/a%b", "/a\nb", "/a\tb", "/a\x7f" };
	char *pattern = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_code(corepattern_make_pipe(bad[i], "/s", NULL, &pattern), SNAP_FAILED);
		assert_code(corepattern_make_pipe("/h", bad[i], NULL, &pattern), SNAP_FAILED);
	}
	assert_null(pattern);
}

/// As much as the kernel takes, and one byte more.
static void test_pipe_length(void **state _unused_)
{
	char store[128] = "/";
	_cleanup_free_ char *shortest = NULL;
	assert_ok(corepattern_make_pipe("/h", store, NULL, &shortest));
	memset(store + 1, 's', COREPATTERN_MAX - strlen(shortest));
	_cleanup_free_ char *longest = NULL;
	assert_ok(corepattern_make_pipe("/h", store, NULL, &longest));
	assert_int_equal(strlen(longest), 127);
	store[strlen(store)] = 's';
	char *none = NULL;
	struct snap_error *err = corepattern_make_pipe("/h", store, NULL, &none);
	assert_non_null(err);
	assert_non_null(strstr(err->message, "takes 127 bytes"));
	snap_error_destroy(err);
	assert_null(none);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_pipe_refused),
		cmocka_unit_test(test_pipe_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
