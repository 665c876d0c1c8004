/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "goroutines.h"

/**
 * DOC: Who can wake those that wait
 *
 * A channel wakes those that wait for it only when somebody uses it, and whoever uses it has its
 * address. So this marks, as a garbage collector would: it begins with the goroutines that can go
 * on by themselves, and looks through their stacks and registers, through the global variables, and
 * through what both point to, for addresses of what others wait for. Those others can then go on as
 * well, and so on. What is left over was seen in the hands of nobody that could use it.
 *
 * That is no proof. Memory is followed for one pointer, since nobody knows how large objects are
 * and the heap may be huge; timers, signals and C have addresses elsewhere. And a stack has old
 * words that nobody will read again, so what is found may be no use either. In doubt everything
 * counts as reached: what cannot be read, what waits for several channels, and locks by an address
 * near them.
 */

/// Something that goroutines wait for and for nothing else (go_goroutine.object).
struct go_awaited {
	uint64_t addr;
	uint32_t waiters;
	uint32_t others; ///< goroutines that wait for something else, and have it on their stacks;
			 ///< 0 when they were too many to look
	const struct go_goroutine *first; ///< of those that wait, borrowed
	bool channel; ///< its address is what users have; else it is part of something
	bool timer; ///< it is a timer's: the runtime itself uses it
	bool reached; ///< somebody who can go on may have it
};

/// Programs wait for fewer things; whatever waits for more counts as able to go on.
enum { GO_AWAITED_MAX = 4096 };

/**
 * Sets reached and others of @n objects, at most GO_AWAITED_MAX, and sorts them by address.
 *
 * Returns 1; 0 when it cannot be told, since goroutines are missing or there is too much to read;
 * or -ENOMEM. others is set only where reached is false.
 */
int go_reach_mark(struct go_goroutines *gs, struct go_awaited *list, size_t n);
