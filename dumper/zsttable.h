/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/**
 * DOC: The seek table of a compressed core
 *
 * Where each frame of a file in the seekable zstd format begins (facebook/zstd
 * contrib/seekable_format). It is a skippable frame at the end of the file, which other readers
 * step over. A file that has none was not written to its end.
 *
 * A frame of no bytes, decompressed, is a skippable one itself: room that was left over.
 */
struct zsttable_entry {
	uint32_t packed, raw; ///< bytes of the frame: compressed, decompressed
};

struct zsttable {
	struct zsttable_entry *entries;
	size_t n, size;
};

enum { ZSTTABLE_FRAMES_MAX = 0x8000000 }; ///< as the format has it

void zsttable_deinit(struct zsttable *table);
#define _cleanup_zsttable_ _cleanup_(zsttable_deinit)

/// Returns 0 or -ENOMEM.
int zsttable_add(struct zsttable *table, uint32_t packed, uint32_t raw);
/// Adds all of @more. Returns 0 or -ENOMEM.
int zsttable_add_all(struct zsttable *table, const struct zsttable *more);
/// Writes it to @out, at its position.
struct snap_error *zsttable_write(const struct zsttable *table, int out) _must_check_;
/**
 * Reads that of the file @fd, for zsttable_deinit(). @ret_start is where it begins, which is where
 * all its frames end.
 */
struct snap_error *zsttable_read(int fd, struct zsttable *ret, uint64_t *ret_start) _must_check_;

/// A skippable frame of @len bytes in all, at least ZSTTABLE_SKIP_MIN, begins with these.
enum { ZSTTABLE_SKIP_MIN = 8 };
void zsttable_skip_head(uint32_t len, uint32_t ret[2]);
