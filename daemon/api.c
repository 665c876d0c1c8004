// SPDX-License-Identifier: LGPL-2.1-or-later
#include "api.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "common/fd.h"
#include "common/str.h"

// Made from daemon/io.procsnap.varlink.
extern const char api_interface_text[];

void api_refuse(struct connection *connection, struct snap_error *err)
{
	const struct peer *peer = connection_peer(connection);
	manager_log(LOG_NOTICE, "user %u (%s[%d]): %s", peer->uid, peer->comm, peer->pid,
		    err->message);
	connection_fail(connection, err);
	snap_error_destroy(err);
}

bool api_is_interactive(const struct call *call)
{
	return json_get_bool(call->parameters, "allowInteractiveAuthentication", false);
}

bool api_is_privileged(const struct manager *manager, const struct connection *connection)
{
	return peer_is_privileged(connection_peer(connection), manager->group);
}

struct snap_error *api_number(const struct call *call, const char *name, uint64_t max,
			      uint64_t *ret)
{
	uint64_t value = json_get_u64(call->parameters, name, UINT64_MAX);
	if (value > max)
		return snap_error_new(SNAP_USAGE, "%s: the number '%s' is missing or too large",
				      call->method, name);
	*ret = value;
	return NULL;
}

// ---- the store -----------------------------------------------------------------------------

/// Who asks, for store_find().
struct reader {
	uid_t uid;
	bool privileged;
};

static bool may_read(const struct store_entry *entry, void *userdata)
{
	const struct reader *reader = userdata;
	return reader->privileged ||
	       (entry->uid == reader->uid && entry->flags & STORE_OWNER_READS);
}

static struct snap_error *need_store(const struct manager *manager)
{
	return manager->store ? NULL :
				snap_error_new(SNAP_FAILED, "there is no store: %s",
					       manager->store_why ? manager->store_why : "?");
}

static struct snap_error *find(const struct manager *manager, struct connection *connection,
			       const struct call *call, const struct store_entry **ret)
{
	struct reader reader = { connection_peer(connection)->uid,
				 api_is_privileged(manager, connection) };
	const char *id = json_get_text(call->parameters, "id");
	struct snap_error *err = need_store(manager);
	if (err)
		return err;
	if (!id)
		return snap_error_new(SNAP_USAGE, "%s: 'id' is missing", call->method);
	return store_find(manager->store, id, may_read, &reader, ret);
}

/// One of several replies to List.
static void reply_with(struct connection *connection, struct json *entry)
{
	struct json *reply = json_new_object(), *entries = json_new_array();
	json_add(entries, entry);
	json_set(reply, "entries", entries);
	connection_progress(connection, reply);
}

static struct snap_error *list(struct manager *manager, struct connection *connection,
			       const struct call *call)
{
	struct reader reader = { connection_peer(connection)->uid,
				 api_is_privileged(manager, connection) };
	struct snap_error *err = need_store(manager);
	if (err)
		return err;
	struct json *reply = json_new_object(), *entries = json_new_array();
	struct json *single = NULL; // with "more", the one to be sent next
	for (size_t i = 0; i < store_count(manager->store); i++) {
		const struct store_entry *entry = store_at(manager->store, i);
		struct json *json = NULL;
		if (!may_read(entry, &reader))
			continue;
		err = store_describe(manager->store, entry, &json);
		if (err) { // it was damaged meanwhile
			manager_log(LOG_WARNING, "%s", err->message);
			snap_error_destroy(err);
			continue;
		}
		if (!call->more) {
			json_add(entries, json);
			continue;
		}
		if (single) // it is not the last one
			reply_with(connection, single);
		single = json;
	}
	if (single)
		json_add(entries, single);
	json_set(reply, "entries", entries);
	connection_reply(connection, reply, -EBADF);
	return NULL;
}

static struct snap_error *wait_for(struct manager *manager, struct connection *connection,
				   const struct call *call)
{
	return events_wait(manager->events, connection, call,
			   api_is_privileged(manager, connection));
}

static struct snap_error *get(struct manager *manager, struct connection *connection,
			      const struct call *call)
{
	const struct store_entry *entry = NULL;
	struct json *description = NULL, *metadata = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct snap_error *err = find(manager, connection, call, &entry);
	if (!err)
		err = store_open(manager->store, entry, &fd);
	if (!err)
		err = store_describe(manager->store, entry, &description);
	if (err)
		return err;
	// A dump without readable metadata is still a dump.
	snap_error_destroy(store_metadata(manager->store, entry, &metadata));
	struct json *reply = json_new_object();
	json_set(reply, "entry", description);
	if (metadata)
		json_set(reply, "metadata", metadata);
	json_set_u64(reply, "fileDescriptor", 0);
	connection_reply(connection, reply, fd);
	return NULL;
}

/// What is done if polkit allows it.
struct question {
	struct manager *manager;
	struct connection *connection;
	/// As root: answers, or says why not.
	struct snap_error *(*run)(struct manager *manager, struct connection *connection,
				  const char *id);
	char *id; ///< of a dump, or NULL
};

static void on_decided(void *userdata, struct snap_error *refusal)
{
	struct question *q = userdata;
	if (!refusal)
		refusal = q->run(q->manager, q->connection, q->id);
	if (refusal)
		api_refuse(q->connection, refusal);
	free(q->id);
	free(q);
}

/// Asks whether @run may be done all the same. Takes @refusal; NULL: it will be answered later.
static struct snap_error *
ask(struct manager *manager, struct connection *connection, const struct call *call,
    const char *action,
    struct snap_error *(*run)(struct manager *manager, struct connection *connection,
			      const char *id),
    struct snap_error *refusal)
{
	const char *id = json_get_text(call->parameters, "id");
	struct question *q = calloc(1, sizeof(*q));
	if (!q)
		return refusal;
	*q = (struct question){ manager, connection, run, id ? strdup(id) : NULL };
	const struct authorizer_request request = {
		.action = action,
		.interactive = api_is_interactive(call),
		.decided = on_decided,
		.userdata = q,
	};
	struct snap_error *err = NULL;
	if (!id || q->id)
		err = authorizer_ask(manager->authorizer, connection, &request, refusal);
	else
		err = refusal;
	if (err) {
		free(q->id);
		free(q);
	}
	return err;
}

static struct snap_error *remove_entry(struct manager *manager, struct connection *connection,
				       const struct store_entry *entry)
{
	char id[STOREID_CHARS + 1];
	storeid_format(entry->id, id);
	_cleanup_free_ char *name = strdup(entry->name);
	struct snap_error *err = store_remove(manager->store, entry);
	if (err)
		return err;
	manager_log(LOG_NOTICE, "user %u (%s[%d]) removed dump %s, %s",
		    connection_peer(connection)->uid, connection_peer(connection)->comm,
		    connection_peer(connection)->pid, id, name ? name : "");
	connection_reply(connection, json_new_object(), -EBADF);
	return NULL;
}

static struct snap_error *remove_as_root(struct manager *manager, struct connection *connection,
					 const char *id)
{
	const struct store_entry *entry = NULL;
	struct reader reader = { 0, true };
	struct snap_error *err = need_store(manager);
	if (!err)
		err = store_find(manager->store, id, may_read, &reader, &entry);
	return err ? err : remove_entry(manager, connection, entry);
}

static struct snap_error *remove_dump(struct manager *manager, struct connection *connection,
				      const struct call *call)
{
	const struct store_entry *entry = NULL;
	struct snap_error *err = find(manager, connection, call, &entry);
	if (!err && entry)
		return remove_entry(manager, connection, entry);
	// Whether others have such a dump is not told before.
	bool hopeless = !err || err->code == SNAP_USAGE || !manager->store;
	return hopeless || api_is_privileged(manager, connection) ?
		       err :
		       ask(manager, connection, call, "io.procsnap.remove", remove_as_root, err);
}

// ---- the daemon ----------------------------------------------------------------------------

static void set_usage(const struct manager *manager, struct json *reply)
{
	struct store_usage usage;
	struct snap_error *err = manager->store ? store_usage(manager->store, &usage) : NULL;
	if (!manager->store || err) {
		snap_error_destroy(err);
		return;
	}
	json_set_text(reply, "storePath", store_path(manager->store));
	json_set_u64(reply, "storeDumps", usage.n_dumps);
	json_set_u64(reply, "storeBytes", usage.disk_bytes);
	if (usage.limits.max_use)
		json_set_u64(reply, "storeMaxBytes", usage.limits.max_use);
	if (usage.limits.keep_free)
		json_set_u64(reply, "storeKeepFreeBytes", usage.limits.keep_free);
	json_set_u64(reply, "storeFreeBytes", usage.free_bytes);
	if (usage.binaries_bytes)
		json_set_u64(reply, "storeBinariesBytes", usage.binaries_bytes);
}

static void set_crashes(const struct manager *manager, struct json *reply)
{
	if (!manager->crashes)
		return;
	struct crashes_counts counts = crashes_count(manager->crashes);
	json_set_u64(reply, "crashesCopying", counts.copying);
	json_set_u64(reply, "crashesWaiting", counts.waiting);
	json_set_u64(reply, "crashesQueued", counts.queued);
	json_set_u64(reply, "crashesKept", counts.kept);
	json_set_u64(reply, "crashesKeptBytes", counts.kept_bytes);
}

/// What the configuration has armed, if it says anything.
static void set_armed(const struct manager *manager, struct json *reply)
{
	struct armer_counts counts = armer_count(manager->armer);
	if (!counts.patterns)
		return;
	json_set_u64(reply, "armPatterns", counts.patterns);
	json_set_u64(reply, "armProcesses", counts.processes);
	json_set_u64(reply, "armArmed", counts.armed);
}

static struct snap_error *status(struct manager *manager, struct connection *connection,
				 const struct call *call _unused_)
{
	struct json *reply = json_new_object();
	struct jobs_counts counts = jobs_count(manager->jobs);
	json_set_text(reply, "version", PROCSNAP_VERSION);
	json_set_u64(reply, "runningJobs", counts.running);
	json_set_u64(reply, "waitingJobs", counts.waiting);
	json_set_u64(reply, "connections", server_connections(manager->server));
	json_set_u64(reply, "unsentRecords", recorder_waiting(manager->recorder));
	set_usage(manager, reply);
	set_crashes(manager, reply);
	set_armed(manager, reply);
	connection_reply(connection, reply, -EBADF);
	return NULL;
}

static struct snap_error *reload_as_root(struct manager *manager, struct connection *connection,
					 const char *id _unused_)
{
	struct snap_error *err = manager_reload(manager);
	if (!err)
		connection_reply(connection, json_new_object(), -EBADF);
	return err;
}

static struct snap_error *reload(struct manager *manager, struct connection *connection,
				 const struct call *call)
{
	if (api_is_privileged(manager, connection))
		return reload_as_root(manager, connection, NULL);
	return ask(manager, connection, call, "io.procsnap.reload", reload_as_root,
		   snap_error_new(SNAP_NOT_PERMITTED, "only root may reload procsnapd"));
}

// ---- org.varlink.service -------------------------------------------------------------------

// https://varlink.org/Service
static const char service_text[] =
	"# The Varlink Service Interface is provided by every varlink service.\n"
	"interface org.varlink.service\n\n"
	"method GetInfo() -> (vendor: string, product: string, version: string, url: string,\n"
	"    interfaces: []string)\n\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

static struct snap_error *get_info(struct manager *manager _unused_, struct connection *connection,
				   const struct call *call _unused_)
{
	struct json *reply = json_new_object(), *interfaces = json_new_array();
	json_add_message(interfaces, "org.varlink.service");
	json_add_message(interfaces, "io.procsnap");
	json_set_text(reply, "vendor", "procsnap");
	json_set_text(reply, "product", "procsnapd");
	json_set_text(reply, "version", PROCSNAP_VERSION);
	json_set_text(reply, "url", "");
	json_set(reply, "interfaces", interfaces);
	connection_reply(connection, reply, -EBADF);
	return NULL;
}

static struct snap_error *get_description(struct manager *manager _unused_,
					  struct connection *connection, const struct call *call)
{
	const char *name = json_get_text(call->parameters, "interface");
	const char *text = NULL;
	if (name && !strcmp(name, "io.procsnap"))
		text = api_interface_text;
	else if (name && !strcmp(name, "org.varlink.service"))
		text = service_text;
	if (!name) {
		connection_refuse(connection, "org.varlink.service.InvalidParameter", "parameter",
				  "interface");
		return NULL;
	}
	if (!text) {
		connection_refuse(connection, "org.varlink.service.InterfaceNotFound", "interface",
				  name);
		return NULL;
	}
	struct json *reply = json_new_object();
	json_set_lines(reply, "description", text);
	connection_reply(connection, reply, -EBADF);
	return NULL;
}

// ---- parameters ----------------------------------------------------------------------------

struct parameter {
	const char *name;
	enum parameter_type {
		PARAMETER_NUMBER,
		PARAMETER_BOOL,
		PARAMETER_TEXT,
		PARAMETER_OBJECT
	} type;
	bool needed;
};

// As in daemon/io.procsnap.varlink.
static const struct parameter no_parameters[] = { { .name = NULL } };
static const struct parameter id_parameters[] = { { "id", PARAMETER_TEXT, true },
						  { .name = NULL } };
#define INTERACTIVE { "allowInteractiveAuthentication", PARAMETER_BOOL, false }
static const struct parameter remove_parameters[] = { { "id", PARAMETER_TEXT, true },
						      INTERACTIVE,
						      { .name = NULL } };
static const struct parameter reload_parameters[] = { INTERACTIVE, { .name = NULL } };
static const struct parameter wait_parameters[] = { { "position", PARAMETER_TEXT, false },
						    { .name = NULL } };
static const struct parameter dump_parameters[] = {
	{ "pid", PARAMETER_NUMBER, true },
	{ "pidFileDescriptor", PARAMETER_NUMBER, false },
	{ "fileDescriptor", PARAMETER_NUMBER, false },
	{ "spoolFileDescriptor", PARAMETER_NUMBER, false },
	{ "filter", PARAMETER_NUMBER, false },
	{ "all", PARAMETER_BOOL, false },
	{ "mode", PARAMETER_TEXT, false },
	{ "withBinaries", PARAMETER_BOOL, false },
	{ "stacks", PARAMETER_BOOL, false },
	{ "noSummary", PARAMETER_BOOL, false },
	{ "keepPartial", PARAMETER_BOOL, false },
	{ "dryRun", PARAMETER_BOOL, false },
	{ "stream", PARAMETER_BOOL, false },
	{ "sync", PARAMETER_BOOL, false },
	{ "compress", PARAMETER_NUMBER, false },
	{ "freeBytes", PARAMETER_NUMBER, false },
	{ "maxPauseNSec", PARAMETER_NUMBER, false },
	INTERACTIVE,
	{ .name = NULL },
};
static const struct parameter goroutines_parameters[] = {
	{ "pid", PARAMETER_NUMBER, true },
	{ "pidFileDescriptor", PARAMETER_NUMBER, false },
	{ "fileDescriptor", PARAMETER_NUMBER, true },
	{ "request", PARAMETER_OBJECT, true },
	{ "exe", PARAMETER_TEXT, false },
	{ "maxPauseNSec", PARAMETER_NUMBER, false },
	INTERACTIVE,
	{ .name = NULL },
};

static const struct parameter arm_parameters[] = {
	{ "pid", PARAMETER_NUMBER, true },
	{ "pidFileDescriptor", PARAMETER_NUMBER, false },
	{ "dryRun", PARAMETER_BOOL, false },
	INTERACTIVE,
	{ .name = NULL },
};
static const struct parameter disarm_parameters[] = {
	{ "pid", PARAMETER_NUMBER, true },
	{ "pidFileDescriptor", PARAMETER_NUMBER, false },
	INTERACTIVE,
	{ .name = NULL },
};

static bool has_type(const struct json *parameters, const struct parameter *p)
{
	switch (p->type) {
	case PARAMETER_NUMBER: // one that is not negative, and has no fraction
		return json_get_u64(parameters, p->name, 0) == json_get_u64(parameters, p->name, 1);
	case PARAMETER_BOOL:
		return json_get_bool(parameters, p->name, false) ==
		       json_get_bool(parameters, p->name, true);
	case PARAMETER_TEXT:
		return json_get_text(parameters, p->name);
	case PARAMETER_OBJECT:
		return json_is_object(json_get(parameters, p->name));
	}
	return false;
}

/// Each parameter is known and of its type, and those that are needed are there; null is nothing.
static struct snap_error *check_parameters(const struct call *call, const struct parameter *list)
{
	const struct parameter *p;
	for (size_t i = 0; i < json_length(call->parameters); i++) {
		const char *key = json_key_at(call->parameters, i);
		for (p = list; p->name && strcmp(p->name, key) != 0; p++)
			;
		if (p->name)
			continue;
		_cleanup_free_ char *shown = snap_escape(key, strlen(key));
		return snap_error_new(SNAP_USAGE, "%s knows no parameter '%s'", call->method,
				      shown ? shown : "?");
	}
	for (p = list; p->name; p++) {
		bool given = json_get(call->parameters, p->name);
		if (given ? !has_type(call->parameters, p) : p->needed)
			return snap_error_new(SNAP_USAGE, "%s: '%s' is %s", call->method, p->name,
					      given ? "not of its type" : "missing");
	}
	return NULL;
}

// ---- all of them ---------------------------------------------------------------------------

static const struct method {
	const char *name;
	struct snap_error *(*run)(struct manager *manager, struct connection *connection,
				  const struct call *call);
	const struct parameter *parameters; ///< NULL: it looks at them itself
	bool open; ///< also to those outside of our namespaces
} methods[] = {
	{ "io.procsnap.Dump", api_dump, dump_parameters, false },
	{ "io.procsnap.Goroutines", api_goroutines, goroutines_parameters, false },
	{ "io.procsnap.Arm", api_arm, arm_parameters, false },
	{ "io.procsnap.Disarm", api_disarm, disarm_parameters, false },
	{ "io.procsnap.ListArmed", api_list_armed, no_parameters, false },
	{ "io.procsnap.List", list, no_parameters, false },
	{ "io.procsnap.Wait", wait_for, wait_parameters, false },
	{ "io.procsnap.Get", get, id_parameters, false },
	{ "io.procsnap.Remove", remove_dump, remove_parameters, false },
	{ "io.procsnap.Status", status, no_parameters, false },
	{ "io.procsnap.Reload", reload, reload_parameters, false },
	{ "org.varlink.service.GetInfo", get_info, no_parameters, true },
	{ "org.varlink.service.GetInterfaceDescription", get_description, NULL, true },
};

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (!strcmp(methods[i].name, name))
			return &methods[i];
	return NULL;
}

static void refuse_unknown(struct connection *connection, const char *name)
{
	const char *dot = strrchr(name, '.');
	size_t len = dot ? (size_t)(dot - name) : 0;
	bool known = (len == strlen("io.procsnap") && !strncmp(name, "io.procsnap", len)) ||
		     (len == strlen("org.varlink.service") &&
		      !strncmp(name, "org.varlink.service", len));
	if (known)
		connection_refuse(connection, "org.varlink.service.MethodNotFound", "method", name);
	else
		connection_refuse(connection, "org.varlink.service.InterfaceNotFound", "interface",
				  name);
}

void api_call(void *userdata, struct connection *connection, const struct call *call)
{
	struct manager *manager = userdata;
	const struct method *method = find_method(call->method);
	if (!method) {
		refuse_unknown(connection, call->method);
		return;
	}
	struct snap_error *err = method->open ? NULL : peer_check(connection_peer(connection));
	if (!err && method->parameters)
		err = check_parameters(call, method->parameters);
	if (!err)
		err = method->run(manager, connection, call);
	if (!err)
		return;
	const struct peer *peer = connection_peer(connection);
	manager_log(LOG_NOTICE, "user %u (%s[%d]) is refused %s: %s", peer->uid, peer->comm,
		    peer->pid, method->name, err->message);
	connection_fail(connection, err);
	snap_error_destroy(err);
}
