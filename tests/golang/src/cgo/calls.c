/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "calls.h"
#include "_cgo_export.h"

int nap(int n, double d, void *p)
{
	for (;;)
		sleep(1000);
	return n + (int)d + (p != NULL);
}

int quick(int n)
{
	return goQuick(n);
}

int call_block(int n, char *text)
{
	return goBlock(n, text);
}

int call_deeper(int n)
{
	return goDeeper(n);
}

void call_nap(void)
{
	goNap();
}

static void *in_go(void *arg)
{
	goBlock(*(int *)arg, NULL);
	return NULL;
}

static void *in_go_and_c(void *arg)
{
	goNap();
	return arg;
}

/* It was in Go, and is not any more: its M is kept for it. */
static void *was_in_go(void *arg)
{
	goQuick(1);
	goDeeper(1);
	return arg;
}

static int number = 42;

void start_threads(void)
{
	pthread_t t;
	sigset_t all, old;

	/* The signal that makes the runtime speak is for a thread of the runtime. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&t, NULL, in_go, &number) || pthread_create(&t, NULL, in_go_and_c, NULL) ||
	    pthread_create(&t, NULL, was_in_go, NULL))
		abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}
