/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "json.h"
#include "strbuf.h"

/**
 * DOC: The wire format of Varlink
 *
 * Messages are JSON objects with a NUL behind each, on a stream socket, with descriptors beside
 * them. sd-varlink has the same, but is public from systemd 257 on only, and Debian 12 has 252
 * (https://varlink.org/Method-Call). Nothing here waits: both sides poll.
 *
 *   call   {"method": "INTERFACE.METHOD", "parameters": {...}, "more": bool}
 *   reply  {"parameters": {...}, "continues": bool}
 *   error  {"error": "INTERFACE.NAME", "parameters": {...}}
 *
 * A descriptor belongs to the message in whose bytes it came, and parameters name it by its index
 * among those. All calls return a negative errno when the connection is of no use any more.
 */

enum {
	VARLINK_FDS_MAX = 4, ///< of one message
	VARLINK_CALL_MAX = 64 << 10, ///< what a server takes: ours are below 4 KiB
	VARLINK_REPLY_MAX = 64 << 20, ///< what a client takes: the goroutines of a large program
};

struct varlink {
	int fd; ///< owned
	size_t max_bytes; ///< of a message that is received
	struct strbuf in;
	size_t searched; ///< bytes of in without a NUL
	struct varlink_fd {
		size_t offset; ///< of the bytes in `in` that it came with
		int fd;
	} in_fds[2 * VARLINK_FDS_MAX];
	size_t n_in_fds;
	int fds[VARLINK_FDS_MAX]; ///< of the message that was taken last
	size_t n_fds;
	struct strbuf out;
	size_t sent; ///< bytes of out
	struct varlink_fd out_fds[2 * VARLINK_FDS_MAX]; ///< offsets in `out`
	size_t n_out_fds;
};

/// Takes ownership of @fd, a connected stream socket, and makes it non-blocking.
void varlink_init(struct varlink *link, int fd, size_t max_bytes);
void varlink_deinit(struct varlink *link);

/**
 * Reads what there is, up to the end of a message.
 *
 * 1 after something, 0 when there is nothing yet, -ECONNRESET at the end of the stream, -EMSGSIZE
 * when a message is too long, -EBADMSG when there are too many descriptors.
 */
int varlink_fill(struct varlink *link);
/// Takes the next message that is whole: 1 and *@ret, which the caller owns; 0 when there is none;
/// -EBADMSG when it is no JSON object. Descriptors of the message before that nobody took are
/// closed.
int varlink_next(struct varlink *link, struct json **ret);
/// Is there a whole message?
bool varlink_has_message(struct varlink *link);
/// Takes descriptor @index of the message; -EBADF when it has none. Owned by the caller.
int varlink_take_fd(struct varlink *link, size_t index);

/// Adds a message with @n_fds descriptors, which stay the caller's. -ENOMEM, -EMFILE.
int varlink_queue(struct varlink *link, const struct json *message, const int *fds, size_t n_fds);
/// Sends what can be sent without waiting: 0 when that is all, 1 when something is left.
int varlink_flush(struct varlink *link);
/// Bytes that are not sent yet.
size_t varlink_unsent(const struct varlink *link);
