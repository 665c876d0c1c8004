// SPDX-License-Identifier: LGPL-2.1-or-later
// A tracer and its tracee: the ready line names the child, which this process holds by
// PTRACE_SEIZE and lets run. Nobody else can attach, and the tracer must not notice the attempt.
#include "target.h"

#include <sys/ptrace.h>

static pid_t traced_child;
static _Atomic uint64_t *traced_counter;

static void traced_child_main(void)
{
	target_die_with_parent();
	for (;;) {
		++*traced_counter;
		target_sleep_ms(1);
	}
}

static void expect_status(int status, int want, const char *what)
{
	if (status >> 8 != want)
		target_fail("%s: wait status %x", what, status);
}

// The tracer still works: stop the child, look at it, let it go on.
static void check_tracer(void)
{
	long word;
	int status = 0;

	if (waitpid(traced_child, &status, __WALL | WNOHANG))
		target_fail("an event nobody caused, wait status %x", status);
	if (ptrace(PTRACE_INTERRUPT, traced_child, NULL, NULL) ||
	    waitpid(traced_child, &status, __WALL) != traced_child) {
		target_fail("the tracer cannot stop the child, errno %d", errno);
		return;
	}
	expect_status(status, PTRACE_EVENT_STOP << 8 | SIGTRAP, "PTRACE_INTERRUPT");
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, traced_child, &traced_child, NULL);
	if (errno || (pid_t)word != 0)	// its own copy, in which fork returned 0
		target_fail("the tracer cannot read the child's memory");
	if (ptrace(PTRACE_CONT, traced_child, NULL, NULL))
		target_fail("the tracer cannot let the child go on");
}

static void traced_check(void)
{
	struct target_thread_state s = { 0 };
	uint64_t was = *traced_counter;

	for (int i = 0; i < 500 && *traced_counter == was; i++)
		target_sleep_ms(10);
	if (*traced_counter == was)
		target_fail("the child does not run");
	if (!target_thread_state(traced_child, traced_child, &s) || s.tracer != getpid())
		target_fail("the child's tracer is %d", (int)s.tracer);
	else
		check_tracer();
}

int main(void)
{
	static const struct target_ops ops = { .check = traced_check };

	target_init();
	traced_counter = target_mmap(TARGET_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	traced_child = fork();
	if (!traced_child)
		traced_child_main();
	if (ptrace(PTRACE_SEIZE, traced_child, NULL, (void *)PTRACE_O_EXITKILL))
		target_die(1, "PTRACE_SEIZE");
	target_ready(traced_child, TARGET_CHILDREN, "tracer=%d counter=%p", (int)getpid(),
		     (void *)traced_counter);
	return target_serve(&ops);
}
