/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: Page cache made ready before the pause
 *
 * Copying memory into a file takes three things: reading it, finding pages for the page cache, and
 * copying once more into these. Only the first has to happen while the process stands still. So
 * the file is mapped, and the pages that will be needed are made present and writable in advance
 * (MADV_POPULATE_WRITE, Linux 5.14); memory is then read straight into them.
 *
 * What is reserved is a guess, made while the process still runs. Wrong guesses cost only time: what
 * was not reserved is written in the ordinary way, and what stays zero becomes a hole again.
 */
struct reserve {
	int fd; ///< borrowed
	char *map; ///< the whole file; NULL: nothing is reserved
	uint64_t size;
	uint64_t budget; ///< bytes that may still be reserved
	bool exhausted;
	pthread_mutex_t lock; ///< protects what follows while several threads add
	struct reserve_range {
		uint64_t start, end; ///< file offsets
	} *ranges;
	size_t n, n_max;
};

/**
 * Maps @fd, a regular file of @size bytes.
 *
 * The budget is what the page cache can take without making writers wait for the disk, from
 * /proc/vmstat. A file that cannot be mapped, or a kernel that cannot populate, gives an empty
 * reserve, which is no error.
 */
void reserve_init(struct reserve *reserve, int fd, uint64_t size);
/// Unmaps; the file keeps its pages.
void reserve_deinit(struct reserve *reserve);
/// Makes [@start, @end) ready as far as the budget goes. Several threads may call it.
void reserve_add(struct reserve *reserve, uint64_t start, uint64_t end);
/// No more reserve_add() from here on; reserve_find() works.
void reserve_close(struct reserve *reserve);
/**
 * Where to put the bytes of file offset @offset: into the returned memory, @ret_len bytes at most.
 *
 * NULL when that place is not reserved; @ret_len is then how far the unreserved part goes, at most.
 */
char *reserve_find(const struct reserve *reserve, uint64_t offset, uint64_t *ret_len);
/// Was more asked for than the budget allowed?
bool reserve_exhausted(const struct reserve *reserve);
/// Gives back what is reserved but holds only zeros. Returns 0 or a negative errno.
int reserve_trim(struct reserve *reserve);
