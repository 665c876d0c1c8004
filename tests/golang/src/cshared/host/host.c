/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program in C with a library in Go. It says "ready PID" and stays until standard input ends. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *library;

static void *symbol(const char *name)
{
	void *p = dlsym(library, name);

	if (!p) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	return p;
}

static void *in_go(void *arg)
{
	((void (*)(int))symbol("LibraryBlock"))(*(int *)arg);
	return NULL;
}

int main(int argc, char **argv)
{
	static int number = 77;
	int (*arrived)(void);
	sigset_t faults;
	pthread_t t;
	char b[64];

	library = dlopen(argc > 1 ? argv[1] : "./library.so", RTLD_NOW);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	((void (*)(void))symbol("LibraryStart"))();
	arrived = (int (*)(void))symbol("LibraryArrived");
	if (pthread_create(&t, NULL, in_go, &number))
		return 1;
	/* The signal that makes the library's runtime speak is for its own threads. */
	sigemptyset(&faults);
	sigaddset(&faults, SIGSEGV);
	pthread_sigmask(SIG_BLOCK, &faults, NULL);
	while (arrived() < 6)
		usleep(10000);
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	while (read(0, b, sizeof b) > 0)
		;
	return 0;
}
