/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "common/error.h"

/**
 * DOC: Cores that are kept for another attempt
 *
 * A folder of STORE/crash whose dump could not be made stays as it is, and is tried again: after a
 * minute, five, thirty, and then whenever the daemon starts or reads its configuration anew. What
 * is here has its record.
 *
 * Raw cores are large, and what keeps their dumps from being made may last. So they are bounded:
 * what their dumps are expected to take is MaxUse= at most, and half of that for one user, so that
 * the cores of nobody push out those of others.
 *
 * All calls are for the daemon's only thread.
 */
struct crashkept;

/// Borrowed for a call.
struct crashkept_core {
	const char *name; ///< of the folder
	uid_t uid;
	uint64_t disk_bytes; ///< that it takes
	uint64_t dump_bytes; ///< that its dump is expected to take
};

struct crashkept_counts {
	size_t n;
	uint64_t disk_bytes;
};

/// Has the time come for the folder @name? May call crashkept_add() and crashkept_forget().
typedef void (*crashkept_fn)(void *userdata, const char *name);

/// @waits_usec, borrowed, are the pauses before the second attempt and those after it; NULL: the
/// usual ones.
struct snap_error *crashkept_create(sd_event *event, const uint64_t *waits_usec, size_t n_waits,
				    crashkept_fn fn, void *userdata,
				    struct crashkept **ret) _must_check_;
/// Accepts NULL.
void crashkept_destroy(struct crashkept *kept);
/**
 * An attempt with @core has failed: the next one is later.
 *
 * False when there is no room for it within @max_bytes (0: no limit), or no memory; then it is not
 * in the list any more.
 */
bool crashkept_add(struct crashkept *kept, const struct crashkept_core *core, uint64_t max_bytes);
/// Is it here?
bool crashkept_has(const struct crashkept *kept, const char *name);
/// Is it here, and not its time?
bool crashkept_waits(const struct crashkept *kept, const char *name);
/// Its dump is made, or never will be. Names that are not here are fine.
void crashkept_forget(struct crashkept *kept, const char *name);
/// For all of them the time has come.
void crashkept_try_all(struct crashkept *kept);
struct crashkept_counts crashkept_count(const struct crashkept *kept);
