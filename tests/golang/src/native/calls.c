/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "_cgo_export.h"

/* What comes behind a call keeps the compiler from making a jump of it. */
static volatile int after;

__attribute__((noinline)) static void hold(void (*fn)(void))
{
	for (;;) {
		fn();
		after++;
	}
}

static void nap(void)
{
	usleep(1000000);
	after++;
}

__attribute__((noinline)) static void wait_for_signal(void)
{
	pause();
	after++;
}

void in_usleep(void)
{
	hold(nap);
}

/* Two are in the same functions, but not at the same place. */
void in_pause(int n)
{
	for (;;) {
		if (n) {
			wait_for_signal();
			after += 2;
		} else {
			wait_for_signal();
			after += 3;
		}
	}
}

void call_pause(void)
{
	in_pause(1);
	after++;
}

/* Nothing tells how to unwind these; the second one has a frame pointer. */
__asm__(".text\n"
	".globl without_table, with_pointer\n"
	".type without_table, @function\n"
	"without_table:\n"
	"	subq $24, %rsp\n"
	"	call call_pause\n"
	"	addq $24, %rsp\n"
	"	ret\n"
	".size without_table, . - without_table\n"
	".type with_pointer, @function\n"
	"with_pointer:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	call call_pause\n"
	"	popq %rbp\n"
	"	ret\n"
	".size with_pointer, . - with_pointer\n");

void in_read(void)
{
	char byte;
	int ends[2];

	if (pipe(ends) < 0 || read(ends[0], &byte, 1) < 0)
		abort();
	after++;
}

static void handler(int number)
{
	after += number;
	hold(wait_for_signal);
}

/* C that the kernel has interrupted to call C, on the stack for signals. */
void in_handler(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	action.sa_flags = SA_ONSTACK;
	if (sigaction(SIGUSR2, &action, NULL) < 0)
		abort();
	raise(SIGUSR2);
	after++;
}

/* The size of the frame is not known to the compiler, so that it needs a frame pointer. */
__attribute__((noinline)) void with_room(int n)
{
	char *room = alloca((size_t)n);

	memset(room, n, (size_t)n);
	goBlock(room[n - 1]);
	after += room[0];
}

void with_pointer(void);

/* A frame pointer leads to the next, so there must be one. */
void above_pointer(int n)
{
	char *room = alloca((size_t)n);

	memset(room, n, (size_t)n);
	with_pointer();
	after += room[0];
}

static int compare(const void *a, const void *b)
{
	goBlock(*(const int *)a);
	return *(const int *)a - *(const int *)b;
}

/* Code of the C library between ours. */
void through_sort(void)
{
	int numbers[] = { 3, 1, 2 };

	qsort(numbers, 3, sizeof(*numbers), compare);
	after += numbers[0];
}

void again(int n)
{
	goAgain(n);
	after++;
}

static void *run(void *arg)
{
	goThread();
	after++;
	return arg;
}

void start_thread_of_c(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, NULL))
		abort();
}

void all_here(void)
{
	goReady();
	after++;
}
