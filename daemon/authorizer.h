/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "common/error.h"
#include "daemon/config.h"
#include "daemon/server.h"

/**
 * DOC: Those who may do more than their user
 *
 * What somebody may not do by himself, polkit may allow him. It is asked only then, and only about
 * callers whose pidfd the kernel tells (SO_PEERPIDFD). While it thinks the connection waits, as it
 * does for a job; everybody else goes on.
 */

struct authorizer;

struct authorizer_request {
	const char *action; ///< of polkit; static
	pid_t pid; ///< what it is about, for the user; 0: no process
	bool interactive; ///< polkit may ask the user
	/// Called once, from the loop. @refusal is NULL if it is allowed, else the callee's: he
	/// answers the connection with it.
	void (*decided)(void *userdata, struct snap_error *refusal);
	void *userdata;
};

struct snap_error *authorizer_create(sd_event *event, struct authorizer **ret) _must_check_;
/// Those that are asked about are refused.
void authorizer_destroy(struct authorizer *authorizer);
DEFINE_CLEANUP(struct authorizer *, authorizer_destroy);
/// Borrowed, from now on.
void authorizer_configure(struct authorizer *authorizer, const struct config *config);
/// Refuses what is asked now, and asks no more.
void authorizer_stop(struct authorizer *authorizer);

/// Is it worth a try, as configured and with this caller?
bool authorizer_may_ask(const struct authorizer *authorizer, const struct connection *connection);
/**
 * Asks about the peer of @connection, who has been refused with @refusal, which is taken.
 *
 * NULL: decided() will be called. Else it will not, and the result is the refusal.
 */
struct snap_error *authorizer_ask(struct authorizer *authorizer, struct connection *connection,
				  const struct authorizer_request *request,
				  struct snap_error *refusal) _must_check_;
