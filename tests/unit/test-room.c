// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "cmd/corehook/room.c" // NOLINT(bugprone-suspicious-include)
#include "daemon/crashspool.h"

/*
 * Where there is room for a raw core: what a hook finds out of its control group and of the process,
 * and what the daemon promises of memory.
 */

static void put(const char *dir, const char *name, const char *text)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(snap_write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static void remove_files(const char *dir)
{
	static const char *const names[] = { "memory.max", "memory.current", "memory.stat",
					     "status" };
	char path[256];
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void test_cgroup(void **state _unused_)
{
	char mount[] = "/tmp/procsnap-room-XXXXXX", outer[64], inner[80];
	assert_non_null(mkdtemp(mount));
	(void)snprintf(outer, sizeof(outer), "%s/a", mount);
	(void)snprintf(inner, sizeof(inner), "%s/a/b", mount);
	assert_int_equal(mkdir(outer, 0700), 0);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_true(room_in_cgroup(mount, "/a/b") == UINT64_MAX);
	assert_true(room_in_cgroup(mount, "/") == UINT64_MAX);
	assert_true(room_in_cgroup(mount, "/gone") == UINT64_MAX);
	put(inner, "memory.max", "max\n");
	put(inner, "memory.current", "4096\n");
	assert_true(room_in_cgroup(mount, "/a/b") == UINT64_MAX);
	put(outer, "memory.max", "1000000\n");
	put(outer, "memory.current", "400000\n");
	assert_int_equal(room_in_cgroup(mount, "/a/b"), 600000);
	put(inner, "memory.max", "104096\n");
	assert_int_equal(room_in_cgroup(mount, "/a/b"), 100000);
	assert_int_equal(room_in_cgroup(mount, "/a"), 600000);
	// What is of files goes when somebody needs the memory.
	put(inner, "memory.stat", "anon 1\ninactive_file 5000\nactive_file 7\n");
	assert_int_equal(room_in_cgroup(mount, "/a/b"), 105000);
	put(inner, "memory.current", "2000000\n");
	assert_int_equal(room_in_cgroup(mount, "/a/b"), 5000);
	put(mount, "memory.max", "1\n"); // not that of the root
	assert_int_equal(room_in_cgroup(mount, "/a/b"), 5000);
	assert_true(room_in_memory() > 0);
	remove_files(inner);
	remove_files(outer);
	remove_files(mount);
}

static void test_expected(void **state _unused_)
{
	char dir[] = "/tmp/procsnap-room-XXXXXX";
	assert_non_null(mkdtemp(dir));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(room_expected(-1, 4711), 4711);
	assert_int_equal(room_expected(fd, 4711), 4711);
	put(dir, "status", "Name:\tx\nRssAnon:\t 8 kB\nRssFile:\t 100 kB\nRssShmem:\t 2 kB\n");
	assert_int_equal(room_expected(fd, 1 << 20), 1 << 20);
	put(dir, "status",
	    "Name:\tx\nRssAnon:\t 8 kB\nRssFile:\t 100 kB\nRssShmem:\t 2 kB\nVmSwap:\t 1 kB\n");
	assert_int_equal(room_expected(fd, 1 << 20), 11 << 10);
	assert_int_equal(room_expected(fd, 4096), 4096);
	(void)close(fd);
	remove_files(dir);
}

static const uint64_t GIB = 1 << 30;

static void test_promises(void **state _unused_)
{
	struct config *config = NULL;
	assert_ok(config_create(&config));
	struct crashspool spool = { 0 };
	struct crashspool_memory memory = { .total = 100 * GIB, .available = 80 * GIB };
	// A tenth, unless it is said otherwise.
	assert_int_equal(crashspool_room(&spool, config, &memory), 10 * GIB);
	spool.held = 3 * GIB;
	spool.promised = 2 * GIB;
	assert_int_equal(crashspool_room(&spool, config, &memory), 5 * GIB);
	spool.held = 9 * GIB;
	assert_int_equal(crashspool_room(&spool, config, &memory), 0);
	// An eighth of the machine is for others; what is promised is still to be taken of the rest.
	spool = (struct crashspool){ .promised = GIB };
	memory.available = 15 * GIB;
	assert_int_equal(crashspool_room(&spool, config, &memory), 3 * GIB / 2);
	memory.available = 12 * GIB;
	assert_int_equal(crashspool_room(&spool, config, &memory), 0);
	memory.available = 80 * GIB;
	config->spool_memory = (struct config_size){ .bytes = CONFIG_INFINITY };
	assert_int_equal(crashspool_room(&spool, config, &memory), 80 * GIB - 25 * GIB / 2 - GIB);
	config->spool_memory = (struct config_size){ .bytes = 0 };
	assert_int_equal(crashspool_room(&spool, config, &memory), 0);
	config->spool_memory = (struct config_size){ .bytes = 2 * GIB };
	assert_int_equal(crashspool_room(&spool, config, &memory), GIB);
	config->compress = 0;
	assert_int_equal(crashspool_room(&spool, config, &memory), 0);
	config->compress = 3;
	memory = (struct crashspool_memory){ 0 }; // it is not known
	assert_int_equal(crashspool_room(&spool, config, &memory), 0);
	memory = crashspool_look();
	assert_true(memory.total && memory.available <= memory.total);
	config_destroy(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup),
		cmocka_unit_test(test_expected),
		cmocka_unit_test(test_promises),
	};
	return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
