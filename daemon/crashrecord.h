/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"
#include "systemd/procid.h"

/**
 * DOC: What is known of a crash, and its record
 *
 * The folder that a hook has left says who crashed and how (daemon/crashfolder.h); what has become
 * of the core is known to whoever made the dump (daemon/crashjob.h). Both together are the record
 * in the journal (systemd/record.h), of which there is one for each crash.
 *
 * For the daemon's only thread.
 */

struct manager;
struct store_entry;

struct crashrecord {
	struct manager *manager; ///< borrowed
	int folder; ///< -EBADF: none
	struct json *facts; ///< what the kernel has said, from the hook
	struct json *result; ///< of the core that counts, from the hook
	struct procid *id; ///< after crashrecord_identify()
	int stacks; ///< where a worker writes them, -EBADF: nowhere
	struct json *binaries; ///< that are kept with the dump, NULL: none were wanted
};

#define CRASHRECORD_NULL ((struct crashrecord){ .folder = -EBADF, .stacks = -EBADF })

/// Closes and frees all of it.
void crashrecord_deinit(struct crashrecord *cr);

/// Finds out who has crashed, from the folder and the facts.
struct snap_error *crashrecord_identify(struct crashrecord *cr) _must_check_;
/// When, CLOCK_REALTIME.
uint64_t crashrecord_usec(const struct crashrecord *cr);
int crashrecord_signal(const struct crashrecord *cr);
/// May its user read the core (common/coreaccess.h)?
bool crashrecord_owner_reads(const struct crashrecord *cr);
/// What the worker has written, owned by the caller, or NULL.
struct json *crashrecord_stacks(const struct crashrecord *cr);

/// What has become of the core. Borrowed.
struct crashrecord_outcome {
	const struct json *made; ///< what the worker says of the dump; NULL when there is none
	const struct store_entry *entry; ///< the dump
	const char *path; ///< of the dump, also of one that will be made later
	const char *why_not; ///< then, or when there is none
};

/// Makes the record, and returns whether it is on the disk, or with journald.
bool crashrecord_add(struct crashrecord *cr, const struct crashrecord_outcome *outcome);
/// Tells clients that wait for crashes of one that is not in the store.
void crashrecord_announce(const struct crashrecord *cr);
