/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/types.h>

/**
 * DOC: Users take turns
 *
 * There is a number of places. A place goes to the user who has the fewest; of those, to the one
 * whose last turn, or coming, is the longest ago; of his own, to the one that came first. With
 * @max_per_user below @max no user has all places, so that others need not wait for the end of what
 * takes long. However many one user has waiting, another comes after at most one of his.
 *
 * Nothing is allocated but a small entry for each user who has something here. Pure, but for
 * memory: any process may call it.
 */

struct turns_user;

/// What waits or has a place; part of the caller's own structure, zeroed before turns_add().
struct turn {
	TAILQ_ENTRY(turn) entry; ///< while it waits
	struct turns_user *user; ///< NULL: not in it
	bool running;
};

struct turns {
	TAILQ_HEAD(, turns_user) users; ///< whose turn was the longest ago is the first
	size_t max, max_per_user;
	size_t running, waiting;
};

void turns_init(struct turns *turns, size_t max, size_t max_per_user);
/// @turn waits from now on. Returns 0 or -ENOMEM.
int turns_add(struct turns *turns, struct turn *turn, uid_t uid);
/// Gives a place to the next, which is returned; NULL when no place is free, or nobody waits.
struct turn *turns_next(struct turns *turns);
/// It is done, or has gone. Accepts one that was never added.
void turns_remove(struct turns *turns, struct turn *turn);
