// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <dirent.h>
#include <ftw.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/acl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

#include <acl/libacl.h>

#include "common/fd.h"
#include "daemon/dumpname.h"
#include "daemon/store.h"

#define BOOT "0123456789abcdef0123456789abcdef"
#define CORE "core.app.1000." BOOT ".42.7"
#define MIB (UINT64_C(1) << 20)

static const struct retention_limits no_limits = { 0 };

/// A folder, and the store in it.
struct place {
	char top[64]; ///< a temporary folder that everybody may enter
	char dir[80]; ///< of the store
	struct store *store;
	struct store_report report;
	struct store_removals removals;
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *base = getenv("PROCSNAP_TEST_DIR");
	assert_non_null(place);
	(void)snprintf(place->top, sizeof(place->top), "%.40s/procsnap-store-XXXXXX",
		       base ? base : "/var/tmp");
	assert_non_null(mkdtemp(place->top));
	assert_int_equal(chmod(place->top, 0755), 0);
	(void)snprintf(place->dir, sizeof(place->dir), "%s/store", place->top);
	*state = place;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void close_store(struct place *place)
{
	store_destroy(TAKE_PTR(place->store));
	store_removals_deinit(&place->removals);
}

static int teardown(void **state)
{
	struct place *place = *state;
	close_store(place);
	while (umount2(place->dir, MNT_DETACH) == 0)
		;
	(void)nftw(place->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

static void open_store(struct place *place, const struct retention_limits *limits)
{
	close_store(place);
	assert_ok(store_create(place->dir, limits, &place->report, &place->store));
}

static void path_of(const struct place *place, const char *name, char ret[static 512])
{
	(void)snprintf(ret, 512, "%s/%s", place->dir, name);
}

/// Makes a file by hand.
static void plant(const struct place *place, const char *name, const char *text)
{
	char path[512];
	path_of(place, name, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(snap_write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static bool exists(const struct place *place, const char *name)
{
	char path[512];
	struct stat st;
	path_of(place, name, path);
	return lstat(path, &st) == 0;
}

/// Files in the folder, but for the lock.
static int count_files(const struct place *place)
{
	DIR *dir = opendir(place->dir);
	assert_non_null(dir);
	int n = 0;
	for (const struct dirent *ent; (ent = readdir(dir));)
		n += strcmp(ent->d_name, ".") && strcmp(ent->d_name, "..") &&
		     strcmp(ent->d_name, ".lock");
	(void)closedir(dir);
	return n;
}

static struct store_facts facts_of(uid_t uid)
{
	return (struct store_facts){
		.kind = STORE_LIVE,
		.flags = STORE_OWNER_READS,
		.pid = 42,
		.uid = uid,
		.gid = 100,
		.rlimit = UINT64_MAX,
		.usec = 1700000000000000,
		.comm = "app",
		.boot_id = BOOT,
		.exe = "/usr/bin/app",
		.unit = "app.service",
		.hostname = "host",
		.mode = "copy",
	};
}

static void fill(int fd, size_t bytes)
{
	static const char block[4096] = "\177ELF and more";
	for (size_t done = 0; done < bytes; done += sizeof(block))
		assert_int_equal(snap_write_all(fd, block, MIN(sizeof(block), bytes - done)), 0);
	assert_int_equal(fsync(fd), 0);
}

static struct store_draft *begin(struct place *place, uid_t uid, size_t bytes)
{
	const struct store_request request = { .uid = uid, .core_bytes = bytes };
	struct store_draft *draft;
	assert_ok(store_begin(place->store, &request, &place->removals, &draft));
	fill(draft->core, bytes);
	return draft;
}

static const struct store_entry *publish(struct place *place, const struct store_facts *facts,
					 size_t bytes)
{
	struct store_draft *draft = begin(place, facts->uid, bytes);
	const struct store_entry *entry;
	assert_ok(store_publish(draft, facts, NULL, &place->removals, &entry));
	return entry;
}

static void assert_attr(const char *path, const char *attr, const char *want)
{
	char value[256] = { 0 };
	ssize_t n = getxattr(path, attr, value, sizeof(value) - 1);
	if (!want) {
		assert_int_equal(n, -1);
		return;
	}
	if (n < 0)
		fail_msg("no %s", attr);
	assert_string_equal(value, want);
}

/// Does the access list let @uid read, and nobody else who is named?
static bool acl_lets_read(const char *path, uid_t uid)
{
	acl_t acl = acl_get_file(path, ACL_TYPE_ACCESS);
	acl_entry_t entry;
	bool reads = false;
	assert_non_null(acl);
	for (int r = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); r == 1;
	     r = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry)) {
		acl_tag_t tag;
		acl_permset_t permissions;
		assert_int_equal(acl_get_tag_type(entry, &tag), 0);
		if (tag != ACL_USER)
			continue;
		uid_t *named = acl_get_qualifier(entry);
		assert_int_equal(*named, uid);
		(void)acl_free(named);
		assert_int_equal(acl_get_permset(entry, &permissions), 0);
		assert_int_equal(acl_get_perm(permissions, ACL_READ), 1);
		assert_int_equal(acl_get_perm(permissions, ACL_WRITE), 0);
		reads = true;
	}
	(void)acl_free(acl);
	return reads;
}

/// Does the file system know access lists?
static bool has_acls(const struct place *place)
{
	return getxattr(place->dir, "system.posix_acl_access", NULL, 0) >= 0 || errno == ENODATA;
}

// -- The folder ------------------------------------------------------------------------------

static void assert_refused(const struct place *place, const char *path)
{
	struct store *store = place->store;
	int fds = test_count_fds();
	assert_code(store_create(path, &no_limits, NULL, &store), SNAP_FAILED);
	assert_ptr_equal(store, place->store);
	assert_int_equal(test_count_fds(), fds);
}

static void test_folder(void **state)
{
	struct place *place = *state;
	char link[128];
	struct stat st;
	mode_t mask = umask(077);
	open_store(place, &no_limits);
	(void)umask(mask);
	assert_int_equal(stat(place->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(place->report.listed, 0);
	assert_string_equal(store_path(place->store), place->dir);
	assert_refused(place, place->dir); // it is in use
	close_store(place);

	(void)snprintf(link, sizeof(link), "%s/link", place->top);
	assert_int_equal(symlink("store", link), 0);
	assert_refused(place, link);
	(void)snprintf(link, sizeof(link), "%s/link//", place->top);
	assert_refused(place, link);
	(void)snprintf(link, sizeof(link), "%s/missing/store", place->top);
	assert_refused(place, link);
	(void)snprintf(link, sizeof(link), "%s/store/.lock", place->top);
	assert_refused(place, link);
	for (mode_t mode = 0755 | S_IWGRP;; mode = 0755 | S_IWOTH) {
		assert_int_equal(chmod(place->dir, mode), 0);
		assert_refused(place, place->dir);
		if (mode & S_IWOTH)
			break;
	}
	assert_int_equal(chmod(place->dir, 0700), 0);
	(void)snprintf(link, sizeof(link), "%s/store//", place->top);
	assert_ok(store_create(link, &no_limits, NULL, &place->store));
}

static void test_foreign_folder(void **state)
{
	struct place *place = *state;
	if (geteuid() != 0)
		skip_test("needs root to give files away");
	assert_int_equal(mkdir(place->dir, 0755), 0);
	assert_int_equal(chown(place->dir, 1000, 1000), 0);
	assert_refused(place, place->dir);
}

/// A lock that is a way out, or in.
static void test_planted_lock(void **state)
{
	struct place *place = *state;
	char path[512];
	path_of(place, ".lock", path);
	assert_int_equal(mkdir(place->dir, 0755), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_refused(place, place->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(place, place->dir);
}

// -- Publication -----------------------------------------------------------------------------

static void test_publish(void **state)
{
	struct place *place = *state;
	char path[512];
	struct stat st;
	open_store(place, &no_limits);
	int fds = test_count_fds();
	struct store_facts facts = facts_of(12345);
	facts.comm = "a b.c/\n";
	facts.exe = "/opt/x y\n\xff";
	const struct store_request request = {
		.uid = 12345, .compressed = true, .core_bytes = 8192, .spool_bytes = 16384
	};
	struct store_draft *draft;
	assert_ok(store_begin(place->store, &request, &place->removals, &draft));
	uint64_t id = draft->id;
	assert_int_equal(fstat(draft->core, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fill(draft->spool, 16384);
	fill(draft->core, 5000);
	assert_int_equal(count_files(place), 0);
	struct json *metadata = json_new_object();
	json_set_text(metadata, "cmdline", "app --serve");
	const struct store_entry *entry;
	assert_ok(store_publish(draft, &facts, metadata, &place->removals, &entry));
	json_destroy(metadata);
	assert_int_equal(test_count_fds(), fds);
	assert_int_equal(count_files(place), 2);

	assert_string_equal(entry->name,
			    "core.a\\x20b\\x2ec\\x2f\\x0a.12345." BOOT ".42.1700000000000000.zst");
	assert_true(entry->id == id && entry->core_bytes == 5000 && entry->disk_bytes >= 5000);
	assert_int_equal(entry->flags & ~(unsigned int)STORE_OWNER_READS, STORE_COMPRESSED);
	assert_int_equal(entry->kind, STORE_LIVE);
	assert_int_equal(entry->uid, 12345);
	assert_int_equal(entry->pid, 42);
	for (int json = 0; json < 2; json++) {
		path_of(place, entry->name, path);
		if (json)
			(void)strncat(path, ".json", sizeof(path) - strlen(path) - 1);
		assert_int_equal(lstat(path, &st), 0);
		assert_true(S_ISREG(st.st_mode) && st.st_nlink == 1);
		assert_int_equal(st.st_mode & 07777, 0640);
		assert_int_equal(st.st_uid, geteuid());
		assert_int_equal(st.st_gid, getegid());
		if (has_acls(place))
			assert_true(acl_lets_read(path, 12345));
	}
}

static void test_attributes(void **state)
{
	struct place *place = *state;
	char path[512], id[STOREID_SIZE];
	open_store(place, &no_limits);
	struct store_facts facts = facts_of(12345);
	facts.kind = STORE_CRASH;
	facts.signal = SIGSEGV;
	facts.flags |= STORE_PARTIAL;
	facts.comm = "a b";
	const struct store_entry *entry = publish(place, &facts, 4096);
	path_of(place, entry->name, path);
	if (setxattr(path, "user.test", "1", 1, 0) < 0)
		skip_test("%s has no extended attributes", place->dir);
	assert_attr(path, "user.coredump.pid", "42");
	assert_attr(path, "user.coredump.uid", "12345");
	assert_attr(path, "user.coredump.gid", "100");
	assert_attr(path, "user.coredump.signal", "11");
	assert_attr(path, "user.coredump.timestamp", "1700000000000000");
	assert_attr(path, "user.coredump.rlimit", "18446744073709551615");
	assert_attr(path, "user.coredump.hostname", "host");
	assert_attr(path, "user.coredump.comm", "a b");
	assert_attr(path, "user.coredump.exe", "/usr/bin/app");
	assert_attr(path, "user.procsnap.id", storeid_format(entry->id, id));
	assert_attr(path, "user.procsnap.kind", "crash");
	assert_attr(path, "user.procsnap.mode", "copy");
	assert_attr(path, "user.procsnap.unit", "app.service");
	assert_attr(path, "user.procsnap.partial", "1");
	assert_attr(path, "user.procsnap.owner_reads", "1");
	assert_attr(path, "user.procsnap.version", "1");
}

/// Whom the rules give nothing to read.
static void test_no_grant(void **state)
{
	struct place *place = *state;
	char path[512];
	static const uid_t uids[] = { 0, 999, 65534, 12345 };
	open_store(place, &no_limits);
	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		struct store_facts facts = facts_of(uids[i]);
		if (uids[i] == 12345)
			facts.flags = 0;
		const struct store_entry *entry = publish(place, &facts, 100);
		assert_false(entry->flags & STORE_OWNER_READS);
		path_of(place, entry->name, path);
		assert_false(acl_lets_read(path, uids[i]));
		assert_true(getxattr(path, "system.posix_acl_access", NULL, 0) < 0);
	}
}

static int read_as(void *userdata)
{
	const char *path = userdata;
	uid_t uid = path[0] == '+' ? 12345 : 12346;
	if (setresgid(uid, uid, uid) < 0 || setgroups(0, NULL) < 0 || setresuid(uid, uid, uid) < 0)
		return 2;
	return open(path + 1, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno == EACCES ? 1 : 3;
}

static void test_who_reads(void **state)
{
	struct place *place = *state;
	char path[514];
	if (geteuid() != 0)
		skip_test("needs root to be several users");
	open_store(place, &no_limits);
	const struct store_facts facts = facts_of(12345);
	const struct store_entry *entry = publish(place, &facts, 100);
	assert_true(entry->flags & STORE_OWNER_READS);
	if (!has_acls(place))
		skip_test("%s has no access lists", place->dir);
	path_of(place, entry->name, path + 1);
	path[0] = '+';
	assert_int_equal(test_wait(test_fork(read_as, path)), 0);
	path[0] = '-';
	assert_int_equal(test_wait(test_fork(read_as, path)), 1);
	(void)strncat(path, ".json", sizeof(path) - strlen(path) - 1);
	assert_int_equal(test_wait(test_fork(read_as, path)), 1);
	path[0] = '+';
	assert_int_equal(test_wait(test_fork(read_as, path)), 0);
}

/// What has the name already, of whatever kind, is not touched.
static void test_name_taken(void **state)
{
	struct place *place = *state;
	char path[512];
	open_store(place, &no_limits);
	struct store_facts facts = facts_of(1000);
	facts.usec = 7;
	path_of(place, CORE, path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	plant(place, "core.app.1000." BOOT ".42.8.json", "{}");
	const struct store_entry *entry = publish(place, &facts, 100);
	assert_string_equal(entry->name, "core.app.1000." BOOT ".42.9");
	assert_int_equal(entry->usec, 9);
	assert_string_equal(publish(place, &facts, 100)->name, "core.app.1000." BOOT ".42.10");
	path_of(place, "core.app.1000." BOOT ".42.9", path);
	assert_attr(path, "user.coredump.timestamp", "9");
	assert_int_equal(count_files(place), 6);
}

static void test_drop(void **state)
{
	struct place *place = *state;
	struct store_usage usage;
	open_store(place, &no_limits);
	int fds = test_count_fds();
	struct store_draft *first = begin(place, 1000, 100), *second = begin(place, 1001, 100);
	assert_true(first->id != second->id);
	assert_ok(store_usage(place->store, &usage));
	assert_int_equal(usage.n_drafts, 2);
	store_drop(first);
	store_drop(second);
	assert_ok(store_usage(place->store, &usage));
	assert_int_equal(usage.n_drafts, 0);
	assert_int_equal(count_files(place), 0);
	assert_int_equal(test_count_fds(), fds);
}

static void test_cannot_publish(void **state)
{
	struct place *place = *state;
	const struct store_entry *entry = NULL;
	struct store_facts facts = facts_of(1000);
	open_store(place, &no_limits);
	int fds = test_count_fds();
	assert_code(store_publish(begin(place, 1000, 0), &facts, NULL, &place->removals, &entry),
		    SNAP_FAILED); // empty
	facts.boot_id = "../../x";
	assert_code(store_publish(begin(place, 1000, 9), &facts, NULL, &place->removals, &entry),
		    SNAP_FAILED);
	facts = facts_of((uid_t)-1);
	assert_code(store_publish(begin(place, 1000, 9), &facts, NULL, &place->removals, &entry),
		    SNAP_FAILED);
	assert_null(entry);
	assert_int_equal(store_count(place->store), 0);
	assert_int_equal(count_files(place), 0);
	assert_int_equal(test_count_fds(), fds);
}

// -- Looking at dumps ------------------------------------------------------------------------

static struct json *metadata_of(const struct place *place, const struct store_entry *entry)
{
	struct json *json = NULL;
	assert_ok(store_metadata(place->store, entry, &json));
	assert_non_null(json_text(json));
	return json;
}

static void check_facts(const struct json *dump, const struct store_entry *entry)
{
	char id[STOREID_SIZE];
	assert_string_equal(json_get_text(dump, "id"), storeid_format(entry->id, id));
	assert_string_equal(json_get_text(dump, "kind"), "crash");
	assert_string_equal(json_get_text(dump, "comm"), "a\\x0a\\x5cb");
	assert_string_equal(json_get_text(dump, "exe"), "/x\\x0ay");
	assert_string_equal(json_get_text(dump, "unit"), "app.service");
	assert_string_equal(json_get_text(dump, "hostname"), "host");
	assert_string_equal(json_get_text(dump, "mode"), "copy");
	assert_string_equal(json_get_text(dump, "boot_id"), BOOT);
	assert_int_equal(json_get_u64(dump, "pid", 0), 42);
	assert_int_equal(json_get_u64(dump, "uid", 0), 12345);
	assert_int_equal(json_get_u64(dump, "gid", 0), 100);
	assert_int_equal(json_get_u64(dump, "signal", 0), 11);
	assert_true(json_get_u64(dump, "rlimit", 0) == UINT64_MAX);
	assert_true(json_get_u64(dump, "timestamp_usec", 0) == 1700000000000000);
	assert_true(json_get_bool(dump, "partial", false));
	assert_false(json_get_bool(dump, "compressed", true));
	assert_int_equal(json_get_u64(dump, "core_bytes", 0), 4096);
	assert_true(json_get_u64(dump, "disk_bytes", 0) == entry->disk_bytes);
	assert_int_equal(access(json_get_text(dump, "file"), R_OK), 0);
}

/// Publishes, starts anew, and gets everything back.
static void check_reopen(struct place *place)
{
	open_store(place, &no_limits);
	struct store_facts facts = facts_of(12345);
	facts.kind = STORE_CRASH;
	facts.signal = SIGSEGV;
	facts.flags |= STORE_PARTIAL;
	facts.comm = "a\n\\b";
	facts.exe = "/x\ny";
	struct json *metadata = json_new_object(), *dump;
	json_set_text(metadata, "cmdline", "app");
	const struct store_entry *entry;
	assert_ok(store_publish(begin(place, 12345, 4096), &facts, metadata, &place->removals,
				&entry));
	json_destroy(metadata);
	struct store_entry before = *entry;
	for (int round = 0; round < 2; round++) {
		entry = store_at(place->store, 0);
		assert_memory_equal(entry, &before, sizeof(before));
		assert_ok(store_describe(place->store, entry, &dump));
		check_facts(dump, entry);
		json_destroy(dump);
		metadata = metadata_of(place, entry);
		check_facts(json_get(metadata, "dump"), entry);
		assert_string_equal(json_get_text(metadata, "cmdline"), "app");
		assert_null(json_get(metadata, "metadata_error"));
		json_destroy(metadata);
		open_store(place, &no_limits);
		assert_int_equal(place->report.listed, 1);
		assert_int_equal(store_count(place->store), 1);
	}
	assert_null(store_at(place->store, 1));
}

static void test_reopen(void **state)
{
	check_reopen(*state);
}

/// ramfs has neither attributes nor access lists, and does not know its size.
static void test_reopen_plain(void **state)
{
	struct place *place = *state;
	assert_int_equal(mkdir(place->dir, 0755), 0);
	if (mount("ramfs", place->dir, "ramfs", 0, "mode=755") < 0)
		skip_test("cannot mount a ramfs: %s", strerror(errno));
	check_reopen(place);
	const struct store_entry *entry = store_at(place->store, 0);
	char path[512];
	path_of(place, entry->name, path);
	assert_true(getxattr(path, "user.procsnap.id", NULL, 0) < 0);
	assert_true(getxattr(path, "system.posix_acl_access", NULL, 0) < 0);
	assert_true(entry->flags & STORE_OWNER_READS); // a right, if not one that files can have
}

/// An executable with a name for which ext4 has no room in its attributes.
static void test_long_exe(void **state)
{
	struct place *place = *state;
	char exe[4096];
	memset(exe, 'x', sizeof(exe) - 1);
	exe[0] = '/';
	exe[sizeof(exe) - 1] = '\0';
	open_store(place, &no_limits);
	struct store_facts facts = facts_of(1000);
	facts.exe = exe;
	struct store_entry before = *publish(place, &facts, 100);
	open_store(place, &no_limits);
	const struct store_entry *entry = store_at(place->store, 0);
	assert_memory_equal(entry, &before, sizeof(before));
	struct json *dump;
	assert_ok(store_describe(place->store, entry, &dump));
	assert_string_equal(json_get_text(dump, "exe"), exe);
	json_destroy(dump);
}

static void test_large_metadata(void **state)
{
	struct place *place = *state;
	open_store(place, &no_limits);
	struct store_facts facts = facts_of(1000);
	char *text = malloc(STORE_MAX_METADATA_BYTES);
	assert_non_null(text);
	memset(text, 'x', STORE_MAX_METADATA_BYTES - 1);
	text[STORE_MAX_METADATA_BYTES - 1] = '\0';
	struct json *metadata = json_new_object();
	json_set_text(metadata, "text", text);
	free(text);
	const struct store_entry *entry;
	assert_ok(store_publish(begin(place, 1000, 9), &facts, metadata, &place->removals, &entry));
	json_destroy(metadata);
	metadata = metadata_of(place, entry);
	assert_string_equal(json_get_text(metadata, "metadata_error"), "too-large");
	assert_non_null(json_get_text(json_get(metadata, "dump"), "exe"));
	json_destroy(metadata);
}

static void test_remove(void **state)
{
	struct place *place = *state;
	struct store_usage usage;
	char buf[4];
	open_store(place, &no_limits);
	const struct store_facts facts = facts_of(1000);
	const struct store_entry *first = publish(place, &facts, 4096);
	uint64_t id = first->id;
	const struct store_entry *second = publish(place, &facts, 4096);
	int fd;
	assert_ok(store_open(place->store, first, &fd));
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_ok(store_usage(place->store, &usage));
	assert_int_equal(usage.n_dumps, 2);
	assert_true(usage.disk_bytes == first->disk_bytes + second->disk_bytes);
	assert_ok(store_remove(place->store, first));
	assert_int_equal(count_files(place), 2);
	assert_null(store_get(place->store, id));
	assert_ptr_equal(store_at(place->store, 0), second);
	assert_int_equal(pread(fd, buf, 4, 0), 4);
	assert_memory_equal(buf, "\177ELF", 4);
	(void)close(fd);
}

/// Files that somebody else removed.
static void test_vanished(void **state)
{
	struct place *place = *state;
	char path[512];
	struct json *json;
	int fd = -EBADF;
	open_store(place, &no_limits);
	const struct store_facts facts = facts_of(1000);
	const struct store_entry *entry = publish(place, &facts, 100);
	path_of(place, entry->name, path);
	assert_int_equal(unlink(path), 0);
	assert_code(store_open(place->store, entry, &fd), SNAP_FAILED);
	assert_code(store_describe(place->store, entry, &json), SNAP_FAILED);
	assert_code(store_metadata(place->store, entry, &json), SNAP_FAILED);
	assert_int_equal(fd, -EBADF);
	assert_ok(store_retain(place->store, &place->removals));
	assert_int_equal(store_count(place->store), 0);
	assert_int_equal(place->removals.n_items, 0);
	assert_int_equal(count_files(place), 0);
}

static bool is_of_uid(const struct store_entry *entry, void *userdata)
{
	return entry->uid == *(const uid_t *)userdata;
}

static void test_find(void **state)
{
	struct place *place = *state;
	static const char *const ids[] = { "abcd000000000", "abcd111111111", "abce000000000" };
	assert_int_equal(mkdir(place->dir, 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char name[128], text[64];
		(void)snprintf(name, sizeof(name), "core.app.%zu." BOOT ".42.%zu", 1000 + i, 9 - i);
		plant(place, name, "\177ELF");
		(void)strncat(name, ".json", sizeof(name) - strlen(name) - 1);
		(void)snprintf(text, sizeof(text), "{\"dump\":{\"id\":\"%s\"}}", ids[i]);
		plant(place, name, text);
	}
	open_store(place, &no_limits);
	assert_int_equal(place->report.without_metadata, 0);
	const struct store_entry *entry = NULL;
	assert_code(store_find(place->store, "abc", NULL, NULL, &entry), SNAP_USAGE);
	assert_code(store_find(place->store, "", NULL, NULL, &entry), SNAP_USAGE);
	assert_code(store_find(place->store, "abcd", NULL, NULL, &entry), SNAP_USAGE);
	assert_code(store_find(place->store, "abcd2", NULL, NULL, &entry), SNAP_FAILED);
	assert_code(store_find(place->store, "../..", NULL, NULL, &entry), SNAP_USAGE);
	assert_code(store_find(place->store, "abcd\n\x1b[2J", NULL, NULL, &entry), SNAP_USAGE);
	assert_null(entry);
	struct snap_error *err = store_find(place->store, "abcd", NULL, NULL, &entry);
	assert_string_equal(err->message,
			    "'abcd' is how the ids of 2 dumps begin; give more of it");
	snap_error_destroy(err);
	assert_ok(store_find(place->store, "abce", NULL, NULL, &entry));
	assert_int_equal(entry->uid, 1002);
	assert_ptr_equal(entry, store_at(place->store, 0)); // the oldest one
	assert_ok(store_find(place->store, "ABCDO", NULL, NULL, &entry));
	assert_int_equal(entry->uid, 1000);
	assert_ok(store_find(place->store, "abcd111111111", NULL, NULL, &entry));
	assert_int_equal(entry->uid, 1001);
	// What one may not know of makes nothing ambiguous.
	uid_t uid = 1001;
	assert_ok(store_find(place->store, "abcd", is_of_uid, &uid, &entry));
	assert_int_equal(entry->uid, 1001);
	assert_code(store_find(place->store, "abce", is_of_uid, &uid, &entry), SNAP_FAILED);
	// Copies have the same id; the older one keeps it.
	plant(place, "core.copy.1002." BOOT ".42.9", "\177ELF");
	plant(place, "core.copy.1002." BOOT ".42.9.json", "{\"dump\":{\"id\":\"abce000000000\"}}");
	plant(place, "core.copy.1002." BOOT ".43.9", "\177ELF");
	plant(place, "core.copy.1002." BOOT ".43.9.json", "{\"dump\":{\"id\":\"abce000000000\"}}");
	open_store(place, &no_limits);
	assert_int_equal(store_count(place->store), 5);
	assert_ok(store_find(place->store, "abce000000000", NULL, NULL, &entry));
	assert_int_equal(entry->usec, 7);
	for (size_t i = 0; i < 5; i++) {
		entry = store_at(place->store, i);
		assert_ptr_equal(store_get(place->store, entry->id), entry);
	}
}

// -- What lies in the folder at the start ----------------------------------------------------

static void test_leftovers(void **state)
{
	struct place *place = *state;
	assert_int_equal(mkdir(place->dir, 0755), 0);
	plant(place, ".tmp-abcd000000000.core", "half a core");
	plant(place, ".tmp-abcd000000000.spool", "half a core");
	plant(place, ".tmp-mine", "somebody's");
	plant(place, CORE ".json", "{}"); // killed between the two links
	plant(place, "core.app.1000." BOOT ".42.8.zst.json", "{}");
	plant(place, "core.app.1000." BOOT ".42.9", "\177ELF"); // metadata lost
	plant(place, "core.app.1000." BOOT ".42.10", ""); // a power failure
	plant(place, "README", "foreign");
	plant(place, "core.app.1000." BOOT ".42.11.txt", "foreign");
	plant(place, "core.json", "foreign");
	open_store(place, &no_limits);
	char *text = store_report_text(&place->report);
	assert_string_equal(text, "dumps found: 1; of them without metadata: 1; unfinished files "
				  "removed: 2; files of metadata without a core removed: 2; files "
				  "ignored that are damaged or not ours: 1");
	free(text);
	assert_int_equal(count_files(place), 6);
	const struct store_entry *entry = store_at(place->store, 0);
	assert_true(entry->flags & STORE_NO_METADATA);
	uint64_t id = entry->id;
	struct json *json = metadata_of(place, entry);
	assert_string_equal(json_get_text(json, "metadata_error"), "missing");
	const struct json *dump = json_get(json, "dump");
	assert_string_equal(json_get_text(dump, "comm"), "app");
	assert_int_equal(json_get_u64(dump, "pid", 0), 42);
	assert_null(json_get(dump, "gid"));
	json_destroy(json);
	open_store(place, &no_limits);
	assert_true(store_at(place->store, 0)->id == id); // from its name
	text = store_report_text(&place->report);
	assert_string_equal(text, "dumps found: 1; of them without metadata: 1; files ignored that "
				  "are damaged or not ours: 1");
	free(text);
}

static void test_damaged_metadata(void **state)
{
	struct place *place = *state;
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"dump\":7}",
		"{\"dump\":{\"id\":7,\"gid\":\"x\",\"partial\":\"yes\",\"kind\":\"other\"}}",
		"{\"dump\":{\"id\":\"ABCD000000000\",\"gid\":-1,\"exe\":null}}",
	};
	assert_int_equal(mkdir(place->dir, 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		plant(place, CORE, "\177ELF");
		plant(place, CORE ".json", texts[i]);
		open_store(place, &no_limits);
		assert_int_equal(store_count(place->store), 1);
		const struct store_entry *entry = store_at(place->store, 0);
		struct json *json = metadata_of(place, entry);
		const struct json *dump = json_get(json, "dump");
		assert_string_equal(json_get_text(dump, "comm"), "app");
		assert_string_equal(json_get_text(dump, "kind"), "live");
		assert_null(json_get(dump, "exe"));
		json_destroy(json);
	}
}

static void test_hostile_files(void **state)
{
	struct place *place = *state;
	char path[512], other[512];
	open_store(place, &no_limits);
	close_store(place);
	path_of(place, CORE, path);
	plant(place, "target", "\177ELF");
	path_of(place, "target", other);
	for (int kind = 0; kind < 6; kind++) {
		int r = kind == 0 ? symlink("target", path) :
			kind == 1 ? symlink("/nowhere", path) :
			kind == 2 ? link(other, path) :
			kind == 3 ? mkfifo(path, 0644) :
			kind == 4 ? mkdir(path, 0755) :
				    mknod(path, S_IFCHR | 0644, makedev(1, 5));
		if (r < 0 && kind == 5)
			break; // devices are root's
		assert_int_equal(r, 0);
		plant(place, CORE ".json", "{}"); // not without a core, so it stays
		open_store(place, &no_limits);
		assert_int_equal(store_count(place->store), 0);
		assert_int_equal(place->report.ignored, 1);
		assert_int_equal(place->report.removed_metadata, 0);
		assert_int_equal(count_files(place), 3);
		assert_int_equal(remove(path), 0);
	}
	plant(place, CORE, "\177ELF");
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 1000, 1000), 0);
		open_store(place, &no_limits);
		assert_int_equal(store_count(place->store), 0);
		assert_int_equal(chown(path, 0, 0), 0);
	}
	open_store(place, &no_limits);
	assert_int_equal(store_count(place->store), 1);
}

/// The same in the place of metadata, of temporary files, and of what was listed before.
static void test_hostile_beside(void **state)
{
	struct place *place = *state;
	char path[512];
	int fd = -EBADF;
	open_store(place, &no_limits);
	plant(place, CORE, "\177ELF");
	path_of(place, CORE ".json", path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	path_of(place, "core.app.1000." BOOT ".42.8.json", path);
	assert_int_equal(mkdir(path, 0755), 0);
	path_of(place, ".tmp-abcd000000000.core", path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	open_store(place, &no_limits);
	assert_int_equal(count_files(place), 4);
	assert_int_equal(place->report.ignored, 2);
	assert_int_equal(place->report.removed_temporary, 0);
	assert_int_equal(place->report.without_metadata, 1);
	const struct store_entry *entry = store_at(place->store, 0);
	struct json *json = metadata_of(place, entry);
	assert_string_equal(json_get_text(json, "metadata_error"), "damaged");
	json_destroy(json);
	path_of(place, CORE, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_code(store_open(place->store, entry, &fd), SNAP_FAILED);
	// Removing takes the names away, not what they stand for.
	assert_ok(store_remove(place->store, entry));
	assert_int_equal(access("/etc/passwd", R_OK), 0);
	assert_false(exists(place, CORE));
	assert_false(exists(place, CORE ".json"));
}

static int publish_on(void *userdata)
{
	struct place *place = userdata;
	const struct store_request request = { .uid = 1000, .compressed = true, .core_bytes = 9 };
	struct store_facts facts = facts_of(1000);
	for (;; facts.usec++) {
		struct store_draft *draft;
		const struct store_entry *entry;
		struct store_removals removals = { 0 };
		if (store_begin(place->store, &request, &removals, &draft) ||
		    write(draft->core, "\177ELF", 4) != 4 ||
		    store_publish(draft, &facts, NULL, &removals, &entry) ||
		    (facts.usec % 3 == 0 && store_remove(place->store, entry)))
			return 1;
	}
}

/// Whenever the daemon is killed, there are whole dumps afterwards, and nothing else.
static void test_killed(void **state)
{
	struct place *place = *state;
	uint64_t seed = 1;
	for (int round = 0; round < 30; round++) {
		open_store(place, &no_limits);
		pid_t pid = test_fork(publish_on, place);
		(void)usleep((useconds_t)(1000 + test_random(&seed) % 30000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(test_wait(pid), -SIGKILL);
		open_store(place, &no_limits);
		assert_int_equal(place->report.without_metadata, 0);
		assert_int_equal(place->report.ignored, 0);
		assert_int_equal(count_files(place), 2 * store_count(place->store));
		for (size_t i = 0; i < store_count(place->store); i++)
			assert_int_equal(store_at(place->store, i)->core_bytes, 4);
	}
}

// -- Room ------------------------------------------------------------------------------------

static void assert_removal(const struct place *place, size_t index, const char *name,
			   enum retention_reason reason)
{
	assert_true(index < place->removals.n_items);
	assert_string_equal(place->removals.items[index].name, name);
	assert_int_equal(place->removals.items[index].reason, reason);
	assert_false(exists(place, name));
}

static void test_per_executable(void **state)
{
	struct place *place = *state;
	const struct retention_limits limits = { .max_per_executable = 2 };
	char names[4][DUMPNAME_MAX + 1];
	open_store(place, &limits);
	struct store_facts facts = facts_of(1000);
	for (int i = 0; i < 4; i++, facts.usec++)
		(void)snprintf(names[i], sizeof(names[i]), "%s", publish(place, &facts, 9)->name);
	assert_int_equal(place->removals.n_items, 2);
	assert_removal(place, 0, names[0], RETENTION_EXECUTABLE);
	assert_removal(place, 1, names[1], RETENTION_EXECUTABLE);
	facts.exe = "/usr/bin/other";
	(void)publish(place, &facts, 9);
	facts = facts_of(1001);
	(void)publish(place, &facts, 9);
	assert_int_equal(store_count(place->store), 4);
	assert_int_equal(count_files(place), 8);
	// The key is the same after a restart.
	open_store(place, &limits);
	facts = facts_of(1000);
	facts.usec += 10;
	(void)publish(place, &facts, 9);
	assert_int_equal(place->removals.n_items, 1);
	assert_removal(place, 0, names[2], RETENTION_EXECUTABLE);
}

static void test_max_use(void **state)
{
	struct place *place = *state;
	const struct retention_limits limits = { .max_use = MIB };
	char oldest[DUMPNAME_MAX + 1];
	const struct store_entry *entry = NULL;
	open_store(place, &limits);
	struct store_facts facts = facts_of(1000);
	const struct store_facts light = facts_of(1001);
	(void)publish(place, &light, 1000);
	facts.usec++;
	(void)snprintf(oldest, sizeof(oldest), "%s", publish(place, &facts, 400 << 10)->name);
	facts.usec++;
	(void)publish(place, &facts, 400 << 10);
	assert_int_equal(place->removals.n_items, 0);
	// Room is made before, so that the next one does not have to wait for it.
	struct store_draft *draft = begin(place, 1000, 400 << 10);
	assert_int_equal(place->removals.n_items, 1);
	assert_removal(place, 0, oldest, RETENTION_MAX_USE);
	// It became larger than was said, and too large.
	assert_int_equal(lseek(draft->core, 0, SEEK_SET), 0);
	fill(draft->core, 2 << 20);
	assert_code(store_publish(draft, &facts, NULL, &place->removals, &entry), SNAP_NO_SPACE);
	assert_int_equal(place->removals.n_items, 1);
	assert_int_equal(store_count(place->store), 2);
	assert_int_equal(count_files(place), 4);
	// Larger than said, but there is room: made afterwards.
	draft = begin(place, 1000, 100 << 10);
	assert_int_equal(lseek(draft->core, 0, SEEK_SET), 0);
	fill(draft->core, 800 << 10);
	assert_ok(store_publish(draft, &facts, NULL, &place->removals, &entry));
	assert_int_equal(place->removals.n_items, 2);
	assert_int_equal(store_count(place->store), 2);
	assert_int_equal(store_at(place->store, 0)->uid, 1001);
	// Asked for too much: nothing goes.
	const struct store_request request = { .uid = 1000, .core_bytes = 2 * MIB };
	struct snap_error *err = store_begin(place->store, &request, &place->removals, &draft);
	assert_non_null(err);
	assert_int_equal(err->code, SNAP_NO_SPACE);
	assert_non_null(strstr(err->message, "needs 2.0 MiB, all dumps together may use 1.0 MiB "
					     "(MaxUse) and use "));
	snap_error_destroy(err);
	assert_int_equal(place->removals.n_items, 2);
}

static void test_retain(void **state)
{
	struct place *place = *state;
	const struct retention_limits limits = { .max_age_usec = 3600 * UINT64_C(1000000) };
	open_store(place, &no_limits);
	struct store_facts facts = facts_of(1000);
	(void)publish(place, &facts, 9);
	facts.usec = (uint64_t)time(NULL) * 1000000;
	const struct store_entry *fresh = publish(place, &facts, 9);
	assert_ok(store_retain(place->store, &place->removals));
	assert_int_equal(place->removals.n_items, 0);
	store_set_limits(place->store, &limits);
	assert_ok(store_retain(place->store, &place->removals));
	assert_int_equal(place->removals.n_items, 1);
	assert_int_equal(place->removals.items[0].reason, RETENTION_AGE);
	assert_ptr_equal(store_at(place->store, 0), fresh);
	assert_int_equal(count_files(place), 2);
}

/// Mounts a small file system in the place of the store.
static bool mount_small(const struct place *place, const char *options)
{
	assert_int_equal(mkdir(place->dir, 0755), 0);
	return mount("tmpfs", place->dir, "tmpfs", 0, options) == 0;
}

static void test_full_disk(void **state)
{
	struct place *place = *state;
	if (!mount_small(place, "size=1m,mode=755"))
		skip_test("cannot mount a tmpfs: %s", strerror(errno));
	open_store(place, &no_limits);
	const struct store_facts facts = facts_of(1000);
	const struct store_entry *entry = NULL;
	struct store_draft *draft, *second = NULL;
	struct store_request request = { .uid = 1000, .core_bytes = 2 * MIB };
	assert_code(store_begin(place->store, &request, &place->removals, &draft), SNAP_NO_SPACE);
	request = (struct store_request){
		.uid = 1000, .compressed = true, .core_bytes = MIB / 4, .spool_bytes = MIB
	};
	assert_code(store_begin(place->store, &request, &place->removals, &draft), SNAP_NO_SPACE);
	// What others are going to write is taken, and what they have written is not taken twice.
	request.spool_bytes = MIB / 4;
	assert_ok(store_begin(place->store, &request, &place->removals, &draft));
	request.spool_bytes = MIB / 2;
	assert_code(store_begin(place->store, &request, &place->removals, &second), SNAP_NO_SPACE);
	fill(draft->core, MIB / 4);
	request.spool_bytes = MIB / 5;
	assert_ok(store_begin(place->store, &request, &place->removals, &second));
	store_drop(second);
	// No room for the metadata.
	while (write(draft->spool, "x", 1) == 1)
		if (lseek(draft->spool, 4095, SEEK_CUR) < 0)
			break;
	assert_int_equal(errno, ENOSPC);
	int spool = dup(draft->spool); // a worker that has not ended
	assert_code(store_publish(draft, &facts, NULL, &place->removals, &entry), SNAP_NO_SPACE);
	(void)close(spool);
	assert_int_equal(count_files(place), 0);
	assert_null(entry);
	(void)publish(place, &facts, MIB / 2);
	assert_int_equal(count_files(place), 2);
}

static void test_keep_free(void **state)
{
	struct place *place = *state;
	const struct retention_limits limits = { .keep_free = MIB };
	if (!mount_small(place, "size=2m,mode=755"))
		skip_test("cannot mount a tmpfs: %s", strerror(errno));
	open_store(place, &limits);
	const struct store_facts facts = facts_of(1000), other = facts_of(1001);
	(void)publish(place, &other, MIB / 4);
	(void)publish(place, &facts, MIB / 2);
	assert_int_equal(place->removals.n_items, 0);
	(void)publish(place, &facts, MIB / 2);
	assert_int_equal(place->removals.n_items, 1);
	assert_int_equal(place->removals.items[0].reason, RETENTION_KEEP_FREE);
	assert_int_equal(place->removals.items[0].uid, 1000);
	struct store_draft *draft;
	struct store_request request = { .uid = 1000, .core_bytes = MIB };
	struct snap_error *err = store_begin(place->store, &request, &place->removals, &draft);
	assert_non_null(err);
	assert_int_equal(err->code, SNAP_NO_SPACE);
	assert_non_null(strstr(err->message, "1.0 MiB are to stay free (KeepFree)"));
	snap_error_destroy(err);
	assert_int_equal(store_count(place->store), 2);
	request.core_bytes = UINT64_MAX;
	request.spool_bytes = UINT64_MAX;
	assert_code(store_begin(place->store, &request, &place->removals, &draft), SNAP_NO_SPACE);
}

/// Many dumps: the order stays, and nothing is lost.
static void test_many(void **state)
{
	struct place *place = *state;
	open_store(place, &no_limits);
	int fds = test_count_fds();
	uint64_t seed = 1;
	for (int i = 0; i < 200; i++) {
		struct store_facts facts = facts_of((uid_t)(1000 + i % 7));
		facts.usec = 1 + test_random(&seed) % 1000;
		(void)publish(place, &facts, 9);
	}
	for (int round = 0; round < 2; round++) {
		assert_int_equal(store_count(place->store), 200);
		for (size_t i = 1; i < 200; i++)
			assert_true(store_at(place->store, i - 1)->usec <=
				    store_at(place->store, i)->usec);
		assert_int_equal(test_count_fds(), fds);
		open_store(place, &no_limits);
	}
	while (store_count(place->store))
		assert_ok(store_remove(place->store,
				       store_at(place->store, store_count(place->store) / 2)));
	assert_int_equal(count_files(place), 0);
}

// -- Without O_TMPFILE -----------------------------------------------------------------------

/// From now on the kernel does not know it.
static bool forbid_tmpfile(void)
{
	static const uint32_t flag = O_TMPFILE & ~O_DIRECTORY;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// The last one: the filter stays.
static void test_hidden_names(void **state)
{
	struct place *place = *state;
	open_store(place, &no_limits);
	if (!forbid_tmpfile())
		skip_test("cannot filter system calls: %s", strerror(errno));
	const struct store_request request = { .uid = 1000, .compressed = true };
	struct store_draft *draft;
	const struct store_entry *entry = NULL;
	assert_ok(store_begin(place->store, &request, &place->removals, &draft));
	assert_int_equal(count_files(place), 2);
	assert_non_null(draft->core_temp);
	store_drop(draft);
	assert_int_equal(count_files(place), 0);
	struct store_facts facts = facts_of(1000);
	assert_ok(store_begin(place->store, &request, &place->removals, &draft));
	fill(draft->core, 9);
	assert_ok(store_publish(draft, &facts, NULL, &place->removals, &entry));
	assert_int_equal(count_files(place), 2);
	facts.boot_id = "";
	assert_code(store_publish(begin(place, 1000, 9), &facts, NULL, &place->removals, &entry),
		    SNAP_FAILED);
	assert_int_equal(count_files(place), 2);
	// Killed in the middle.
	assert_ok(store_begin(place->store, &request, &place->removals, &draft));
	fill(draft->core, 9);
	free(TAKE_PTR(draft->core_temp));
	free(TAKE_PTR(draft->spool_temp));
	store_drop(draft);
	assert_int_equal(count_files(place), 4);
	open_store(place, &no_limits);
	assert_int_equal(place->report.removed_temporary, 2);
	assert_int_equal(place->report.listed, 1);
	assert_int_equal(count_files(place), 2);
}

/// Mounts of the tests are nobody else's.
static int group_setup(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) == 0)
		(void)mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL);
	return 0;
}

#define place_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		place_test(test_folder),
		place_test(test_foreign_folder),
		place_test(test_planted_lock),
		place_test(test_publish),
		place_test(test_attributes),
		place_test(test_no_grant),
		place_test(test_who_reads),
		place_test(test_name_taken),
		place_test(test_drop),
		place_test(test_cannot_publish),
		place_test(test_reopen),
		place_test(test_reopen_plain),
		place_test(test_long_exe),
		place_test(test_large_metadata),
		place_test(test_remove),
		place_test(test_vanished),
		place_test(test_find),
		place_test(test_leftovers),
		place_test(test_damaged_metadata),
		place_test(test_hostile_files),
		place_test(test_hostile_beside),
		place_test(test_killed),
		place_test(test_per_executable),
		place_test(test_max_use),
		place_test(test_retain),
		place_test(test_full_disk),
		place_test(test_keep_free),
		place_test(test_many),
		place_test(test_hidden_names),
	};
	return cmocka_run_group_tests(tests, group_setup, NULL);
}
