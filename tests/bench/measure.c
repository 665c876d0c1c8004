// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * measure SECONDS FILE COMMAND...: runs COMMAND, for so long at most (0: no limit), and writes to
 * FILE what it took: exit status (124: it was ended), wall clock and processor time in us, and KiB
 * of the largest resident sets of it and its children, summed.
 *
 * The kernel's own sum of resources has the processor time of the children, but of memory only the
 * largest of all. So the others are looked at while they run.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 64, STEP_MS = 2, LIMIT_STATUS = 124, CANNOT_RUN = 127 };

static struct {
	int pid;
	long peak_kib;
} seen[PROCESSES_MAX];
static int seen_count;

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void look_at(int pid)
{
	char path[64], line[256];
	long kib = 0;
	int i = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *status = fopen(path, "re");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
			break;
	if (status)
		(void)fclose(status);
	while (i < seen_count && seen[i].pid != pid)
		i++;
	if (i == PROCESSES_MAX)
		return;
	if (i == seen_count)
		seen[seen_count++].pid = pid;
	// Until it has executed its program, a child has the memory of its parent.
	seen[i].peak_kib = kib > 0 ? kib : seen[i].peak_kib;
}

static void look_at_all(int pid)
{
	char path[64];
	int child;
	look_at(pid);
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *children = fopen(path, "re");
	while (children && fscanf(children, "%d", &child) == 1)
		look_at(child);
	if (children)
		(void)fclose(children);
}

static long sum_of_peaks(long largest_kib)
{
	long sum = 0, largest = 0;
	for (int i = 0; i < seen_count; i++) {
		sum += seen[i].peak_kib;
		largest = seen[i].peak_kib > largest ? seen[i].peak_kib : largest;
	}
	// The last look at it was a little before its end.
	return largest < largest_kib ? sum - largest + largest_kib : sum;
}

static double seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

/// Returns whether it had to be ended.
static int watch(int pid, double limit_s)
{
	struct pollfd ended = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	double begin = now();
	while (poll(&ended, 1, STEP_MS) == 0) {
		look_at_all(pid);
		if (limit_s > 0 && now() - begin > limit_s) {
			(void)kill(-pid, SIGKILL);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	if (argc < 4) {
		(void)fprintf(stderr, "usage: measure SECONDS FILE COMMAND...\n");
		return 2;
	}
	double begin = now();
	int pid = fork();
	if (pid == 0) {
		(void)setpgid(0, 0);
		(void)execvp(argv[3], argv + 3);
		perror(argv[3]);
		_exit(CANNOT_RUN);
	}
	int late = watch(pid, strtod(argv[1], NULL));
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		return 1;
	double wall = now() - begin;
	FILE *out = fopen(argv[2], "we");
	if (!out)
		return 1;
	status = late ? LIMIT_STATUS : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	(void)fprintf(out, "%d %.0f %.0f %ld\n", status, wall * 1e6,
		      (seconds(usage.ru_utime) + seconds(usage.ru_stime)) * 1e6,
		      sum_of_peaks(usage.ru_maxrss));
	return fclose(out) ? 1 : 0;
}
