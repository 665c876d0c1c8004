// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Crashes, with a stack that is known: crash HOW [THREADS]
 *
 *   null     reads at address 8, three functions down
 *   abort    calls abort()
 *   handler  reads at address 8 in the handler of a signal
 *   deep     reads at address 8, 200 calls down
 *
 * The other threads wait, each up to 5 calls further down. Unlike other targets it says
 * nothing. Built anew by tests, with and without debugging information.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static pthread_barrier_t barrier;

static NOINLINE int read_at(volatile int *p)
{
	return *p + 1;
}

static NOINLINE int middle(volatile int *p)
{
	return read_at(p) + 2;
}

static NOINLINE int outer(volatile int *p)
{
	return middle(p) + 3;
}

static NOINLINE int down(int calls, volatile int *p)
{
	if (!calls)
		return outer(p);
	return down(calls - 1, p) + calls;
}

static void on_signal(int sig)
{
	(void)outer((volatile int *)(long)sig);
}

static NOINLINE int wait_below(int calls)
{
	if (calls)
		return wait_below(calls - 1) + calls;
	pthread_barrier_wait(&barrier);
	while (!pause())
		;
	return 1;
}

static void *run(void *number)
{
	return (void *)(long)wait_below((int)(long)number);
}

int main(int argc, char *argv[])
{
	const char *how = argc > 1 ? argv[1] : "null";
	int n = argc > 2 ? atoi(argv[2]) : 0;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&barrier, NULL, (unsigned)n + 1);
	for (int i = 0; i < n; i++) {
		pthread_t thread;
		if (pthread_create(&thread, &attr, run, (void *)(long)(i % 6)))
			return 1;
	}
	pthread_barrier_wait(&barrier);
	usleep(100000); // for the others to get to pause()
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "handler")) {
		signal(SIGUSR1, on_signal);
		raise(SIGUSR1);
	}
	return down(!strcmp(how, "deep") ? 200 : 0, (volatile int *)8);
}
