/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"
#include "common/snapshot.h"
#include "common/strbuf.h"

/**
 * Builds the notes of a core, all but procsnap's own, in the order of the kernel: NT_PRSTATUS of
 * the first thread, what belongs to the process (NT_PRPSINFO, NT_AUXV, NT_FILE, the XSAVE layout,
 * gdb's target description), then the rest of the threads one after the other.
 *
 * That order suits gdb, which takes the first NT_PRSTATUS for the thread to select; lldb, for which
 * NT_PRSTATUS begins a new thread; delve, which expects register sets behind the NT_PRSTATUS of
 * their thread; and elfutils and drgn, which do not mind.
 */
struct snap_error *notes_build(const struct snapshot *snap, struct strbuf *buf) _must_check_;

/// Adds one note. Returns 0 or -ENOMEM.
int notes_add(struct strbuf *buf, const char *owner, uint32_t type, const void *desc, size_t len);
