// SPDX-License-Identifier: LGPL-2.1-or-later
#include "varlink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fd.h"

enum { CHUNK = 16 << 10 };

void varlink_init(struct varlink *link, int fd, size_t max_bytes)
{
	*link = (struct varlink){ .fd = fd, .max_bytes = max_bytes };
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void drop_fds(struct varlink *link)
{
	for (size_t i = 0; i < link->n_fds; i++)
		snap_closep(&link->fds[i]);
	link->n_fds = 0;
}

void varlink_deinit(struct varlink *link)
{
	drop_fds(link);
	for (size_t i = 0; i < link->n_in_fds; i++)
		snap_closep(&link->in_fds[i].fd);
	for (size_t i = 0; i < link->n_out_fds; i++)
		snap_closep(&link->out_fds[i].fd);
	snap_closep(&link->fd);
	strbuf_deinit(&link->in);
	strbuf_deinit(&link->out);
	*link = (struct varlink){ .fd = -EBADF };
}

// ---- receiving -----------------------------------------------------------------------------

/// Keeps the descriptors of what was just received; false when there are too many.
static bool keep_fds(struct varlink *link, struct msghdr *msg)
{
	bool fits = !(msg->msg_flags & MSG_CTRUNC);
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (link->n_in_fds < ARRAY_SIZE(link->in_fds)) {
				link->in_fds[link->n_in_fds++] =
					(struct varlink_fd){ link->in.len, fd };
				continue;
			}
			snap_closep(&fd);
			fits = false;
		}
	}
	return fits;
}

/**
 * How much to receive at once: not beyond the end of a message. The kernel adds the descriptors of
 * later bytes to a read of earlier ones, and does not tell to which of them they belong.
 */
static ssize_t look_ahead(const struct varlink *link)
{
	char *begin = link->in.data + link->in.len;
	ssize_t n = recv(link->fd, begin, CHUNK, MSG_PEEK | MSG_DONTWAIT);
	const char *nul = n > 0 ? memchr(begin, '\0', (size_t)n) : NULL;
	return nul ? nul - begin + 1 : n;
}

int varlink_fill(struct varlink *link)
{
	union {
		char space[CMSG_SPACE(2 * VARLINK_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	if (link->in.len > link->max_bytes + 1) // with its NUL
		return -EMSGSIZE;
	if (strbuf_reserve(&link->in, CHUNK) < 0)
		return -ENOMEM;
	ssize_t n = look_ahead(link);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	struct iovec iov = { .iov_base = link->in.data + link->in.len, .iov_len = (size_t)n };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	if (n > 0)
		n = recvmsg(link->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!n)
		return -ECONNRESET;
	if (!keep_fds(link, &msg))
		return -EBADMSG;
	link->in.len += (size_t)n;
	link->in.data[link->in.len] = '\0';
	return 1;
}

bool varlink_has_message(struct varlink *link)
{
	const char *nul = link->in.len > link->searched ?
				  memchr(link->in.data + link->searched, '\0',
					 link->in.len - link->searched) :
				  NULL;
	link->searched = nul ? (size_t)(nul - link->in.data) : link->in.len;
	return nul;
}

/// Descriptors that came with the first @end bytes become those of the message.
static bool claim_fds(struct varlink *link, size_t end)
{
	size_t kept = 0;
	bool fits = true;
	for (size_t i = 0; i < link->n_in_fds; i++) {
		struct varlink_fd *in = &link->in_fds[i];
		if (in->offset >= end) {
			in->offset -= end;
			link->in_fds[kept++] = *in;
		} else if (link->n_fds < VARLINK_FDS_MAX) {
			link->fds[link->n_fds++] = in->fd;
		} else {
			snap_closep(&in->fd);
			fits = false;
		}
	}
	link->n_in_fds = kept;
	return fits;
}

int varlink_next(struct varlink *link, struct json **ret)
{
	if (!varlink_has_message(link))
		return 0;
	size_t len = link->searched;
	drop_fds(link);
	bool fits = claim_fds(link, len + 1);
	struct json *json = fits && len <= link->max_bytes ? json_parse(link->in.data, len) : NULL;
	link->in.len -= len + 1;
	memmove(link->in.data, link->in.data + len + 1, link->in.len);
	link->searched = 0;
	// What a large message took is not kept for the rest of the connection.
	if (!link->in.len)
		strbuf_deinit(&link->in);
	if (!json)
		return -EBADMSG;
	*ret = json;
	return 1;
}

int varlink_take_fd(struct varlink *link, size_t index)
{
	return index < link->n_fds ? TAKE_FD(link->fds[index]) : -EBADF;
}

// ---- sending -------------------------------------------------------------------------------

int varlink_queue(struct varlink *link, const struct json *message, const int *fds, size_t n_fds)
{
	const char *text = json_text(message);
	if (!text)
		return -ENOMEM;
	if (n_fds > VARLINK_FDS_MAX || link->n_out_fds + n_fds > ARRAY_SIZE(link->out_fds))
		return -EMFILE;
	size_t offset = link->out.len;
	if (strbuf_add(&link->out, text, strlen(text) + 1) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n_fds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return -errno; // and the connection has to be given up
		link->out_fds[link->n_out_fds++] = (struct varlink_fd){ offset, fd };
	}
	return 0;
}

/// How far to send at once: no further than to the next message with descriptors, so that those go
/// with its first byte. Puts the descriptors for the next byte into @fds.
static size_t next_piece(const struct varlink *link, int fds[static VARLINK_FDS_MAX],
			 size_t *ret_n_fds)
{
	size_t end = link->out.len;
	*ret_n_fds = 0;
	for (size_t i = 0; i < link->n_out_fds; i++) {
		if (link->out_fds[i].offset > link->sent)
			end = MIN(end, link->out_fds[i].offset);
		else if (*ret_n_fds < VARLINK_FDS_MAX)
			fds[(*ret_n_fds)++] = link->out_fds[i].fd;
	}
	return end - link->sent;
}

static ssize_t send_piece(const struct varlink *link, size_t len, const int *fds, size_t n_fds)
{
	union {
		char space[CMSG_SPACE(VARLINK_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = link->out.data + link->sent, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = n_fds ? CMSG_SPACE(n_fds * sizeof(int)) : 0 };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	ssize_t n = sendmsg(link->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static void close_sent(struct varlink *link, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snap_closep(&link->out_fds[i].fd);
	link->n_out_fds -= n;
	memmove(link->out_fds, link->out_fds + n, link->n_out_fds * sizeof(link->out_fds[0]));
}

int varlink_flush(struct varlink *link)
{
	while (link->sent < link->out.len) {
		int fds[VARLINK_FDS_MAX];
		size_t n_fds;
		size_t len = next_piece(link, fds, &n_fds);
		ssize_t n = send_piece(link, len, fds, n_fds);
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return 1;
		if (n < 0)
			return (int)n;
		close_sent(link, n_fds);
		link->sent += (size_t)n;
	}
	strbuf_deinit(&link->out);
	link->sent = 0;
	return 0;
}

size_t varlink_unsent(const struct varlink *link)
{
	return link->out.len - link->sent;
}
