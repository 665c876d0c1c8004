// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/ipc.h"

// A daemon that lives answers within a millisecond; the second number is how long a process may
// have to wait behind others that crashed before it.
#define ANSWER_NS (2ULL * 1000 * 1000 * 1000)
#define TURN_NS (60ULL * 1000 * 1000 * 1000)

static int connect_daemon(const struct folder *folder)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	// The store may lie deeper than an address can say.
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/socket",
		       folder->crashes);
	_cleanup_close_ int sock =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	uint64_t deadline = snap_now_ns() + ANSWER_NS;
	while (sock >= 0 && connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
		if (errno != EAGAIN || snap_now_ns() > deadline) // EAGAIN: the queue is full
			return -errno;
		(void)nanosleep(&pause, NULL);
	}
	return sock < 0 ? -errno : TAKE_FD(sock);
}

/// -ETIMEDOUT when nothing came until @deadline.
static int receive(int sock, uint64_t deadline, struct json **ret)
{
	int fds[IPC_MAX_FDS];
	uint64_t now = snap_now_ns();
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	int n = poll(&pfd, 1, now < deadline ? (int)((deadline - now) / 1000000 + 1) : 0);
	if (n < 0 && errno == EINTR)
		return -EAGAIN;
	if (n <= 0)
		return n < 0 ? -errno : -ETIMEDOUT;
	int r = ipc_recv(sock, ret, fds);
	for (size_t i = 0; r == 0 && i < IPC_MAX_FDS; i++)
		snap_closep(&fds[i]);
	return r;
}

static enum action parse_action(const char *text)
{
	return !strcmp(text, "drop")   ? ACTION_DROP :
	       !strcmp(text, "stacks") ? ACTION_STACKS :
					 ACTION_KEEP;
}

enum action ask_daemon(const struct folder *folder, const struct head *head, int *ret_sock)
{
	*ret_sock = -EBADF;
	_cleanup_close_ int sock = connect_daemon(folder);
	_cleanup_(json_destroyp) struct json *hello = json_new_object();
	struct json *place = json_new_object();
	json_set_text(hello, "folder", folder->name);
	head_describe_place(head, place);
	json_set(hello, "place", place);
	if (sock < 0 || ipc_send(sock, hello, NULL, 0, MSG_NOSIGNAL) < 0)
		return ACTION_KEEP;
	uint64_t deadline = snap_now_ns() + ANSWER_NS, limit = snap_now_ns() + TURN_NS;
	for (;;) {
		_cleanup_(json_destroyp) struct json *answer = NULL;
		int r = receive(sock, MIN(deadline, limit), &answer);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			return ACTION_KEEP;
		const char *action = json_get_text(answer, "action");
		if (action) {
			*ret_sock = TAKE_FD(sock);
			return parse_action(action);
		}
		deadline = limit;
	}
}

void ask_done(int sock, const struct folder *folder)
{
	_cleanup_(json_destroyp) struct json *done = json_new_object();
	json_set_text(done, "done", folder->name);
	if (sock >= 0)
		(void)ipc_send(sock, done, NULL, 0, MSG_NOSIGNAL | MSG_DONTWAIT);
	snap_closep(&sock);
}
