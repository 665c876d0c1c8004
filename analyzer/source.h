/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/**
 * DOC: Where bytes come from
 *
 * A source is an open file read at offsets: a core, an executable, the memory of a stopped process
 * (/proc/PID/mem, offsets are addresses), or a core in the seekable zstd format. It keeps the
 * blocks that were read last, so reading a word costs no system call, and its memory is bounded
 * whatever the size of the file. Nothing is mapped: a file that is cut meanwhile is an error, not a
 * SIGBUS.
 *
 * Not for several threads. Called in the sandbox.
 */
struct source;

enum source_kind {
	SOURCE_FILE, ///< plain or, when it begins with a frame of it, seekable zstd
	SOURCE_MEMORY, ///< /proc/PID/mem: pages, which may be unreadable one by one
};

/// @fd stays the caller's and must live as long as the source.
struct snap_error *source_create(int fd, enum source_kind kind, struct source **ret) _must_check_;
void source_destroy(struct source *src);
DEFINE_CLEANUP(struct source *, source_destroy);

/// Size of the (uncompressed) file in bytes; UINT64_MAX for memory.
uint64_t source_size(const struct source *src);
/// Reads up to @len bytes; fewer at the end of the file or before what cannot be read, 0 for none.
size_t source_read(struct source *src, uint64_t offset, void *buf, size_t len);
/// The same bytes where they are already, if that is the block that was read last; NULL if not.
/// Borrowed until the next read.
const void *source_at_hand(const struct source *src, uint64_t offset, size_t len);
/// The same for what is far from all else that is read: of a plain file no more than that is read.
size_t source_read_once(struct source *src, uint64_t offset, void *buf, size_t len);
/// How much was read from the file so far, decompressed: what reading costs.
uint64_t source_bytes_read(const struct source *src);
