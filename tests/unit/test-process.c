// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <elf.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "common/fd.h"
#include "common/str.h"
#include "ptrace/process.h"

static struct snap_error *read_process(pid_t pid, struct snapshot *snap)
{
	static struct strbuf scratch; // as the capture does, one for all calls
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	struct snap_error *err = process_read(pid, dir, dir, &scratch, snap);
	strbuf_deinit(&scratch);
	return err;
}

static const struct snap_mapping *find(const struct snapshot *snap, const void *p)
{
	for (size_t i = 0; i < snap->n_mappings; i++)
		if (snap->mappings[i].start <= (uintptr_t)p && (uintptr_t)p < snap->mappings[i].end)
			return &snap->mappings[i];
	fail_msg("no mapping at %p", p);
	return snap->mappings;
}

static void test_self(void **state _unused_)
{
	struct snapshot snap = { 0 };
	assert_ok(read_process(getpid(), &snap));
	const struct snap_process *proc = &snap.process;
	assert_int_equal(proc->pid, getpid());
	assert_int_equal(proc->ns_pid, getpid());
	assert_int_equal(proc->ns_ppid, getppid());
	assert_int_equal(proc->ns_pgrp, getpgrp());
	assert_int_equal(proc->ns_sid, getsid(0));
	assert_int_equal(proc->uid, getuid());
	assert_int_equal(proc->gid, getgid());
	assert_int_equal(proc->state, 'R');
	char name[16];
	assert_int_equal(prctl(PR_GET_NAME, name), 0);
	assert_string_equal(proc->comm, name);
	char exe[4096] = "";
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	if (!test_under_valgrind()) // which is what really runs
		assert_string_equal(proc->exe, exe);
	assert_int_equal(proc->machine.elf_class, ELFCLASS64);

	const Elf64_auxv_t *auxv = proc->auxv;
	size_t n = proc->auxv_size / sizeof(*auxv);
	assert_true(n > 5);
	bool entry = false;
	for (size_t i = 0; i < n; i++)
		entry |= auxv[i].a_type == AT_ENTRY && auxv[i].a_un.a_val == getauxval(AT_ENTRY);
	assert_true(entry || test_under_valgrind());

	for (size_t i = 0; i < snap.n_mappings; i++) {
		assert_true(snap.mappings[i].start < snap.mappings[i].end);
		assert_true(!i || snap.mappings[i - 1].end <= snap.mappings[i].start);
		assert_true(strlen(snap_mapping_name(&snap, &snap.mappings[i])) < 4096);
	}
	assert_true(find(&snap, &snap)->flags & SNAP_MAP_WRITE);
	const struct snap_mapping *code = find(&snap, (void *)(uintptr_t)test_self);
	assert_true(code->flags & SNAP_MAP_EXEC);
	assert_string_equal(snap_mapping_name(&snap, code), exe);
	snapshot_deinit(&snap);
}

/// A snapshot that is filled a second time holds only what is true then.
static void test_again(void **state _unused_)
{
	struct snapshot snap = { 0 };
	assert_ok(read_process(getpid(), &snap));
	size_t before = snap.n_mappings;
	char *p = mmap(NULL, 4 * TEST_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(mprotect(p + TEST_PAGE, TEST_PAGE, PROT_EXEC), 0);
	for (int i = 0; i < 20; i++)
		assert_ok(read_process(getpid(), &snap));
	assert_true(snap.n_mappings > before && snap.n_mappings < before + 10);
	assert_int_equal(find(&snap, p + TEST_PAGE)->flags, SNAP_MAP_EXEC);
	assert_int_equal(find(&snap, p + TEST_PAGE)->start, (uintptr_t)p + TEST_PAGE);
	(void)munmap(p, 4 * TEST_PAGE);
	snapshot_deinit(&snap);
}

static void test_unlinked(void **state _unused_)
{
	if (geteuid() != 0)
		skip_test("looking at the files of mappings needs root");
	char dir[] = "/tmp/procsnap-unit-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/x (deleted)", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), mem = test_memfd();
	assert_int_equal(ftruncate(fd, TEST_PAGE) | ftruncate(mem, TEST_PAGE), 0);
	char *linked = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	char *unlinked = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, mem, 0);
	struct snapshot snap = { 0 };
	assert_ok(read_process(getpid(), &snap));
	// It is only called so.
	assert_string_equal(snap_mapping_name(&snap, find(&snap, linked)), path);
	assert_int_equal(find(&snap, linked)->flags, SNAP_MAP_READ | SNAP_MAP_SHARED);
	assert_int_equal(find(&snap, unlinked)->flags,
			 SNAP_MAP_READ | SNAP_MAP_SHARED | SNAP_MAP_UNLINKED);
	assert_int_equal(unlink(path), 0);
	assert_ok(read_process(getpid(), &snap));
	assert_int_equal(find(&snap, linked)->flags,
			 SNAP_MAP_READ | SNAP_MAP_SHARED | SNAP_MAP_UNLINKED);
	snapshot_deinit(&snap);
	(void)munmap(linked, TEST_PAGE);
	(void)munmap(unlinked, TEST_PAGE);
	(void)close(fd);
	(void)close(mem);
	(void)rmdir(dir);
}

static void test_flags(void **state _unused_)
{
	char *p = mmap(NULL, 6 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	memset(p, 1, 6 * TEST_PAGE);
	assert_int_equal(madvise(p + TEST_PAGE, TEST_PAGE, MADV_DONTDUMP), 0);
	assert_int_equal(madvise(p + 2 * TEST_PAGE, TEST_PAGE, MADV_DONTFORK), 0);
	assert_int_equal(madvise(p + 3 * TEST_PAGE, TEST_PAGE, MADV_WIPEONFORK), 0);
	struct snapshot snap = { 0 };
	assert_ok(read_process(getpid(), &snap));
	static const uint32_t rw = SNAP_MAP_READ | SNAP_MAP_WRITE | SNAP_MAP_COUNTED;
	assert_int_equal(find(&snap, p + TEST_PAGE)->flags, rw | SNAP_MAP_DONTDUMP);
	assert_int_equal(find(&snap, p + 2 * TEST_PAGE)->flags, rw | SNAP_MAP_DONTFORK);
	assert_int_equal(find(&snap, p + 3 * TEST_PAGE)->flags, rw | SNAP_MAP_WIPEONFORK);
	assert_int_equal(find(&snap, p + TEST_PAGE)->anon_bytes, TEST_PAGE);
	snapshot_deinit(&snap);
	(void)munmap(p, 6 * TEST_PAGE);
}

enum { ARGS_MAX = 8, READY_FD = 3 };

struct args {
	const char *text; ///< each argument with its zero byte, as in /proc/PID/cmdline
	size_t len;
	int ready; ///< end of a pipe
};

/// Runs this program with other arguments; see be_looked_at().
static int show_args(void *userdata)
{
	const struct args *args = userdata;
	char *argv[ARGS_MAX + 1] = { NULL };
	size_t n = 0;
	for (const char *p = args->text; p < args->text + args->len; p += strlen(p) + 1)
		argv[n++] = (char *)(uintptr_t)p;
	if (dup2(args->ready, READY_FD) < 0 || setenv("PROCSNAP_TEST_ARGS", "1", 1) < 0)
		return 1;
	(void)execv("/proc/self/exe", argv);
	return 2;
}

static int be_looked_at(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "0x1a5") < 0 || write(READY_FD, "", 1) != 1)
		return 1;
	(void)pause();
	return 0;
}

static void check_args(const char *text, size_t len, const char *want)
{
	int pipes[2];
	char c;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	struct args args = { text, len, pipes[1] };
	pid_t pid = test_fork(show_args, &args);
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &c, 1), 1);
	(void)close(pipes[0]);
	struct snapshot snap = { 0 };
	assert_ok(read_process(pid, &snap));
	assert_string_equal(snap.process.psargs, want);
	assert_int_equal(snap.process.coredump_filter, 0x1a5);
	assert_int_equal(snap.process.pid, pid);
	assert_int_equal(snap.process.ns_ppid, getpid());
	snapshot_deinit(&snap);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(test_wait(pid), -SIGKILL);
}
#define CHECK_ARGS(text, want) check_args(text, sizeof(text) - 1, want)

static void test_args(void **state _unused_)
{
	if (test_under_valgrind())
		skip_test("valgrind runs another program than it says");
	CHECK_ARGS("a\0b c\0", "a b c");
	CHECK_ARGS("a\0\0\0b\0\0\0", "a   b");
	CHECK_ARGS("\0", "");
	CHECK_ARGS("\0\0\0x\0", "   x");
	for (size_t len = 78; len < 84; len++) { // the room is 80 characters
		char text[100] = { 0 }, want[81] = { 0 };
		memset(text, 'x', len);
		memset(want, 'x', MIN(len, (size_t)80));
		check_args(text, len + 1, want);
	}
	CHECK_ARGS("0123456789012345678901234567890123456789\0"
		   "0123456789012345678901234567890123456789\0",
		   "0123456789012345678901234567890123456789 "
		   "012345678901234567890123456789012345678");
}

static int end_at_once(void *userdata _unused_)
{
	return 0;
}

static void test_zombie(void **state _unused_)
{
	pid_t pid = test_fork(end_at_once, NULL);
	siginfo_t si;
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	struct snapshot snap = { 0 };
	struct snap_error *err = read_process(pid, &snap);
	assert_non_null(err);
	assert_int_equal(err->code, SNAP_NO_PROCESS);
	snap_error_destroy(err);
	snapshot_deinit(&snap);
	assert_int_equal(test_wait(pid), 0);
}

static void test_gone(void **state _unused_)
{
	pid_t pid = test_fork(end_at_once, NULL);
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(test_wait(pid), 0);
	struct snapshot snap = { 0 };
	_cleanup_strbuf_ struct strbuf scratch = { 0 };
	assert_code(process_read(pid, dir, dir, &scratch, &snap), SNAP_NO_PROCESS);
	snapshot_deinit(&snap);
}

static void test_kernel_thread(void **state _unused_)
{
	char path[] = "/proc/2/exe", target[16];
	if (getppid() == 0 || access("/proc/2/stat", R_OK) < 0 || geteuid() != 0 ||
	    readlink(path, target, sizeof(target)) >= 0)
		skip_test("no kernel thread to be seen here");
	struct snapshot snap = { 0 };
	assert_code(read_process(2, &snap), SNAP_NO_PROCESS);
	snapshot_deinit(&snap);
}

enum { NS_DEPTH = 4 };

/**
 * Four processes, each the child of the one before: outside, the first two of a pid namespace (the
 * second leads a session of its own), and the first of a namespace within that one.
 */
static int live_nested(int depth, int ready)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((depth == 0 || depth == 2) && unshare(CLONE_NEWPID) < 0)
		return EXIT_SKIP;
	if (depth == 2 && setsid() < 0)
		return 1;
	bool last = depth + 1 == NS_DEPTH;
	pid_t child = last ? 0 : fork();
	if (child < 0 || (last && write(ready, "", 1) != 1))
		return 2;
	if (!child && !last)
		_exit(live_nested(depth + 1, ready));
	(void)close(ready); // whoever cannot go on ends, and with it the last one that could write
	for (;;)
		(void)pause();
}

static int live_outside(void *userdata)
{
	return live_nested(0, *(const int *)userdata);
}

static pid_t only_child(pid_t pid)
{
	char path[64];
	_cleanup_free_ char *text = NULL;
	int64_t child;
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	if (snap_read_file_at(AT_FDCWD, path, 64, &text) <= 0)
		return 0;
	text[strcspn(text, " ")] = '\0';
	return snap_parse_i64(text, &child) == 0 ? (pid_t)child : 0;
}

/// Ids of a process are those of its own pid namespace; what is outside has none there.
static void test_namespaces(void **state _unused_)
{
	int pipes[2];
	char c;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = test_fork(live_outside, &pipes[1]);
	(void)close(pipes[1]);
	bool ready = read(pipes[0], &c, 1) == 1;
	(void)close(pipes[0]);
	if (!ready || !only_child(pid)) {
		(void)kill(pid, SIGKILL);
		(void)test_wait(pid);
		skip_test("no pid namespaces (needs root), or /proc does not list children");
	}
	const pid_t want[NS_DEPTH][4] = { // process, parent, group, session
		{ pid, getpid(), getpgrp(), getsid(0) },
		{ 1, 0, 0, 0 },
		{ 2, 1, 2, 2 },
		{ 1, 0, 0, 0 },
	};
	pid_t next = pid;
	for (size_t i = 0; i < NS_DEPTH; i++, next = only_child(next)) {
		struct snapshot snap = { 0 };
		assert_ok(read_process(next, &snap));
		assert_int_equal(snap.process.pid, next);
		assert_int_equal(snap.process.ns_pid, want[i][0]);
		assert_int_equal(snap.process.ns_ppid, want[i][1]);
		assert_int_equal(snap.process.ns_pgrp, want[i][2]);
		assert_int_equal(snap.process.ns_sid, want[i][3]);
		snapshot_deinit(&snap);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(test_wait(pid), -SIGKILL);
}

/// Many times more text than is read at once.
static void test_many_mappings(void **state _unused_)
{
	enum { N = 20000 };
	char *p = mmap(NULL, (size_t)N * TEST_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	for (size_t i = 0; i < N; i += 2)
		assert_int_equal(mprotect(p + i * TEST_PAGE, TEST_PAGE, PROT_NONE), 0);
	struct snapshot snap = { 0 };
	assert_ok(read_process(getpid(), &snap));
	size_t n = 0;
	for (size_t i = 0; i < snap.n_mappings; i++) {
		const struct snap_mapping *map = &snap.mappings[i];
		assert_true(!i || snap.mappings[i - 1].end <= map->start);
		// The first and the last may have been merged with a neighbour.
		if (map->start <= (uintptr_t)p || map->end >= (uintptr_t)p + (size_t)N * TEST_PAGE)
			continue;
		n++;
		assert_int_equal(map->end - map->start, TEST_PAGE);
		assert_int_equal(map->flags,
				 (map->start - (uintptr_t)p) / TEST_PAGE % 2 ? SNAP_MAP_READ : 0);
	}
	assert_int_equal(n, N - 2);
	snapshot_deinit(&snap);
	(void)munmap(p, (size_t)N * TEST_PAGE);
}

/// A thread with 32-bit registers makes no 32-bit process of one with memory above 4 GiB.
static void test_width(void **state _unused_)
{
	struct snapshot snap = { 0 };
	snap.threads = calloc(1, sizeof(*snap.threads));
	snap.n_threads = 1;
	snap.threads[0].n_regsets = 1;
	snap.threads[0].regsets[0] = (struct snap_regset){ NT_PRSTATUS, 68, 68, calloc(1, 68) };
	assert_ok(read_process(getpid(), &snap));
	assert_int_equal(snap.process.machine.elf_class, ELFCLASS64);
	assert_int_equal(snap.threads[0].regsets[0].size, 27 * 8); // widened
	snapshot_deinit(&snap);
}

int main(void)
{
	if (getenv("PROCSNAP_TEST_ARGS"))
		return be_looked_at();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),	 cmocka_unit_test(test_again),
		cmocka_unit_test(test_unlinked), cmocka_unit_test(test_flags),
		cmocka_unit_test(test_args),	 cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_gone),	 cmocka_unit_test(test_kernel_thread),
		cmocka_unit_test(test_many_mappings), cmocka_unit_test(test_width),
		cmocka_unit_test(test_namespaces),
	};
	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
