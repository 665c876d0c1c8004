// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * disturb: runs a command, snapctl, and sends a signal at an instant of choice.
 *
 *   disturb [OPTION...] --self SIGNAL | --worker SIGNAL | --kill-target SIGNAL -- COMMAND...
 *
 *   --self SIGNAL          to the command
 *   --worker SIGNAL        to its first child, once it exists
 *   --kill-target SIGNAL   to the process of --when-frozen
 *   --random-us N          after up to N microseconds, counted from when the receiver exists
 *   --delay-us N           after N microseconds
 *   --when-frozen PID      only once PID is in a ptrace stop, and the delay begins then
 *   --watch PID            frozen= and held= are about PID, but nobody waits for it
 *   --then PID:SIGNAL      a moment later this signal to PID
 *   --then-worker SIGNAL   and then this to the worker
 *   --limit SECONDS        how long the command may take afterwards (60)
 *   --resume               a command that was stopped gets SIGCONT once its worker has ended
 *   --seed N
 *
 * The last line on standard output is "status=S worker=PID sent=0|1 frozen=0|1 delay_us=N": was the
 * process in a ptrace stop when the signal was sent? The exit status is the command's, 128 + N when
 * signal N ended it, and 99 when it did not end: then it was killed, status is "hang", and held=0|1
 * at the end of the line says whether the process was in such a stop even then.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	int number;
} signals[] = { { "KILL", SIGKILL }, { "STOP", SIGSTOP }, { "INT", SIGINT }, { "TERM", SIGTERM },
		{ "HUP", SIGHUP },   { "USR1", SIGUSR1 }, { "CONT", SIGCONT } };

static struct {
	int self, worker, target, then_signal, then_worker;
	uint64_t random_us, delay_us;
	pid_t frozen, watched, then_pid;
	unsigned int limit;
	bool resume;
} opt = { .limit = 60 };

static int signal_number(const char *name)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!strcmp(name, signals[i].name))
			return signals[i].number;
	fprintf(stderr, "disturb: no signal '%s'\n", name);
	exit(98);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void wait_us(uint64_t us)
{
	struct timespec ts = { .tv_sec = (time_t)(us / 1000000),
			       .tv_nsec = (long)(us % 1000000 * 1000) };

	nanosleep(&ts, NULL);
}

static bool command_ended(pid_t pid)
{
	siginfo_t si = { 0 };

	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid;
}

static pid_t find_worker(pid_t pid)
{
	char path[64];
	pid_t child = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &child) != 1)
		child = 0;
	fclose(f);
	return child;
}

static bool is_frozen(pid_t pid)
{
	char path[64], line[128];
	bool frozen = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "State:\t", 7)) {
			frozen = line[7] == 't';
			break;
		}
	if (f)
		fclose(f);
	return frozen;
}

// One file of a thread of @pid, as far as it tells anything.
static void show_file(pid_t pid, const char *tid, const char *name)
{
	char path[320], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", pid, tid, name);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strcmp(name, "status") != 0 || !strncmp(line, "State:", 6) ||
		    !strncmp(line, "ShdPnd:", 7) || !strncmp(line, "SigPnd:", 7))
			printf("%s %s: %s", tid, name, line);
	if (f)
		fclose(f);
}

// What the threads of a worker that does not end are at.
static void show_threads(pid_t pid)
{
	char path[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		show_file(pid, d->d_name, "stat");
		show_file(pid, d->d_name, "status");
		show_file(pid, d->d_name, "stack");
	}
	if (dir)
		closedir(dir);
}

static bool process_exists(pid_t pid)
{
	return kill(pid, 0) == 0;
}

static int parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "self", required_argument, NULL, 's' },
		{ "worker", required_argument, NULL, 'w' },
		{ "kill-target", required_argument, NULL, 't' },
		{ "random-us", required_argument, NULL, 'r' },
		{ "delay-us", required_argument, NULL, 'd' },
		{ "when-frozen", required_argument, NULL, 'f' },
		{ "watch", required_argument, NULL, 'W' },
		{ "then", required_argument, NULL, 'n' },
		{ "then-worker", required_argument, NULL, 'N' },
		{ "limit", required_argument, NULL, 'l' },
		{ "resume", no_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 'S' },
		{ NULL, 0, NULL, 0 },
	};
	char name[16];
	int c;

	srandom((unsigned int)(now_us() ^ (uint64_t)getpid()));
	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		switch (c) {
		case 's': opt.self = signal_number(optarg); break;
		case 'w': opt.worker = signal_number(optarg); break;
		case 't': opt.target = signal_number(optarg); break;
		case 'r': opt.random_us = strtoull(optarg, NULL, 10); break;
		case 'd': opt.delay_us = strtoull(optarg, NULL, 10); break;
		case 'f': opt.frozen = atoi(optarg); break;
		case 'W': opt.watched = atoi(optarg); break;
		case 'n':
			if (sscanf(optarg, "%d:%15s", &opt.then_pid, name) == 2)
				opt.then_signal = signal_number(name);
			break;
		case 'N': opt.then_worker = signal_number(optarg); break;
		case 'l': opt.limit = (unsigned int)atoi(optarg); break;
		case 'c': opt.resume = true; break;
		case 'S': srandom((unsigned int)atoi(optarg)); break;
		default: return -1;
		}
	}
	return optind < argc ? optind : -1;
}

int main(int argc, char **argv)
{
	int first = parse(argc, argv), status = 0;
	bool sent = false, frozen = false;
	pid_t pid, worker = 0;
	uint64_t end;

	if (first < 0 || !(opt.self | opt.worker | opt.target)) {
		fprintf(stderr, "disturb: wrong usage\n");
		return 98;
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[first], argv + first);
		_exit(127);
	}
	// The worker must be known before it can end together with its parent.
	while (!(worker = find_worker(pid)) && !command_ended(pid))
		if (opt.self && !opt.frozen)
			break;
	while (opt.frozen && !(frozen = is_frozen(opt.frozen)) && !command_ended(pid))
		;
	if (opt.random_us)
		opt.delay_us += (uint64_t)random() % opt.random_us;
	if (opt.delay_us)
		wait_us(opt.delay_us);
	if (!worker)
		worker = find_worker(pid);
	if (opt.frozen)
		opt.watched = opt.frozen;
	if (opt.watched)
		frozen = is_frozen(opt.watched);
	if ((!opt.frozen || frozen) && !command_ended(pid)) {
		pid_t to = opt.self ? pid : opt.worker ? worker : opt.frozen;
		int sig = opt.self ? opt.self : opt.worker ? opt.worker : opt.target;

		sent = to > 0 && kill(to, sig) == 0;
	}
	if (sent && opt.then_pid) {
		wait_us(2000);
		frozen = is_frozen(opt.frozen);
		kill(opt.then_pid, opt.then_signal);
	}
	if (sent && opt.then_worker) {
		wait_us(2000);
		kill(worker, opt.then_worker);
	}
	if (opt.resume && sent) {
		// The worker of a stopped snapctl becomes a zombie when it is done.
		for (int i = 0; i < 3000 && worker; i++) {
			siginfo_t si = { 0 };
			char path[64], line[256];
			FILE *f;

			snprintf(path, sizeof(path), "/proc/%d/stat", worker);
			f = fopen(path, "re");
			if (!f)
				break;
			if (fgets(line, sizeof(line), f) && strstr(line, ") Z ")) {
				fclose(f);
				break;
			}
			fclose(f);
			(void)si;
			wait_us(10000);
		}
		kill(pid, SIGCONT);
	}
	end = now_us() + opt.limit * 1000000ull;
	while (!command_ended(pid) && now_us() < end)
		wait_us(1000);
	if (!command_ended(pid)) {
		bool held = opt.watched && is_frozen(opt.watched);

		if (held && worker)
			show_threads(worker);
		// Stopped before the process was frozen, or after: nobody is harmed by that.
		if (worker && process_exists(worker))
			kill(worker, SIGKILL);
		kill(pid, SIGKILL);
		kill(pid, SIGCONT);
		waitpid(pid, &status, 0);
		printf("\nstatus=hang worker=%d sent=%d frozen=%d delay_us=%llu held=%d\n", worker,
		       sent, frozen, (unsigned long long)opt.delay_us, held);
		return 99;
	}
	waitpid(pid, &status, 0);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	printf("\nstatus=%d worker=%d sent=%d frozen=%d delay_us=%llu\n", status, worker, sent,
	       frozen, (unsigned long long)opt.delay_us);
	return status;
}
