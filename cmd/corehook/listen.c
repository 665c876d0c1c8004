// SPDX-License-Identifier: LGPL-2.1-or-later
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"

enum {
	LISTEN_FDS_START = 3, // sd_listen_fds(3)
	// As many as the kernel has it (net.core.somaxconn is 4096).
	BACKLOG = 4096,
	// Each holds a process that has crashed; more wait in the queue.
	HOOKS_MAX = 512,
};

/// The socket of systemd, which has made it before anything could crash; -ENOENT without systemd.
static int passed_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t value;
	if (!pid || !fds || snap_parse_u64(pid, &value) < 0 || value != (uint64_t)getpid() ||
	    strcmp(fds, "1") != 0)
		return -ENOENT;
	return fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC) < 0 ? -errno : LISTEN_FDS_START;
}

static struct snap_error *make_socket(const char *path, int *ret)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(addr.sun_path))
		return snap_error_new(SNAP_USAGE, "the path of the socket is too long: %s", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	mode_t old = umask(0077);
	bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
	int errnum = errno;
	(void)umask(old);
	if (!bound || listen(fd, BACKLOG) < 0)
		return snap_error_errno(SNAP_FAILED, bound ? errno : errnum, "cannot listen at %s",
					path);
	*ret = TAKE_FD(fd);
	return NULL;
}

/// Returns how many were started.
static unsigned int start(int listening, int connection, const sigset_t *mask,
			  int (*take)(void *userdata), void *userdata)
{
	pid_t pid = fork();
	if (pid != 0) // -1: the connection is closed, and the process ends without a core
		return pid > 0;
	(void)setsid(); // a service that ends takes its group with it
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)dup2(connection, STDIN_FILENO);
	(void)close(connection);
	(void)close(listening);
	_exit(take(userdata));
}

static unsigned int reap(void)
{
	unsigned int n = 0;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		n++;
	return n;
}

static struct snap_error *serve(int listening, int signals, const sigset_t *mask,
				int (*take)(void *userdata), void *userdata)
{
	unsigned int running = 0;
	struct pollfd pfds[] = { { .fd = signals, .events = POLLIN },
				 { .fd = listening, .events = POLLIN } };
	for (;;) {
		struct signalfd_siginfo si;
		if (poll(pfds, running < HOOKS_MAX ? 2 : 1, -1) < 0 && errno != EINTR)
			return snap_error_errno(SNAP_FAILED, errno, "cannot wait for crashes");
		if (pfds[0].revents && read(signals, &si, sizeof(si)) == (ssize_t)sizeof(si) &&
		    si.ssi_signo != SIGCHLD)
			return NULL;
		running -= reap();
		if (running >= HOOKS_MAX || !pfds[1].revents)
			continue;
		_cleanup_close_ int connection = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		if (connection < 0)
			continue;
		running += start(listening, connection, mask, take, userdata);
	}
}

struct snap_error *listen_for_crashes(const char *path, int (*take)(void *userdata), void *userdata)
{
	_cleanup_close_ int listening = passed_socket(), signals = -EBADF;
	sigset_t set, old;
	struct snap_error *err = NULL;
	if (listening < 0)
		err = make_socket(path, &listening);
	if (err)
		return err;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)fcntl(listening, F_SETFL, O_NONBLOCK);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return signals < 0 ? snap_error_errno(SNAP_FAILED, errno, "cannot wait for signals") :
			     serve(listening, signals, &old, take, userdata);
}
