/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "daemon/manager.h"

/**
 * DOC: The API
 *
 * Methods of io.procsnap and org.varlink.service, as daemon/io.procsnap.varlink describes them. Who
 * asks is looked at in each call, not when he connects.
 */

/// For struct server_callbacks; @userdata is the manager.
void api_call(void *userdata, struct connection *connection, const struct call *call);

/// Answers with @err, which it takes, and tells the log.
void api_refuse(struct connection *connection, struct snap_error *err);
/// May the user be asked for a password?
bool api_is_interactive(const struct call *call);

/// The methods that start a job (apijob.c).
struct snap_error *api_dump(struct manager *manager, struct connection *connection,
			    const struct call *call) _must_check_;
struct snap_error *api_goroutines(struct manager *manager, struct connection *connection,
				  const struct call *call) _must_check_;

/// Those about arming (apiarm.c).
struct snap_error *api_arm(struct manager *manager, struct connection *connection,
			   const struct call *call) _must_check_;
struct snap_error *api_disarm(struct manager *manager, struct connection *connection,
			      const struct call *call) _must_check_;
struct snap_error *api_list_armed(struct manager *manager, struct connection *connection,
				  const struct call *call) _must_check_;

/// The process that a call is about, by "pidFileDescriptor" or "pid". Owned by the caller.
struct snap_error *api_take_process(struct connection *connection, const struct call *call,
				    struct pidref *ret) _must_check_;
/// Is it root, or as good as root here?
bool api_is_privileged(const struct manager *manager, const struct connection *connection);
/// A number that is there and at most @max; SNAP_USAGE names the parameter.
struct snap_error *api_number(const struct call *call, const char *name, uint64_t max,
			      uint64_t *ret) _must_check_;
