// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fd.h"
#include "daemon/crashfolder.h"

/*
 * Folders as hooks leave them, and as somebody would leave them who means no good.
 */

static char base[] = "/tmp/procsnap-crashfolder-XXXXXX";
static int crashes = -EBADF; ///< @base

static int group_begin(void **state _unused_)
{
	if (!mkdtemp(base))
		return -1;
	crashes = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return crashes < 0;
}

static int group_end(void **state _unused_)
{
	(void)close(crashes);
	return rmdir(base); // whatever a test leaves is a failure
}

/// A folder with that name, and a descriptor of it.
static int make_folder(const char *name)
{
	assert_int_equal(mkdirat(crashes, name, 0700), 0);
	int fd = crashfolder_open(crashes, name);
	assert_true(fd >= 0);
	return fd;
}

static void make_file(int folder, const char *name, const void *data, size_t len)
{
	_cleanup_close_ int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(snap_write_all(fd, data, len), 0);
}

static bool exists(int folder, const char *name)
{
	struct stat st;
	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int check_packed(int folder, const void *data, size_t len)
{
	crashfolder_remove_packed(folder);
	make_file(folder, "core.zst", data, len);
	_cleanup_close_ int fd = crashfolder_open_packed(folder);
	assert_true(fd >= 0);
	return crashfolder_check_packed(fd);
}

/// One that was written to its end has a seek table, and is no link.
static void test_packed(void **state _unused_)
{
	static const char whole[] = "\x28\xb5\x2f\xfd frames \xb1\xea\x92\x8f";
	const size_t len = sizeof(whole) - 1;
	int folder = make_folder("5.6");
	assert_int_equal(crashfolder_open_packed(folder), -ENOENT);
	assert_int_equal(crashfolder_packed_bytes(folder), 0);
	assert_int_equal(check_packed(folder, whole, len), 0);
	assert_int_not_equal(crashfolder_packed_bytes(folder), 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(check_packed(folder, whole, i), -EBADMSG);
	assert_int_equal(check_packed(folder, whole + 1, len - 1), -EBADMSG);
	assert_int_equal(crashfolder_check_packed(-EBADF), -EBADF);
	make_file(folder, "packed", "{}", 2);
	make_file(folder, "packing", "?", 1);
	make_file(folder, "core", "?", 1);
	crashfolder_remove_packed(folder);
	assert_false(exists(folder, "core.zst") || exists(folder, "packed") ||
		     exists(folder, "packing"));
	assert_true(exists(folder, "core"));
	assert_int_equal(symlinkat("core", folder, "core.zst"), 0);
	assert_int_equal(crashfolder_open_packed(folder), -ELOOP);
	(void)close(folder);
	assert_int_equal(crashfolder_remove(crashes, "5.6"), 0);
}

/// What the store has, too, is counted there.
static void test_binaries(void **state _unused_)
{
	int folder = make_folder("3.4");
	assert_int_equal(crashfolder_binaries_bytes(folder), 0);
	assert_int_equal(mkdirat(folder, "binaries", 0700), 0);
	static const char page[8192] = { 1 };
	make_file(folder, "binaries/0", page, sizeof(page));
	make_file(folder, "binaries/1", page, sizeof(page));
	struct stat st;
	assert_int_equal(fstatat(folder, "binaries/0", &st, 0), 0);
	uint64_t bytes = (uint64_t)st.st_blocks * 512;
	assert_true(bytes >= sizeof(page));
	assert_int_equal(crashfolder_binaries_bytes(folder), 2 * bytes);
	assert_int_equal(linkat(folder, "binaries/0", crashes, "stored", 0), 0);
	assert_int_equal(crashfolder_binaries_bytes(folder), bytes);
	(void)close(folder);
	assert_int_equal(crashfolder_remove(crashes, "3.4"), 0);
	assert_int_equal(unlinkat(crashes, "stored", 0), 0);
}

static void test_names(void **state _unused_)
{
	static const char *const good[] = { "1.2", "1700000000000000.4194304", "0.0",
					    "18446744073709551615.2147483647" };
	static const char *const bad[] = {
		"", ".", "..", "1", "1.", ".1", ".1.2", "1.2.3", "1..2", "a.1", "1.a", "1.2 ", " 1.2",
		"-1.2", "1.-2", "1/2", "1.2/", "../1.2", "socket", "1.2\n", "0x1.2",
		"11111111111111111111111111111111111111.11111111",
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(crashfolder_is_name(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (crashfolder_is_name(bad[i]))
			fail_msg("%s", bad[i]);
	// With its dot it fits, and one more does not.
	char name[CRASHFOLDER_NAME_SIZE + 1];
	memset(name, '7', sizeof(name));
	name[3] = '.';
	name[CRASHFOLDER_NAME_SIZE - 2] = '\0';
	assert_true(crashfolder_is_name(name));
	name[CRASHFOLDER_NAME_SIZE - 2] = '7';
	name[CRASHFOLDER_NAME_SIZE - 1] = '\0';
	assert_false(crashfolder_is_name(name));
}

static void test_open(void **state _unused_)
{
	make_file(crashes, "1.1", "x", 1);
	assert_int_equal(symlinkat("/", crashes, "2.2"), 0);
	assert_int_equal(mkfifoat(crashes, "3.3", 0600), 0);
	assert_int_equal(crashfolder_open(crashes, "1.1"), -ENOTDIR);
	assert_true(crashfolder_open(crashes, "2.2") < 0);
	assert_int_equal(crashfolder_open(crashes, "3.3"), -ENOTDIR);
	assert_int_equal(crashfolder_open(crashes, "4.4"), -ENOENT);
	assert_true(crashfolder_remove(crashes, "1.1") < 0);
	assert_true(crashfolder_remove(crashes, "2.2") < 0);
	assert_true(crashfolder_remove(crashes, "3.3") < 0);
	assert_int_equal(crashfolder_remove(crashes, "4.4"), -ENOENT);
	for (char name[] = "1.1"; *name < '4'; *name = name[2] = (char)(*name + 1))
		assert_int_equal(unlinkat(crashes, name, 0), 0);
}

static void make_socket(int folder, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", folder, name);
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

/// What is no file is neither read nor waited for, and no link is followed.
static void test_no_files(void **state _unused_)
{
	static const char *const names[] = { "link", "dangling", "fifo",   "socket", "folder",
					     "proc", "missing",	 "../x", "self" };
	_cleanup_close_ int folder = make_folder("1.2");
	make_file(crashes, "target", "{\"a\": 1}", 8);
	make_file(folder, "real", "{\"a\": 1}", 8);
	assert_int_equal(symlinkat("../target", folder, "link"), 0);
	assert_int_equal(symlinkat("nowhere", folder, "dangling"), 0);
	assert_int_equal(symlinkat("/proc/self/status", folder, "self"), 0);
	assert_int_equal(mkfifoat(folder, "fifo", 0600), 0);
	assert_int_equal(mkdirat(folder, "folder", 0700), 0);
	assert_int_equal(symlinkat("/tmp", folder, "proc"), 0);
	make_socket(folder, "socket");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = 77;
		assert_null(crashfolder_read(folder, names[i], 1000, &len));
		assert_null(crashfolder_read_json(folder, names[i], 1000));
		assert_int_equal(renameat(folder, names[i], folder, "core"),
				 exists(folder, names[i]) ? 0 : -1);
		assert_true(crashfolder_open_core(folder) < 0);
		(void)renameat(folder, "core", folder, names[i]);
	}
	struct json *json = crashfolder_read_json(folder, "real", 1000);
	assert_int_equal(json_get_u64(json, "a", 0), 1);
	json_destroy(json);
	assert_int_equal(crashfolder_remove(crashes, "1.2"), 0);
	assert_true(exists(crashes, "target"));
	assert_int_equal(unlinkat(crashes, "target", 0), 0);
}

static void test_sizes(void **state _unused_)
{
	_cleanup_close_ int folder = make_folder("1.3");
	char *text;
	size_t len = 77;
	make_file(folder, "empty", "", 0);
	make_file(folder, "nul", "a\0b", 3);
	make_file(folder, "damaged", "{\"a\": ", 6);
	make_file(folder, "huge", "", 0);
	_cleanup_close_ int huge = openat(folder, "huge", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(huge, 1LL << 40), 0);
	text = crashfolder_read(folder, "empty", 10, &len);
	assert_non_null(text);
	assert_int_equal(len, 0);
	free(text);
	text = crashfolder_read(folder, "nul", 3, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(text, "a\0b", 4);
	free(text);
	assert_null(crashfolder_read(folder, "nul", 2, &len));
	assert_null(crashfolder_read(folder, "huge", 1 << 20, &len));
	assert_null(crashfolder_read_json(folder, "huge", 1 << 20));
	assert_null(crashfolder_read_json(folder, "empty", 10));
	assert_null(crashfolder_read_json(folder, "nul", 10));
	assert_null(crashfolder_read_json(folder, "damaged", 10));
	assert_int_equal(crashfolder_remove(crashes, "1.3"), 0);
}

static void test_core(void **state _unused_)
{
	_cleanup_close_ int folder = make_folder("1.4");
	assert_int_equal(crashfolder_open_core(folder), -ENOENT);
	make_file(folder, "core", "abc", 3);
	_cleanup_close_ int core = crashfolder_open_core(folder);
	char got[3];
	assert_int_equal(fcntl(core, F_GETFD), FD_CLOEXEC);
	assert_int_equal(snap_pread_full(core, got, 3, 0), 3);
	assert_memory_equal(got, "abc", 3);
	assert_int_equal(snap_pwrite_all(core, "def", 3, 0), 0);
	assert_int_equal(crashfolder_remove(crashes, "1.4"), 0);
	assert_int_equal(snap_pread_full(core, got, 3, 0), 3); // who has it open keeps it
}

static void test_remove(void **state _unused_)
{
	int before = test_count_fds();
	_cleanup_close_ int folder = make_folder("1.5");
	make_file(folder, "facts", "{}", 2);
	make_file(folder, ".hidden", "", 0);
	assert_int_equal(mkdirat(folder, "proc", 0700), 0);
	_cleanup_close_ int proc = openat(folder, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 2000; i++) { // more than one readdir() gives
		char name[16];
		(void)snprintf(name, sizeof(name), "%d", i);
		make_file(proc, name, "", 0);
	}
	assert_int_equal(mkdirat(folder, "later", 0700), 0); // of a version to come
	assert_int_equal(crashfolder_remove(crashes, "1.5"), 0);
	assert_false(exists(crashes, "1.5"));
	assert_int_equal(test_count_fds(), before + 2);
}

/// Links into folders of others, in place of folders of ours.
static void test_remove_links(void **state _unused_)
{
	_cleanup_close_ int others = make_folder("others"), folder = make_folder("1.6");
	make_file(others, "precious", "x", 1);
	assert_int_equal(symlinkat("../others", folder, "proc"), 0);
	assert_int_equal(linkat(others, "precious", folder, "core", 0), 0);
	assert_int_equal(mkdirat(folder, "deep", 0700), 0);
	_cleanup_close_ int deep = openat(folder, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(symlinkat("../../others", deep, "proc"), 0);
	assert_int_equal(crashfolder_remove(crashes, "1.6"), 0);
	assert_false(exists(crashes, "1.6"));
	assert_true(exists(others, "precious"));
	assert_int_equal(crashfolder_remove(crashes, "others"), 0);
}

/// What nobody of us makes is not followed down for ever, and is told.
static void test_remove_deep(void **state _unused_)
{
	char path[64] = "~1.7";
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(mkdirat(crashes, path, 0700), 0);
		(void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/d");
	}
	assert_int_equal(renameat(crashes, "~1.7", crashes, "1.7"), 0);
	assert_true(crashfolder_remove(crashes, "1.7") < 0);
	// No crash any more, and known for what it is.
	assert_false(exists(crashes, "1.7"));
	assert_true(crashfolder_is_leftover("~1.7"));
	assert_false(crashfolder_is_leftover("1.7") || crashfolder_is_leftover("~x"));
	int tries = 0;
	while (crashfolder_remove(crashes, "~1.7") < 0 && ++tries < 10) {
		// by hand, from below
		for (size_t len = strlen(path); len > 4; len -= 2) {
			path[len] = '\0';
			if (unlinkat(crashes, path, AT_REMOVEDIR) == 0)
				break;
		}
	}
	assert_true(tries > 0 && tries < 10);
	assert_false(exists(crashes, "~1.7"));
}

static void test_recorded(void **state _unused_)
{
	_cleanup_close_ int folder = make_folder("7.7");
	assert_false(crashfolder_is_recorded(folder));
	assert_int_equal(crashfolder_set_recorded(folder), 0);
	assert_true(crashfolder_is_recorded(folder));
	// The next daemon sees it, too, and nobody else may look inside.
	_cleanup_close_ int again = crashfolder_open(crashes, "7.7");
	assert_true(crashfolder_is_recorded(again));
	struct stat st;
	assert_int_equal(fstat(again, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(crashfolder_remove(crashes, "7.7"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_names),	cmocka_unit_test(test_binaries),	     cmocka_unit_test(test_open),
		cmocka_unit_test(test_no_files),     cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_core),	     cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_links), cmocka_unit_test(test_remove_deep),
		cmocka_unit_test(test_recorded),
	};
	return cmocka_run_group_tests_name("crashfolder", tests, group_begin, group_end);
}
