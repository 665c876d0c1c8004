// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <inttypes.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/leader.h"
#include "common/pidref.h"
#include "common/procfolder.h"
#include "systemd/procid.h"

static char base[] = "/tmp/test-procfolder.XXXXXX";

static int set_up(void **state _unused_)
{
	return mkdtemp(base) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	char command[64];
	(void)snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

/// A fresh folder.
static int make_folder(const char *name)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	assert_int_equal(mkdir(path, 0700), 0);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void put(int dirfd, const char *name, const void *data, size_t len)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
}

struct plan {
	int (*prepare)(void);
	int ready[2];
};

static int wait_for_kill(void *userdata)
{
	const struct plan *plan = userdata;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || plan->prepare() != 0)
		return 1;
	(void)!write(plan->ready[1], "r", 1);
	return pause();
}

/// A child that has done @prepare, and its /proc/PID.
static void start(int (*prepare)(void), struct pidref *ref, int *ret_procfd)
{
	struct plan plan = { .prepare = prepare };
	assert_int_equal(pipe2(plan.ready, O_CLOEXEC), 0);
	pid_t pid = test_fork(wait_for_kill, &plan);
	assert_int_equal(close(plan.ready[1]), 0);
	char byte;
	(void)!read(plan.ready[0], &byte, 1); // nothing after execve()
	assert_int_equal(close(plan.ready[0]), 0);
	// A program that begins maps its libraries: it is ready when it sleeps.
	char path[64], text[16] = "";
	(void)snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	while (strtol(text, NULL, 10) != SYS_pause && strtol(text, NULL, 10) != SYS_clock_nanosleep) {
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		assert_true(n >= 0);
		(void)usleep(1000);
	}
	assert_int_equal(pidref_open(pid, ref), 0);
	*ret_procfd = pidref_open_proc(ref);
	assert_true(*ret_procfd >= 0);
}

static void end(struct pidref *ref)
{
	assert_int_equal(kill(ref->pid, SIGKILL), 0);
	assert_int_equal(test_wait(ref->pid), -SIGKILL);
	pidref_deinit(ref);
}

static const enum procid_flags all = PROCID_WITH_CMDLINE | PROCID_WITH_ENVIRON;

/// The folder says what the process itself does.
static void compare(const struct pidref *ref, int procfd, const char *name)
{
	_cleanup_close_ int folder = make_folder(name);
	_cleanup_(procid_destroyp) struct procid *live = NULL, *copy = NULL;
	assert_ok(procid_create(ref, all, &live));
	assert_int_equal(procfolder_copy(procfd, folder), 0);
	assert_ok(procid_create_at(folder, ref->pid, all, &copy));
	for (size_t i = 0; i < PROCID_FIELD_MAX; i++) {
		const struct procid_text *a = &live->fields[i], *b = &copy->fields[i];
		// VmPeak and counts of switches and of descriptors change while one looks.
		if (i == PROCID_PROC_STATUS)
			continue;
		if (a->len != b->len || (a->len && memcmp(a->data, b->data, a->len) != 0))
			fail_msg("field %zu: '%s', not '%s'", i, b->data ? b->data : "",
				 a->data ? a->data : "");
	}
	assert_int_equal(live->cut, copy->cut);
	assert_int_equal(live->uid, copy->uid);
	assert_int_equal(live->gid, copy->gid);
	assert_int_equal(live->ids_known, copy->ids_known);
	assert_int_equal(live->plain, copy->plain);
	assert_int_equal(live->owner_uid, copy->owner_uid);
	assert_int_equal(live->rlimit_core, copy->rlimit_core);
	assert_int_equal(live->start_ticks, copy->start_ticks);
	assert_int_equal(live->ns_pid, copy->ns_pid);
	assert_true(copy->start_ticks > 0);
	assert_memory_equal(&live->container, &copy->container, sizeof(live->container));
}

static int execute(void)
{
	static char *const argv[] = { "a b\n'c", "1000", NULL };
	static char *const env[] = { "A=1", "EVIL=x\nUNIT=ssh.service", "\xff=\\", NULL };
	return execve("/bin/sleep", argv, env);
}

static int take_names(void)
{
	if (unshare(CLONE_FILES) < 0 || chdir("/tmp") < 0)
		return -1;
	for (int i = 0; i < 800; i++)
		(void)open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 8000; i++)
		(void)mmap(NULL, TEST_PAGE, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return prctl(PR_SET_NAME, "a) R 1\nUid:\t0\xff");
}

static int hide(void)
{
	return prctl(PR_SET_DUMPABLE, 0);
}

static void test_copy(void **state _unused_)
{
	static const struct {
		const char *name;
		int (*prepare)(void);
	} cases[] = { { "plain", execute }, { "names", take_names }, { "hidden", hide } };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
		_cleanup_close_ int procfd = -EBADF;
		start(cases[i].prepare, &ref, &procfd);
		uint64_t before = snap_now_ns();
		compare(&ref, procfd, cases[i].name);
		print_message("%s: %" PRIu64 " us for both\n", cases[i].name,
			      (snap_now_ns() - before) / 1000);
		end(&ref);
	}
}

/// Only what was there before: links are not followed, files are not written over.
static void test_not_empty(void **state _unused_)
{
	_cleanup_close_ int folder = make_folder("used"), procfd = open("/proc/self", O_RDONLY);
	assert_int_equal(symlinkat("../victim", folder, "status"), 0);
	put(folder, "maps", "mine", 4);
	assert_int_equal(procfolder_copy(procfd, folder), -EEXIST);
	assert_int_equal(faccessat(folder, "../victim", F_OK, 0), -1);
	_cleanup_free_ char *text = NULL;
	assert_int_equal(snap_read_file_at(folder, "maps", 100, &text), 4);
	assert_int_equal(faccessat(folder, "limits", F_OK, 0), 0); // the rest is there
}

static void test_gone(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	_cleanup_close_ int procfd = -EBADF, folder = make_folder("gone");
	start(execute, &ref, &procfd);
	end(&ref);
	assert_int_equal(procfolder_copy(procfd, folder), 0);
	assert_int_equal(faccessat(folder, "status", F_OK, 0), -1);
	_cleanup_(procid_destroyp) struct procid *id = NULL;
	assert_ok(procid_create_at(folder, 4711, all, &id));
	assert_int_equal(id->pid, 4711);
	assert_false(id->ids_known);
	assert_false(id->plain);
	assert_null(procid_text(id, PROCID_COMM));
}

static void test_hostile_folder(void **state _unused_)
{
	_cleanup_close_ int folder = make_folder("hostile");
	char *large = malloc(1 << 20);
	assert_non_null(large);
	memset(large, 'x', 1 << 20);
	put(folder, "comm", large, 1 << 20);
	put(folder, "exe", large, 1 << 20);
	put(folder, "environ", "\0\0\0", 3);
	put(folder, "cmdline", "\xff\x1b[2J\nMESSAGE_ID=x", 18);
	put(folder, "cgroup", "0::/../x\n0::/a", 14);
	put(folder, "owner", "0", 1);
	put(folder, "stat", ")", 1);
	put(folder, "status", "Uid:\t1\t1\t1\t1\nGid:\t1\t1\t1\n", 25);
	put(folder, "limits", "Max core file size 1e9", 22);
	assert_int_equal(symlinkat("/etc/passwd", folder, "maps"), 0);
	assert_int_equal(mkfifoat(folder, "fds", 0600), 0);
	assert_int_equal(mkdirat(folder, "auxv", 0700), 0);
	free(large);
	_cleanup_(procid_destroyp) struct procid *id = NULL;
	assert_ok(procid_create_at(folder, 1, all, &id));
	assert_int_equal(id->fields[PROCID_COMM].len, 256);
	assert_true(id->cut & 1U << PROCID_COMM);
	assert_null(procid_text(id, PROCID_EXE)); // no path is that long
	assert_null(procid_text(id, PROCID_ENVIRON));
	assert_string_equal(procid_text(id, PROCID_CMDLINE), "$'\\xff\\x1b[2J\\x0aMESSAGE_ID=x'");
	assert_null(procid_text(id, PROCID_PROC_MAPS));
	assert_null(procid_text(id, PROCID_OPEN_FDS));
	assert_null(procid_text(id, PROCID_PROC_AUXV));
	assert_false(id->ids_known);
	assert_false(id->plain);
}

// ---- containers --------------------------------------------------------------------------------

static int enter_root(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", base, "tmpfs", 0, NULL) < 0)
		return -1;
	return chroot(base);
}

static void test_leader(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	_cleanup_close_ int procfd = -EBADF, self = open("/proc/self", O_RDONLY | O_CLOEXEC);
	_cleanup_strbuf_ struct strbuf text = { 0 }, own = { 0 };
	if (getuid() != 0)
		skip_test("needs root");
	assert_int_equal(leader_read_cmdline(self, 4096, &text), -ENOENT); // in no container
	start(enter_root, &ref, &procfd);
	assert_int_equal(leader_read_cmdline(procfd, 4096, &text), 0);
	assert_int_equal(procfolder_read(self, "cmdline", 4096, &own), 0);
	assert_int_equal(text.len, own.len);
	assert_memory_equal(text.data, own.data, own.len);
	compare(&ref, procfd, "contained");
	_cleanup_(procid_destroyp) struct procid *id = NULL;
	assert_ok(procid_create(&ref, all, &id));
	assert_non_null(strstr(procid_text(id, PROCID_CONTAINER_CMDLINE), "test-procfolder"));
	end(&ref);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),	 cmocka_unit_test(test_not_empty),
		cmocka_unit_test(test_gone),	 cmocka_unit_test(test_hostile_folder),
		cmocka_unit_test(test_leader),
	};
	if (!test_has_pidfd()) {
		print_message("skipped: no pidfd (under valgrind?)\n");
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
