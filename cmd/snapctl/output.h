/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/**
 * DOC: The file that a dump becomes
 *
 * It has no name until it is complete: O_TMPFILE, then a link; where the file system cannot do
 * that, a hidden temporary name and a rename. Everything is done by the caller of snapctl with his
 * own rights, on descriptors, and no symbolic link at the final name is ever followed.
 */

enum output_flags {
	OUTPUT_REPLACE = 1U << 0, ///< an existing file is replaced
	OUTPUT_COMPRESS = 1U << 1, ///< the file is compressed from a spool beside it
	OUTPUT_LOOK = 1U << 2, ///< only where it would be: no file is made
};

struct output {
	int dirfd;
	int fd; ///< the file itself; standard output for "-"
	int spool; ///< the raw core, when it is another file; else -EBADF
	char *dir, *name; ///< NULL for standard output
	char *temp, *spool_temp; ///< names where O_TMPFILE does not work, else NULL
	uint32_t flags;
};

/**
 * Opens what @spec says: NULL (@name in the working directory), "-" (standard output), an existing
 * directory or one with a slash at its end (@name in it), else the file itself.
 *
 * Fails now, before anything is done to a process, when the name is taken.
 */
struct snap_error *output_open(const char *spec, const char *name, uint32_t flags,
			       struct output *ret) _must_check_;
/// Gives the complete file its name, durably.
struct snap_error *output_publish(struct output *out) _must_check_;
/// Closes everything; what was not published leaves no trace.
void output_close(struct output *out);

/// Would output_open() take @spec for a directory?
bool output_is_directory(const char *spec);
/// Bytes free for the caller where the core is written; 0 when unknown.
uint64_t output_free_bytes(const struct output *out);
/// The path of the file for messages, owned by the caller; "-" for standard output.
char *output_path(const struct output *out);
