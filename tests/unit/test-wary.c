// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/wary.h"

static char dir[64];

static int set_up(void **state _unused_)
{
	char path[128];
	(void)snprintf(dir, sizeof(dir), "/tmp/test-wary.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/sub", dir);
	return mkdir(path, 0700);
}

static int tear_down(void **state _unused_)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command); // NOLINT(cert-env33-c): a path of our own
}

static void make_link(const char *target, const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(symlink(target, path), 0);
}

static int open_below(const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return wary_open(path);
}

/// @name leads where @real is.
static void assert_leads(const char *name, const char *real)
{
	struct stat a, b;
	char path[128];
	_cleanup_close_ int fd = open_below(name);
	if (fd < 0)
		fail_msg("%s: %s", name, strerror(-fd));
	(void)snprintf(path, sizeof(path), "%s/%s", dir, real);
	assert_int_equal(lstat(path, &b), 0);
	assert_int_equal(fstat(fd, &a), 0);
	assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
}

static void test_links(void **state _unused_)
{
	char absolute[128];
	_cleanup_close_ int fd = -EBADF;
	(void)snprintf(absolute, sizeof(absolute), "%s/sub/file", dir);
	fd = open(absolute, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	make_link("sub", "folder");
	make_link("file", "sub/beside");
	make_link("../sub/./file", "sub/round");
	make_link(absolute, "absolute");
	make_link("folder/round", "chain");
	make_link("folder//", "slashes");
	assert_leads("sub/file", "sub/file");
	assert_leads("folder/file", "sub/file");
	assert_leads("folder/beside", "sub/file");
	assert_leads("folder/../folder/round", "sub/file");
	assert_leads("absolute", "sub/file");
	assert_leads("chain", "sub/file");
	assert_leads("slashes/file", "sub/file");
	assert_leads("folder", "sub");
	assert_leads("../../../../..//tmp/../tmp/.", "..");
}

static void test_nowhere(void **state _unused_)
{
	make_link("loop", "loop");
	make_link("nothing", "dangling");
	assert_int_equal(open_below("loop"), -ELOOP);
	assert_int_equal(open_below("dangling"), -ENOENT);
	assert_int_equal(open_below("nothing"), -ENOENT);
	assert_int_equal(wary_open("tmp"), -EINVAL);
	assert_int_equal(wary_open(""), -EINVAL);
	assert_int_equal(wary_open("/"), -EBADF); // no file
}

/// Where what a link leads to, and what comes behind it, have no room together.
static void test_long(void **state _unused_)
{
	char name[PATH_MAX] = "", longer[PATH_MAX + 2];
	memset(longer, '/', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(wary_open(longer), -EINVAL);
	make_link("./././././././././././././././././././././././././././././././sub", "winding");
	while (strlen(name) + 64 < sizeof(name))
		strcat(name, strlen(name) ? "/../winding" : "/winding");
	char path[PATH_MAX + 64];
	(void)snprintf(path, sizeof(path), "%s%s", dir, name);
	int r = wary_open(path);
	assert_true(r == -ELOOP || r == -ENAMETOOLONG || r == -EINVAL);
}

/// test-wary open PATH: says whether it is opened, for tests with file systems of their own.
static int try_open(const char *path)
{
	_cleanup_close_ int fd = wary_open(path);
	puts(fd >= 0 ? "opened" : strerror(-fd));
	return fd >= 0 ? 0 : 1;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_nowhere),
		cmocka_unit_test(test_long),
	};
	if (argc == 3 && !strcmp(argv[1], "open"))
		return try_open(argv[2]);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
