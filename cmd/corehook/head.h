/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"
#include "common/strbuf.h"
#include "dumper/plan.h"
#include "dumper/stream.h"

/// The head of the stream and what it says (dumper/stream.h).
struct head {
	struct strbuf bytes;
	struct snapshot snap; ///< borrows from the bytes
	struct plan *plan; ///< NULL: it was not understood
	struct stream_facts facts;
};

/// Reads it from @fd. What cannot be read or understood is left out.
void head_read(struct head *head, int fd, pid_t pid);
void head_deinit(struct head *head);
