/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/json.h"
#include "crash.h"
#include "folder.h"

/**
 * DOC: What the daemon says to a crash
 *
 * Over STORE/crash/socket, SOCK_SEQPACKET, JSON (common/ipc.h):
 *   hook     {"folder": ".USEC.PID", "place": {...}}, cmd/corehook/place.h
 *   daemon   {"wait": true}, any number of times: it is there, and it is somebody else's turn
 *   daemon   {"action": "keep" | "stacks" | "drop", "max_bytes": N, ...}, daemon/crashask.h
 *   hook     {"done": "USEC.PID"}
 * What else the daemon says goes into the result, for the record. A daemon that is not there, or
 * that does not answer, must cost the process nothing but a little time: then only its own limit
 * counts (common/corelimit.h), and the daemon decides about the rest when it finds the folder.
 */
enum action {
	ACTION_KEEP, ///< the whole core
	ACTION_STACKS, ///< stacks and what is needed to read them
	ACTION_DROP, ///< no core
};

struct answer {
	enum action action;
	uint64_t max_bytes; ///< of memory in the core; UINT64_MAX: all
	struct json *told; ///< by the daemon; NULL when there is none
	int sock; ///< for ask_done(); -EBADF when there is no daemon
};

#define ANSWER_NULL ((struct answer){ .max_bytes = UINT64_MAX, .sock = -EBADF })

/// Asks about @crash, whose folder and place these are. @ret is the caller's, for answer_deinit().
void ask_daemon(const struct crash *crash, const struct folder *folder, const struct json *place,
		struct answer *ret);
void answer_deinit(struct answer *answer);
/// Tells the daemon that the folder is complete. Takes @sock.
void ask_done(int sock, const struct folder *folder);
