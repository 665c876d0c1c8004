// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <grp.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "systemd/procid.h"

/// What a child does before it waits to be killed.
struct plan {
	int (*prepare)(void);
	int ready[2];
};

static int wait_for_kill(void *userdata)
{
	struct plan *plan = userdata;
	if (plan->prepare() != 0)
		return 1;
	(void)!write(plan->ready[1], "r", 1);
	for (;;)
		(void)pause();
}

/// A child that has done @prepare, or is the program that it executed; pinned.
static void start(int (*prepare)(void), struct pidref *ret)
{
	struct plan plan = { .prepare = prepare };
	assert_int_equal(pipe2(plan.ready, O_CLOEXEC), 0);
	pid_t pid = test_fork(wait_for_kill, &plan);
	assert_int_equal(close(plan.ready[1]), 0);
	char byte;
	(void)!read(plan.ready[0], &byte, 1); // nothing after execve()
	assert_int_equal(close(plan.ready[0]), 0);
	assert_int_equal(pidref_open(pid, ret), 0);
}

static void end(struct pidref *ref)
{
	assert_int_equal(kill(ref->pid, SIGKILL), 0);
	assert_int_equal(test_wait(ref->pid), -SIGKILL);
	pidref_deinit(ref);
}

static struct procid *look(const struct pidref *ref, uint32_t flags)
{
	struct procid *id = NULL;
	assert_ok(procid_create(ref, flags, &id));
	assert_int_equal(id->pid, ref->pid);
	return id;
}

static int execute(void)
{
	static char *const argv[] = { "a b\n'c", "1000", NULL };
	static char *const env[] = { "A=1", "EVIL=x\nUNIT=ssh.service", "\xff=\\", NULL };
	return execve("/bin/sleep", argv, env);
}

static void test_program(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(execute, &ref);
	_cleanup_(procid_destroyp) struct procid *id =
		look(&ref, PROCID_WITH_CMDLINE | PROCID_WITH_ENVIRON);
	assert_string_equal(procid_text(id, PROCID_COMM), "sleep");
	assert_non_null(strstr(procid_text(id, PROCID_EXE), "/sleep"));
	assert_string_equal(procid_text(id, PROCID_CMDLINE), "$'a b\\x0a\\'c' 1000");
	assert_string_equal(procid_text(id, PROCID_ENVIRON),
			    "A=1\nEVIL=x\\nUNIT=ssh.service\n\\377=\\\\\n");
	char cwd[PATH_MAX];
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_string_equal(procid_text(id, PROCID_CWD), cwd);
	assert_string_equal(procid_text(id, PROCID_ROOT), "/");
	assert_non_null(strstr(procid_text(id, PROCID_PROC_MAPS), "/sleep"));
	assert_non_null(strstr(procid_text(id, PROCID_PROC_LIMITS), "Max core file size"));
	assert_non_null(strstr(procid_text(id, PROCID_PROC_STATUS), "Name:\tsleep\n"));
	assert_int_equal(id->fields[PROCID_PROC_AUXV].len % 16, 0);
	assert_int_equal(id->uid, getuid());
	assert_int_equal(id->gid, getgid());
	assert_true(id->ids_known);
	assert_true(id->plain);
	assert_true(id->start_ticks > 0);
	assert_int_equal(strlen(id->boot_id), 32);
	assert_true(strlen(id->hostname) > 0);
	end(&ref);
}

static void test_secrets_are_asked_for(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(execute, &ref);
	_cleanup_(procid_destroyp) struct procid *id = look(&ref, 0);
	assert_null(procid_text(id, PROCID_CMDLINE));
	assert_null(procid_text(id, PROCID_ENVIRON));
	end(&ref);
}

// ---- names -----------------------------------------------------------------------------------

static int take_name(void)
{
	(void)mkdir("/tmp/test-procid", 0700); // may be there
	(void)close(open("/tmp/test-procid/x\n4:_etc_shadow", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (open("/tmp/test-procid/x\n4:_etc_shadow", O_RDONLY | O_CLOEXEC) < 0)
		return -1;
	return prctl(PR_SET_NAME, "a) R 1\nUid:\t0\xff");
}

static void test_names(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(take_name, &ref);
	_cleanup_(procid_destroyp) struct procid *id = look(&ref, 0);
	const struct procid_text *comm = &id->fields[PROCID_COMM];
	assert_int_equal(comm->len, 14);
	assert_memory_equal(comm->data, "a) R 1\nUid:\t0\xff", 14);
	assert_int_equal(id->uid, getuid());
	assert_true(id->start_ticks > 1);
	const char *fds = procid_text(id, PROCID_OPEN_FDS);
	assert_non_null(strstr(fds, "x\\x0a4:_etc_shadow\n"));
	assert_null(strstr(fds, "\n4:_etc_shadow"));
	assert_int_equal(system("rm -rf /tmp/test-procid"), 0);
	end(&ref);
}

static int open_many(void)
{
	for (int i = 0; i < 800; i++)
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
			return -1;
	return 0;
}

static void test_many_descriptors(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(open_many, &ref);
	_cleanup_(procid_destroyp) struct procid *id = look(&ref, 0);
	assert_true(id->cut & 1U << PROCID_OPEN_FDS);
	assert_true(id->fields[PROCID_OPEN_FDS].len < 256 << 10);
	end(&ref);
}

static int map_many(void)
{
	for (int i = 0; i < 8000; i++)
		if (mmap(NULL, TEST_PAGE, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			return -1;
	return 0;
}

static void test_many_mappings(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(map_many, &ref);
	_cleanup_(procid_destroyp) struct procid *id = look(&ref, 0);
	const struct procid_text *maps = &id->fields[PROCID_PROC_MAPS];
	assert_true(id->cut & 1U << PROCID_PROC_MAPS);
	assert_true(maps->len <= 256 << 10 && maps->len > 250 << 10);
	assert_int_equal(maps->data[maps->len - 1], '\n');
	end(&ref);
}

// ---- whose it is -----------------------------------------------------------------------------

static int drop(uid_t real, uid_t effective, int dumpable)
{
	if (setgroups(0, NULL) < 0 || setresgid(real, real, real) < 0 ||
	    setresuid(real, effective, effective) < 0)
		return -1;
	return prctl(PR_SET_DUMPABLE, dumpable);
}

static int become_user(void)
{
	return drop(4711, 4711, 1);
}

static int become_secret(void)
{
	return drop(4711, 4711, 0);
}

static int become_mixed(void)
{
	return drop(4711, 4712, 1);
}

static void check_user(int (*prepare)(void), bool plain)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(prepare, &ref);
	_cleanup_(procid_destroyp) struct procid *id = look(&ref, 0);
	assert_true(id->ids_known);
	assert_int_equal(id->uid, 4711);
	assert_int_equal(id->gid, 4711);
	assert_int_equal(id->plain, plain);
	end(&ref);
}

static void test_users(void **state _unused_)
{
	if (getuid() != 0)
		skip_test("needs root");
	check_user(become_user, true);
	check_user(become_secret, false);
	check_user(become_mixed, false);
}

static void test_end(void **state _unused_)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(execute, &ref);
	assert_int_equal(kill(ref.pid, SIGKILL), 0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)ref.pid, &info, WEXITED | WNOWAIT), 0);
	_cleanup_(procid_destroyp) struct procid *zombie = look(&ref, PROCID_WITH_CMDLINE);
	assert_string_equal(procid_text(zombie, PROCID_COMM), "sleep");
	assert_null(procid_text(zombie, PROCID_EXE));
	assert_true(zombie->ids_known);

	assert_int_equal(test_wait(ref.pid), -SIGKILL);
	struct procid *id = NULL;
	assert_code(procid_create(&ref, 0, &id), SNAP_NO_PROCESS);
	assert_null(id);
}

// ---- control groups ----------------------------------------------------------------------------

#define TREE "/sys/fs/cgroup/unified"
#define CONTAINER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void enter(const char *group, pid_t pid)
{
	char path[PATH_MAX], text[16];
	(void)snprintf(path, sizeof(path), TREE "%s/cgroup.procs", group);
	(void)snprintf(text, sizeof(text), "%d", pid);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static bool make_groups(const char *const *groups, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[PATH_MAX];
		(void)snprintf(path, sizeof(path), TREE "%s", groups[i]);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return false;
	}
	return true;
}

static void remove_groups(const char *const *groups, size_t n)
{
	while (n--) {
		char path[PATH_MAX];
		(void)snprintf(path, sizeof(path), TREE "%s", groups[n]);
		(void)rmdir(path); // not if others use it
	}
}

static void test_units(void **state _unused_)
{
	static const char *const groups[] = {
		"/user.slice",
		"/user.slice/user-4711.slice",
		"/user.slice/user-4711.slice/user@4711.service",
		"/user.slice/user-4711.slice/user@4711.service/app.slice",
		"/user.slice/user-4711.slice/user@4711.service/app.slice/it.service",
		"/user.slice/user-4711.slice/session-7.scope",
		"/system.slice",
		"/system.slice/web.service",
		"/system.slice/docker-" CONTAINER ".scope",
		"/system.slice/docker-0" CONTAINER ".scope",
	};
	// With systemd as PID 1 the tree is its own, and no test may make groups in it.
	if (access(TREE "/cgroup.procs", W_OK) < 0 || access("/run/systemd/system", F_OK) == 0)
		skip_test("needs root, and a tree of control groups at " TREE " without systemd");
	if (!make_groups(groups, ARRAY_SIZE(groups))) {
		remove_groups(groups, ARRAY_SIZE(groups));
		skip_test("no control group can be made");
	}
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	start(execute, &ref);

	enter(groups[4], ref.pid);
	_cleanup_(procid_destroyp) struct procid *user = look(&ref, 0);
	assert_string_equal(procid_text(user, PROCID_CGROUP), groups[4]);
	assert_string_equal(procid_text(user, PROCID_UNIT), "user@4711.service");
	assert_string_equal(procid_text(user, PROCID_USER_UNIT), "it.service");
	assert_string_equal(procid_text(user, PROCID_SLICE), "user-4711.slice");
	assert_int_equal(user->owner_uid, 4711);

	enter(groups[5], ref.pid);
	_cleanup_(procid_destroyp) struct procid *session = look(&ref, 0);
	assert_string_equal(procid_text(session, PROCID_SESSION), "7");
	assert_string_equal(procid_text(session, PROCID_UNIT), "session-7.scope");
	assert_int_equal(session->owner_uid, 4711);

	enter(groups[7], ref.pid);
	_cleanup_(procid_destroyp) struct procid *web = look(&ref, 0);
	assert_string_equal(procid_text(web, PROCID_UNIT), "web.service");
	assert_string_equal(procid_text(web, PROCID_SLICE), "system.slice");
	assert_string_equal(web->container.id, "");
	assert_int_equal(web->owner_uid, (uid_t)-1);

	enter(groups[8], ref.pid);
	_cleanup_(procid_destroyp) struct procid *docker = look(&ref, 0);
	assert_string_equal(docker->container.id, CONTAINER);
	assert_string_equal(docker->container.runtime, "docker");

	enter(groups[9], ref.pid);
	_cleanup_(procid_destroyp) struct procid *longer = look(&ref, 0);
	assert_string_equal(longer->container.id, "");
	end(&ref);
	remove_groups(groups, ARRAY_SIZE(groups));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_secrets_are_asked_for),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_many_descriptors),
		cmocka_unit_test(test_many_mappings),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_units),
	};
	if (!test_has_pidfd()) {
		print_message("skipped: no pidfd (under valgrind?)\n");
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
