// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * A parent with a few children (argument, default 4) that soon exit or exec: each lives 0 to
 * 10 ms, with two threads, and ends by exit_group, by pthread_exit of all, by an execve that
 * exits, or by a signal. The parent must see each end in exactly that way. Command "child" prints
 * "child PID" of the youngest: who dumps it will find it changing or gone.
 */
#include "target.h"

#include <poll.h>

enum end { END_EXIT, END_THREADS, END_EXEC, END_SIGNAL, END_MAX };

struct storm_child {
	pid_t pid;
	enum end end;
	int code;
};

enum { STORM_MAX = 64 };

static struct storm_child children[STORM_MAX];
static size_t nchildren = 4;
static pid_t storm_youngest;
static uint64_t storm_random = 1, storm_ends;
static char *storm_path;

/* ---- children ---- */

static void *storm_thread(void *arg)
{
	target_sleep_ms((uintptr_t)arg);
	return NULL;
}

static void storm_child_main(enum end end, int code, unsigned int ms)
{
	char text[16];

	target_die_with_parent();
	target_spawn(storm_thread, (void *)(uintptr_t)(ms / 2));
	target_spawn(storm_thread, (void *)(uintptr_t)(ms + (end == END_THREADS)));
	target_sleep_ms(ms);
	snprintf(text, sizeof(text), "%d", code);
	switch (end) {
	case END_EXIT:
		_exit(code);
	case END_THREADS:
		pthread_exit(NULL);	// status 0 when the last is gone
	case END_EXEC:
		execl("/proc/self/exe", storm_path, "--leaf", text, (char *)NULL);
		_exit(127);
	default:
		kill(getpid(), SIGTERM);
		for (;;)
			pause();
	}
}

static void storm_start(struct storm_child *c)
{
	unsigned int ms;

	storm_random = target_mix(storm_random);
	c->end = storm_random % END_MAX;
	c->code = 1 + storm_random / 8 % 100;
	ms = storm_random >> 32 & 7;
	c->pid = fork();
	if (!c->pid)
		storm_child_main(c->end, c->code, ms);
	if (c->pid < 0)
		target_die(1, "fork");
	storm_youngest = c->pid;
}

/* ---- the parent ---- */

static bool ended_well(const struct storm_child *c, int status)
{
	switch (c->end) {
	case END_THREADS:
		return WIFEXITED(status) && WEXITSTATUS(status) == 0;
	case END_SIGNAL:
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
	default:
		return WIFEXITED(status) && WEXITSTATUS(status) == c->code;
	}
}

static void storm_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		struct storm_child *c = children;

		while (c < children + nchildren && c->pid != pid)
			c++;
		if (c == children + nchildren) {
			target_fail("a child that was never started ended: %d", (int)pid);
			continue;
		}
		if (!ended_well(c, status))
			target_fail("child %d of kind %d: wait status %x", (int)pid, c->end,
				    status);
		storm_ends++;
		storm_start(c);
	}
}

static void storm_check(void)
{
	static uint64_t last;

	if (storm_ends == last)
		target_fail("no child ended since the last check");
	printf("note: ends=%" PRIu64 "\n", storm_ends - last);
	last = storm_ends;
	target_check_self();
	target_verdict();
	target_begin();
}

// False at the end of the input.
static bool storm_serve_one(void)
{
	char line[256];

	if (!target_getline(line, sizeof(line)) || !strcmp(line, "quit"))
		return false;
	if (!strcmp(line, "check"))
		storm_check();
	else if (!strcmp(line, "child"))
		printf("child %d\n", (int)storm_youngest);
	else
		printf("error: unknown command '%s'\n", line);
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };

	if (argc == 3 && !strcmp(argv[1], "--leaf"))
		return atoi(argv[2]);
	target_init();
	storm_path = argv[0];
	if (argc > 1)
		nchildren = strtoul(argv[1], NULL, 10);
	if (nchildren < 1 || nchildren > STORM_MAX)
		target_die(1, "wrong number of children");
	for (size_t i = 0; i < nchildren; i++)
		storm_start(&children[i]);
	target_ready(0, TARGET_CHILDREN_VARY | TARGET_SIGNALS_VARY, "children=%zu", nchildren);
	for (;;) {
		if (poll(&pfd, 1, 1) && !storm_serve_one())
			break;
		storm_reap();
	}
	return target_ever_failed;
}
