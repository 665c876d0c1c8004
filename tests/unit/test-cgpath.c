// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/stat.h>
#include <systemd/sd-login.h>

#include "systemd/cgpath.h"

static const struct {
	const char *path, *unit, *user_unit, *slice, *session;
	long owner; ///< -1: nobody
} cases[] = {
	{ "/", NULL, NULL, "-.slice", NULL, -1 },
	{ "/system.slice", NULL, NULL, "system.slice", NULL, -1 },
	{ "/system.slice/web.service", "web.service", NULL, "system.slice", NULL, -1 },
	{ "/system.slice/web.service/inner", "web.service", NULL, "system.slice", NULL, -1 },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", NULL,
	  "system-getty.slice", NULL, -1 },
	{ "/user.slice/user-1000.slice/session-c2.scope", "session-c2.scope", NULL,
	  "user-1000.slice", "c2", 1000 },
	{ "/user.slice/user-1000.slice/session-c2.scope/app.slice/it.service", "session-c2.scope",
	  "it.service", "user-1000.slice", "c2", 1000 },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/it.service",
	  "user@1000.service", "it.service", "user-1000.slice", NULL, 1000 },
	{ "/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service",
	  "init.scope", "user-1000.slice", NULL, 1000 },
	{ "/user.slice/user-65535.slice/user@65535.service/x.service", "user@65535.service", NULL,
	  "user-65535.slice", NULL, -1 },
	{ "/user.slice/user-01.slice/session-.scope", "session-.scope", NULL, "user-01.slice",
	  NULL, -1 },
	{ "/user.slice/user-1000.slice/session-a_b.scope/x.service", "session-a_b.scope", NULL,
	  "user-1000.slice", NULL, 1000 },
	{ "/init.scope", "init.scope", NULL, "-.slice", NULL, -1 },
	{ "/_cgroup.slice/_tasks.service", "tasks.service", NULL, "cgroup.slice", NULL, -1 },
	{ "/a.b.slice/x.service", "x.service", NULL, "a.b.slice", NULL, -1 },
	{ "/.slice/x.service", NULL, NULL, "-.slice", NULL, -1 },
	{ "/a@b.slice/x.service", NULL, NULL, "-.slice", NULL, -1 },
	{ "/@x.service", NULL, NULL, "-.slice", NULL, -1 },
	{ "/x@.service", NULL, NULL, "-.slice", NULL, -1 },
	{ "/x.y", NULL, NULL, "-.slice", NULL, -1 },
	{ "/a b.service", NULL, NULL, "-.slice", NULL, -1 },
	{ "/a\\x20b.service", "a\\x20b.service", NULL, "-.slice", NULL, -1 },
	{ "/x.device", "x.device", NULL, "-.slice", NULL, -1 },
	{ "/x.busname", NULL, NULL, "-.slice", NULL, -1 },
	{ "/\xc3\xa9.service", NULL, NULL, "-.slice", NULL, -1 },
	{ "/kubepods.slice/kubepods-pod1.slice/crio-x.scope", "crio-x.scope", NULL,
	  "kubepods-pod1.slice", NULL, -1 },
	{ "/docker/abc", NULL, NULL, "-.slice", NULL, -1 },
};

static void assert_text(const char *path, int r, char *text, const char *want)
{
	_cleanup_free_ char *owned = text;
	if (want ? r != 0 || strcmp(text, want) != 0 : r != -ENXIO)
		fail_msg("%s: '%s' (%d), not '%s'", path, owned ? owned : "", r, want ? want : "");
}

#define CHECK(fn, i, member)                                          \
	do {                                                          \
		char *_text = NULL;                                   \
		int _r = fn(cases[i].path, &_text);                   \
		assert_text(cases[i].path, _r, _text, cases[i].member); \
	} while (0)

static void test_paths(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uid_t uid = 0;
		CHECK(cgpath_unit, i, unit);
		CHECK(cgpath_user_unit, i, user_unit);
		CHECK(cgpath_slice, i, slice);
		CHECK(cgpath_session, i, session);
		int r = cgpath_owner_uid(cases[i].path, &uid);
		assert_int_equal(r, cases[i].owner < 0 ? -ENXIO : 0);
		assert_int_equal(uid, MAX(cases[i].owner, 0));
	}
}

static void test_long_names(void **state _unused_)
{
	char path[300];
	char *unit = NULL;
	for (int len = 240; len < 280; len++) {
		(void)snprintf(path, sizeof(path), "/%0*d.service", len - 8, 0);
		int r = cgpath_unit(path, &unit);
		assert_int_equal(r, len <= 255 ? 0 : -ENXIO); // UNIT_NAME_MAX has room for a NUL
		if (r == 0)
			free(TAKE_PTR(unit));
	}
}

static void test_text(void **state _unused_)
{
	static const struct {
		const char *text, *path;
	} texts[] = {
		{ "0::/system.slice/a.service\n", "/system.slice/a.service" },
		{ "0::/a.service", "/a.service" },
		{ "9:name=systemd:/v1.service\n0::/\n", "/v1.service" },
		{ "9:name=systemd:/v1.service\n0::/v2.service\n", "/v2.service" },
		{ "9:name=systemd:/v1.service\n", "/v1.service" },
		{ "1:cpu:/0::/x\n0::/\n", "/" },
		{ "4:memory:/docker/1\n0::/\n", "/" },
		{ "0::/gone.service (deleted)\n", "/gone.service" },
		{ "", NULL },
		{ "0::\n", NULL },
		{ "0::x\n", NULL },
		{ "10::/x\n", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char *path = NULL;
		int r = cgpath_from_text(texts[i].text, strlen(texts[i].text), &path);
		assert_text(texts[i].text, r, path, texts[i].path);
	}
}

static void test_root(void **state _unused_)
{
	static const struct {
		const char *root, *path, *want;
	} roots[] = {
		{ "0::/init.scope\n", "/a.service", "/a.service" },
		{ "0::/\n", "/a.service", "/a.service" },
		{ "0::/lxc/c1/init.scope\n", "/lxc/c1/a.service", "/a.service" },
		{ "0::/lxc/c1/init.scope\n", "/lxc/c11/a.service", "/lxc/c11/a.service" },
		{ "0::/lxc/c1/init.scope\n", "/lxc/c1", "/lxc/c1" },
		{ "0::/lxc/c1/system.slice\n", "/lxc/c1/b", "/b" },
		{ "", "/b", "/b" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
		assert_string_equal(cgpath_below_root(roots[i].path, roots[i].root,
						      strlen(roots[i].root)),
				    roots[i].want);
}

// ---- beside libsystemd -------------------------------------------------------------------------

#define TREE "/sys/fs/cgroup/unified"

static int wait_for_kill(void *userdata _unused_)
{
	return pause();
}

/// Makes all groups of the path below the tree.
static bool make_groups(const char *path)
{
	char full[512];
	for (const char *p = path + 1; p[-1]; p++) {
		p += strcspn(p, "/");
		(void)snprintf(full, sizeof(full), TREE "%.*s", (int)(p - path), path);
		if (mkdir(full, 0755) < 0 && errno != EEXIST)
			return false;
		if (!*p)
			break;
	}
	return true;
}

/// Removes those that nobody uses.
static void remove_groups(const char *path)
{
	char full[512];
	(void)snprintf(full, sizeof(full), TREE "%s", path);
	while (strlen(full) > strlen(TREE)) {
		(void)rmdir(full);
		*strrchr(full, '/') = '\0';
	}
}

static bool enter(const char *path, pid_t pid)
{
	char full[512];
	(void)snprintf(full, sizeof(full), TREE "%s/cgroup.procs", path);
	int fd = open(full, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && dprintf(fd, "%d", pid) > 0;
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/// What libsystemd says of the pid is what is said of its path here.
static void compare(const char *path, pid_t pid)
{
	static const struct {
		const char *name;
		int (*theirs)(pid_t pid, char **ret);
		int (*ours)(const char *path, char **ret);
	} both[] = {
		{ "unit", sd_pid_get_unit, cgpath_unit },
		{ "user unit", sd_pid_get_user_unit, cgpath_user_unit },
		{ "slice", sd_pid_get_slice, cgpath_slice },
		{ "session", sd_pid_get_session, cgpath_session },
	};
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		_cleanup_free_ char *theirs = NULL, *ours = NULL;
		bool a = both[i].theirs(pid, &theirs) >= 0, b = both[i].ours(path, &ours) >= 0;
		if (a != b || (a && strcmp(theirs, ours) != 0))
			fail_msg("%s: the %s is '%s' for libsystemd, not '%s'", path, both[i].name,
				 a ? theirs : "", b ? ours : "");
	}
	uid_t theirs = (uid_t)-1, ours = (uid_t)-1;
	bool a = sd_pid_get_owner_uid(pid, &theirs) >= 0, b = cgpath_owner_uid(path, &ours) >= 0;
	assert_int_equal(a, b);
	assert_int_equal(theirs, ours);
}

static void test_libsystemd(void **state _unused_)
{
	_cleanup_free_ char *known = NULL;
	size_t compared = 0;
	// With systemd as PID 1 the tree is its own, and no test may make groups in it.
	if (access(TREE "/cgroup.procs", W_OK) < 0 || access("/run/systemd/system", F_OK) == 0 ||
	    sd_pid_get_cgroup(0, &known) < 0)
		skip_test("needs root, and a tree of control groups at " TREE " without systemd");
	pid_t pid = test_fork(wait_for_kill, NULL);
	for (size_t i = 1; i < ARRAY_SIZE(cases); i++) {
		if (make_groups(cases[i].path) && enter(cases[i].path, pid)) {
			compare(cases[i].path, pid);
			compared++;
		}
		(void)enter("", pid);
		remove_groups(cases[i].path);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(test_wait(pid), -SIGKILL);
	print_message("%zu paths\n", compared);
	if (!compared)
		skip_test("no control group can be made");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths), cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_text),  cmocka_unit_test(test_root),
		cmocka_unit_test(test_libsystemd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
