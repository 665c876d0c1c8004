/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/**
 * DOC: Crashes
 *
 * procsnap-corehook leaves each crash in a folder of STORE/crash (cmd/corehook/folder.h) and asks,
 * over STORE/crash/socket, what to keep (cmd/corehook/ask.h). This is the other end: it decides
 * (daemon/crashpolicy.h), lets so many hooks copy at once, users in turn (common/turns.h), and
 * makes a dump of each folder that is complete, also of those that hooks have left while there was
 * no daemon; users take turns at that, too. What cannot be dumped now is tried again
 * (daemon/crashkept.h). A hook needs nothing of us to go on, so whatever
 * happens to the daemon, no process waits and no crash is lost.
 *
 * All calls are for the daemon's only thread.
 */

struct crashkept_core;
struct json;
struct manager;
struct crashes;

/// Listens, and takes up what was left. @manager, which has a store at @store_path, is borrowed.
struct snap_error *crashes_create(struct manager *manager, const char *store_path,
				  struct crashes **ret) _must_check_;
/// Accepts NULL. Folders that are being worked on are taken up by the next daemon.
void crashes_destroy(struct crashes *crashes);
/// Begins nothing more.
void crashes_stop(struct crashes *crashes);
/// The work on folder @name, which crashjob_begin() began, has ended, whatever became of it.
void crashes_ended(struct crashes *crashes, const char *name);
/// Keeps a folder for another attempt (daemon/crashkept.h); false when it cannot be kept.
bool crashes_keep(struct crashes *crashes, const struct crashkept_core *core, uint64_t max_bytes);
/// Has it been kept by this daemon?
bool crashes_keeps(const struct crashes *crashes, const char *name);
/// It is not there any more.
void crashes_forget(struct crashes *crashes, const char *name);
/// All that was kept is tried again.
void crashes_try_again(struct crashes *crashes);

/// What is to be kept of a crash, which is counted (daemon/crashask.h). Owned by the caller.
struct json *crashes_decide(struct crashes *crashes, int folder, const struct json *facts,
			    const struct json *place);

/// Tells hooks of which processes they keep programs and libraries, also while there is no daemon:
/// "containers", "yes", or NULL for none.
void crashes_set_wanted(const struct crashes *crashes, const char *wanted);

struct crashes_counts {
	size_t copying; ///< hooks whose turn it is
	size_t waiting; ///< hooks whose turn it is not
	size_t queued; ///< folders without a dump yet
	size_t kept; ///< folders of which no dump could be made so far
	uint64_t kept_bytes; ///< that these take on the disk
};
struct crashes_counts crashes_count(const struct crashes *crashes);
