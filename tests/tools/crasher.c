// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * crasher: does what its arguments say, one after the other, and crashes.
 *
 *   sparse:GIB     maps so much memory and writes the words MARK in its first and last page
 *   mib:N          memory with content that does not compress well
 *   text:N         the same, which compresses well
 *   dontdump       a page with SECRET, which MADV_DONTDUMP keeps out of cores
 *   threads:N      threads that wait
 *   comm:NAME      its name from here on
 *   dumpable:N     PR_SET_DUMPABLE
 *   group:N, user:N, effective:N
 *                  gives up rights: setresgid(), setresuid(), setreuid(-1)
 *   files:N        opens so many
 *   map:PATH       maps the first MiB of that file, private, and touches none of it
 *   words          a page that says REMEMBER
 *   exec           executes itself, with the arguments that follow
 *   ready          says "ready PID", and goes on when a line comes in
 *   sleep          says "ready PID", and waits for a signal
 *   signal:N       ends by this signal, sent to itself
 *   null           reads address 16
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const char mark[] = "MARK";

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(99); // no crash
}

static char *map(size_t bytes, int flags)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags,
		       -1, 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

static void do_sparse(size_t gib)
{
	size_t bytes = gib << 30;
	char *p = map(bytes, MAP_NORESERVE);

	strcpy(p, mark);
	strcpy(p + bytes - 4096, mark);
	printf("sparse=0x%lx:%zu\n", (unsigned long)p, bytes);
}

static void do_mib(size_t mib)
{
	uint64_t *p = (uint64_t *)map(mib << 20, 0), x = 88172645463325252ULL;
	size_t i;

	for (i = 0; i < (mib << 20) / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = x;
	}
}

/// No two pages are the same.
static void do_text(size_t mib)
{
	char *p = map(mib << 20, 0);
	size_t i;

	for (i = 0; i < mib << 20; i += 64)
		snprintf(p + i, 64, "page %zu, and the same words again and again %zu", i >> 12,
			 i % 7);
}

static void do_dontdump(void)
{
	char *p = map(4096, 0);
	static const char secret[] = { 'S', 'E', 'C', 'R', 'E', 'T' };
	size_t i;

	for (i = 0; i + sizeof(secret) < 4096; i += sizeof(secret))
		memcpy(p + i, secret, sizeof(secret));
	check(!madvise(p, 4096, MADV_DONTDUMP), "madvise");
	printf("dontdump=0x%lx\n", (unsigned long)p);
}

static void *wait_for_ever(void *arg)
{
	pause();
	return arg;
}

static void do_threads(long n)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	while (n-- > 0) {
		pthread_t thread;

		check(!pthread_create(&thread, &attr, wait_for_ever, NULL), "pthread_create");
	}
}

static void do_files(long n)
{
	const struct rlimit limit = { (rlim_t)n + 64, (rlim_t)n + 64 };

	check(!setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
	while (n-- > 0)
		check(open("/dev/null", O_RDONLY) >= 0, "open");
}

static void do_map(const char *path)
{
	int fd = open(path, O_RDONLY);

	check(fd >= 0, path);
	check(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED, "mmap");
	close(fd);
}

static void do_words(void)
{
	char *p = map(4096, 0);

	for (size_t i = 0; i < 4096 / 8; i++)
		memcpy(p + i * 8, "REMEMBER", 8);
}

static void be_ready(void)
{
	printf("ready %d\n", getpid());
	fflush(stdout);
}

// Not inlined, so that a backtrace has it.
__attribute__((noinline)) static int read_null(const volatile int *where)
{
	return *where + 1;
}

static void act(const char *word, char **rest)
{
	const char *colon = strchr(word, ':'), *text = colon ? colon + 1 : "";
	size_t len = colon ? (size_t)(colon - word) : strlen(word);
	long n = strtol(text, NULL, 0);

#define IS(name) (len == strlen(name) && !strncmp(word, name, len))
	if (IS("sparse"))
		do_sparse((size_t)n);
	else if (IS("mib"))
		do_mib((size_t)n);
	else if (IS("text"))
		do_text((size_t)n);
	else if (IS("dontdump"))
		do_dontdump();
	else if (IS("threads"))
		do_threads(n);
	else if (IS("comm"))
		check(!prctl(PR_SET_NAME, text), "PR_SET_NAME");
	else if (IS("dumpable"))
		check(!prctl(PR_SET_DUMPABLE, n), "PR_SET_DUMPABLE");
	else if (IS("group"))
		check(!setresgid((gid_t)n, (gid_t)n, (gid_t)n), "setresgid");
	else if (IS("user"))
		check(!setresuid((uid_t)n, (uid_t)n, (uid_t)n), "setresuid");
	else if (IS("effective"))
		check(!setreuid((uid_t)-1, (uid_t)n), "setreuid");
	else if (IS("files"))
		do_files(n);
	else if (IS("map"))
		do_map(text);
	else if (IS("words"))
		do_words();
	else if (IS("exec"))
		check(!execv("/proc/self/exe", rest), "exec");
	else if (IS("signal"))
		check(!kill(getpid(), (int)n), "kill");
	else if (IS("null"))
		(void)read_null((const volatile int *)16);
	else if (IS("ready")) {
		char line[8];

		be_ready();
		check(fgets(line, sizeof(line), stdin) != NULL, "fgets");
	} else if (IS("sleep")) {
		be_ready();
		for (;;)
			pause();
	} else {
		fprintf(stderr, "crasher: what is %s?\n", word);
		exit(98);
	}
}

int main(int argc, char **argv)
{
	int i;

	(void)argc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 1; argv[i]; i++)
		act(argv[i], argv + i); // after exec, "exec" is its name
	fflush(stdout);
	return 97;
}
