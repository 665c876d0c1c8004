/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "crash.h"

/**
 * DOC: The coredump socket
 *
 * With a core_pattern that begins with @@ the kernel (Linux 6.17) connects to a socket for each
 * crash, says what it can do, and waits to be told what to do: include/uapi/linux/coredump.h. We
 * have it write the core into the socket and keep the process until the socket is closed; then all
 * is as with a pipe. Or we have it write nothing and end the process at once (COREDUMP_REJECT).
 * Until it is answered it keeps the process.
 *
 * RLIMIT_CORE is ignored by the kernel here, and none of the arguments of a pattern are told; what
 * is missing comes from the pidfd and from /proc.
 */

enum handshake_answer {
	HANDSHAKE_TAKE, ///< the core is written, and the process kept until the socket is closed
	HANDSHAKE_REJECT, ///< there is no core, and the process ends
};

/**
 * Takes the request of whoever has connected to @sock, and fills in @ret as far as it is known
 * before there is a core: not the thread, if there are several.
 *
 * SNAP_NOT_PERMITTED when that is not the kernel with a process that crashes; then nothing was read
 * from it and nothing said. @store is borrowed. Takes at most a few seconds.
 */
struct snap_error *handshake_begin(int sock, const char *store, struct crash *ret) _must_check_;
/// Answers it. An error means that there will be no core. Takes at most a few seconds.
struct snap_error *handshake_end(int sock, const struct crash *crash, enum handshake_answer answer)
	_must_check_;
