// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/storebinaries.h"
#include "daemon/storeid.h"

enum { DUMPS = 8, KIB64 = 64 << 10 };

/// A store, and folders of crashes.
struct place {
	char dir[64];
	int fd;
	struct storebinaries *binaries;
	struct storebinaries_dump dumps[DUMPS]; ///< that there are; id 0: none
};

static bool find(void *userdata, uint64_t id, struct storebinaries_dump *ret)
{
	const struct place *place = userdata;
	for (size_t i = 0; i < DUMPS; i++) {
		if (!id || place->dumps[i].id != id)
			continue;
		*ret = place->dumps[i];
		return true;
	}
	return false;
}

static void open_again(struct place *place)
{
	storebinaries_destroy(place->binaries);
	place->binaries = NULL;
	assert_ok(storebinaries_create(place->fd, find, place, &place->binaries));
	storebinaries_sweep(place->binaries);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *base = getenv("PROCSNAP_TEST_DIR");
	assert_non_null(place);
	(void)snprintf(place->dir, sizeof(place->dir), "%.36s/procsnap-kept-XXXXXX",
		       base ? base : "/var/tmp");
	assert_non_null(mkdtemp(place->dir));
	place->fd = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(place->fd >= 0);
	open_again(place);
	*state = place;
	return 0;
}

static int remove_one(const char *path, const struct stat *st _unused_, int flag _unused_,
		      struct FTW *ftw _unused_)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct place *place = *state;
	storebinaries_destroy(place->binaries);
	(void)close(place->fd);
	(void)nftw(place->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

/// What the hook leaves of one file: @content fills 64 KiB.
struct left {
	const char *name, *build_id;
	char content;
};

/// A folder of a crash with these files, and its list.
static int leave(struct place *place, const struct left *files, size_t n, struct json **ret)
{
	char crash[80], path[128], hash[DIGEST_SIZE];
	static int number;
	static char bytes[KIB64];
	(void)snprintf(crash, sizeof(crash), "%s/crash%d", place->dir, number++);
	assert_int_equal(mkdir(crash, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/binaries", crash);
	assert_int_equal(mkdir(path, 0700), 0);
	struct json *list = json_new_array();
	for (size_t i = 0; i < n; i++) {
		struct json *file = json_new_object();
		char text[24];
		(void)snprintf(text, sizeof(text), "%zu", i);
		(void)snprintf(path, sizeof(path), "%s/binaries/%zu", crash, i);
		memset(bytes, files[i].content, sizeof(bytes));
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(snap_write_all(fd, bytes, sizeof(bytes)), 0);
		assert_int_equal(fsync(fd), 0); // so that it has blocks
		json_set_text(file, "name", files[i].name);
		if (files[i].build_id)
			json_set_text(file, "build_id", files[i].build_id);
		json_set_u64(file, "bytes", sizeof(bytes));
		digest_text(bytes, sizeof(bytes), hash);
		json_set_text(file, "hash", hash);
		digest_text(files[i].name, strlen(files[i].name), hash);
		json_set_text(file, "name_hash", hash);
		json_set_text(file, "file", text);
		json_add(list, file);
	}
	int fd = open(crash, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	*ret = list;
	return fd;
}

/// Removes the folder of a crash, as the daemon does when there is a dump.
static void forget_crash(int fd)
{
	char path[64];
	_cleanup_free_ char *dir = NULL;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_true(snap_readlink_at(AT_FDCWD, path, &dir) >= 0);
	(void)close(fd);
	assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/// Adds them as those of dump @id of @uid, and returns the list for the metadata.
static struct json *add(struct place *place, uint64_t id, uid_t uid, const struct left *files,
			size_t n, size_t *ret_n)
{
	_cleanup_(json_destroyp) struct json *list = NULL;
	int crash = leave(place, files, n, &list);
	const struct storebinaries_dump dump = { .id = id, .usec = id, .uid = uid };
	struct json *added =
		storebinaries_add(place->binaries, &dump, false, crash, list, ret_n);
	forget_crash(crash);
	place->dumps[id % DUMPS] = dump;
	return added;
}

static void add_ok(struct place *place, uint64_t id, uid_t uid, const struct left *files, size_t n)
{
	size_t kept;
	json_destroy(add(place, id, uid, files, n, &kept));
	assert_int_equal(kept, n);
}

/// The first byte of a file of the dump; -1: there is none.
static int content_of(const struct place *place, uint64_t id, const char *file)
{
	char path[256], text[STOREID_SIZE], byte;
	(void)snprintf(path, sizeof(path), "%s/binaries/%s/%s", place->dir,
		       storeid_format(id, text), file);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &byte, 1) == 1 ? byte : -1;
}

static size_t count_contents(const struct place *place)
{
	char path[96];
	size_t n = 0;
	(void)snprintf(path, sizeof(path), "%s/binaries/by-hash", place->dir);
	DIR *dir = opendir(path);
	while (dir && readdir(dir))
		n++;
	if (dir)
		(void)closedir(dir);
	return n ? n - 2 : 0;
}

static void gone(struct place *place, uint64_t id)
{
	storebinaries_remove(place->binaries, id);
	place->dumps[id % DUMPS].id = 0;
}

static const struct left libc_file = { "/lib/libc.so.6", "aabbcc", 'c' };
static const struct left false_libc = { "/lib/libc.so.6", "aabbcc", 'X' };

static void test_shared(void **state)
{
	struct place *place = *state;
	const struct left one[] = { libc_file, { "/bin/one", "11aa", '1' } };
	const struct left two[] = { libc_file, { "/bin/two", "22aa", '2' } };
	assert_int_equal(storebinaries_bytes(place->binaries), 0);
	add_ok(place, 1, 1000, one, 2);
	add_ok(place, 2, 1001, two, 2);
	assert_int_equal(count_contents(place), 3);
	assert_int_equal(storebinaries_bytes(place->binaries), 3 * KIB64);
	assert_int_equal(content_of(place, 1, ".build-id/aa/bbcc"), 'c');
	assert_int_equal(content_of(place, 1, ".build-id/11/aa"), '1');
	gone(place, 1);
	assert_int_equal(content_of(place, 1, ".build-id/aa/bbcc"), -1);
	assert_int_equal(content_of(place, 2, ".build-id/aa/bbcc"), 'c');
	assert_int_equal(count_contents(place), 2);
	assert_int_equal(storebinaries_bytes(place->binaries), 2 * KIB64);
	gone(place, 2);
	assert_int_equal(count_contents(place), 0);
	assert_int_equal(storebinaries_bytes(place->binaries), 0);
}

/// Who has a file with the build ID of another one has it for himself; before and after.
static void test_false_id(void **state)
{
	struct place *place = *state;
	const struct left both[] = { libc_file, { "/tmp/libc.so.6", "aabbcc", 'X' } };
	char path[BINARIES_PLACE_SIZE], hash[DIGEST_SIZE];
	add_ok(place, 1, 0, &false_libc, 1);
	add_ok(place, 2, 0, &libc_file, 1);
	add_ok(place, 3, 0, &false_libc, 1);
	add_ok(place, 4, 0, both, 2);
	assert_int_equal(content_of(place, 1, ".build-id/aa/bbcc"), 'X');
	assert_int_equal(content_of(place, 2, ".build-id/aa/bbcc"), 'c');
	assert_int_equal(content_of(place, 3, ".build-id/aa/bbcc"), 'X');
	assert_int_equal(content_of(place, 4, ".build-id/aa/bbcc"), 'c');
	digest_text("/tmp/libc.so.6", 14, hash);
	binaries_place_by_name(hash, path);
	assert_int_equal(content_of(place, 4, path), 'X');
	assert_int_equal(count_contents(place), 2);
}

/// A list that names what it should not, and files that are none of a hook.
static void test_hostile_list(void **state)
{
	struct place *place = *state;
	static const struct {
		const char *key, *value;
	} bad[] = { { "file", "../result" }, { "file", "" },	      { "file", "9" },
		    { "hash", "../x" },	     { "hash", "" },	      { "name_hash", "../../y" },
		    { "file", "list" },	     { "file", "123456789" } };
	const struct storebinaries_dump dump = { .id = 5, .usec = 5 };
	size_t n = 1;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(json_destroyp) struct json *list = NULL;
		int crash = leave(place, &libc_file, 1, &list);
		// Elements of a list are not to be changed; this one is nobody else's.
		json_set_text((struct json *)(uintptr_t)json_at(list, 0), bad[i].key, bad[i].value);
		_cleanup_(json_destroyp) struct json *added = storebinaries_add(
			place->binaries, &dump, false, crash, list, &n);
		assert_int_equal(n, 0);
		assert_non_null(json_get_text(json_at(added, 0), "why"));
		forget_crash(crash);
	}
	_cleanup_(json_destroyp) struct json *list = NULL;
	int crash = leave(place, &libc_file, 1, &list);
	assert_int_equal(unlinkat(crash, "binaries/0", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", crash, "binaries/0"), 0);
	_cleanup_(json_destroyp) struct json *added =
		storebinaries_add(place->binaries, &dump, false, crash, list, &n);
	assert_int_equal(n, 0);
	forget_crash(crash);
	assert_int_equal(count_contents(place), 0);
	assert_int_equal(content_of(place, 5, "list"), -1);
}

/// What could not be had is told, and what has a build ID that is none is found by its name.
static void test_why(void **state)
{
	struct place *place = *state;
	const struct left files[] = { { "/bin/plain", NULL, 'p' }, { "/bin/odd", "../../..", 'o' } };
	_cleanup_(json_destroyp) struct json *list = NULL;
	const struct storebinaries_dump dump = { .id = 6, .usec = 6 };
	char path[BINARIES_PLACE_SIZE], hash[DIGEST_SIZE];
	size_t n = 0;
	int crash = leave(place, files, 2, &list);
	struct json *missing = json_new_object();
	json_set_text(missing, "name", "/fuse/file");
	json_set_text(missing, "why", "it did not answer in time");
	json_add(list, missing);
	_cleanup_(json_destroyp) struct json *added =
		storebinaries_add(place->binaries, &dump, false, crash, list, &n);
	forget_crash(crash);
	assert_int_equal(n, 2);
	assert_int_equal(json_length(added), 3);
	assert_string_equal(json_get_text(json_at(added, 2), "why"), "it did not answer in time");
	for (size_t i = 0; i < 2; i++) {
		digest_text(files[i].name, strlen(files[i].name), hash);
		binaries_place_by_name(hash, path);
		assert_string_equal(json_get_text(json_at(added, i), "file"), path);
		assert_int_equal(content_of(place, 6, path), files[i].content);
	}
	assert_int_equal(content_of(place, 6, "list"), '{');
}

/// Those who had theirs longest give way, among those who have most; and nobody when it is in vain.
static void test_limit(void **state)
{
	struct place *place = *state;
	const struct left a = { "/a", "0001", 'a' }, b = { "/b", "0002", 'b' },
			  c = { "/c", "0003", 'c' }, d = { "/d", "0004", 'd' },
			  e = { "/e", "0005", 'e' };
	const struct left many[] = { { "/1", "0011", '1' }, { "/2", "0012", '2' },
				     { "/3", "0013", '3' }, { "/4", "0014", '4' } };
	size_t n;
	storebinaries_set_limit(place->binaries, 3 * KIB64);
	add_ok(place, 1, 1000, &a, 1);
	add_ok(place, 2, 1001, &b, 1);
	add_ok(place, 3, 1001, &c, 1);
	add_ok(place, 4, 1001, &d, 1); // his own go, not the oldest of all
	assert_int_equal(content_of(place, 1, ".build-id/00/01"), 'a');
	assert_int_equal(content_of(place, 2, ".build-id/00/02"), -1);
	assert_int_equal(content_of(place, 4, ".build-id/00/04"), 'd');
	assert_int_equal(storebinaries_bytes(place->binaries), 3 * KIB64);
	// What does not fit beside itself is left out.
	json_destroy(add(place, 5, 1002, many, 4, &n));
	assert_in_range(n, 1, 3);
	assert_true(storebinaries_bytes(place->binaries) <= 3 * KIB64);
	storebinaries_set_limit(place->binaries, 0);
	json_destroy(add(place, 6, 1003, &e, 1, &n));
	assert_int_equal(n, 0);
	storebinaries_retain(place->binaries);
	assert_int_equal(storebinaries_bytes(place->binaries), 0);
	storebinaries_set_limit(place->binaries, UINT64_MAX);
	add_ok(place, 7, 1003, many, 4);
}

/// What is of no dump, and contents that nobody has, are gone after the next start.
static void test_sweep(void **state)
{
	struct place *place = *state;
	const struct left one[] = { libc_file, { "/bin/one", "11aa", '1' } };
	add_ok(place, 1, 1000, one, 2);
	add_ok(place, 2, 1000, &libc_file, 1);
	place->dumps[1].id = 0;
	char path[160];
	(void)snprintf(path, sizeof(path), "%s/binaries/by-hash/%064d", place->dir, 0);
	_cleanup_close_ int orphan = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)snprintf(path, sizeof(path), "%s/binaries/notes.txt", place->dir);
	_cleanup_close_ int other = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(orphan >= 0 && other >= 0);
	open_again(place);
	assert_int_equal(content_of(place, 1, ".build-id/11/aa"), -1);
	assert_int_equal(content_of(place, 2, ".build-id/aa/bbcc"), 'c');
	assert_int_equal(count_contents(place), 1);
	assert_int_equal(storebinaries_bytes(place->binaries), KIB64);
	assert_int_equal(access(path, F_OK), 0); // is not ours
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_false_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_why, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
