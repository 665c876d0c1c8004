/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "crash.h"

/**
 * DOC: The coredump socket
 *
 * With a core_pattern that begins with @@ the kernel (Linux 6.17) connects to a socket for each
 * crash, says what it can do, and waits to be told what to do: include/uapi/linux/coredump.h. We
 * have it write the core into the socket and keep the process until the socket is closed; then all
 * is as with a pipe. RLIMIT_CORE is ignored by the kernel here, and none of the arguments of a
 * pattern are told; what is missing comes from the pidfd and from /proc.
 */

/**
 * Speaks with whoever has connected to @sock, and fills in @ret as far as it is known before the
 * core is read: not the signal, and not the thread.
 *
 * SNAP_NOT_PERMITTED when that is not the kernel with the core of a process. @store is borrowed.
 * Takes at most a few seconds.
 */
struct snap_error *handshake(int sock, const char *store, struct crash *ret) _must_check_;
