// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * To be preloaded into a worker: something happens just before its ptrace() request number
 * PTRACE_STEP (from 1 on; attaching to a thread is the first, and begins the count anew with
 * PTRACE_EACH). What: PTRACE_DO=kill or stop: the worker gets SIGKILL or SIGSTOP; PTRACE_DO=N: the
 * thread that the request is about, or PTRACE_TARGET, gets signal N. The file PTRACE_LOG gets a line when that was done.
 *
 * PTRACE_REFUSE=TID: options of that thread cannot be set, so that another one is used.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t group_of(pid_t tid)
{
	char path[64], text[2048], *p;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return tid;
	text[n] = '\0';
	p = strstr(text, "\nTgid:");
	return p ? atoi(p + 6) : tid;
}

static void signal_it(const char *target, pid_t tid, int sig)
{
	if (target)
		tid = atoi(target);
	syscall(SYS_tgkill, group_of(tid), tid, sig);
}

static void happen(const char *what, int request, pid_t tid)
{
	const char *log = getenv("PTRACE_LOG");
	int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;

	if (fd >= 0) {
		dprintf(fd, "%s request=%#x\n", what, request);
		close(fd);
	}
	if (!strcmp(what, "kill"))
		kill(getpid(), SIGKILL);
	else if (!strcmp(what, "stop"))
		kill(getpid(), SIGSTOP);
	else
		signal_it(getenv("PTRACE_TARGET"), tid, atoi(what));
}

long ptrace(enum __ptrace_request request, ...)
{
	static atomic_int count;
	const char *step = getenv("PTRACE_STEP"), *what = getenv("PTRACE_DO");
	long (*next)(enum __ptrace_request, pid_t, void *, void *) =
		(long (*)(enum __ptrace_request, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
	va_list ap;

	va_start(ap, request);
	pid_t tid = va_arg(ap, pid_t);
	void *addr = va_arg(ap, void *), *data = va_arg(ap, void *);
	va_end(ap);
	if (step && what && atomic_fetch_add(&count, 1) + 1 == atoi(step))
		happen(what, (int)request, tid);
	const char *refused = getenv("PTRACE_REFUSE");
	if (refused && request == PTRACE_SETOPTIONS && tid == atoi(refused)) {
		errno = EPERM;
		return -1;
	}
	return next(request, tid, addr, data);
}
