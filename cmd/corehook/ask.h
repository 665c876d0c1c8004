/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "crash.h"
#include "folder.h"
#include "share.h"

/**
 * DOC: What the daemon says to a crash
 *
 * Over STORE/crash/socket, SOCK_SEQPACKET, JSON (common/ipc.h):
 *   hook     {"folder": ".USEC.PID", "place": {...}}, cmd/corehook/place.h
 *   daemon   {"wait": true, "answer": {...}}: it is there, and it is somebody else's turn; what it
 *            will say then
 *   daemon   {"action": "keep" | "stacks" | "drop", "max_bytes": N, ...}, daemon/crashask.h
 *   hook     {"copied": true}, if it has something else to do before its folder is complete: others
 *            may copy meanwhile
 *   hook     {"done": "USEC.PID"}
 * When the disk has no room for all of the core the hook adds to the first one "memory_bytes": N,
 * what it would take in memory, and to the last one "whole": {...}, the result of that (as in the
 * folder), with a descriptor of it. Between these the daemon may say "memory_bytes": N, and nothing
 * of the folder is taken up before the hook has said the last word or is gone.
 *
 * "pack": true, from the daemon, says that a core for which there is no room may be compressed at
 * once (cmd/corehook/packed.h).
 *
 * A copier that goes on for one that was killed adds "answer": {...}, what that was told, so that
 * the crash is not counted twice.
 *
 * Before there is a core, where the kernel can be told to write none (cmd/corehook/handshake.h):
 *   hook     {"folder": ".USEC.PID", "early": true}
 *   daemon   {"action": "drop", ...}, and then the same as above; or
 *            {"later": true}: nothing speaks against a core yet. The crash is not counted, and it
 *            is asked again as above
 *
 * When there is no room for a folder:
 *   hook     {"record": {...}, "why": "..."}, the facts (crash_to_json()), and a folder elsewhere,
 *            as a descriptor, which has facts and proc
 *   daemon   {"recorded": true}
 *
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
	uint64_t memory_bytes; ///< that a core may take in memory; 0: none
	bool pack; ///< may a core be compressed while it is read?
	struct json *told; ///< by the daemon; NULL when there is none
	int sock; ///< for ask_done(); -EBADF when there is no daemon
};

#define ANSWER_NULL ((struct answer){ .max_bytes = UINT64_MAX, .sock = -EBADF })

/// Asks about @crash, whose folder and place these are. @share has the answer for another copier.
/// @ret is the caller's, for answer_deinit().
/// @memory_bytes is what is wanted of answer.memory_bytes.
void ask_daemon(const struct crash *crash, const struct folder *folder, const struct json *place,
		uint64_t memory_bytes, struct share *share, struct answer *ret);
/// Asks whether there is to be a core at all, as far as that can be told without one: then the
/// action is ACTION_DROP, and else nothing is said about it.
void ask_early(const struct crash *crash, const struct folder *folder, struct share *share,
	       struct answer *ret);
void answer_deinit(struct answer *answer);
/// Tells the daemon that the process has been let go, and it is the turn of others. @sock stays the
/// caller's, and may be -EBADF.
void ask_copied(int sock);
/// Tells the daemon that the folder is complete. Takes @sock. @whole, with its @result, is a core
/// in memory, or negative.
void ask_done(int sock, const struct folder *folder, int whole, const struct json *result);
/// Has systemd start the daemon that was not there, and would take the folder (HANDLER_DOORBELL).
/// Waits for nothing; where systemd does not listen for it, the folder waits.
void ask_to_start(void);
/// Has the daemon record @crash, of which there will be no core: @why. @elsewhere, or -EBADF, is a
/// folder with what is known; it is read when this returns, or never will be. False when nobody has
/// said that it is recorded.
bool ask_to_record(const struct crash *crash, const struct folder *folder, const char *why,
		   int elsewhere);
