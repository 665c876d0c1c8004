// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/stat.h>
#include <sys/xattr.h>

// snapctl is no library.
#include "cmd/snapctl/captured.c" // NOLINT(bugprone-suspicious-include)

/// A folder with a list; the names in it are below the folder itself, so that nothing is harmed.
struct place {
	char top[64];
	struct captured_root root;
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	assert_non_null(place);
	(void)snprintf(place->top, sizeof(place->top), "/var/tmp/procsnap-captured-XXXXXX");
	assert_non_null(mkdtemp(place->top));
	assert_int_equal(setenv("TMPDIR", place->top, 1), 0);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	captured_root_destroy(&place->root);
	struct captured_root all = { .path = strdup(place->top) };
	captured_root_destroy(&all);
	free(place);
	return 0;
}

static const char *path_in(const struct place *place, const char *name)
{
	static char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s", place->top, name);
	return path;
}

static void put(const struct place *place, const char *name, const char *text)
{
	_cleanup_close_ int fd = open(path_in(place, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(snap_write_all(fd, text, strlen(text)), 0);
}

static void list(struct place *place, const char *files)
{
	char text[2048];
	(void)snprintf(text, sizeof(text), "{\"files\": [%s]}", files);
	put(place, "list", text);
	assert_ok(captured_root_create(place->top, &place->root));
}

/// Where the link @name below the new folder leads; "" when there is none.
static const char *link_of(const struct place *place, const char *name)
{
	static char target[512];
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s", place->root.path, name);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	return target;
}

static void test_links(void **state)
{
	struct place *place = *state;
	list(place, "{\"name\": \"/bin/x\", \"program\": true, \"file\": \".build-id/aa/bb\"},"
		    "{\"name\": \"/usr/lib/y.so.1.2\", \"soname\": \"y.so.1\", \"file\": \"other/y\"},"
		    "{\"name\": \"/lib/z.so\", \"why\": \"it is too large\"}");
	assert_string_equal(place->root.program, path_in(place, ".build-id/aa/bb"));
	assert_string_equal(link_of(place, "root/bin/x"), path_in(place, ".build-id/aa/bb"));
	assert_string_equal(link_of(place, "root/usr/lib/y.so.1.2"), path_in(place, "other/y"));
	assert_string_equal(link_of(place, "libraries/y.so.1"), path_in(place, "other/y"));
	assert_string_equal(link_of(place, "libraries/y.so.1.2"), path_in(place, "other/y"));
	assert_string_equal(link_of(place, "root/lib/z.so"), "/lib/z.so");
	_cleanup_free_ char *made = strdup(place->root.path);
	captured_root_destroy(&place->root);
	assert_int_equal(access(made, F_OK), -1);
}

/// No name leads out of the new folder: neither by its form, nor through a link made before.
static void test_hostile_names(void **state)
{
	struct place *place = *state;
	char files[1024];
	assert_int_equal(mkdir(path_in(place, "real"), 0700), 0);
	(void)snprintf(files, sizeof(files),
		       "{\"name\": \"%s/real\", \"why\": \"it is too large\"},"
		       "{\"name\": \"%s/real/through\", \"file\": \"other/1\"},"
		       "{\"name\": \"/../../../..%s/real/dots\", \"file\": \"other/2\"},"
		       "{\"name\": \"/x/../../../y\", \"file\": \"other/3\"},"
		       "{\"name\": \"/odd\", \"soname\": \"../../up\", \"file\": \"other/4\"},"
		       "{\"name\": \"/out\", \"file\": \"../../../etc/passwd\"},"
		       "{\"name\": \"/\", \"file\": \"other/5\"}, {\"name\": \"/a//b/\", \"file\": \"other/6\"},"
		       "{\"name\": \"\", \"file\": \"other/7\"}, {\"name\": 5}, {}",
		       place->top, place->top, place->top);
	list(place, files);
	assert_int_equal(access(path_in(place, "real/through"), F_OK), -1);
	struct stat st;
	assert_int_equal(lstat(path_in(place, "real/through"), &st), -1);
	assert_int_equal(lstat(path_in(place, "real/dots"), &st), -1);
	assert_int_equal(lstat(path_in(place, "up"), &st), -1);
	assert_int_equal(lstat(path_in(place, "y"), &st), -1);
	assert_string_equal(link_of(place, "root/out"), "");
	assert_string_equal(link_of(place, "root/odd"), path_in(place, "other/4"));
	assert_string_equal(link_of(place, "root/a/b"), path_in(place, "other/6"));
	// Removing it follows no link either.
	put(place, "real/kept", "kept");
	captured_root_destroy(&place->root);
	assert_int_equal(access(path_in(place, "real/kept"), F_OK), 0);
}

/// Beside the core, under its id, and of nobody else.
static void test_find(void **state)
{
	struct place *place = *state;
	put(place, "core", "core");
	assert_int_equal(mkdir(path_in(place, "binaries"), 0700), 0);
	assert_int_equal(mkdir(path_in(place, "binaries/0123456789abc"), 0700), 0);
	_cleanup_free_ char *path = strdup(path_in(place, "core"));
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_null(captured_find(fd, path));
	if (fsetxattr(fd, "user.procsnap.id", "0123456789abc", 13, 0) < 0)
		skip_test("no attributes of users here");
	_cleanup_free_ char *found = captured_find(fd, path);
	assert_string_equal(found, path_in(place, "binaries/0123456789abc"));
	assert_int_equal(chmod(found, 0707), 0);
	assert_null(captured_find(fd, path));
	assert_int_equal(fsetxattr(fd, "user.procsnap.id", "../binaries", 11, 0), 0);
	assert_null(captured_find(fd, path));
	assert_int_equal(fsetxattr(fd, "user.procsnap.id", "", 0, 0), 0);
	assert_null(captured_find(fd, path));
}

static void test_no_list(void **state)
{
	struct place *place = *state;
	struct captured_root root = { 0 };
	assert_code(captured_root_create(place->top, &root), SNAP_FAILED);
	put(place, "list", "[1]");
	assert_code(captured_root_create(place->top, &root), SNAP_FAILED);
	assert_null(root.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_list, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
