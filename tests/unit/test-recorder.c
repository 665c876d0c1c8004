// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fd.h"
#include "daemon/recorder.h"

/*
 * What the recorder keeps and sends, without a journal or with a socket in its place. All of it is
 * done in a child whose /run is its own; what fails there is its exit status.
 */

#define CHECK(condition)                                                           \
	do {                                                                       \
		if (!(condition)) {                                                \
			(void)fprintf(stderr, "%d: not so: %s\n", __LINE__, #condition); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

static char folder[64];
static sd_event *event;

static void make_run(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, "mode=755") < 0)
		_exit(EXIT_SKIP);
	CHECK(mkdir("/run/systemd", 0755) == 0 && mkdir("/run/systemd/journal", 0755) == 0);
	(void)snprintf(folder, sizeof(folder), "/run/records");
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK(sd_event_new(&event) == 0);
}

/// Somebody who takes what journald would.
static int make_journal(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
				       .sun_path = "/run/systemd/journal/socket" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlink(address.sun_path);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(chmod(address.sun_path, 0666) == 0);
	return fd;
}

static struct record *make_record(const char *id)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	_cleanup_(procid_destroyp) struct procid *procid = NULL;
	struct record *record = NULL;
	CHECK(pidref_open(getpid(), &ref) == 0);
	CHECK(!procid_create(&ref, 0, &procid));
	const struct record_dump dump = { .kind = RECORD_LIVE, .id = id, .mode = "copy" };
	CHECK(!record_create(procid, &dump, &record));
	return record;
}

static size_t count_files(void)
{
	size_t n = 0;
	DIR *dir = opendir(folder);
	const struct dirent *d;
	while (dir && (d = readdir(dir)))
		n += d->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return n;
}

/// Turns the loop until as many records wait.
static void run_until(const struct recorder *r, size_t waiting)
{
	for (int i = 0; i < 600 && recorder_waiting(r) != waiting; i++)
		CHECK(sd_event_run(event, 100000) >= 0);
	CHECK(recorder_waiting(r) == waiting);
}

static void settle(void)
{
	while (sd_event_run(event, 300000) > 0)
		;
}

/// Does the next entry have @id? False when there is none.
static bool next_is(int journal, const char *id)
{
	char buf[65536], want[64];
	ssize_t n = recv(journal, buf, sizeof(buf) - 1, 0);
	if (n < 0)
		return false;
	buf[n] = '\0';
	(void)snprintf(want, sizeof(want), "PROCSNAP_ID=%s\n", id);
	return memmem(buf, (size_t)n, want, strlen(want));
}

static void end(struct recorder *r)
{
	recorder_destroy(r);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static int sends(void *userdata _unused_)
{
	struct recorder *r;
	make_run();
	int journal = make_journal();
	CHECK(!recorder_create(event, folder, &r));
	CHECK(recorder_waiting(r) == 0);
	CHECK(!recorder_add(r, make_record("one")));
	CHECK(!recorder_add(r, make_record("two")));
	CHECK(recorder_waiting(r) == 2 && count_files() == 2);
	run_until(r, 0);
	CHECK(count_files() == 0);
	CHECK(next_is(journal, "one"));
	CHECK(next_is(journal, "two"));
	CHECK(!next_is(journal, ""));
	struct stat st;
	CHECK(stat(folder, &st) == 0 && (st.st_mode & 0777) == 0700);
	end(r);
	return 0;
}

static int waits(void *userdata _unused_)
{
	struct recorder *r;
	make_run();
	CHECK(!recorder_create(event, folder, &r));
	CHECK(!recorder_add(r, make_record("one")));
	CHECK(!recorder_add(r, make_record("two")));
	settle();
	CHECK(recorder_waiting(r) == 2 && count_files() == 2);
	// The journal comes back, and is told with the next one, or by and by.
	int journal = make_journal();
	CHECK(!recorder_add(r, make_record("three")));
	run_until(r, 0);
	CHECK(next_is(journal, "one") && next_is(journal, "two") && next_is(journal, "three"));
	CHECK(count_files() == 0);
	end(r);
	return 0;
}

static int outlives(void *userdata _unused_)
{
	struct recorder *r;
	make_run();
	CHECK(!recorder_create(event, folder, &r));
	CHECK(!recorder_add(r, make_record("one")));
	CHECK(!recorder_add(r, make_record("two")));
	settle();
	end(r);
	CHECK(count_files() == 2);
	int journal = make_journal();
	CHECK(!recorder_create(event, folder, &r));
	CHECK(recorder_waiting(r) == 2);
	run_until(r, 0);
	bool first = next_is(journal, "one");
	CHECK(first ? next_is(journal, "two") : true); // in whatever order
	CHECK(first || next_is(journal, "one"));
	CHECK(!next_is(journal, "one") && count_files() == 0);
	end(r);
	return 0;
}

static void put_file(const char *name, const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && snap_write_all(fd, text, strlen(text)) == 0);
	(void)close(fd);
}

static bool has_file(const char *name)
{
	char path[128];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return lstat(path, &st) == 0;
}

/// Files of others are left alone; what cannot be a record of ours is no reason to stop.
static int finds_anything(void *userdata _unused_)
{
	struct recorder *r;
	char path[128];
	make_run();
	int journal = make_journal();
	CHECK(mkdir(folder, 0700) == 0);
	put_file(".0123456789abcdef.json", "half of a rec");
	put_file("notes", "mine");
	put_file("0123456789abcdeF.json", "{}");
	put_file("0123456789abcdef.json", "nonsense");
	put_file("0123456789abcde0.json", "");
	put_file("0123456789abcde1.json", "{}");
	put_file("0123456789abcde2.json", "{\"fields\":7}");
	(void)snprintf(path, sizeof(path), "%s/0123456789abcde3.json", folder);
	CHECK(mkfifo(path, 0600) == 0);
	(void)snprintf(path, sizeof(path), "%s/0123456789abcde4.json", folder);
	CHECK(symlink("/etc/passwd", path) == 0);
	CHECK(!recorder_create(event, folder, &r));
	CHECK(!recorder_add(r, make_record("one")));
	run_until(r, 0);
	CHECK(next_is(journal, "one"));
	CHECK(has_file("notes") && has_file("0123456789abcdeF.json"));
	CHECK(!has_file(".0123456789abcdef.json"));
	end(r);
	return 0;
}

/// One that is whole, and cannot be read now because we have too much open, is not given up.
static int keeps_what_it_cannot_open(void *userdata _unused_)
{
	struct recorder *r;
	struct rlimit old, few;
	make_run();
	CHECK(!recorder_create(event, folder, &r));
	CHECK(!recorder_add(r, make_record("one")));
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	few = old;
	few.rlim_cur = 3;
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	settle();
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	CHECK(recorder_waiting(r) == 1 && count_files() == 1);
	end(r);
	return 0;
}

static int in_memory(void *userdata _unused_)
{
	struct recorder *r;
	make_run();
	int journal = make_journal();
	CHECK(!recorder_create(event, NULL, &r));
	// It says that it may not survive, and sends it all the same.
	struct snap_error *err = recorder_add(r, make_record("one"));
	CHECK(err);
	snap_error_destroy(err);
	CHECK(recorder_waiting(r) == 1);
	run_until(r, 0);
	CHECK(next_is(journal, "one"));
	err = recorder_add(r, make_record("two"));
	snap_error_destroy(err);
	end(r); // with one that waits
	return 0;
}

/// A folder that is none; a disk that is full.
static int on_bad_folders(void *userdata _unused_)
{
	struct recorder *r;
	make_run();
	int journal = make_journal();
	CHECK(!recorder_create(event, "/run/systemd/journal/socket", &r));
	struct snap_error *err = recorder_add(r, make_record("one"));
	CHECK(err);
	snap_error_destroy(err);
	run_until(r, 0);
	CHECK(next_is(journal, "one"));
	end(r);
	CHECK(mkdir(folder, 0700) == 0 && mount("tmpfs", folder, "tmpfs", 0, "size=4k") == 0);
	put_file("full", "x");
	CHECK(!recorder_create(event, folder, &r));
	err = recorder_add(r, make_record("two"));
	CHECK(err);
	snap_error_destroy(err);
	CHECK(count_files() == 1); // nothing half-written
	run_until(r, 0);
	CHECK(next_is(journal, "two"));
	end(r);
	return 0;
}

static int many(void *userdata _unused_)
{
	struct recorder *r;
	char id[16];
	make_run();
	int journal = make_journal();
	int size = 4 << 20;
	(void)setsockopt(journal, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	CHECK(!recorder_create(event, folder, &r));
	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		CHECK(!recorder_add(r, make_record(id)));
	}
	run_until(r, 0);
	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		CHECK(next_is(journal, id)); // in order, each once
	}
	end(r);
	return 0;
}

static void run_child(int (*fn)(void *))
{
	if (geteuid() != 0)
		skip_test("needs root");
	int status = test_wait(test_fork(fn, NULL));
	if (status == EXIT_SKIP)
		skip_test("nothing can be mounted here");
	assert_int_equal(status, 0);
}

#define CHILD_TEST(fn)                            \
	static void test_##fn(void **state _unused_) \
	{                                         \
		run_child(fn);                    \
	}

CHILD_TEST(sends)
CHILD_TEST(waits)
CHILD_TEST(outlives)
CHILD_TEST(finds_anything)
CHILD_TEST(keeps_what_it_cannot_open)
CHILD_TEST(in_memory)
CHILD_TEST(on_bad_folders)
CHILD_TEST(many)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sends),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_outlives),
		cmocka_unit_test(test_finds_anything),
		cmocka_unit_test(test_keeps_what_it_cannot_open),
		cmocka_unit_test(test_in_memory),
		cmocka_unit_test(test_on_bad_folders),
		cmocka_unit_test(test_many),
	};
	if (!test_has_pidfd()) {
		printf("skipped: no pidfds\n");
		return 77;
	}
	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
