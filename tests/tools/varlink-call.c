// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Speaks the wire format of Varlink, and whatever else one may send to a server:
 *
 *   varlink-call SOCKET ACTION...
 *
 * It connects, and does one action after the other:
 *
 *   fd=MODE:PATH     a descriptor for the next message: r, w, rw, a (append), path (O_PATH),
 *                    new (rw, made or emptied), tmp (a file without a name in the folder PATH)
 *   inherit=N        the same, a descriptor that it was started with
 *   pidfd=PID        the same, of a process; tidfd=TID of a thread
 *   send=TEXT        a message with these descriptors and a NUL
 *   bytes=TEXT       the same without NUL; zeros=N: N NULs; spaces=N: N blanks
 *   flood=N:TEXT     the message N times, or until nothing more is taken for a second
 *   recv             print the next message; last: print messages up to one that is the last
 *   save=PATH        what the descriptor of the message that came last holds
 *   half             no more is sent; drain: read until the other end closes
 *   say=TEXT         print TEXT; wait: until standard input ends
 *   again            a new connection; what is open stays so
 *
 * Messages are printed one a line. When the connection is closed it prints "closed" and goes on.
 * The status is 1 when something cannot be done. It gives up after three minutes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { FDS_MAX = 64, PATIENCE_S = 180 };

static int sock = -1;
static int fds[FDS_MAX];
static size_t n_fds;
static int got_fd = -1;
static char *in;
static size_t in_len, in_size;

static void die(const char *what)
{
	fprintf(stderr, "varlink-call: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(address.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	in_len = 0;
}

static void add_fd(int fd, const char *what)
{
	if (fd < 0 || n_fds == FDS_MAX)
		die(what);
	fds[n_fds++] = fd;
}

static void open_fd(const char *arg)
{
	static const struct {
		const char *mode;
		int flags;
	} modes[] = {
		{ "r:", O_RDONLY },
		{ "w:", O_WRONLY | O_CREAT },
		{ "rw:", O_RDWR | O_CREAT },
		{ "a:", O_RDWR | O_CREAT | O_APPEND },
		{ "path:", O_PATH },
		{ "new:", O_RDWR | O_CREAT | O_TRUNC },
		{ "tmp:", O_RDWR | O_TMPFILE },
	};
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		size_t len = strlen(modes[i].mode);
		if (strncmp(arg, modes[i].mode, len) != 0)
			continue;
		add_fd(open(arg + len, modes[i].flags | O_CLOEXEC | O_NOCTTY, 0600), arg);
		return;
	}
	errno = EINVAL;
	die(arg);
}

/// Sends all of it, the descriptors with the first byte. False when the other end is closed.
static int send_all(const char *data, size_t len, int flags)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	while (len) {
		struct iovec iov = { (void *)data, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		if (n_fds) {
			msg.msg_control = &control;
			msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
			control.head.cmsg_level = SOL_SOCKET;
			control.head.cmsg_type = SCM_RIGHTS;
			control.head.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
			memcpy(CMSG_DATA(&control.head), fds, n_fds * sizeof(int));
		}
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL | flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd wait = { sock, POLLOUT, 0 };
			if (poll(&wait, 1, 1000) == 0)
				return 0;
			continue;
		}
		if (n < 0)
			return 0;
		for (; n_fds; n_fds--)
			(void)close(fds[n_fds - 1]);
		data += n;
		len -= (size_t)n;
	}
	return 1;
}

static void send_many(char byte, const char *count)
{
	size_t n = strtoul(count, NULL, 0);
	char *text = malloc(n + 1);
	if (!text)
		die("malloc");
	memset(text, byte, n);
	(void)send_all(text, n, 0);
	free(text);
}

static void flood(const char *arg)
{
	char *text;
	unsigned long n = strtoul(arg, &text, 0);
	unsigned long i = 0;
	text++;
	while (i < n && send_all(text, strlen(text) + 1, MSG_DONTWAIT))
		i++;
	printf("flood ended\n");
}

/// Reads some more; false at the end.
static int fill(void)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	if (in_size - in_len < 65536) {
		in_size = in_size * 2 + 65536;
		in = realloc(in, in_size);
		if (!in)
			die("realloc");
	}
	struct iovec iov = { in + in_len, in_size - in_len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		if (got_fd >= 0)
			(void)close(got_fd);
		memcpy(&got_fd, CMSG_DATA(c), sizeof(got_fd));
	}
	in_len += (size_t)n;
	return 1;
}

/// Prints the next message; false when there is none, or it has no "continues".
static int receive(void)
{
	char *nul;
	while (!(nul = in_len ? memchr(in, '\0', in_len) : NULL))
		if (!fill()) {
			printf("closed\n");
			return 0;
		}
	puts(in);
	int more = strstr(in, "\"continues\":true") != NULL;
	size_t len = (size_t)(nul - in) + 1;
	in_len -= len;
	memmove(in, in + len, in_len);
	return more;
}

static void save(const char *path)
{
	char buf[65536];
	ssize_t n;
	int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0 || got_fd < 0)
		die(path);
	while ((n = read(got_fd, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			die(path);
	(void)close(out);
}

static void act(const char *what, const char *arg, const char *path)
{
	char byte;
	if (!strcmp(what, "fd"))
		open_fd(arg);
	else if (!strcmp(what, "inherit"))
		add_fd(fcntl(atoi(arg), F_DUPFD_CLOEXEC, 3), arg);
	else if (!strcmp(what, "pidfd"))
		add_fd((int)syscall(SYS_pidfd_open, atoi(arg), 0), arg);
	else if (!strcmp(what, "tidfd"))
		add_fd((int)syscall(SYS_pidfd_open, atoi(arg), O_EXCL), arg);
	else if (!strcmp(what, "send"))
		(void)send_all(arg, strlen(arg) + 1, 0);
	else if (!strcmp(what, "bytes"))
		(void)send_all(arg, strlen(arg), 0);
	else if (!strcmp(what, "zeros"))
		send_many('\0', arg);
	else if (!strcmp(what, "spaces"))
		send_many(' ', arg);
	else if (!strcmp(what, "flood"))
		flood(arg);
	else if (!strcmp(what, "recv"))
		(void)receive();
	else if (!strcmp(what, "last"))
		while (receive())
			;
	else if (!strcmp(what, "save"))
		save(arg);
	else if (!strcmp(what, "half"))
		(void)shutdown(sock, SHUT_WR);
	else if (!strcmp(what, "drain"))
		while (fill())
			in_len = 0;
	else if (!strcmp(what, "say"))
		puts(arg);
	else if (!strcmp(what, "wait"))
		while (read(0, &byte, 1) > 0)
			;
	else if (!strcmp(what, "again"))
		connect_to(path);
	else {
		errno = EINVAL;
		die(what);
	}
}

int main(int argc, char *argv[])
{
	if (argc < 2) {
		fprintf(stderr, "Usage: varlink-call SOCKET ACTION...\n");
		return 2;
	}
	(void)alarm(PATIENCE_S);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	connect_to(argv[1]);
	for (int i = 2; i < argc; i++) {
		char *arg = strchrnul(argv[i], '=');
		char *what = strndup(argv[i], (size_t)(arg - argv[i]));
		act(what, *arg ? arg + 1 : "", argv[1]);
		free(what);
	}
	return 0;
}
