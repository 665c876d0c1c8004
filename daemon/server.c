// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"

enum {
	UNSENT_MAX = 64 << 10, ///< beyond it there is no progress
	ACCEPT_PAUSE_MS = 100, ///< when we have no descriptors left
};

struct connection {
	LIST_ENTRY(connection) entry;
	struct server *server;
	struct varlink link;
	struct peer peer;
	sd_event_source *io;
	bool busy; ///< with a call
	bool more, oneway; ///< of that call
	bool ended; ///< the client sends no more
	bool broken; ///< to be closed as soon as nobody uses it
	void (*cancel)(void *userdata);
	void *cancel_userdata;
};

LIST_HEAD(connection_list, connection);

struct listener {
	LIST_ENTRY(listener) entry;
	sd_event_source *io;
};

struct server {
	sd_event *event;
	struct server_callbacks callbacks;
	const struct config *config;
	struct connection_list connections;
	LIST_HEAD(, listener) listeners;
	sd_event_source *resume; ///< listening
	bool stopped;
};

static void connection_destroy(struct connection *c)
{
	LIST_REMOVE(c, entry);
	sd_event_source_disable_unref(c->io);
	varlink_deinit(&c->link);
	peer_deinit(&c->peer);
	free(c);
}

static void call_cancel(struct connection *c)
{
	void (*cancel)(void *userdata) = TAKE_PTR(c->cancel);
	if (cancel)
		cancel(c->cancel_userdata);
}

// ---- calls ---------------------------------------------------------------------------------

static void dispatch(struct connection *c, const struct json *message)
{
	_cleanup_(json_destroyp) struct json *none = json_new_object();
	const struct json *parameters = json_get(message, "parameters");
	struct call call = { .method = json_get_text(message, "method"),
			     .parameters = json_is_object(parameters) ? parameters : none,
			     .more = json_get_bool(message, "more", false),
			     .oneway = json_get_bool(message, "oneway", false) };
	if (!call.method || !none) {
		c->broken = true;
		return;
	}
	c->busy = true;
	c->more = call.more && !call.oneway;
	c->oneway = call.oneway;
	if (parameters && !json_is_object(parameters))
		connection_refuse(c, "org.varlink.service.InvalidParameter", "parameter",
				  "parameters");
	else
		c->server->callbacks.call(c->server->callbacks.userdata, c, &call);
}

/// May the next call be looked at? Not while the client does not read the answers he has.
static bool is_free(const struct connection *c)
{
	return !c->busy && !c->broken && !c->server->stopped &&
	       varlink_unsent(&c->link) < UNSENT_MAX;
}

/// Works on what has come in; one call at a time.
static void work(struct connection *c)
{
	while (is_free(c)) {
		_cleanup_(json_destroyp) struct json *message = NULL;
		int r = varlink_next(&c->link, &message);
		if (r == 0)
			return;
		if (r < 0)
			c->broken = true;
		else
			dispatch(c, message);
	}
}

static void receive(struct connection *c)
{
	int r;
	while ((r = varlink_fill(&c->link)) > 0 && !varlink_has_message(&c->link))
		;
	if (r == -ECONNRESET)
		c->ended = true;
	else if (r < 0)
		c->broken = true;
}

/// What to wait for. Nothing is read while a call waits for its turn already: then the end of the
/// stream is all there is to know about it.
static void want_events(struct connection *c, bool out)
{
	uint32_t events = out ? EPOLLOUT : 0U;
	if (!c->ended && !varlink_has_message(&c->link))
		events |= EPOLLIN;
	else if (!c->ended && c->busy)
		events |= EPOLLRDHUP;
	(void)sd_event_source_set_io_events(c->io, events);
}

/// Does what can be done now; closes the connection when there is nothing left to do.
static void update(struct connection *c)
{
	int r;
	do {
		work(c);
		if (c->ended || c->broken)
			call_cancel(c);
		r = c->broken ? 0 : varlink_flush(&c->link);
		if (r < 0)
			c->broken = true;
	} while (r == 0 && is_free(c) && varlink_has_message(&c->link));
	bool idle = !c->busy && !varlink_unsent(&c->link);
	if ((c->broken && !c->busy) || (idle && (c->ended || c->server->stopped))) {
		connection_destroy(c);
		return;
	}
	// Whoever has a call running may send a little more, and is heard when he goes away.
	if (c->broken)
		(void)sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
	else
		want_events(c, r > 0);
}

static int on_io(sd_event_source *source _unused_, int fd _unused_, uint32_t events, void *userdata)
{
	struct connection *c = userdata;
	if (events & EPOLLIN && !c->ended)
		receive(c);
	if (events & EPOLLRDHUP)
		c->ended = true;
	if (events & (EPOLLHUP | EPOLLERR))
		c->broken = true;
	update(c);
	return 0;
}

// ---- answers -------------------------------------------------------------------------------

const struct peer *connection_peer(const struct connection *connection)
{
	return &connection->peer;
}

int connection_peer_pidfd(const struct connection *connection)
{
	return peer_pidfd(connection->link.fd);
}

int connection_take_fd(struct connection *connection, uint64_t index)
{
	return index < VARLINK_FDS_MAX ? varlink_take_fd(&connection->link, (size_t)index) : -EBADF;
}

void connection_wait(struct connection *connection, void (*cancel)(void *userdata), void *userdata)
{
	connection->cancel = cancel;
	connection->cancel_userdata = userdata;
}

bool connection_wants_progress(const struct connection *connection)
{
	return connection->more && !connection->broken &&
	       varlink_unsent(&connection->link) < UNSENT_MAX;
}

static void queue(struct connection *c, const struct json *message, int fd)
{
	if (!c->broken && varlink_queue(&c->link, message, &fd, fd >= 0) < 0)
		c->broken = true;
}

void connection_progress(struct connection *connection, struct json *parameters)
{
	_cleanup_(json_destroyp) struct json *message = json_new_object();
	json_set(message, "parameters", parameters);
	json_set_bool(message, "continues", true);
	queue(connection, message, -EBADF);
	if (!connection->broken && varlink_flush(&connection->link) > 0)
		want_events(connection, true);
}

/// Sends the last reply. The rest is done from the loop, for whoever answers is still at work.
static void answer(struct connection *c, struct json *message, int fd)
{
	if (!c->oneway)
		queue(c, message, fd);
	json_destroy(message);
	c->busy = false;
	c->cancel = NULL;
	(void)sd_event_source_set_enabled(c->io, SD_EVENT_ON);
	want_events(c, true);
}

void connection_reply(struct connection *connection, struct json *parameters, int fd)
{
	struct json *message = json_new_object();
	json_set(message, "parameters", parameters);
	answer(connection, message, fd);
}

static const char *error_name(enum snap_code code)
{
	static const char *const names[SNAP_CODE_MAX] = {
		[SNAP_USAGE] = "io.procsnap.InvalidRequest",
		[SNAP_NO_PROCESS] = "io.procsnap.NoSuchProcess",
		[SNAP_NOT_PERMITTED] = "io.procsnap.NotPermitted",
		[SNAP_PARTIAL] = "io.procsnap.Partial",
		[SNAP_TRACED] = "io.procsnap.AlreadyTraced",
		[SNAP_NO_SPACE] = "io.procsnap.NoSpace",
		[SNAP_PAUSE_EXCEEDED] = "io.procsnap.PauseExceeded",
		[SNAP_CANCELLED] = "io.procsnap.Cancelled",
	};
	return code < SNAP_CODE_MAX && names[code] ? names[code] : "io.procsnap.Failed";
}

void connection_fail(struct connection *connection, const struct snap_error *err)
{
	struct json *message = json_new_object(), *parameters = json_new_object();
	json_set_text(parameters, "code", snap_code_name(err->code));
	json_set_message(parameters, "message", err->message);
	json_set_text(message, "error", error_name(err->code));
	json_set(message, "parameters", parameters);
	answer(connection, message, -EBADF);
}

void connection_refuse(struct connection *connection, const char *name, const char *parameter,
		       const char *value)
{
	struct json *message = json_new_object(), *parameters = json_new_object();
	json_set_text(parameters, parameter, value);
	json_set_text(message, "error", name);
	json_set(message, "parameters", parameters);
	answer(connection, message, -EBADF);
}

// ---- clients -------------------------------------------------------------------------------

static size_t count_of_user(const struct server *server, uid_t uid)
{
	const struct connection *c;
	size_t n = 0;
	LIST_FOREACH(c, &server->connections, entry)
	n += c->peer.uid == uid;
	return n;
}

static bool is_welcome(const struct server *server, const struct peer *peer)
{
	// A few are kept for root, so that somebody can always see what goes on.
	size_t limit = server->config->max_connections + (peer->uid == 0 ? 8U : 0U);
	return server_connections(server) < limit &&
	       (peer->uid == 0 ||
		count_of_user(server, peer->uid) < server->config->max_connections_per_user);
}

/// Takes ownership of @fd. Clients that cannot be served are just closed.
static void add_connection(struct server *server, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	if (!c || peer_identify(fd, &c->peer) < 0 || !is_welcome(server, &c->peer)) {
		snap_closep(&fd);
		if (c)
			peer_deinit(&c->peer);
		free(c);
		return;
	}
	c->server = server;
	varlink_init(&c->link, fd, VARLINK_CALL_MAX);
	LIST_INSERT_HEAD(&server->connections, c, entry);
	if (sd_event_add_io(server->event, &c->io, fd, EPOLLIN, on_io, c) < 0)
		connection_destroy(c);
}

static int on_resume(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	const struct server *server = userdata;
	struct listener *l;
	LIST_FOREACH(l, &server->listeners, entry)
	(void)sd_event_source_set_enabled(l->io, SD_EVENT_ON);
	return 0;
}

/// Out of descriptors: clients wait in the backlog instead of keeping us busy.
static void pause_listening(struct server *server, sd_event_source *source)
{
	uint64_t now;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	(void)sd_event_now(server->event, CLOCK_MONOTONIC, &now);
	now += ACCEPT_PAUSE_MS * 1000ULL;
	if (server->resume) {
		(void)sd_event_source_set_time(server->resume, now);
		(void)sd_event_source_set_enabled(server->resume, SD_EVENT_ONESHOT);
		return;
	}
	(void)sd_event_add_time(server->event, &server->resume, CLOCK_MONOTONIC, now, 0, on_resume,
				server);
}

static int on_accept(sd_event_source *source, int fd, uint32_t events _unused_, void *userdata)
{
	struct server *server = userdata;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client >= 0)
		add_connection(server, client);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		pause_listening(server, source);
	return 0;
}

// ---- from outside --------------------------------------------------------------------------

struct snap_error *server_create(sd_event *event, const struct server_callbacks *callbacks,
				 struct server **ret)
{
	struct server *server = calloc(1, sizeof(*server));
	if (!server)
		return snap_error_oom();
	server->event = sd_event_ref(event);
	server->callbacks = *callbacks;
	*ret = server;
	return NULL;
}

static void stop_listening(struct server *server)
{
	struct listener *l;
	while ((l = LIST_FIRST(&server->listeners))) {
		LIST_REMOVE(l, entry);
		sd_event_source_disable_unref(l->io); // and closes it
		free(l);
	}
	server->resume = sd_event_source_disable_unref(server->resume);
}

void server_destroy(struct server *server)
{
	struct connection *c;
	if (!server)
		return;
	stop_listening(server);
	while ((c = LIST_FIRST(&server->connections)))
		connection_destroy(c);
	sd_event_unref(server->event);
	free(server);
}

void server_configure(struct server *server, const struct config *config)
{
	server->config = config;
}

struct snap_error *server_listen(struct server *server, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r = l ? sd_event_add_io(server->event, &l->io, fd, EPOLLIN, on_accept, server) :
		    -ENOMEM;
	if (r < 0) {
		snap_closep(&fd);
		free(l);
		return snap_error_errno(SNAP_FAILED, -r, "cannot listen");
	}
	(void)sd_event_source_set_io_fd_own(l->io, 1);
	LIST_INSERT_HEAD(&server->listeners, l, entry);
	return NULL;
}

void server_stop(struct server *server)
{
	struct connection *c, *following;
	stop_listening(server);
	server->stopped = true;
	for (c = LIST_FIRST(&server->connections); c; c = following) {
		following = LIST_NEXT(c, entry);
		if (!c->busy)
			update(c);
	}
}

size_t server_connections(const struct server *server)
{
	const struct connection *c;
	size_t n = 0;
	LIST_FOREACH(c, &server->connections, entry)
	n++;
	return n;
}
