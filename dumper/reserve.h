/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: Room made ready before the pause
 *
 * Copying memory into a file takes three things: reading it, finding pages for the page cache, and
 * copying once more into these. Only the first has to happen while the process stands still. So
 * the file is mapped, and the pages that will be needed are made present and writable in advance
 * (MADV_POPULATE_WRITE, Linux 5.14); memory is then read straight into them.
 *
 * What is reserved is a guess, made while the process still runs. What was guessed wrong goes into
 * the spill, a small buffer that is written after the pause: an ordinary write can have to wait for
 * the journal of the file system, behind whatever else the disk has to do. Only when that is full
 * too is memory written in the ordinary way. What stays zero becomes a hole again.
 */
enum { RESERVE_SPILL_BYTES = 16 << 20 }; // enough where most is reserved

struct reserve {
	int fd; ///< borrowed
	char *map; ///< the whole file; NULL: nothing is reserved
	uint64_t size;
	uint64_t budget; ///< bytes that may still be reserved
	bool exhausted;
	bool failed; ///< something could not be made ready: the disk may be full
	pthread_mutex_t lock; ///< protects what follows while several threads add
	struct reserve_range {
		uint64_t start, end; ///< file offsets
	} *ranges;
	size_t n, n_max;
	char *spill; ///< NULL: none could be had
	size_t spill_bytes, spill_used;
	bool overwrite; ///< zeros that were spilled are written too
	struct reserve_spilled {
		uint64_t offset; ///< in the file
		size_t pos, len; ///< in the buffer
	} *spilled;
	size_t n_spilled;
	struct reserve_range *discarded;
	size_t n_discarded;
};

/**
 * How many bytes may be written before the kernel begins to write them back.
 *
 * If it did that during the pause, it would write the zeros that are there now, and protect the
 * pages again, which costs a fault for each of them (mm/page-writeback.c). Whoever has more to
 * write than that is made to wait for the disk.
 */
uint64_t reserve_dirty_room(void);
/**
 * Maps @fd, a regular file of @size bytes; 0: not at all.
 *
 * The budget is what the page cache can take without making writers wait for the disk, from
 * /proc/vmstat. A file that cannot be mapped, or a kernel that cannot populate, gives an empty
 * reserve, which is no error.
 */
void reserve_init(struct reserve *reserve, int fd, uint64_t size);
/// Gives the spill, in which there must be nothing, room for @bytes, or for less if there is no
/// memory for that.
void reserve_set_spill(struct reserve *reserve, size_t bytes);
/// Unmaps; the file keeps its pages.
void reserve_deinit(struct reserve *reserve);
/// Makes [@start, @end) ready as far as the budget goes. Several threads may call it.
void reserve_add(struct reserve *reserve, uint64_t start, uint64_t end);
/// Gives back, before the pause, all of the file from @start on: its room is needed otherwise.
void reserve_abandon(struct reserve *reserve, uint64_t start);
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
/**
 * A place in the spill for up to *@len bytes of file offset @offset; NULL when it is full.
 *
 * *@len becomes what there is room for, whole pages. The place is taken, until reserve_spill_cut().
 */
char *reserve_spill(struct reserve *reserve, uint64_t offset, size_t *len);
/// Only @len bytes of @place, which reserve_spill() gave to this thread, are of use.
void reserve_spill_cut(struct reserve *reserve, const char *place, size_t len);
/// After the pause, reserved [@offset, +@len) becomes a hole: a read that failed may have left
/// something there.
void reserve_discard(struct reserve *reserve, uint64_t offset, uint64_t len);
/**
 * Writes what was spilled, after the pause.
 *
 * When the disk is full and @lost is not NULL, it is told what could not be written, and the rest
 * is tried. Returns 0 or a negative errno.
 */
int reserve_flush(struct reserve *reserve,
		  void (*lost)(void *userdata, uint64_t offset, uint64_t len), void *userdata);
/// Makes a hole of [@start, @end) of @fd, or zeros where there can be no holes. 0 or -errno.
int reserve_erase(int fd, uint64_t start, uint64_t end);
/**
 * Gives back, after the pause, what holds only zeros. Returns 0 or a negative errno.
 *
 * Not only in the reserved ranges: a file system with large folios makes whole ones of them dirty.
 */
int reserve_trim(struct reserve *reserve);
