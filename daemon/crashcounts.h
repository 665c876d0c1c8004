/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "common/json.h"
#include "daemon/config.h"
#include "daemon/crashpolicy.h"

/**
 * DOC: Counters that outlive the daemon
 *
 * What crashpolicy counts is kept in STORE/crash.counts, so that a daemon that is started anew, as
 * in an upgrade or because it was killed, goes on where the one before has been: limits hold, and
 * PROCSNAP_SUPPRESSED counts on. It is written a second after something was counted, and at the
 * end; beside the old file first, which it then replaces. Not synced: times are those of
 * CLOCK_BOOTTIME, so after a reboot all of it means nothing and is forgotten, and so is what was
 * not used for longer than the longest time of a limit.
 *
 * The folder is root's, and yet nothing is believed: a file that is not ours, too large, or says
 * what cannot be is left out, in whole or in part. Counters are counters; the worst that false ones
 * could do is to leave crashes without a core for the time of a limit.
 *
 * All calls are for the daemon's only thread.
 */
struct crashcounts;

enum {
	CRASHCOUNTS_MAX_BYTES = 4 << 20, ///< all counters, with the longest keys
};

/// Reads what was kept into @policy, which is borrowed.
struct snap_error *crashcounts_create(sd_event *event, const char *store_path,
				      struct crashpolicy *policy, const struct config *config,
				      struct crashcounts **ret) _must_check_;
/// Writes what has changed. Accepts NULL.
void crashcounts_destroy(struct crashcounts *counts);
/// Something was counted, by @config.
void crashcounts_changed(struct crashcounts *counts, const struct config *config);

/// What the file says, without counters that were not used for longer than @max_age_ns; owned by
/// the caller, broken when out of memory.
struct json *crashcounts_to_json(const struct crashpolicy *policy, uint64_t max_age_ns,
				 const char *boot_id, uint64_t now_ns);
/// Adds to @policy what of it counts still.
void crashcounts_from_json(const struct json *json, uint64_t max_age_ns, const char *boot_id,
			   uint64_t now_ns, struct crashpolicy *policy);
