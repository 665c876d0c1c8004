/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>

/**
 * DOC: From the folder of a crash to its dump
 *
 * The raw core is analysed, compressed and synced by a worker, published in the store, and the
 * journal is told; then the folder is removed. A worker that fails is tried once more without the
 * analysis, since that is what a hostile core can break. If there is to be no core, or none can be
 * made, there is still a record.
 *
 * Most of what can go wrong passes: a disk is full, a worker was killed for its memory. So when
 * there is a core and no dump of it, the record is made at once, the folder is marked as recorded
 * (crashfolder_set_recorded()) and kept for another attempt (daemon/crashkept.h). The record has
 * the name that the dump will have.
 *
 * A folder may have less than all of the core, and a hook all of it in memory
 * (cmd/corehook/take.h), or compressed in the folder. Then the dump is made of that; if that fails,
 * of what the folder has otherwise.
 */

struct json;
struct manager;
struct crashes;

struct crashjob;

struct crashjob_whole {
	int fd; ///< of the core; -EBADF: there is none
	struct json *result; ///< what the hook says of it
	bool packed; ///< it is in the folder, compressed (common/crashpacked.h); else in memory
};

#define CRASHJOB_WHOLE_NULL ((struct crashjob_whole){ .fd = -EBADF })

void crashjob_whole_deinit(struct crashjob_whole *whole);

/**
 * Begins with the folder @name below @crashes_fd, which is @crashes'. Takes what is in @whole.
 *
 * NULL when it is done with already. Else @crashes is told by crashes_ended(), and the job is gone
 * then.
 */
struct crashjob *crashjob_begin(struct manager *manager, struct crashes *crashes, int crashes_fd,
				const char *name, struct crashjob_whole *whole);
/**
 * Records a crash that has no folder in STORE/crash, and so no core: @why.
 *
 * @folder, or -EBADF, is one elsewhere with what is known of it, @facts what the kernel has said;
 * both stay the caller's.
 */
void crashjob_record(struct manager *manager, struct crashes *crashes, int folder,
		     const struct json *facts, const char *why);
/// Forgets it, when its worker is gone; the folder stays for the next daemon. Accepts NULL.
void crashjob_destroy(struct crashjob *job);
