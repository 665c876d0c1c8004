/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/**
 * DOC: Notes that come later
 *
 * What is found out about a core when it is complete goes behind everything else, in a second
 * PT_NOTE segment, for which core_create() leaves room in the table of segments. Readers that know
 * only one such segment find the first one as before.
 */

/**
 * Adds a note of @len bytes, with procsnap as its owner, to the finished core in @fd, which
 * core_finish() made. A note that was attached before is replaced.
 *
 * Does nothing when the headers have no room, or a 32-bit core could not say where the note is.
 */
struct snap_error *attach_note(int fd, uint32_t type, const void *data, size_t len) _must_check_;
