/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/snapshot.h"
#include "common/strbuf.h"
#include "core.h"
#include "plan.h"

/**
 * DOC: The core that the kernel streams
 *
 * Of a crashing process the kernel writes an ELF core into a pipe or a socket, and keeps the
 * process until that has been read or closed (fs/coredump.c, fs/binfmt_elf.c). The beginning, the
 * head, holds what nobody else can tell: the registers of all threads, and which mappings the
 * kernel would dump how much of. Memory can then be read from the process itself, faster than the
 * kernel writes it, or from the rest of the stream.
 *
 * Where the head comes from is known, the kernel; but what is in it (names of files, registers) the
 * process chooses, and a socket may be spoken to by others. So every read is checked.
 */

enum {
	/// 60 000 threads with AVX-512 registers, or 8000 with AMX tiles. What is longer is copied
	/// as it comes.
	STREAM_HEAD_MAX = 192 << 20,
};

/// What the head says of the crash.
struct stream_facts {
	int signal; ///< that killed it; 0: not told
	int si_code;
	uint64_t fault_address; ///< si_addr of SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP, else 0
	uint64_t pc, sp; ///< of the crashing thread; 0 on machines that are not known
	uint64_t body_offset; ///< where the first segment begins in the stream
};

/**
 * Reads the head from @fd into @ret, from its first byte on; nothing behind it is taken.
 *
 * -EBADMSG when it is no core, -EFBIG when it is longer than STREAM_HEAD_MAX, -ENODATA when the
 * stream ends within it: the process was killed. -ETIMEDOUT at @deadline_ns (snap_now_ns()): the
 * kernel reads the arguments from the process's memory, which may be of a file system that does not
 * answer. What was read until then is in @ret.
 */
int stream_read_head(int fd, uint64_t deadline_ns, struct strbuf *ret);

/**
 * Makes a snapshot and a plan of the head, which @snap borrows and which must outlive it.
 *
 * The snapshot has the notes as the kernel wrote them, and mappings with names; @pid is the number
 * it has here. The plan dumps what the kernel would. SNAP_FAILED when the head makes no sense.
 */
struct snap_error *stream_parse(const struct strbuf *head, pid_t pid, struct snapshot *snap,
				struct plan **ret_plan, struct stream_facts *ret_facts)
	_must_check_;

/// Where the memory comes from.
struct stream_body {
	int fd;
	uint64_t position; ///< behind the head; UINT64_MAX: nobody knows
	int patience_ms; ///< to wait for the next bytes; -1: for ever
};

/**
 * Copies the memory from the stream itself into @fd, the file of @core; zeros become holes.
 *
 * When nobody knows where the stream stands nothing of it can be used. Where it ends early the rest
 * becomes gaps: the kernel was interrupted. So it does when nothing comes in time, which
 * @ret_stalled tells: the kernel itself waits for whoever is behind that memory. Only writing can
 * fail; with CORE_KEEP_PARTIAL a full disk makes gaps too, and nothing more is read.
 */
struct snap_error *stream_copy(const struct stream_body *body, const struct stream_facts *facts,
			       struct core *core, int fd, uint32_t flags,
			       bool *ret_stalled) _must_check_;
