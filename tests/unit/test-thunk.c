// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/compat.h"
#include "common/fd.h"
#include "ptrace/arch.h"
#include "test.h"

/*
 * Thunks that are left to themselves at once, as when a worker is killed: a child is given the
 * registers of one, and not looked after any more. Its code is in memory that it shares with us.
 */

struct shared {
	uint8_t code[ARCH_THUNK_BYTES];
	volatile uint64_t count, wrong;
	uint8_t rest[TEST_PAGE - ARCH_THUNK_BYTES - 16];
};

static struct shared *shared_page(void)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE | PROT_EXEC,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void interrupt(pid_t pid)
{
	int status;
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	assert_true(WIFSTOPPED(status));
}

/// A thunk for whatever @pid does, which then runs on its own.
static void set_off(struct shared *s, pid_t pid, const struct arch_call *call)
{
	struct arch_regs home, entry;
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
	interrupt(pid);
	assert_int_equal(arch_get_regs(pid, &home), 0);
	assert_true(arch_can_inject(&home));
	arch_thunk(&home, (uint64_t)(uintptr_t)s->code, call, s->code, &entry);
	assert_true(arch_is_thunk(s->code));
	assert_int_equal(arch_pc(&entry), (uint64_t)(uintptr_t)s->code);
	assert_int_equal(arch_set_regs(pid, &entry), 0);
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
}

static size_t count_fds(pid_t pid)
{
	size_t n = 0;
	for (int fd = 0; fd < 256; fd++) {
		char path[64];
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n += faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	}
	return n;
}

static void end(pid_t pid)
{
	int status;
	// It lives until now.
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static uint64_t mix(uint64_t v, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		v = v * 6364136223846793005ULL + 1442695040888963407ULL;
	return v;
}

/// Computes the same again and again, and sees whether it always is the same.
static void compute(struct shared *s)
{
	volatile uint64_t start = 1; // or there would be nothing to compute
	const uint64_t want = mix(start, 3000);
	for (;;) {
		if (mix(start, 3000) != want)
			s->wrong++;
		s->count++;
	}
}

static void test_running(void **state _unused_)
{
	struct shared *s = shared_page();
	pid_t pid = fork();
	if (!pid)
		compute(s);
	size_t fds = count_fds(pid);
	for (int i = 0; i < 200; i++) {
		set_off(s, pid, &(struct arch_call){ .nr = SYS_dup, .arg = 1 });
		for (uint64_t was = s->count; s->count == was;)
			(void)usleep(100);
	}
	// Calls that fail, too: there is nothing to be closed then.
	set_off(s, pid, &(struct arch_call){ .nr = SYS_dup, .arg = 4711 });
	for (uint64_t was = s->count; s->count == was;)
		(void)usleep(100);
	assert_int_equal(s->wrong, 0);
	assert_int_equal(count_fds(pid), fds);
	end(pid);
}

/// A process that sleeps until it can read an "x" from the other end of @ret_fd. It counts that, and
/// what was something else, or where @good was not true afterwards.
static pid_t start_reader(struct shared *s, bool (*good)(void), int *ret_fd)
{
	int fds[2];
	char byte = 0;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (!pid) {
		for (;;) {
			if (read(fds[0], &byte, 1) != 1 || byte != 'x' || !good())
				s->wrong++;
			s->count++;
		}
	}
	(void)close(fds[0]);
	*ret_fd = fds[1];
	return pid;
}

/// Has it read one that is written now, number @n?
static void feed_reader(struct shared *s, int fd, uint64_t n)
{
	assert_int_equal(s->count, n - 1); // the call has not come back before
	assert_int_equal(write(fd, "x", 1), 1);
	while (s->count < n)
		(void)usleep(100);
}

static bool always(void)
{
	return true;
}

static void test_sleeping(void **state _unused_)
{
	struct shared *s = shared_page();
	int fd;
	pid_t pid = start_reader(s, always, &fd);
	for (uint64_t i = 1; i <= 50; i++) {
		(void)usleep(1000);
		size_t before = count_fds(pid);
		set_off(s, pid, &(struct arch_call){ .nr = SYS_dup, .arg = 1 });
		(void)usleep(1000);
		feed_reader(s, fd, i);
		assert_int_equal(count_fds(pid), before);
	}
	assert_int_equal(s->wrong, 0);
	(void)close(fd);
	end(pid);
}

/// Waits until child @number has ended: it has its code where the next thunk goes. Here only; a
/// real one has a page of its own.
static void await_end(struct shared *s, pid_t pid, uint64_t number)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	for (;;) {
		_cleanup_free_ char *text = NULL;
		size_t n = 0, zombies = 0;
		(void)snap_read_file_at(AT_FDCWD, path, 1 << 20, &text);
		for (char *save, *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
			_cleanup_free_ char *stat = NULL;
			char child[64];
			(void)snprintf(child, sizeof(child), "/proc/%s/stat", p);
			n++;
			zombies += snap_read_file_at(AT_FDCWD, child, 4096, &stat) > 0 &&
				   strstr(stat, ") Z ");
		}
		if (n >= number && n == zombies)
			return;
		assert_int_equal(s->wrong, 0);
		(void)usleep(200);
	}
}

/// A call with arguments, in a thread that computes or sleeps, and one that makes a child.
static void test_kinds(void **state _unused_)
{
	struct shared *s = shared_page();
	pid_t pid = fork();
	if (!pid)
		compute(s);
	const struct arch_call calls[] = {
		{ .kind = ARCH_THUNK_CALL, .nr = SYS_wait4, .arg = 1, .arg2 = 2, .arg3 = 3, .arg4 = 4 },
		{ .kind = ARCH_THUNK_FORK, .nr = arch_nr_clone, .arg = CLONE_FILES },
	};
	for (int i = 0; i < 200; i++) {
		set_off(s, pid, &calls[i % 2]);
		for (uint64_t was = s->count; s->count == was;)
			(void)usleep(100);
		if (i % 2)
			await_end(s, pid, (uint64_t)i / 2 + 1);
	}
	assert_int_equal(s->wrong, 0);
	end(pid);
}

static int wait_any(void)
{
	int status;
	pid_t child;
	do
		child = waitpid(-1, &status, __WALL);
	while (child < 0 && errno == EINTR);
	return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool has_one_hidden_child(void)
{
	return waitpid(-1, NULL, 0) == -1 && errno == ECHILD &&
	       wait_any() == ARCH_THUNK_FORK_STATUS && wait_any() == -1;
}

/// Who forks in its sleep sleeps on, does not see its child, and can wait for it all the same.
static void test_child(void **state _unused_)
{
	struct shared *s = shared_page();
	int fd;
	pid_t pid = start_reader(s, has_one_hidden_child, &fd);
	for (uint64_t i = 1; i <= 50; i++) {
		(void)usleep(1000);
		set_off(s, pid,
			&(struct arch_call){ .kind = ARCH_THUNK_FORK,
					     .nr = arch_nr_clone,
					     .arg = CLONE_FILES });
		await_end(s, pid, 1);
		feed_reader(s, fd, i);
	}
	assert_int_equal(s->wrong, 0);
	(void)close(fd);
	end(pid);
}

/// What remains of one that was written from its beginning, or erased from its end.
static void test_parts(void **state _unused_)
{
	const struct arch_call calls[] = {
		{ .nr = SYS_dup, .arg = 1 },
		{ .kind = ARCH_THUNK_CALL, .nr = SYS_getppid },
		{ .kind = ARCH_THUNK_FORK, .nr = arch_nr_clone, .arg = CLONE_FILES },
	};
	struct shared *s = shared_page();
	uint8_t part[ARCH_THUNK_BYTES] = { 0 };
	pid_t pid = fork();
	if (!pid)
		for (;;)
			(void)pause();
	assert_false(arch_is_thunk(part));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		set_off(s, pid, &calls[i]);
		if (calls[i].kind == ARCH_THUNK_FORK)
			await_end(s, pid, 1);
		for (size_t n = 8; n <= ARCH_THUNK_BYTES; n += 8) {
			memset(part, 0, sizeof(part));
			memcpy(part, s->code, n);
			assert_true(arch_is_thunk(part));
		}
		// Something else.
		part[9] ^= 1;
		assert_false(arch_is_thunk(part));
		memcpy(part, s->code, sizeof(part));
		memset(part, 0, 8);
		assert_false(arch_is_thunk(part));
	}
	set_off(s, pid, &calls[0]);
	memcpy(part, s->code, sizeof(part));
	part[ARCH_THUNK_BYTES - 1] = 1;
	assert_false(arch_is_thunk(part));
	end(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_sleeping),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_child),
		cmocka_unit_test(test_parts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
