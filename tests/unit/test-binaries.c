// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/stat.h>

#include "common/binaries.h"
#include "common/fd.h"
#include "common/opener.h"

static void test_places(void **state _unused_)
{
	static const char *const bad[] = { "", "ab", "abc", "abcde", "../../etc", "ABCD", "ab/d",
					   "xyzt" };
	char place[BINARIES_PLACE_SIZE] = "", longest[2 * 64 + 3];
	assert_int_equal(binaries_place_by_id("abcdef", place), 0);
	assert_string_equal(place, ".build-id/ab/cdef");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(binaries_place_by_id(bad[i], place), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[2 * 64] = '\0';
	assert_int_equal(binaries_place_by_id(longest, place), 0);
	assert_int_equal(strlen(place), 2 * 64 + sizeof(".build-id//") - 1);
}

static void make_file(const char *folder, const char *name, const char *text)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(snap_write_all(fd, text, strlen(text)), 0);
}

static void opens(const struct opener *opener, const char *name, const char *id, const char *want)
{
	char text[32] = "";
	_cleanup_close_ int fd = opener_open(opener, name, id, true);
	assert_int_equal(fd < 0, !want);
	if (want) {
		assert_true(snap_pread_full(fd, text, sizeof(text) - 1, 0) > 0);
		assert_string_equal(text, want);
	}
}

/// By build ID, else by name; before what has that name here; after what the user has named.
static void test_opener(void **state _unused_)
{
	char folder[] = "/tmp/procsnap-binaries-XXXXXX", place[BINARIES_PLACE_SIZE];
	char hash[DIGEST_SIZE], here[64], command[96];
	assert_non_null(mkdtemp(folder));
	(void)snprintf(here, sizeof(here), "%s/here", folder);
	make_file(folder, "here", "here");
	make_file(folder, ".build-id/ab/cdef", "by id");
	digest_text("/no/such/program", 16, hash);
	binaries_place_by_name(hash, place);
	make_file(folder, place, "by name");
	struct opener opener = { .binaries = folder, .piddir = -EBADF, .wary = true };
	opens(&opener, "/no/such/program", "abcdef", "by id");
	opens(&opener, here, "abcdef", "by id");
	opens(&opener, "/no/such/program", "abcd", "by name");
	opens(&opener, "/no/such/program", NULL, "by name");
	opens(&opener, "/no/such/program", "../here", "by name");
	opens(&opener, "/no/other/program", "abcd", NULL);
	opens(&opener, here, "abcd", "here");
	opener.exe = here;
	opens(&opener, "/no/such/program", "abcdef", "here");
	opener = (struct opener){ .binaries = "/no/such/folder", .piddir = -EBADF };
	opens(&opener, here, "abcdef", "here");
	(void)snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_opener),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
