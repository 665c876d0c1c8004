/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "json.h"

/**
 * DOC: Messages between a worker and whoever started it
 *
 * A SOCK_SEQPACKET socket pair, one JSON object a message, descriptors beside it. Messages keep
 * their bounds, so a reader never waits for the rest of one. All calls return negative errno.
 */

enum {
	IPC_MAX_BYTES = 160 * 1024, // below the default socket buffer, net.core.wmem_default
	IPC_MAX_FDS = 4,
};

/// Makes the pair; both ends are close-on-exec.
int ipc_pair(int ret[2]);
/**
 * Sends @json with @n_fds descriptors, which stay the caller's.
 *
 * @flags are those of sendmsg(): MSG_DONTWAIT gives -EAGAIN when the other side does not read,
 * which is how a worker reports progress without ever waiting for somebody.
 */
int ipc_send(int sock, const struct json *json, const int *fds, size_t n_fds, int flags);
/**
 * Receives one message and up to IPC_MAX_FDS descriptors, which the caller owns.
 *
 * Unused entries of @ret_fds are -EBADF. -ECONNRESET at the end of the stream, -EBADMSG when the
 * message is not one JSON object or has too many descriptors.
 */
int ipc_recv(int sock, struct json **ret, int ret_fds[static IPC_MAX_FDS]);
