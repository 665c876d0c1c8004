/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "common/error.h"
#include "daemon/armer.h"
#include "daemon/authorizer.h"
#include "daemon/config.h"
#include "daemon/crashes.h"
#include "daemon/events.h"
#include "daemon/jobs.h"
#include "daemon/ondump.h"
#include "daemon/recorder.h"
#include "daemon/server.h"
#include "daemon/store.h"

/**
 * DOC: All of the daemon
 *
 * What the parts have in common, and the order in which they begin and end. One thread, one event
 * loop; everything that may take long is done by other processes.
 */
struct manager {
	sd_event *event;
	struct config *config;
	char *config_path; ///< the one that was asked for, or NULL for the usual ones
	gid_t group; ///< whose members may do everything; (gid_t)-1: nobody's
	struct store *store; ///< NULL when it cannot be used; store_why says why
	char *store_why;
	struct recorder *recorder;
	struct events *events;
	struct ondump *ondump;
	struct ondump_user ondump_user;
	struct jobs *jobs;
	struct armer *armer;
	struct crashes *crashes; ///< NULL without a store
	struct server *server;
	struct authorizer *authorizer;
	sd_event_source *retention, *ending;
	bool stopping;
};

struct manager_options {
	const char *config_path; ///< instead of procsnap.conf and its drop-ins
	const char *store_path;
	const char *socket_path; ///< used when nothing was passed by systemd
};

struct snap_error *manager_create(const struct manager_options *options,
				  struct manager **ret) _must_check_;
void manager_destroy(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_destroy);
/// Runs until it is told to end (SIGTERM, SIGINT).
struct snap_error *manager_run(struct manager *manager) _must_check_;
/// Reads the configuration anew; what was in force stays so after an error.
struct snap_error *manager_reload(struct manager *manager) _must_check_;
/// Tells those who wait, and OnDump=, of a dump that has been recorded. Takes ownership of @entry,
/// an Entry of the interface.
void manager_announce(struct manager *manager, uid_t uid, bool owner_reads, struct json *entry);
/// The same of a dump in the store.
void manager_announce_dump(struct manager *manager, const struct store_entry *entry);
/// Tells the log, and destroys, what was removed from the store.
void manager_log_removals(struct store_removals *removals);
/// A line for the log (stderr, which is the journal under systemd), at a level of syslog(3).
void manager_log(int level, const char *fmt, ...) _printf_(2, 3);
