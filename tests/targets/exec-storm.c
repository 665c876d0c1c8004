// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * One process that executes itself again and again, every few ms (argument, default 2), in turns
 * from the leader and from another thread, with two idle threads that the execve has to end. The
 * pid stays, everything else is new each time. The state travels in the arguments; the harness's
 * pipes stay open. Between two execs stdin is only looked at, so a command waits for a moment.
 */
#include "target.h"

#include <linux/futex.h>
#include <poll.h>

enum { ARG_MS = 1, ARG_COUNT, ARG_FDS, ARG_END_SEC, ARG_FAILED, ARG_LAST };

// Far more than the few ms between two execs, also on a machine that has much else to do.
#define STORM_MAX_NS UINT64_C(20000000000)

struct storm {
	unsigned int ms;
	unsigned long count;		// execs so far
	size_t fds;			// open files at the start, must stay the same
	unsigned long end_sec;		// CLOCK_MONOTONIC: end of the target's life
	bool failed;
	char *path;
};

static struct storm storm = { .ms = 2 };
static int storm_futex = 1;
static uint64_t storm_began_ns;		// this life

static void *storm_idle(void *arg)
{
	(void)arg;
	for (;;)
		syscall(SYS_futex, &storm_futex, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
	return NULL;
}

static void *storm_exec(void *arg)
{
	char text[ARG_LAST][24];
	char *argv[ARG_LAST + 1] = { storm.path };

	(void)arg;
	snprintf(text[ARG_MS], sizeof(text[0]), "%u", storm.ms);
	snprintf(text[ARG_COUNT], sizeof(text[0]), "%lu", storm.count + 1);
	snprintf(text[ARG_FDS], sizeof(text[0]), "%zu", storm.fds);
	snprintf(text[ARG_END_SEC], sizeof(text[0]), "%lu", storm.end_sec);
	snprintf(text[ARG_FAILED], sizeof(text[0]), "%d", storm.failed);
	for (int i = ARG_MS; i < ARG_LAST; i++)
		argv[i] = text[i];
	execv("/proc/self/exe", argv);
	printf("FAIL: exec %lu, errno %d\n", storm.count, errno);
	fflush(stdout);
	_exit(1);
}

static void storm_check(void)
{
	struct target_thread_state s;
	sigset_t mask;
	size_t fds = target_count_fds(0);

	target_begin();
	sigprocmask(SIG_SETMASK, NULL, &mask);
	if (fds != storm.fds)
		target_fail("had %zu open files, has %zu", storm.fds, fds);
	if (!sigisemptyset(&mask))
		target_fail("a signal mask was inherited");
	if (target_thread_state(0, getpid(), &s) && s.tracer)
		target_fail("is traced by %d", (int)s.tracer);
	target_check_no_child();
	if (target_now_ns() - storm_began_ns > STORM_MAX_NS)
		target_fail("no exec for %d s", (int)(STORM_MAX_NS / 1000000000));
	printf("note: execs=%lu\n", storm.count);
	target_verdict();
	storm.failed |= target_failures != 0;
}

// Answer what has come; at the end of input the process ends.
static void storm_commands(void)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[256];

	while (poll(&pfd, 1, storm.ms) != 0) {
		if (!target_getline(line, sizeof(line)) || !strcmp(line, "quit"))
			exit(storm.failed);
		if (!strcmp(line, "check"))
			storm_check();
		else
			printf("error: unknown command '%s'\n", line);
		fflush(stdout);
	}
}

static void storm_take_over(char **argv)
{
	storm.ms = atoi(argv[ARG_MS]);
	storm.count = strtoul(argv[ARG_COUNT], NULL, 10);
	storm.fds = strtoul(argv[ARG_FDS], NULL, 10);
	storm.end_sec = strtoul(argv[ARG_END_SEC], NULL, 10);
	storm.failed = atoi(argv[ARG_FAILED]);
}

int main(int argc, char **argv)
{
	unsigned long now_sec = target_now_ns() / 1000000000;
	bool first = argc < ARG_LAST;

	storm_began_ns = target_now_ns();
	target_init();
	storm.path = argv[0];
	if (first) {
		storm.ms = argc > 1 ? atoi(argv[1]) : 2;
		storm.end_sec = now_sec + TARGET_LIFE_SEC;
		storm.fds = target_count_fds(0);
		target_ready(0, TARGET_MAPS_VARY, "ms=%u", storm.ms);
	} else {
		storm_take_over(argv);
	}
	// execve ended the timer of the last life.
	target_limit_life(storm.end_sec > now_sec ? storm.end_sec - now_sec : 1);
	for (int i = 0; i < 2; i++)
		target_spawn(storm_idle, NULL);
	storm_commands();
	if (storm.count % 2)
		pthread_join(target_spawn(storm_exec, NULL), NULL);
	storm_exec(NULL);
}
