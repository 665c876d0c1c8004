/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ask.h"
#include "crash.h"
#include "folder.h"
#include "head.h"
#include "share.h"

/// All that the hook works on.
struct hook {
	struct crash crash;
	struct folder folder;
	struct head head;
	struct share *share; ///< with the other processes of this hook
};

/// What has become of a core.
struct taken {
	struct json *result; ///< what the folder is told of its core, or of there being none
	/// All of the core, in memory, of which the folder has a part; -EBADF: there is none.
	int whole;
	struct json *whole_result; ///< of that
};

#define TAKEN_NULL ((struct taken){ .whole = -EBADF })

void taken_deinit(struct taken *taken);
#define _cleanup_taken_ _cleanup_(taken_deinit)

/// How much memory a core would take for which there is no room on the disk; 0: there is, or it
/// would have to stay partial all the same. For asking the daemon.
uint64_t take_wants_memory(const struct hook *hook);

/**
 * Copies the memory of the process into the core of the folder and gives that its name.
 *
 * @answer says what is wanted. When there may be no room for all of it, on the disk or within a
 * limit, the most useful memory is copied first (dumper/priority.h), and the result says what the
 * core lacks. Where the stream has to be read, which has its own order, only stacks are then kept.
 *
 * Where it is the disk that has no room for all, and memory has, as the daemon says in @answer, all
 * is copied once more, into memory. The part on the disk is for when that is lost: it is complete,
 * with its name and with what is known of it, before.
 *
 * Where memory has none, and the daemon says so, all is compressed while it is read (packed.h).
 *
 * The stream stands behind the head before; it is not closed, so the process waits until whoever
 * called does that. What does not answer is left out (patientmem.h). @ret, for taken_deinit(), is
 * what the folder and the daemon are told, also of a core that is not all that was wanted. An error
 * means that there is no core. What is in @hook->head is used up, and threads
 * that never came back may still look at it: whoever called leaves it alone until the process
 * ends.
 */
struct snap_error *take_core(struct hook *hook, const struct answer *answer, struct taken *ret)
	_must_check_;
