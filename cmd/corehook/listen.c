// SPDX-License-Identifier: LGPL-2.1-or-later
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "common/turns.h"

enum {
	LISTEN_FDS_START = 3, // sd_listen_fds(3)
	// As many as the kernel has it (net.core.somaxconn is 4096).
	BACKLOG = 4096,
	// Each holds a process that has crashed; more wait for their turn.
	HOOKS_MAX = 512,
	HOOKS_PER_USER = 384, // the rest is for others
	CONNECTIONS_MAX = 8192,
	FILES_SPARE = 64,
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

/// A process that has crashed, from its connection to the end of its hook.
struct connection {
	TAILQ_ENTRY(connection) entry;
	struct turn turn;
	int fd; ///< while it waits
	pid_t hook; ///< 0: not yet
};

struct listener {
	int listening, signals;
	const sigset_t *mask; ///< of hooks
	int (*take)(void *userdata);
	void *userdata;
	struct turns turns;
	TAILQ_HEAD(, connection) connections;
	size_t n_connections, max_connections;
};

static void forget(struct listener *l, struct connection *c)
{
	turns_remove(&l->turns, &c->turn);
	TAILQ_REMOVE(&l->connections, c, entry);
	l->n_connections--;
	snap_closep(&c->fd);
	free(c);
}

static void start(struct listener *l, struct connection *c)
{
	c->hook = fork();
	if (c->hook < 0) { // the connection is closed, and the process ends without a core
		forget(l, c);
		return;
	}
	if (c->hook > 0) {
		snap_closep(&c->fd);
		c->fd = -EBADF;
		return;
	}
	(void)setsid(); // a service that ends takes its group with it
	(void)sigprocmask(SIG_SETMASK, l->mask, NULL);
	// Others that wait must not be kept by this one.
	struct connection *other;
	TAILQ_FOREACH(other, &l->connections, entry)
	if (other != c)
		snap_closep(&other->fd);
	(void)dup2(c->fd, STDIN_FILENO);
	(void)close(c->fd);
	(void)close(l->listening);
	_exit(l->take(l->userdata));
}

static void start_next(struct listener *l)
{
	struct turn *turn;
	while ((turn = turns_next(&l->turns)))
		start(l, (struct connection *)((char *)turn - offsetof(struct connection, turn)));
}

static void reap(struct listener *l)
{
	pid_t pid;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		struct connection *c;
		TAILQ_FOREACH(c, &l->connections, entry)
		if (c->hook == pid)
			break;
		if (c)
			forget(l, c);
	}
}

static void take_connection(struct listener *l)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	_cleanup_close_ int fd = accept4(l->listening, NULL, NULL, SOCK_CLOEXEC);
	struct connection *c = fd < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c)
		return;
	// Whose process it is, by the kernel.
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	if (turns_add(&l->turns, &c->turn, cred.uid) < 0) {
		free(c);
		return;
	}
	c->fd = TAKE_FD(fd);
	TAILQ_INSERT_TAIL(&l->connections, c, entry);
	l->n_connections++;
}

static struct snap_error *serve(struct listener *l)
{
	struct pollfd pfds[] = { { .fd = l->signals, .events = POLLIN },
				 { .fd = l->listening, .events = POLLIN } };
	for (;;) {
		struct signalfd_siginfo si;
		bool room = l->n_connections < l->max_connections;
		if (poll(pfds, room ? 2 : 1, -1) < 0 && errno != EINTR)
			return snap_error_errno(SNAP_FAILED, errno, "cannot wait for crashes");
		if (pfds[0].revents &&
		    read(l->signals, &si, sizeof(si)) == (ssize_t)sizeof(si) &&
		    si.ssi_signo != SIGCHLD)
			return NULL;
		reap(l);
		if (room && pfds[1].revents)
			take_connection(l);
		start_next(l);
	}
}

/// As many files as this process may have at most; what remains is for the hooks' own.
static size_t allow_connections(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return HOOKS_MAX;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	rlim_t most = limit.rlim_max > FILES_SPARE ? limit.rlim_max - FILES_SPARE : 1;
	return (size_t)MIN(most, (rlim_t)CONNECTIONS_MAX);
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
	if (signals < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot wait for signals");
	struct listener l = { .listening = listening,
			      .signals = signals,
			      .mask = &old,
			      .take = take,
			      .userdata = userdata,
			      .connections = TAILQ_HEAD_INITIALIZER(l.connections),
			      .max_connections = allow_connections() };
	turns_init(&l.turns, HOOKS_MAX, HOOKS_PER_USER);
	err = serve(&l);
	while (!TAILQ_EMPTY(&l.connections))
		forget(&l, TAILQ_FIRST(&l.connections));
	return err;
}
