/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "common/error.h"
#include "common/json.h"
#include "daemon/config.h"

/**
 * DOC: A program that runs after each record (OnDump=)
 *
 * One at a time, as a user without privileges, within a time, in a session of its own, with an
 * environment that has nothing of ours: PATH, and PROCSNAP_* with what is known of the dump, in
 * which nothing but printable UTF-8 is left. It inherits /dev/null and our stderr. It is not
 * allowed to become more than it is (no_new_privs) and ends with us. What it does not do well is
 * told the log and nobody else: the dump is recorded already.
 */

struct ondump;

/// Who runs it.
struct ondump_user {
	uid_t uid;
	gid_t gid;
};

enum {
	// More than this wait only where the program is slower than dumps come; later ones are not
	// told to it, which the log says.
	ONDUMP_QUEUE_MAX = 256,
};

/// Finds OnDumpUser= in the user database. SNAP_USAGE when there is none; nothing is done without
/// OnDump=.
struct snap_error *ondump_find_user(const struct config *config,
				    struct ondump_user *ret) _must_check_;
struct snap_error *ondump_create(sd_event *event, struct ondump **ret) _must_check_;
/// Kills what runs; what waits is forgotten.
void ondump_destroy(struct ondump *ondump);
DEFINE_CLEANUP(struct ondump *, ondump_destroy);
/// From the next dump on; @config is borrowed until it is set anew.
void ondump_configure(struct ondump *ondump, const struct config *config, struct ondump_user user);
/// A dump has been recorded; @entry is an Entry of the interface, borrowed.
void ondump_add(struct ondump *ondump, const struct json *entry);
