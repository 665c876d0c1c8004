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
#include "common/corelimit.h"
#include "common/fd.h"
#include "common/handler.h"
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

/// What a copier before this one was told; it may have been killed while it wrote that down.
static struct json *recall(const struct share *share)
{
	size_t len = strnlen(share->answer, sizeof(share->answer));
	return len ? json_parse(share->answer, len) : NULL;
}

static void remember(struct share *share, const struct json *answer)
{
	const char *text = answer ? json_text(answer) : NULL;
	if (text && strlen(text) < sizeof(share->answer))
		memcpy(share->answer, text, strlen(text) + 1);
}

/// Sends @hello, and waits for what is said to that.
static void ask(const struct crash *crash, const struct folder *folder, const struct json *hello,
		struct share *share, struct answer *ret)
{
	*ret = ANSWER_NULL;
	ret->max_bytes = crash->rlimit;
	ret->action = corelimit_allows(crash->rlimit) ? ACTION_KEEP : ACTION_DROP;
	_cleanup_close_ int sock = share->silent ? -EBADF : connect_daemon(folder);
	if (sock < 0 || ipc_send(sock, hello, NULL, 0, MSG_NOSIGNAL) < 0)
		return;
	uint64_t deadline = snap_now_ns() + ANSWER_NS, limit = snap_now_ns() + TURN_NS;
	for (;;) {
		_cleanup_(json_destroyp) struct json *answer = NULL;
		int r = receive(sock, MIN(deadline, limit), &answer);
		if (r == -EAGAIN)
			continue;
		if (r == -ETIMEDOUT)
			share->silent = true;
		if (r < 0 || json_get_bool(answer, "later", false))
			return;
		const char *action = json_get_text(answer, "action");
		remember(share, action ? answer : json_get(answer, "answer"));
		if (action) {
			ret->sock = TAKE_FD(sock);
			ret->action = parse_action(action);
			ret->max_bytes = json_get_u64(answer, "max_bytes", UINT64_MAX);
			ret->memory_bytes = json_get_u64(answer, "memory_bytes", 0);
			ret->pack = json_get_bool(answer, "pack", false);
			ret->told = TAKE_PTR(answer);
			return;
		}
		deadline = limit;
	}
}

void ask_daemon(const struct crash *crash, const struct folder *folder, const struct json *place,
		uint64_t memory_bytes, struct share *share, struct answer *ret)
{
	_cleanup_(json_destroyp) struct json *hello = json_new_object(), *answer = recall(share);
	json_set_text(hello, "folder", folder->name);
	json_set_shared(hello, "place", place);
	if (answer)
		json_set_shared(hello, "answer", answer);
	if (memory_bytes)
		json_set_u64(hello, "memory_bytes", memory_bytes);
	ask(crash, folder, hello, share, ret);
}

void ask_early(const struct crash *crash, const struct folder *folder, struct share *share,
	       struct answer *ret)
{
	_cleanup_(json_destroyp) struct json *hello = json_new_object();
	json_set_text(hello, "folder", folder->name);
	json_set_bool(hello, "early", true);
	ask(crash, folder, hello, share, ret);
}

void answer_deinit(struct answer *answer)
{
	snap_closep(&answer->sock);
	json_destroy(answer->told);
	*answer = ANSWER_NULL;
}

void ask_copied(int sock)
{
	_cleanup_(json_destroyp) struct json *copied = json_new_object();
	json_set_bool(copied, "copied", true);
	if (sock >= 0)
		(void)ipc_send(sock, copied, NULL, 0, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ask_done(int sock, const struct folder *folder, int whole, const struct json *result)
{
	_cleanup_(json_destroyp) struct json *done = json_new_object();
	json_set_text(done, "done", folder->name);
	if (whole >= 0)
		json_set_shared(done, "whole", result);
	if (sock >= 0)
		(void)ipc_send(sock, done, &whole, whole >= 0 ? 1 : 0, MSG_NOSIGNAL | MSG_DONTWAIT);
	snap_closep(&sock);
}

void ask_to_start(void)
{
	static const struct sockaddr_un addr = { .sun_family = AF_UNIX,
						 .sun_path = HANDLER_DOORBELL };
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	// Who has rung may go: systemd sees that somebody connected, and the daemon looks
	// for folders.
	if (sock >= 0)
		(void)connect(sock, (const struct sockaddr *)&addr, sizeof(addr));
}

bool ask_to_record(const struct crash *crash, const struct folder *folder, const char *why,
		   int elsewhere)
{
	_cleanup_(json_destroyp) struct json *message = json_new_object(), *answer = NULL;
	_cleanup_close_ int sock = folder->crashes < 0 ? -EBADF : connect_daemon(folder);
	json_set(message, "record", crash_to_json(crash));
	json_set_message(message, "why", why);
	if (sock < 0 ||
	    ipc_send(sock, message, &elsewhere, elsewhere >= 0 ? 1 : 0, MSG_NOSIGNAL) < 0)
		return false;
	uint64_t deadline = snap_now_ns() + ANSWER_NS;
	int r;
	do
		r = receive(sock, deadline, &answer);
	while (r == -EAGAIN);
	return r == 0 && json_get_bool(answer, "recorded", false);
}
