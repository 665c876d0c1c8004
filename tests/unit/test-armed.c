// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/armed.h"
#include "common/fd.h"

static int set_up(void **state)
{
	static char dir[64], path[80];
	(void)snprintf(dir, sizeof(dir), "/tmp/procsnap-armed.XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/armed", dir);
	assert_int_equal(setenv("PROCSNAP_ARMED", path, 1), 0);
	*state = dir;
	return 0;
}

static int tear_down(void **state)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", (const char *)*state);
	return system(command); // NOLINT(cert-env33-c): a name of our own
}

static void write_record(const struct armed *armed, pid_t pid)
{
	_cleanup_(json_destroyp) struct json *record = json_new_object();
	json_set_u64(record, "value", 7);
	assert_ok(armed_write(armed, pid, record));
}

static size_t listed(const struct armed *armed)
{
	_cleanup_(json_destroyp) struct json *list = NULL;
	assert_ok(armed_list(armed, &list));
	return json_length(list);
}

static bool has_file(const struct armed *armed, pid_t pid)
{
	char name[16];
	(void)snprintf(name, sizeof(name), "%d", pid);
	return faccessat(armed->dirfd, name, F_OK, 0) == 0;
}

static void test_records(void **state _unused_)
{
	_cleanup_armed_ struct armed armed;
	assert_ok(armed_open(&armed));
	assert_int_equal(listed(&armed), 0);
	write_record(&armed, getpid());
	_cleanup_(json_destroyp) struct json *record = armed_read(&armed, getpid());
	assert_int_equal(json_get_u64(record, "value", 0), 7);
	assert_int_equal(json_get_u64(record, "pid", 0), getpid());
	assert_int_equal(listed(&armed), 1);
	assert_false(armed_is_disarmed(&armed, getpid()));
	assert_ok(armed_write_disarmed(&armed, getpid()));
	assert_true(armed_is_disarmed(&armed, getpid()));
	assert_null(armed_read(&armed, getpid()));
	assert_int_equal(listed(&armed), 0);
	assert_true(has_file(&armed, getpid()));
	write_record(&armed, getpid()); // armed again
	assert_false(armed_is_disarmed(&armed, getpid()));
	armed_drop(&armed, getpid());
	assert_null(armed_read(&armed, getpid()));
}

static void test_ended(void **state _unused_)
{
	_cleanup_armed_ struct armed armed;
	assert_ok(armed_open(&armed));
	pid_t pid = fork();
	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	write_record(&armed, pid);
	armed_drop_ended(&armed, pid);
	assert_int_equal(listed(&armed), 1);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	assert_null(armed_read(&armed, pid));
	assert_false(armed_is_disarmed(&armed, pid));
	// While somebody works on it, it is left.
	int lock = armed_lock(&armed, pid);
	assert_true(lock >= 0);
	armed_drop_ended(&armed, pid);
	assert_int_equal(listed(&armed), 0);
	assert_true(has_file(&armed, pid));
	snap_closep(&lock);
	assert_int_equal(listed(&armed), 0);
	assert_false(has_file(&armed, pid));
}

static void test_locks(void **state _unused_)
{
	_cleanup_armed_ struct armed armed, other;
	assert_ok(armed_open(&armed));
	assert_ok(armed_open(&other));
	int first = armed_lock(&armed, 10);
	assert_true(first >= 0);
	assert_int_equal(armed_lock(&armed, 10), -EAGAIN);
	assert_int_equal(armed_lock(&other, 10), -EAGAIN);
	int second = armed_lock(&other, 11);
	assert_true(second >= 0);
	snap_closep(&first);
	first = armed_lock(&other, 10);
	assert_true(first >= 0);
	snap_closep(&first);
	snap_closep(&second);
}

static void test_damaged(void **state _unused_)
{
	static const char *const texts[] = { "", "x", "{}", "[]", "{\"disarmed\":true}" };
	_cleanup_armed_ struct armed armed;
	assert_ok(armed_open(&armed));
	char name[16];
	(void)snprintf(name, sizeof(name), "%d", getpid());
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		int fd = openat(armed.dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fd >= 0 && snap_write_all(fd, texts[i], strlen(texts[i])) == 0);
		snap_closep(&fd);
		assert_null(armed_read(&armed, getpid()));
		assert_false(armed_is_disarmed(&armed, getpid()));
		assert_int_equal(listed(&armed), 0);
		assert_false(has_file(&armed, getpid()));
	}
	assert_int_equal(fchmod(armed.dirfd, 0770), 0);
	struct armed open = { 0 };
	struct snap_error *err = armed_open(&open);
	assert_non_null(err);
	snap_error_destroy(err);
	assert_int_equal(fchmod(armed.dirfd, 0700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_locks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
