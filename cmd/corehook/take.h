/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ask.h"
#include "crash.h"
#include "folder.h"
#include "head.h"

/// All that the hook works on.
struct hook {
	struct crash crash;
	struct folder folder;
	struct head head;
	/// One of the copiers reads the stream: where that stands, the next one cannot know. Shared
	/// by all of them.
	bool *stream_taken;
};

/**
 * Copies the memory of the process into the core of the folder and gives that its name.
 *
 * @answer says what is wanted. When there may be no room for all of it, on the disk or within a
 * limit, the most useful memory is copied first (dumper/priority.h), and the result says what the
 * core lacks. Where the stream has to be read, which has its own order, only stacks are then kept.
 *
 * The stream stands behind the head before; it is not closed, so the process waits until whoever
 * called does that. @ret_result, owned by the caller, is what the folder and the daemon are told,
 * also of a core that is not all that was wanted. An error means that there is no core. What is in
 * @hook->head is used up.
 */
struct snap_error *take_core(struct hook *hook, const struct answer *answer,
			     struct json **ret_result) _must_check_;
