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
 * core.c lays it out, corecopy.c copies the memory, corehead.c writes headers and notes. For nobody
 * else.
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

/// The core could not be written, because of @errnum.
struct snap_error *core_write_error(int errnum);
/// Makes a hole of what lies between @end of the notes and the first segment.
void core_give_back_head(const struct core *core, int fd, uint64_t end);
