// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "api.h"
#include "common/armed.h"
#include "common/fd.h"
#include "daemon/armjob.h"

/// A process that somebody wants armed or disarmed, from the call to its answer.
struct armcall {
	struct manager *manager;
	struct connection *connection; ///< lives until it is answered
	enum armjob_what what;
	struct pidref ref; ///< for another attempt, as root
	struct armjob *run;
	bool own_name; ///< a worker that is the caller
	bool interactive; ///< polkit may ask the user
};

static void armcall_destroy(struct armcall *call)
{
	pidref_deinit(&call->ref);
	free(call);
}
DEFINE_CLEANUP(struct armcall *, armcall_destroy);

static const char *const wishes[] = {
	[ARMJOB_ARM] = "to arm",
	[ARMJOB_LOOK] = "whether it could arm",
	[ARMJOB_DISARM] = "to disarm",
};

static void on_cancel(void *userdata)
{
	const struct armcall *call = userdata;
	armjob_cancel(call->run);
}

static void on_progress(void *userdata, size_t position, const char *phase, uint64_t done _unused_,
			uint64_t total _unused_)
{
	const struct armcall *call = userdata;
	if (!connection_wants_progress(call->connection))
		return;
	struct json *reply = json_new_object(), *progress = json_new_object();
	if (phase)
		json_set_text(progress, "phase", phase);
	else
		json_set_u64(progress, "position", position);
	json_set(reply, "progress", progress);
	connection_progress(call->connection, reply);
}

static struct snap_error *start(struct armcall *call);

/// Polkit has, or has not, allowed what the kernel has refused.
static void on_decided(void *userdata, struct snap_error *refusal)
{
	_cleanup_(armcall_destroyp) struct armcall *call = userdata;
	call->own_name = false;
	if (!refusal)
		refusal = start(call);
	if (refusal)
		api_refuse(call->connection, refusal);
	else
		TAKE_PTR(call);
}

static void ask_polkit(struct armcall *call, const struct snap_error *err)
{
	const struct authorizer_request request = {
		.action = "io.procsnap.arm",
		.pid = call->ref.pid,
		.interactive = call->interactive,
		.decided = on_decided,
		.userdata = call,
	};
	struct snap_error *refusal = authorizer_ask(call->manager->authorizer, call->connection,
						    &request,
						    snap_error_new(err->code, "%s", err->message));
	if (refusal)
		on_decided(call, refusal);
}

static void on_end(void *userdata, const struct snap_error *err, const struct json *found,
		   enum armstate state)
{
	_cleanup_(armcall_destroyp) struct armcall *call = userdata;
	const struct peer *peer = connection_peer(call->connection);
	call->run = NULL;
	if (err && err->code == SNAP_NOT_PERMITTED && call->own_name &&
	    authorizer_may_ask(call->manager->authorizer, call->connection)) {
		ask_polkit(TAKE_PTR(call), err);
		return;
	}
	if (err) {
		manager_log(LOG_NOTICE, "user %u (%s[%d]): %s", peer->uid, peer->comm, peer->pid,
			    err->message);
		connection_fail(call->connection, err);
		return;
	}
	if (state == ARMSTATE_ARMED || state == ARMSTATE_DISARMED)
		manager_log(LOG_NOTICE, "user %u (%s[%d]) has %s process %d", peer->uid, peer->comm,
			    peer->pid, armstate_name(state), call->ref.pid);
	struct json *reply = json_new_object();
	json_set_text(reply, "state", armstate_name(state));
	json_set_shared(reply, "result", found);
	connection_reply(call->connection, reply, -EBADF);
}

static struct snap_error *start(struct armcall *call)
{
	const struct peer *peer = connection_peer(call->connection);
	struct armjob_request request = {
		.what = call->what,
		.uid = peer->uid,
		.of_user = peer->uid != 0,
		.callbacks = { on_progress, on_end },
		.userdata = call,
	};
	int r = pidref_dup(&call->ref, &request.ref);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot hold process %d", call->ref.pid);
	if (call->own_name && !(request.identity = peer_identity(peer))) {
		pidref_deinit(&request.ref);
		return snap_error_oom();
	}
	struct snap_error *err = armjob_begin(call->manager->jobs, &request, &call->run);
	if (!err)
		connection_wait(call->connection, on_cancel, call);
	return err;
}

static struct snap_error *begin(struct manager *manager, struct connection *connection,
				const struct call *call, enum armjob_what what)
{
	const struct peer *peer = connection_peer(connection);
	_cleanup_(armcall_destroyp) struct armcall *c = calloc(1, sizeof(*c));
	if (!c)
		return snap_error_oom();
	*c = (struct armcall){ .manager = manager,
			       .connection = connection,
			       .what = what,
			       .ref = PIDREF_NULL,
			       .own_name = !api_is_privileged(manager, connection),
			       .interactive = api_is_interactive(call) };
	struct snap_error *err = api_take_process(connection, call, &c->ref);
	if (!err)
		err = start(c);
	if (err)
		return err;
	manager_log(LOG_INFO, "user %u (%s[%d]) asks %s process %d, %s", peer->uid, peer->comm,
		    peer->pid, wishes[what], c->ref.pid,
		    c->own_name ? "in his own name" : "as root");
	TAKE_PTR(c);
	return NULL;
}

struct snap_error *api_arm(struct manager *manager, struct connection *connection,
			   const struct call *call)
{
	bool dry = json_get_bool(call->parameters, "dryRun", false);
	return begin(manager, connection, call, dry ? ARMJOB_LOOK : ARMJOB_ARM);
}

struct snap_error *api_disarm(struct manager *manager, struct connection *connection,
			      const struct call *call)
{
	return begin(manager, connection, call, ARMJOB_DISARM);
}

/// Is it about a process of his, or did he ask for it?
static bool concerns(const struct json *record, uid_t uid)
{
	char path[32];
	struct stat st;
	if (json_get_u64(record, "uid", UINT64_MAX) == uid)
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)json_get_u64(record, "pid", 0));
	return stat(path, &st) == 0 && st.st_uid == uid;
}

struct snap_error *api_list_armed(struct manager *manager, struct connection *connection,
				  const struct call *call _unused_)
{
	_cleanup_(json_destroyp) struct json *records = NULL;
	_cleanup_armed_ struct armed armed = { .dirfd = -EBADF };
	uid_t uid = connection_peer(connection)->uid;
	bool all = api_is_privileged(manager, connection);
	struct snap_error *err = armed_open(&armed);
	if (!err)
		err = armed_list(&armed, &records);
	if (err)
		return err;
	struct json *reply = json_new_object(), *entries = json_new_array();
	for (size_t i = 0; i < json_length(records); i++)
		if (all || concerns(json_at(records, i), uid))
			json_add(entries, json_share(json_at(records, i)));
	json_set(reply, "entries", entries);
	connection_reply(connection, reply, -EBADF);
	return NULL;
}
