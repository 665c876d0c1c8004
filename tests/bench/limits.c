// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limits MIB FILE: what the machine can do at most, right now: copying memory from another process
 * to as much memory of our own with all CPUs, writing FILE through the page cache, and writing it
 * past the page cache. GiB/s.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, THREADS_MAX = 8 };

static size_t bytes;
static char *memory, *copy;
static pid_t child;
static int threads;

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *copy_main(void *arg)
{
	for (size_t pos = (size_t)(long)arg * CHUNK; pos < bytes; pos += (size_t)threads * CHUNK) {
		struct iovec local = { copy + pos, CHUNK }, remote = { memory + pos, CHUNK };
		if (process_vm_readv(child, &local, 1, &remote, 1, 0) != CHUNK)
			exit(1);
	}
	return NULL;
}

static double copy_seconds(void)
{
	pthread_t ids[THREADS_MAX];
	double begin = now();
	for (long i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, copy_main, (void *)i);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return now() - begin;
}

static double write_seconds(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		return 0;
	double begin = now();
	for (size_t pos = 0; pos < bytes; pos += CHUNK)
		if (pwrite(fd, memory, CHUNK, (off_t)pos) != CHUNK)
			begin = 0;
	double seconds = begin ? now() - begin : 0;
	close(fd);
	unlink(path);
	return seconds;
}

static double rate(double seconds)
{
	return seconds > 0 ? (double)bytes / (1 << 30) / seconds : 0;
}

static char *map_small_pages(void)
{
	char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		exit(1);
	madvise(map, bytes, MADV_NOHUGEPAGE);
	return map;
}

int main(int argc, char *argv[])
{
	if (argc != 3)
		return 2;
	bytes = (size_t)atol(argv[1]) << 20;
	threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	memory = map_small_pages();
	copy = map_small_pages();
	child = fork();
	if (!child) {
		for (size_t i = 0; i < bytes; i += 8)
			*(size_t *)(memory + i) = i * 0x9e3779b97f4a7c15UL;
		raise(SIGSTOP);
		_exit(0);
	}
	int status;
	waitpid(child, &status, WUNTRACED);
	memset(copy, 1, bytes); // finding the pages is no part of copying
	double copied = copy_seconds();
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	memset(memory, 7, CHUNK);
	double cached = write_seconds(argv[2], 0), direct = write_seconds(argv[2], O_DIRECT);
	printf("%.2f %.2f %.2f\n", rate(copied), rate(cached), rate(direct));
	return 0;
}
