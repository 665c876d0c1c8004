/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/snapshot.h"

/**
 * DOC: Notes of a core
 *
 * They go through a note_writer, which either writes them to their place or only counts: a process
 * with thousands of threads has more register bytes than we want to hold a second time.
 */
struct note_writer {
	int fd; ///< -EBADF: only count
	uint64_t offset; ///< in the file, of the next byte
	int error; ///< the first negative errno; nothing is written after it
	size_t used;
	char buf[65536];
};

/// @fd may be -EBADF, to count from @offset on.
void note_writer_init(struct note_writer *writer, int fd, uint64_t offset);
/// Writes what is still buffered. Returns 0 or the first error.
int note_writer_flush(struct note_writer *writer);

/**
 * Writes the notes of a core, all but procsnap's own, in the order of the kernel: NT_PRSTATUS of
 * the first thread, what belongs to the process (NT_PRPSINFO, NT_AUXV, NT_FILE, the XSAVE layout,
 * gdb's target description), then the rest of the threads one after the other.
 *
 * That order suits gdb, which takes the first NT_PRSTATUS for the thread to select; lldb, for which
 * NT_PRSTATUS begins a new thread; delve, which expects register sets behind the NT_PRSTATUS of
 * their thread; and elfutils and drgn, which do not mind.
 */
void notes_write(const struct snapshot *snap, struct note_writer *writer);

/// Writes one note of @size bytes, of which all behind @stored are zeros.
void note_write(struct note_writer *writer, const char *owner, uint32_t type, const void *desc,
		size_t stored, size_t size);
