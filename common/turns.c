// SPDX-License-Identifier: LGPL-2.1-or-later
#include "turns.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

struct turns_user {
	TAILQ_ENTRY(turns_user) entry;
	TAILQ_HEAD(, turn) waiting;
	uid_t uid;
	size_t running, members; ///< members: with those that wait
};

void turns_init(struct turns *turns, size_t max, size_t max_per_user)
{
	*turns = (struct turns){ .max = max, .max_per_user = max_per_user };
	TAILQ_INIT(&turns->users);
}

static struct turns_user *find_user(const struct turns *turns, uid_t uid)
{
	struct turns_user *user;
	TAILQ_FOREACH(user, &turns->users, entry)
	if (user->uid == uid)
		return user;
	return NULL;
}

int turns_add(struct turns *turns, struct turn *turn, uid_t uid)
{
	struct turns_user *user = find_user(turns, uid);
	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		TAILQ_INIT(&user->waiting);
		// At the end, as if he had just had his turn: who comes and goes must not be
		// before those who wait.
		TAILQ_INSERT_TAIL(&turns->users, user, entry);
	}
	user->members++;
	turn->user = user;
	turn->running = false;
	TAILQ_INSERT_TAIL(&user->waiting, turn, entry);
	turns->waiting++;
	return 0;
}

struct turn *turns_next(struct turns *turns)
{
	struct turns_user *user, *best = NULL;
	if (turns->running >= turns->max)
		return NULL;
	TAILQ_FOREACH(user, &turns->users, entry)
	if (!TAILQ_EMPTY(&user->waiting) && user->running < turns->max_per_user &&
	    (!best || user->running < best->running))
		best = user;
	if (!best)
		return NULL;
	struct turn *turn = TAILQ_FIRST(&best->waiting);
	TAILQ_REMOVE(&best->waiting, turn, entry);
	TAILQ_REMOVE(&turns->users, best, entry);
	TAILQ_INSERT_TAIL(&turns->users, best, entry);
	turn->running = true;
	best->running++;
	turns->running++;
	turns->waiting--;
	return turn;
}

void turns_remove(struct turns *turns, struct turn *turn)
{
	struct turns_user *user = turn->user;
	if (!user)
		return;
	if (turn->running) {
		user->running--;
		turns->running--;
	} else {
		TAILQ_REMOVE(&user->waiting, turn, entry);
		turns->waiting--;
	}
	*turn = (struct turn){ 0 };
	if (--user->members)
		return;
	TAILQ_REMOVE(&turns->users, user, entry);
	free(user);
}
