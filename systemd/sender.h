/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/pidref.h"

/// Whose name an entry is sent in.
struct sender_identity {
	bool is_user; ///< else that of the caller, and the rest means nothing
	uid_t uid;
	gid_t gid;
};

/**
 * Starts a child that sends one journal entry and ends: with status 0 when journald has it, else
 * with the errno that says why not. @fields ("NAME=value") are borrowed until the child has ended.
 *
 * The child has no capabilities, and no privileges of the caller's but its open files and memory;
 * it cannot be traced or dumped by the user that it becomes, who may however stop or kill it: then
 * his entry is late. Returns 0, or a negative errno. Called by the daemon, whose only thread this
 * must be. @ret is owned by the caller, who also reaps the child.
 */
int sender_start(const struct iovec *fields, size_t n, struct sender_identity identity,
		 struct pidref *ret);
