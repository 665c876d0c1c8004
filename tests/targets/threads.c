// SPDX-License-Identifier: LGPL-2.1-or-later
// Many threads (argument, default 2000) asleep in five kinds of calls; none may ever come back.
#include "target.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <sys/epoll.h>

static int threads_futex = 1, threads_pipe[2], threads_epoll;
static sem_t threads_sem;

static long in_futex(struct target_thread *t)
{
	(void)t;
	return syscall(SYS_futex, &threads_futex, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static long in_read(struct target_thread *t)
{
	char c;

	(void)t;
	return read(threads_pipe[0], &c, 1);
}

static long in_nanosleep(struct target_thread *t)
{
	struct timespec ts = { .tv_sec = 3600 };

	(void)t;
	return syscall(SYS_nanosleep, &ts, NULL);
}

static long in_epoll_wait(struct target_thread *t)
{
	struct epoll_event ev;

	(void)t;
	return epoll_wait(threads_epoll, &ev, 1, -1);
}

static long in_sem_wait(struct target_thread *t)
{
	(void)t;
	return sem_wait(&threads_sem);
}

static const struct target_thread threads_kinds[] = {
	{ .name = "futex", .run = in_futex },
	{ .name = "read", .run = in_read },
	{ .name = "nanosleep", .run = in_nanosleep },
	{ .name = "epoll_wait", .run = in_epoll_wait },
	{ .name = "sem_wait", .run = in_sem_wait },
};

static struct target_thread *threads;
static int nthreads = 2000;

// One reason per kind of call: 400 equal ones help nobody.
static void threads_check_kind(int kind)
{
	int bad = 0, last = 0;

	for (int i = kind; i < nthreads; i += TARGET_ARRAY_SIZE(threads_kinds)) {
		if (!atomic_exchange(&threads[i].returns, 0))
			continue;
		last = i;
		bad++;
	}
	if (bad)
		target_fail("%d threads came back from %s, one with %ld (%s)", bad,
			    threads[kind].name, threads[last].last_result,
			    strerrorname_np(threads[last].last_errno));
}

static void threads_check(void)
{
	for (size_t kind = 0; kind < TARGET_ARRAY_SIZE(threads_kinds); kind++)
		threads_check_kind(kind);
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = threads_check };

	target_init();
	if (argc > 1)
		nthreads = atoi(argv[1]);
	threads_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (nthreads < 1 || threads_epoll < 0 || pipe2(threads_pipe, O_CLOEXEC) ||
	    sem_init(&threads_sem, 0, 0))
		target_die(1, "set-up for %d threads", nthreads);
	threads = calloc(nthreads, sizeof(*threads));
	for (int i = 0; i < nthreads; i++) {
		threads[i] = threads_kinds[i % TARGET_ARRAY_SIZE(threads_kinds)];
		if (!target_try_start(&threads[i], 64 << 10))
			target_die(77, "cannot start thread %d", i);
	}
	for (int i = 0; i < nthreads; i++)
		target_wait_blocked(&threads[i]);
	target_ready(0, 0, "threads=%d", nthreads + 1);
	return target_serve(&ops);
}
