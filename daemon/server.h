/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/error.h"
#include "common/varlink.h"
#include "daemon/config.h"
#include "daemon/peer.h"

/**
 * DOC: Connections to the API
 *
 * Each connection has one call at a time; what is sent meanwhile waits in its buffer, which is
 * small. Whoever does not read his answers gets no progress any more, and keeps only his own
 * connection busy. The end of what a client sends ends the call it waits for.
 */

struct server;
struct connection;

/// A call that came in; borrowed during the handler.
struct call {
	const char *method;
	const struct json *parameters; ///< an object
	bool more; ///< several replies are welcome
	bool oneway; ///< no reply is
};

struct server_callbacks {
	/// Answers now with the calls below, or says later with connection_wait() who does.
	void (*call)(void *userdata, struct connection *connection, const struct call *call);
	void *userdata;
};

struct snap_error *server_create(sd_event *event, const struct server_callbacks *callbacks,
				 struct server **ret) _must_check_;
/// Closes all connections at once, without their cancel().
void server_destroy(struct server *server);
DEFINE_CLEANUP(struct server *, server_destroy);
/// Limits from now on; borrowed.
void server_configure(struct server *server, const struct config *config);
/// Accepts connections from @fd, a listening stream socket, which it owns from here on.
struct snap_error *server_listen(struct server *server, int fd) _must_check_;
/// Accepts no more, and closes those that wait for nothing.
void server_stop(struct server *server);
size_t server_connections(const struct server *server);

const struct peer *connection_peer(const struct connection *connection);
/// A pidfd of the process that connected, as the kernel tells it (Linux 6.5), or -errno. Owned by
/// the caller.
int connection_peer_pidfd(const struct connection *connection);
/// A descriptor that came with the call; -EBADF when it has no number @index. Owned by the caller.
int connection_take_fd(struct connection *connection, uint64_t index);

/// The answer comes later; @cancel is called once if nobody waits for it any more, or the client
/// wants it to end. The answer is still welcome then.
void connection_wait(struct connection *connection, void (*cancel)(void *userdata),
		     void *userdata);
/// Is there room for progress? It is dropped when the client does not read.
bool connection_wants_progress(const struct connection *connection);
/// One of several replies. Takes ownership of @parameters.
void connection_progress(struct connection *connection, struct json *parameters);
/// The last reply, with @fd (-EBADF: none), which stays the caller's.
void connection_reply(struct connection *connection, struct json *parameters, int fd);
/// The last reply, an error of io.procsnap, which stays the caller's.
void connection_fail(struct connection *connection, const struct snap_error *err);
/// The last reply, an error @name of org.varlink.service about @parameter.
void connection_refuse(struct connection *connection, const char *name, const char *parameter,
		       const char *value);
