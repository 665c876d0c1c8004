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

/**
 * Copies the memory of the process into the core of the folder and gives that its name.
 *
 * @answer says what is wanted. When there may be no room for all of it, on the disk or within a
 * limit, the most useful memory is copied first (dumper/priority.h), and the result says what the
 * core lacks. Where the stream has to be read, which has its own order, only stacks are then kept.
 *
 * The stream stands behind the head before; it is not closed, so the process waits until whoever
 * called does that. What does not answer is left out (patientmem.h). @ret_result, owned by the
 * caller, is what the folder and the daemon are told, also of a core that is not all that was
 * wanted. An error means that there is no core. What is in @hook->head is used up, and threads
 * that never came back may still look at it: whoever called leaves it alone until the process
 * ends.
 */
struct snap_error *take_core(struct hook *hook, const struct answer *answer,
			     struct json **ret_result) _must_check_;
