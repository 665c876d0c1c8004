// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * One thread is in vfork(): in state D, killable only, until its child exits. The child shares
 * the memory and is no thread of this process. It blocks in read(2) and uses nothing but system
 * calls. Without an argument each child lives for 50 ms and the next one follows at once; with
 * "long" it stays until `check`, which then lets it go, looks at the result, and starts another.
 */
#include "target.h"

enum { VFORK_EXIT = 7, VFORK_SHORT_MS = 50 };

static bool vfork_long;
static int vfork_go[2], vfork_reader_pipe[2];
static _Atomic unsigned int vfork_returns, vfork_errors;
static _Atomic pid_t vfork_tid;
static _Atomic pid_t vfork_child;
static char vfork_first_error[128];

static void vfork_error(const char *what, long value)
{
	if (vfork_errors++ == 0)
		snprintf(vfork_first_error, sizeof(vfork_first_error), "%s: %ld (errno %d)", what,
			 value, errno);
}

// Runs in the memory of the parent: no return, no library state. 9 tells a failed read.
__attribute__((noreturn, noinline))
static void vfork_child_main(void)
{
	struct timespec ts = { .tv_nsec = VFORK_SHORT_MS * 1000000l };
	char c;
	long n = 1;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	vfork_child = syscall(SYS_getpid);
	if (vfork_long)
		n = syscall(SYS_read, vfork_go[0], &c, 1);
	else if (syscall(SYS_nanosleep, &ts, NULL))
		n = -1;
	syscall(SYS_exit, n == 1 ? VFORK_EXIT : 9);
	__builtin_unreachable();
}

__attribute__((noinline))
static pid_t do_vfork(void)
{
	pid_t pid = vfork();

	if (!pid)
		vfork_child_main();
	return pid;
}

static void *vfork_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "vfork");
	vfork_tid = target_gettid();
	for (;;) {
		int status = 0;
		pid_t pid = do_vfork(), got;

		if (pid < 0) {
			vfork_error("vfork", pid);
			target_sleep_ms(10);
			continue;
		}
		got = waitpid(pid, &status, 0);
		if (got != pid)
			vfork_error("waitpid", got);
		else if (!WIFEXITED(status) || WEXITSTATUS(status) != VFORK_EXIT)
			vfork_error("wait status", status);
		vfork_returns++;
	}
	return NULL;
}

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(vfork_reader_pipe[0], &c, 1);
}

static struct target_thread vfork_reader = { .name = "reader", .run = in_read };

static void wait_for_next(unsigned int was)
{
	for (int i = 0; i < 1000 && vfork_returns == was; i++)
		target_sleep_ms(10);
	if (vfork_returns == was)
		target_fail("vfork does not return");
}

static void vfork_check(void)
{
	static unsigned int expected;
	unsigned int was = vfork_returns;

	if (vfork_long) {
		if (was != expected)
			target_fail("vfork returned before its child was told to exit");
		(void)!write(vfork_go[1], "g", 1);
		expected = was + 1;
	}
	wait_for_next(was);
	if (vfork_long && !target_wait_state(0, vfork_tid, 'D'))
		target_fail("the next vfork does not block");
	printf("note: child=%d\n", (int)vfork_child);
	if (vfork_errors)
		target_fail("%u errors, first %s", vfork_errors, vfork_first_error);
	vfork_errors = 0;
	target_check_thread(&vfork_reader);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = vfork_check };

	target_init();
	vfork_long = argc > 1 && !strcmp(argv[1], "long");
	if (pipe2(vfork_go, O_CLOEXEC) || pipe2(vfork_reader_pipe, O_CLOEXEC))
		target_die(1, "pipe2");
	target_start(&vfork_reader);
	target_wait_blocked(&vfork_reader);
	target_spawn(vfork_main, NULL);
	while (!vfork_tid || !vfork_child)
		target_sleep_ms(1);
	if (!target_wait_state(0, vfork_tid, 'D'))
		target_die(1, "the thread in vfork is not in state D");
	target_ready(0, TARGET_CHILDREN_VARY, "vfork_tid=%d child=%d reader_tid=%d",
		     (int)vfork_tid, (int)vfork_child, (int)vfork_reader.tid);
	return target_serve(&ops);
}
