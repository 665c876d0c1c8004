// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fd.h"

int ipc_pair(int ret[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0)
		return -errno;
	return 0;
}

int ipc_send(int sock, const struct json *json, const int *fds, size_t n_fds, int flags)
{
	const char *text = json_text(json);
	if (!text || n_fds > IPC_MAX_FDS)
		return -ENOMEM;
	size_t len = strlen(text);
	if (len > IPC_MAX_BYTES)
		return -EMSGSIZE;
	union {
		char space[CMSG_SPACE(IPC_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n_fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	ssize_t n;
	do
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/// Moves the descriptors of a message into @fds; false when there were more.
static bool take_fds(struct msghdr *msg, int fds[static IPC_MAX_FDS])
{
	bool fits = !(msg->msg_flags & MSG_CTRUNC);
	size_t n = 0;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (n < IPC_MAX_FDS) {
				fds[n++] = fd;
				continue;
			}
			snap_closep(&fd);
			fits = false;
		}
	}
	return fits;
}

int ipc_recv(int sock, struct json **ret, int ret_fds[static IPC_MAX_FDS])
{
	_cleanup_free_ char *buf = malloc(IPC_MAX_BYTES + 1);
	if (!buf)
		return -ENOMEM;
	union {
		char space[CMSG_SPACE(2 * IPC_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = IPC_MAX_BYTES + 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	ssize_t n = 0;
	bool reset = false;
	do {
		// Told once when the other end was closed with something of ours unread, and before
		// what it had said itself.
		reset = reset || (n < 0 && errno == ECONNRESET);
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset)));
	if (n < 0)
		return -errno;
	int fds[IPC_MAX_FDS];
	for (int i = 0; i < IPC_MAX_FDS; i++)
		fds[i] = -EBADF;
	bool fits = take_fds(&msg, fds);
	struct json *json = fits && n && n <= IPC_MAX_BYTES ? json_parse(buf, (size_t)n) : NULL;
	if (!json) {
		for (int i = 0; i < IPC_MAX_FDS; i++)
			snap_closep(&fds[i]);
		return n ? -EBADMSG : -ECONNRESET;
	}
	memcpy(ret_fds, fds, sizeof(fds));
	*ret = json;
	return 0;
}
