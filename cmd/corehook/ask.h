/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "crash.h"
#include "folder.h"
#include "head.h"

/**
 * DOC: What the daemon says to a crash
 *
 * Over STORE/crash/socket, SOCK_SEQPACKET, JSON (common/ipc.h):
 *   hook     {"folder": ".USEC.PID", "place": {...}}, see head_describe_place()
 *   daemon   {"wait": true}, any number of times: it is there, and it is somebody else's turn
 *   daemon   {"action": "keep" | "stacks" | "drop"}
 *   hook     {"done": "USEC.PID"}
 * A daemon that is not there, or that does not answer, must cost the process nothing but a little
 * time: then the answer is "keep".
 */
enum action {
	ACTION_KEEP, ///< the whole core
	ACTION_STACKS, ///< stacks and what is needed to read them
	ACTION_DROP, ///< no core
};

/// Asks; @ret_sock is for ask_done(), or -EBADF when there is no daemon.
enum action ask_daemon(const struct folder *folder, const struct head *head, int *ret_sock);
/// Tells the daemon that the folder is complete. Takes @sock.
void ask_done(int sock, const struct folder *folder);
