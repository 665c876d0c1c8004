// SPDX-License-Identifier: LGPL-2.1-or-later
// A job-stopped child of three threads, watched by its parent, which speaks with the harness.
// Its parent must see stopped -> continued -> exited and nothing else. Command "cont" ends it.
#include "target.h"

enum { SEED_ANON = 71, AREA_BYTES = 4 * 4096, STOPPED_EXIT = 33 };

static pid_t stopped_child;
static int stopped_go[2];
static struct target_base stopped_base;

/* ---- the child ---- */

static void *stopped_anon;
static int stopped_pipe[2];

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(stopped_pipe[0], &c, 1);
}

static long in_nanosleep(struct target_thread *t)
{
	struct timespec ts = { .tv_sec = 3600 };

	(void)t;
	return syscall(SYS_nanosleep, &ts, NULL);
}

static struct target_thread stopped_threads[] = {
	{ .name = "reader", .run = in_read },
	{ .name = "sleeper", .run = in_nanosleep },
};

static void stopped_child_check(void)
{
	struct target_thread_state s;
	siginfo_t si;
	sigset_t set;
	struct timespec zero = { 0 };

	target_verify("anon", stopped_anon, AREA_BYTES, SEED_ANON);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(stopped_threads); i++)
		target_check_thread(&stopped_threads[i]);
	if (target_thread_state(0, getpid(), &s) && s.tracer)
		target_fail("child: is traced");
	sigemptyset(&set);
	sigaddset(&set, SIGCONT);	// blocked, so that it can be counted
	if (sigtimedwait(&set, &si, &zero) != SIGCONT || si.si_pid != getppid())
		target_fail("child: SIGCONT did not come from the parent");
}

static void stopped_child_main(void)
{
	sigset_t set;
	char c;

	target_die_with_parent();
	close(stopped_go[1]);
	sigemptyset(&set);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(stopped_threads); i++) {
		target_start(&stopped_threads[i]);
		target_wait_blocked(&stopped_threads[i]);
	}
	kill(getpid(), SIGSTOP);
	// The parent says go only after it has seen "continued": an exit would swallow that.
	while (read(stopped_go[0], &c, 1) < 0)
		target_fail("child: read failed, errno %d", errno);
	stopped_child_check();
	_exit(target_failures ? 1 : STOPPED_EXIT);
}

/* ---- the parent ---- */

static void expect_event(const char *what, int want_code, int want_status)
{
	siginfo_t si = { 0 };

	if (waitid(P_PID, stopped_child, &si, WEXITED | WSTOPPED | WCONTINUED) ||
	    si.si_code != want_code || si.si_status != want_status)
		target_fail("%s: si_code %d, si_status %d instead of %d, %d", what, si.si_code,
			    si.si_status, want_code, want_status);
}

static void expect_no_event(void)
{
	siginfo_t si = { 0 };
	sigset_t pending;

	if (waitid(P_ALL, 0, &si, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) || si.si_pid)
		target_fail("an event nobody caused: si_code %d, si_status %d", si.si_code,
			    si.si_status);
	sigpending(&pending);
	if (sigismember(&pending, SIGCHLD))
		target_fail("a SIGCHLD nobody caused");
}

static void take_sigchld(void)
{
	struct timespec ts = { .tv_sec = 10 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigtimedwait(&set, NULL, &ts) != SIGCHLD)
		target_fail("no SIGCHLD for an event");
}

static void stopped_check(void)
{
	if (!stopped_child)
		return;
	expect_no_event();
	target_base_check(&stopped_base);
}

static bool stopped_command(const char *line)
{
	if (strcmp(line, "cont") || !stopped_child)
		return false;
	target_begin();
	stopped_check();
	kill(stopped_child, SIGCONT);
	expect_event("SIGCONT", CLD_CONTINUED, SIGCONT);
	take_sigchld();
	(void)!write(stopped_go[1], "g", 1);
	expect_event("go", CLD_EXITED, STOPPED_EXIT);
	take_sigchld();
	target_verdict();
	// Its own base has a child that is gone now.
	target_base_deinit(&target_base);
	target_base_init(&target_base, 0, 0);
	stopped_child = 0;
	return true;
}

int main(void)
{
	static const struct target_ops ops = { .check = stopped_check,
					       .command = stopped_command };
	sigset_t set;

	target_init();
	if (pipe2(stopped_go, O_CLOEXEC) || pipe2(stopped_pipe, O_CLOEXEC))
		target_die(1, "pipe2");
	stopped_anon = target_mmap(AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	target_fill(stopped_anon, AREA_BYTES, SEED_ANON);
	stopped_child = fork();
	if (!stopped_child)
		stopped_child_main();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	expect_event("SIGSTOP", CLD_STOPPED, SIGSTOP);
	if (target_failures)
		target_die(1, "the child does not stop");
	// It may have stopped before SIGCHLD was blocked and then was ignored.
	sigtimedwait(&set, NULL, &(struct timespec) { 0 });
	target_base_init(&stopped_base, stopped_child, TARGET_STOPPED);
	target_ready(stopped_child, TARGET_CHILDREN, "parent=%d threads=%zu anon=%p:%d:%d",
		     (int)getpid(), TARGET_ARRAY_SIZE(stopped_threads) + 1, stopped_anon,
		     (int)AREA_BYTES, (int)SEED_ANON);
	return target_serve(&ops);
}
