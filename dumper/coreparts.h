/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core.h"
#include "notes.h"
#include "order.h"

/**
 * DOC: What the files of a core share
 *
 * core.c lays it out, corecopy.c copies the memory, corehead.c writes headers and notes; pack.c has
 * frames in place of a file. For nobody else.
 */

struct core {
	const struct snapshot *snap;
	const struct plan *plan;
	struct note_writer notes; ///< counts at first, then writes
	uint64_t *offsets; ///< of each segment in the file
	uint64_t notes_offset, notes_bytes; ///< all but procsnap's own
	uint64_t note_room, size;
	uint64_t data_offset; ///< where segments begin
	bool *held; ///< of each segment: where it was in the file already; NULL: all are
	bool distrust; ///< something could not be read before: read all again
	struct stale {
		uint64_t start, end; ///< file offsets
	} *stale; ///< what the file has and this core does not
	size_t n_stale;
	struct gaps gaps;
	atomic_bool abort;

	// core_copy()
	struct memsource *source;
	struct reserve *reserve; ///< or NULL
	const struct core_progress *progress;
	int fd, direct_fd;
	uint32_t flags;
	bool but_anon; ///< core_reserve()
	uint64_t piece_bytes;
	struct order order;
	pthread_mutex_t lock; ///< protects the cursors and the error
	struct cursor {
		size_t span; ///< index into the order
		uint64_t offset; ///< into its memory
	} first, last; ///< what nobody has taken yet lies between them
	uint64_t max_bytes; ///< of memory
	atomic_uint_fast64_t written_bytes;
	enum priority busy_priority; ///< of the pieces that were taken from the beginning
	unsigned int busy; ///< how many of these are not copied yet
	pthread_cond_t idle;
	struct snap_error *error;
	atomic_bool failed;
	atomic_uint_fast64_t done_bytes, copied_bytes;
};

static inline bool core_is64(const struct core *c)
{
	return c->snap->process.machine.elf_class == ELFCLASS64;
}

/// Memory that becomes a part of the file, in place of the file.
struct landing {
	char *buf;
	uint64_t offset; ///< in the file
	size_t len;
	bool used; ///< something was read; before, nobody has written to buf
};

/// Memory that is copied by one thread.
struct piece {
	const struct snap_mapping *map;
	uint64_t start, end; ///< addresses
	uint64_t offset; ///< of start, in the file
	bool held; ///< the file has something there
	bool skip; ///< it is for another core_copy()
	enum priority priority;
	struct landing *landing; ///< where it goes; NULL: to the file
};

enum { CORE_RANGES = MEMSOURCE_MANY };

/**
 * Copies one piece; what cannot be read becomes gaps. @buf is for what is written to a file, NULL
 * for a landing; @ranges has CORE_RANGES. @ret_addr is the address it got to.
 *
 * Returns 0, or a negative errno that ends all copying. For any thread.
 */
int core_copy_piece(struct core *core, const struct piece *piece, char *buf,
		    struct mem_range *ranges, uint64_t *ret_addr);
/// All of that copy from @addr on is missing, and a gap.
void core_miss_piece(struct core *core, const struct piece *piece, uint64_t addr);

/// The core could not be written, because of @errnum.
struct snap_error *core_write_error(int errnum);
/// Makes a hole of what lies between @end of the notes and the first segment.
void core_give_back_head(const struct core *core, int fd, uint64_t end);
