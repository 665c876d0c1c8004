// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <limits.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "analyzer/sandbox.h"
#include "analyzer/source.h"
#include "common/fd.h"
#include "common/ipc.h"
#include "common/json.h"

/*
 * A child enters the sandbox and then does one thing. What the analyzer has no business with must
 * end it with SIGSYS; what it needs must work.
 */

enum { MEMORY_BYTES = 1 << 30, CPU_SECONDS = 10, FAILED = 3, NOT_ENTERED = 4, ALIVE = 0 };

#if defined(__SANITIZE_ADDRESS__)
enum { FILTERED = false };
#else
enum { FILTERED = true };
#endif

static int fd_of_file = -1, sock = -1, other = -1;
static enum sandbox_kind kind = SANDBOX_READS;

/// As procsnap-analyze does: what is needed before is done before.
static bool enter(void)
{
	const struct sandbox_limits limits = { MEMORY_BYTES, CPU_SECONDS, kind };
	static const char text[] = "{\"version\":1}";
	struct json *json = json_parse(text, sizeof(text) - 1);
	bool parsed = json != NULL;
	json_destroy(json);
	struct snap_error *err = sandbox_enter(&limits);
	bool ok = parsed && !err;
	snap_error_destroy(err);
	return ok;
}

static int run(void *fn)
{
	if (!enter())
		return NOT_ENTERED;
	return ((int (*)(void))(uintptr_t)fn)();
}

static int outcome(int (*fn)(void))
{
	return test_wait(test_fork(run, (void *)(uintptr_t)fn));
}

static int setup(void **state _unused_)
{
	int pair[2];
	fd_of_file = test_memfd();
	assert_int_equal(ftruncate(fd_of_file, 100000), 0);
	assert_int_equal(ipc_pair(pair), 0);
	sock = pair[0];
	other = pair[1];
	return 0;
}

static int teardown(void **state _unused_)
{
	(void)close(fd_of_file);
	(void)close(sock);
	(void)close(other);
	return 0;
}

// ---- forbidden -----------------------------------------------------------------------------

static int do_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? FAILED : ALIVE;
}

static int do_open_old(void)
{
#ifdef SYS_open
	return syscall(SYS_open, "/etc/passwd", O_RDONLY) >= 0 ? FAILED : ALIVE;
#else
	return do_open();
#endif
}

static int do_stat(void)
{
	struct stat st;
	return stat("/etc/passwd", &st) == 0 ? FAILED : ALIVE;
}

static int do_unlink(void)
{
	return unlink("/nonexistent/file") == 0 ? FAILED : ALIVE;
}

static int do_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? FAILED : ALIVE;
}

static int do_connect(void)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };
	return connect(sock, &sa, sizeof(sa)) == 0 ? FAILED : ALIVE;
}

static int do_execve(void)
{
	char *argv[] = { (char *)(uintptr_t)"true", NULL }, *envp[] = { NULL };
	(void)execve("/bin/true", argv, envp);
	return ALIVE;
}

static int do_fork(void)
{
	pid_t pid = fork();
	if (!pid)
		_exit(0);
	return pid > 0 ? FAILED : ALIVE;
}

static int do_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) >= 0 ? FAILED : ALIVE;
}

static int do_kill(void)
{
	return kill(getppid(), 0) == 0 ? FAILED : ALIVE;
}

static int do_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? FAILED : ALIVE;
}

static int do_readv_process(void)
{
	struct iovec iov = { &fd_of_file, sizeof(int) };
	return process_vm_readv(getpid(), &iov, 1, &iov, 1, 0) > 0 ? FAILED : ALIVE;
}

static int do_mmap_exec(void)
{
	void *p = mmap(NULL, TEST_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p != MAP_FAILED ? FAILED : ALIVE;
}

static int do_mprotect_exec(void)
{
	static char page[2 * TEST_PAGE];
	void *p = page + TEST_PAGE - (uintptr_t)page % TEST_PAGE;
	return mprotect(p, TEST_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0 ? FAILED : ALIVE;
}

static int do_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1) == 0 ? FAILED : ALIVE;
}

static int do_setrlimit(void)
{
	struct rlimit rl = { 0, 0 };
	return setrlimit(RLIMIT_CORE, &rl) == 0 ? FAILED : ALIVE;
}

static int do_memfd(void)
{
	return memfd_create("x", 0) >= 0 ? FAILED : ALIVE;
}

static int do_ftruncate(void)
{
	return ftruncate(fd_of_file, 0) == 0 ? FAILED : ALIVE;
}

static int do_pwrite(void)
{
	return pwrite(fd_of_file, "x", 1, 0) == 1 ? FAILED : ALIVE;
}

static int do_io_uring(void)
{
	return syscall(425, 1, NULL) >= 0 ? FAILED : ALIVE; // io_uring_setup
}

static void test_forbidden(void **state _unused_)
{
	static const struct {
		const char *name;
		int (*fn)(void);
	} calls[] = {
		{ "open", do_open },	     { "the old open", do_open_old },
		{ "stat", do_stat },	     { "unlink", do_unlink },
		{ "socket", do_socket },     { "connect", do_connect },
		{ "execve", do_execve },     { "fork", do_fork },
		{ "clone3", do_clone3 },     { "kill", do_kill },
		{ "ptrace", do_ptrace },     { "process_vm_readv", do_readv_process },
		{ "mmap executable", do_mmap_exec }, { "mprotect", do_mprotect_exec },
		{ "prctl", do_prctl },	     { "setrlimit", do_setrlimit },
		{ "memfd_create", do_memfd }, { "ftruncate", do_ftruncate },
		{ "pwrite", do_pwrite },     { "io_uring_setup", do_io_uring },
	};
	if (!FILTERED || test_under_valgrind())
		skip_test("no system call filter with sanitizers and valgrind");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int status = outcome(calls[i].fn);
		if (status != -SIGSYS)
			fail_msg("%s: status %d, not SIGSYS", calls[i].name, status);
	}
}

/// Calls of the other kinds of programs that this kernel runs have other numbers.
static int do_int80(void)
{
#ifdef __x86_64__
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); // getpid of 32-bit programs
	return r > 0 ? FAILED : ALIVE;
#else
	return do_open();
#endif
}

static int do_x32(void)
{
#ifdef __x86_64__
	return syscall(0x40000000 | SYS_getpid) > 0 ? FAILED : ALIVE;
#else
	return do_open();
#endif
}

static void test_other_abi(void **state _unused_)
{
	if (!FILTERED || test_under_valgrind())
		skip_test("no system call filter with sanitizers and valgrind");
	assert_int_equal(outcome(do_int80), -SIGSYS);
	assert_int_equal(outcome(do_x32), -SIGSYS);
}

// ---- needed --------------------------------------------------------------------------------

static int do_read(void)
{
	char buf[100];
	struct source *src;
	if (read(fd_of_file, buf, sizeof(buf)) < 0 || pread(fd_of_file, buf, 10, 50) != 10 ||
	    lseek(fd_of_file, 0, SEEK_END) != 100000)
		return FAILED;
	struct snap_error *err = source_create(fd_of_file, SOURCE_FILE, &src);
	if (err || source_read(src, 99000, buf, sizeof(buf)) != sizeof(buf))
		return FAILED;
	source_destroy(src);
	return ALIVE;
}

static int do_malloc(void)
{
	for (size_t size = 16; size <= 64 << 20; size *= 2) {
		char *p = malloc(size), *q = malloc(3);
		if (!p || !q)
			return FAILED;
		memset(p, 1, size);
		char *bigger = realloc(p, size * 3);
		if (!bigger)
			return FAILED;
		memset(bigger, 2, size * 3);
		free(bigger);
		free(q);
	}
	for (int i = 0; i < 100000; i++) // and give it back
		free(malloc((size_t)i * 7 % 5000));
	return ALIVE;
}

static int do_mmap(void)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return FAILED;
	p[5] = 1;
	p = mremap(p, 1 << 20, 2 << 20, MREMAP_MAYMOVE);
	if (p == MAP_FAILED || madvise(p, 4096, MADV_DONTNEED) < 0)
		return FAILED;
	return munmap(p, 2 << 20) == 0 ? ALIVE : FAILED;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/// Of more than what qsort() sorts on the stack: it asks how much memory there is.
static int do_qsort(void)
{
	enum { N = 200000 };
	uint64_t *list = calloc(N, sizeof(*list)), random = 1;
	if (!list)
		return FAILED;
	for (int i = 0; i < N; i++)
		list[i] = test_random(&random);
	qsort(list, N, sizeof(*list), by_number);
	for (int i = 1; i < N; i++)
		if (list[i - 1] > list[i])
			return FAILED;
	free(list);
	return ALIVE;
}

static int do_json(void)
{
	struct json *json = json_new_object();
	for (int i = 0; i < 1000; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "key%d", i);
		json_set_text(json, key, "\x1b[31m text");
	}
	const char *text = json_text(json);
	if (!text || strlen(text) < 10000)
		return FAILED;
	struct json *again = json_parse(text, strlen(text));
	if (!again || json_length(again) != 1000)
		return FAILED;
	json_destroy(again);
	json_destroy(json);
	return ALIVE;
}

static int do_ipc(void)
{
	int fds[IPC_MAX_FDS];
	struct json *json = json_new_object(), *reply = NULL;
	json_set_bool(json, "x", true);
	if (ipc_send(sock, json, &fd_of_file, 1, 0) < 0 || ipc_send(other, json, &sock, 1, 0) < 0 ||
	    ipc_recv(sock, &reply, fds) < 0 || fds[0] < 0)
		return FAILED;
	snap_closep(&fds[0]);
	json_destroy(reply);
	json_destroy(json);
	return snap_write_all(sock, "line", 4) == 0 ? ALIVE : FAILED;
}

static int do_error(void)
{
	struct snap_error *err = snap_error_errno(SNAP_FAILED, ENOENT, "cannot find '%s'", "x");
	err = snap_error_wrap(err, "%d", 5);
	int r = strstr(err->message, "cannot find") ? ALIVE : FAILED;
	snap_error_destroy(err);
	return r;
}

static int do_exit(void)
{
	exit(ALIVE);
}

static void test_needed(void **state _unused_)
{
	static const struct {
		const char *name;
		int (*fn)(void);
	} calls[] = {
		{ "reading", do_read }, { "malloc", do_malloc }, { "mmap", do_mmap },
		{ "qsort", do_qsort },	{ "json", do_json },	 { "ipc", do_ipc },
		{ "errors", do_error }, { "exit", do_exit },
	};
	if (test_under_valgrind())
		skip_test("valgrind needs more system calls");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int status = outcome(calls[i].fn);
		if (status != ALIVE)
			fail_msg("%s: status %d", calls[i].name, status);
	}
}

// ---- that of libdw -------------------------------------------------------------------------

static int outcome_mapping(int (*fn)(void))
{
	kind = SANDBOX_MAPS;
	int status = outcome(fn);
	kind = SANDBOX_READS;
	return status;
}

/// There are no files: each of these fails so.
static int do_look_for_files(void)
{
	struct stat st;
	char buf[PATH_MAX];
	for (size_t i = 0; i < 4; i++) {
		errno = 0;
		int r = i == 0 ? open("/etc/passwd", O_RDONLY | O_CLOEXEC) :
			i == 1 ? stat("/etc/passwd", &st) :
			i == 2 ? access("/etc/passwd", R_OK) :
				 (realpath("/etc/passwd", buf) ? 0 : -1);
		if (r >= 0 || errno != ENOENT)
			return FAILED;
	}
	return ALIVE;
}

/// A file may be larger than the memory it may have.
static int do_map_file(void)
{
	size_t size = (size_t)MEMORY_BYTES * 2;
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd_of_file, 0);
	if (p == MAP_FAILED || fcntl(fd_of_file, F_GETFD) < 0 ||
	    syscall(SYS_fstat, fd_of_file, &(struct stat){ 0 }) < 0)
		return FAILED;
	return munmap(p, size) == 0 ? ALIVE : FAILED;
}

static int do_set_flags(void)
{
	return fcntl(sock, F_SETFL, O_NONBLOCK) == 0 ? FAILED : ALIVE;
}

static int do_map_too_much(void)
{
	void *p = mmap(NULL, (size_t)MEMORY_BYTES * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		       fd_of_file, 0);
	return p == MAP_FAILED ? ALIVE : FAILED;
}

static void test_mapping(void **state _unused_)
{
	static const struct {
		const char *name;
		int (*fn)(void);
		int status;
	} calls[] = {
		{ "files", do_look_for_files, ALIVE },	 { "mapping", do_map_file, ALIVE },
		{ "malloc", do_malloc, ALIVE },		 { "too much", do_map_too_much, ALIVE },
		{ "connect", do_connect, -SIGSYS },	 { "socket", do_socket, -SIGSYS },
		{ "execve", do_execve, -SIGSYS },	 { "fork", do_fork, -SIGSYS },
		{ "unlink", do_unlink, -SIGSYS },	 { "prctl", do_prctl, -SIGSYS },
		{ "set flags", do_set_flags, -SIGSYS },	 { "mmap code", do_mmap_exec, -SIGSYS },
		{ "mprotect", do_mprotect_exec, -SIGSYS }, { "pwrite", do_pwrite, -SIGSYS },
	};
	if (!FILTERED || test_under_valgrind())
		skip_test("no system call filter with sanitizers and valgrind");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int status = outcome_mapping(calls[i].fn);
		if (status != calls[i].status)
			fail_msg("%s: status %d", calls[i].name, status);
	}
}

// ---- limits --------------------------------------------------------------------------------

static int do_too_much(void)
{
	char *p = malloc((size_t)MEMORY_BYTES + (64 << 20));
	bool none = !p;
	free(p);
	return none ? ALIVE : FAILED;
}

static void test_memory_limit(void **state _unused_)
{
	if (!FILTERED || test_under_valgrind())
		skip_test("no limit of memory with sanitizers and valgrind");
	assert_int_equal(outcome(do_too_much), ALIVE);
}

static int run_with_less(void *userdata _unused_)
{
	const struct rlimit less = { MEMORY_BYTES / 4, MEMORY_BYTES / 2 };
	if (setrlimit(RLIMIT_AS, &less) < 0 || !enter())
		return NOT_ENTERED;
	char *p = malloc(MEMORY_BYTES / 4);
	bool none = !p;
	free(p);
	return none ? ALIVE : FAILED;
}

static void test_lower_limit(void **state _unused_)
{
	if (!FILTERED || test_under_valgrind())
		skip_test("no limit of memory with sanitizers and valgrind");
	assert_int_equal(test_wait(test_fork(run_with_less, NULL)), ALIVE);
}

static int run_briefly(void *userdata _unused_)
{
	const struct sandbox_limits limits = { MEMORY_BYTES, 1, kind };
	struct snap_error *err = sandbox_enter(&limits);
	if (err)
		return NOT_ENTERED;
	for (volatile uint64_t i = 0;; i++)
		;
}

static void test_cpu_limit(void **state _unused_)
{
	if (test_under_valgrind())
		skip_test("valgrind needs more system calls");
	int status = test_wait(test_fork(run_briefly, NULL));
	assert_true(status == -SIGKILL || status == -SIGXCPU);
}

// ---- privileges ----------------------------------------------------------------------------

/// Everything it could look at in itself is told through a pipe beforehand or by exit status.
static int run_privileges(void *userdata _unused_)
{
	if (!enter())
		return NOT_ENTERED;
	for (;;)
		if (read(other, &(char){ 0 }, 1) <= 0)
			return ALIVE;
}

static void test_privileges(void **state _unused_)
{
	pid_t pid = test_fork(run_privileges, NULL);
	char path[64], text[8192];
	bool entered = false;
	for (int i = 0; i < 2000 && !entered; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		ssize_t n = read(fd, text, sizeof(text) - 1);
		assert_true(n > 0);
		text[n] = '\0';
		(void)close(fd);
		entered = strstr(text, "\nNoNewPrivs:\t1") &&
			  strstr(text, FILTERED ? "\nSeccomp:\t2" : "\nCapEff:\t0000000000000000");
		if (!entered)
			(void)usleep(1000);
	}
	(void)kill(pid, SIGKILL); // our own child
	(void)test_wait(pid);
	if (test_under_valgrind())
		skip_test("valgrind does not let it");
	assert_true(entered);
	assert_non_null(strstr(text, "\nCapInh:\t0000000000000000"));
	assert_non_null(strstr(text, "\nCapPrm:\t0000000000000000"));
	assert_non_null(strstr(text, "\nCapEff:\t0000000000000000"));
	assert_non_null(strstr(text, "\nCapAmb:\t0000000000000000"));
	if (!geteuid())
		assert_non_null(strstr(text, "\nCapBnd:\t0000000000000000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forbidden),    cmocka_unit_test(test_other_abi),
		cmocka_unit_test(test_needed), cmocka_unit_test(test_mapping),	     cmocka_unit_test(test_memory_limit),
		cmocka_unit_test(test_lower_limit),  cmocka_unit_test(test_cpu_limit),
		cmocka_unit_test(test_privileges),
	};
	return cmocka_run_group_tests_name("sandbox", tests, setup, teardown);
}
