// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>

#include "api.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/str.h"
#include "common/summary.h"

enum {
	STATUS_MAX = 64 << 10,
	// A partial dump smaller than this is hardly worth the removal of others.
	PARTIAL_BYTES = 1 << 20,
};

/// A job of somebody, from the call to its answer.
struct apijob {
	struct manager *manager;
	struct connection *connection; ///< lives until it is answered
	struct job_run *run;
	struct job_request request; ///< until jobs_add() takes it
	/// The same as root, should polkit allow it; without a process when nobody will be asked.
	struct job_request again;
	bool interactive; ///< polkit may ask the user
	struct procid *id; ///< NULL when nothing is recorded
	struct store_draft *draft; ///< NULL when the dump goes to a descriptor
	struct record_requester requester;
	char comm[17]; ///< of the requester
};

static void request_deinit(struct job_request *request)
{
	pidref_deinit(&request->ref);
	snap_closep(&request->spool);
	snap_closep(&request->output);
	json_destroy(request->owner);
	*request = (struct job_request){ .ref = PIDREF_NULL, .spool = -EBADF, .output = -EBADF };
}

static void apijob_destroy(struct apijob *job)
{
	request_deinit(&job->request);
	request_deinit(&job->again);
	procid_destroy(job->id);
	if (job->draft)
		store_drop(job->draft);
	free(job);
}
DEFINE_CLEANUP(struct apijob *, apijob_destroy);

// ---- what is asked for ---------------------------------------------------------------------

struct snap_error *api_take_process(struct connection *connection, const struct call *call,
				    struct pidref *ret)
{
	uint64_t pid, index = json_get_u64(call->parameters, "pidFileDescriptor", UINT64_MAX);
	struct snap_error *err = api_number(call, "pid", INT32_MAX, &pid);
	if (err)
		return err;
	int r;
	if (json_get(call->parameters, "pidFileDescriptor")) {
		int fd = connection_take_fd(connection, index);
		r = fd < 0 ? -EBADF : pidref_from_fd(fd, ret);
	} else {
		r = pid ? pidref_open((pid_t)pid, ret) : -ESRCH;
	}
	if (r == -EBADF)
		return snap_error_new(SNAP_USAGE, "%s: no pidfd came with the call", call->method);
	if (r == -EINVAL)
		return snap_error_new(SNAP_NO_PROCESS, "%d is a thread, not a process", (int)pid);
	if (r < 0)
		return snap_error_new(SNAP_NO_PROCESS, "there is no process %d", (int)pid);
	return NULL;
}

static struct snap_error *take_process(struct apijob *job, const struct call *call)
{
	struct snap_error *err = api_take_process(job->connection, call, &job->request.ref);
	if (!err)
		job->request.job.pid = job->request.ref.pid;
	return err;
}

/**
 * Takes a file that came with the call.
 *
 * The worker may be root, and opens what it is given a second time (O_DIRECT): so it must be
 * certain that the caller could write to it, and to that very file.
 */
static struct snap_error *take_file(struct apijob *job, const struct call *call, const char *name,
				    bool spool, int *ret)
{
	_cleanup_close_ int fd = connection_take_fd(
		job->connection, json_get_u64(call->parameters, name, UINT64_MAX));
	struct stat st;
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0)
		return snap_error_new(SNAP_USAGE, "%s: no descriptor came for '%s'", call->method,
				      name);
	bool writes = !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
	bool both = writes && (flags & O_ACCMODE) == O_RDWR;
	if (spool ? !both || !S_ISREG(st.st_mode) || st.st_size || flags & O_APPEND : !writes)
		return snap_error_new(
			SNAP_USAGE, "%s: '%s' must be %s", call->method, name,
			spool ? "an empty regular file, open for reading and writing" :
				"open for writing");
	*ret = TAKE_FD(fd);
	return NULL;
}

static void set_flag(struct apijob *job, const struct call *call, const char *name, uint32_t flag)
{
	if (json_get_bool(call->parameters, name, false))
		job->request.job.flags |= flag;
}

static struct snap_error *read_options(struct apijob *job, const struct call *call)
{
	const struct json *p = call->parameters;
	struct job *j = &job->request.job;
	set_flag(job, call, "all", JOB_ALL);
	set_flag(job, call, "withBinaries", JOB_WITH_BINARIES);
	set_flag(job, call, "stacks", JOB_STACKS);
	set_flag(job, call, "noSummary", JOB_NO_SUMMARY);
	set_flag(job, call, "keepPartial", JOB_KEEP_PARTIAL);
	set_flag(job, call, "dryRun", JOB_DRY_RUN);
	set_flag(job, call, "stream", JOB_STREAM);
	set_flag(job, call, "sync", JOB_SYNC);
	const char *mode = json_get_text(p, "mode");
	if (mode && !strcmp(mode, "copy"))
		j->flags |= JOB_COPY;
	else if (mode && !strcmp(mode, "precopy"))
		j->flags |= JOB_PRECOPY;
	else if (mode && !strcmp(mode, "fork"))
		j->flags |= JOB_FORK;
	else if (mode && strcmp(mode, "auto") != 0)
		return snap_error_new(SNAP_USAGE, "%s: 'mode' is auto, copy, fork or precopy",
				      call->method);
	if (json_get(p, "filter"))
		j->flags |= JOB_HAS_FILTER;
	j->filter = (uint32_t)json_get_u64(p, "filter", 0);
	if (json_get(p, "compress"))
		j->flags |= JOB_COMPRESS;
	uint64_t level = json_get_u64(p, "compress", 3);
	j->level = (int)level;
	j->max_pause_ns = json_get_u64(p, "maxPauseNSec", 0);
	j->free_bytes = json_get_u64(p, "freeBytes", 0);
	if (j->filter > 0x1ff || level < 1 || level > 19)
		return snap_error_new(SNAP_USAGE,
				      "%s: 'filter' is at most 511, 'compress' from 1 to 19",
				      call->method);
	if (j->flags & JOB_ALL && j->flags & JOB_HAS_FILTER)
		return snap_error_new(SNAP_USAGE, "%s: 'all' and 'filter' exclude each other",
				      call->method);
	if (j->flags & JOB_STACKS && j->flags & (JOB_ALL | JOB_HAS_FILTER | JOB_WITH_BINARIES))
		return snap_error_new(SNAP_USAGE,
				      "%s: 'stacks' excludes 'all', 'filter' and 'withBinaries'",
				      call->method);
	return NULL;
}

static struct snap_error *take_files(struct apijob *job, const struct call *call)
{
	uint32_t flags = job->request.job.flags;
	bool has_spool = json_get(call->parameters, "spoolFileDescriptor");
	bool needs_spool = flags & (JOB_COMPRESS | JOB_STREAM);
	if (flags & JOB_COMPRESS && flags & JOB_STREAM)
		return snap_error_new(SNAP_USAGE, "%s: 'compress' and 'stream' exclude each other",
				      call->method);
	if (has_spool != needs_spool)
		return snap_error_new(SNAP_USAGE,
				      "%s: 'spoolFileDescriptor' is for 'compress' and 'stream'",
				      call->method);
	if (!has_spool)
		return take_file(job, call, "fileDescriptor", true, &job->request.spool);
	struct snap_error *err =
		take_file(job, call, "spoolFileDescriptor", true, &job->request.spool);
	return err ? err : take_file(job, call, "fileDescriptor", false, &job->request.output);
}

// ---- the store -----------------------------------------------------------------------------

/// What the process has in memory and in swap: no core is much larger than that.
static uint64_t guess_bytes(const struct pidref *ref)
{
	_cleanup_close_ int piddir = pidref_open_proc(ref);
	_cleanup_free_ char *text = NULL;
	uint64_t sum = 0;
	if (piddir < 0 || snap_read_file_at(piddir, "status", STATUS_MAX, &text) < 0)
		return 0;
	static const char *const keys[] = { "VmRSS:", "VmSwap:" };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		uint64_t bytes;
		if (snap_line_kib(text, keys[i], &bytes) == 0)
			sum += bytes;
	}
	return sum;
}

/// Uncompressed, a core in the store is what is asked for with Compress=0.
static struct snap_error *begin_in_store(struct apijob *job)
{
	struct manager *m = job->manager;
	_cleanup_store_removals_ struct store_removals removals = { 0 };
	uint64_t bytes = guess_bytes(&job->request.ref);
	struct store_request request = { .uid = job->id ? job->id->uid : 0,
					 .compressed = m->config->compress,
					 .core_bytes = bytes,
					 .spool_bytes = m->config->compress ? bytes : 0 };
	struct store_usage usage;
	if (job->request.job.flags & (JOB_COMPRESS | JOB_STREAM))
		return snap_error_new(SNAP_USAGE,
				      "'compress' and 'stream' need a 'fileDescriptor'; "
				      "how dumps are stored is configured");
	if (!m->store)
		return snap_error_new(SNAP_FAILED, "there is no store: %s",
				      m->store_why ? m->store_why : "?");
	// Memory compresses to a third or better, and what does not fit after all is noticed.
	if (request.compressed)
		request.core_bytes /= 2;
	struct snap_error *err = store_begin(m->store, &request, &removals, &job->draft);
	if (err && err->code == SNAP_NO_SPACE && m->config->keep_partial) {
		// What there is room for, then. The worker sees to it that this is the most useful.
		snap_error_destroy(err);
		request.core_bytes = MIN(request.core_bytes, (uint64_t)PARTIAL_BYTES);
		request.spool_bytes = 0;
		err = store_begin(m->store, &request, &removals, &job->draft);
	}
	manager_log_removals(&removals);
	if (!err)
		err = store_usage(m->store, &usage);
	if (err)
		return err;
	struct job *j = &job->request.job;
	j->flags |= JOB_SYNC | (request.compressed ? JOB_COMPRESS : 0U) |
		    (m->config->keep_partial ? JOB_KEEP_PARTIAL : 0U);
	j->level = (int)m->config->compress;
	j->free_bytes = usage.free_bytes;
	int spool = request.compressed ? job->draft->spool : job->draft->core;
	job->request.spool = fcntl(spool, F_DUPFD_CLOEXEC, 3);
	job->request.output = request.compressed ? fcntl(job->draft->core, F_DUPFD_CLOEXEC, 3) :
						   -EBADF;
	return job->request.spool < 0 || (request.compressed && job->request.output < 0) ?
		       snap_error_errno(SNAP_FAILED, errno, "cannot begin a dump") :
		       NULL;
}

static struct json *describe_requester(const struct record_requester *requester)
{
	struct json *json = json_new_object();
	json_set_u64(json, "uid", requester->uid);
	json_set_u64(json, "gid", requester->gid);
	json_set_u64(json, "pid", (uint64_t)requester->pid);
	json_set_text(json, "comm", requester->comm);
	return json;
}

static struct snap_error *publish(struct apijob *job, const struct json *result,
				  const struct store_entry **ret)
{
	_cleanup_store_removals_ struct store_removals removals = { 0 };
	_cleanup_(json_destroyp) struct json *metadata = json_new_object();
	const struct procid *id = job->id;
	uint64_t realtime = json_get_u64(result, "realtime_ns", 0);
	const struct store_facts facts = {
		.kind = STORE_LIVE,
		.flags = (id->plain ? STORE_OWNER_READS : 0U) |
			 (json_get_u64(result, "lost_bytes", 0) ? STORE_PARTIAL : 0U),
		.pid = id->pid,
		.uid = id->uid,
		.gid = id->gid,
		.rlimit = id->rlimit_core,
		.usec = (realtime ? realtime : snap_clock_ns(CLOCK_REALTIME)) / 1000,
		.comm = procid_text(id, PROCID_COMM),
		.boot_id = id->boot_id,
		.exe = procid_text(id, PROCID_EXE),
		.unit = procid_text(id, PROCID_UNIT),
		.hostname = id->hostname,
		.mode = json_get_text(result, "mode"),
	};
	json_set_shared(metadata, "result", result);
	json_set(metadata, "requester", describe_requester(&job->requester));
	struct snap_error *err =
		store_publish(TAKE_PTR(job->draft), &facts, metadata, &removals, ret);
	manager_log_removals(&removals);
	return err;
}

// ---- the record ----------------------------------------------------------------------------

static struct snap_error *make_record(const struct apijob *job, const struct json *result,
				      const struct store_entry *entry, const char *path,
				      struct record **ret)
{
	const struct json *list = json_get(result, "warnings");
	_cleanup_(json_destroyp) struct json *summary =
		summary_of_go(json_get(result, "go"));
	const char *warnings[RECORD_WARNINGS_MAX];
	char id[STOREID_SIZE];
	size_t n = 0;
	for (size_t i = 0; i < json_length(list) && n < ARRAY_SIZE(warnings); i++)
		if (json_text_value(json_at(list, i)))
			warnings[n++] = json_text_value(json_at(list, i));
	const struct record_dump dump = {
		.kind = RECORD_LIVE,
		.id = entry ? storeid_format(entry->id, id) : NULL,
		.mode = json_get_text(result, "mode"),
		.pause_ns = json_get_u64(result, "pause_ns", 0),
		.predicted_pause_ns = json_get_u64(result, "predicted_pause_ns", 0),
		.realtime_ns = json_get_u64(result, "realtime_ns", 0),
		.filename = path,
		.size_bytes = json_get_u64(result, "bytes_on_disk", 0),
		.partial = json_get_u64(result, "lost_bytes", 0),
		.requester = job->requester,
		.summary = summary,
		.summary_bytes = job->manager->config->summary_bytes,
		.warnings = warnings,
		.n_warnings = n,
	};
	return record_create(job->id, &dump, ret);
}

/// A dump without its record is still a dump, so this only says so in the log.
static void add_record(const struct apijob *job, const struct json *result,
		       const struct store_entry *entry, const char *path)
{
	struct record *record = NULL;
	struct snap_error *err = make_record(job, result, entry, path, &record);
	if (!err)
		err = recorder_add(job->manager->recorder, record);
	if (err)
		manager_log(LOG_WARNING, "process %d: %s", job->id->pid, err->message);
	snap_error_destroy(err);
}

// ---- while it runs, and its end ------------------------------------------------------------

static void on_cancel(void *userdata)
{
	const struct apijob *job = userdata;
	job_cancel(job->run);
}

static void on_progress(void *userdata, size_t position, const char *phase, uint64_t done,
			uint64_t total)
{
	const struct apijob *job = userdata;
	if (!connection_wants_progress(job->connection))
		return;
	struct json *reply = json_new_object(), *progress = json_new_object();
	if (phase) {
		json_set_text(progress, "phase", phase);
		json_set_u64(progress, "done", done);
		json_set_u64(progress, "total", total);
	} else {
		json_set_u64(progress, "position", position);
	}
	json_set(reply, "progress", progress);
	connection_progress(job->connection, reply);
}

static struct snap_error *finish(struct apijob *job, struct json *result, struct json *reply)
{
	const struct store_entry *entry = NULL;
	_cleanup_free_ char *path = NULL;
	if (!job->id)
		return NULL; // what has been looked at is not a process
	// It may have become somebody else since it was asked for: what counts is what it was when
	// it stood still.
	if (json_get_u64(result, "plain_uid", UINT64_MAX) != job->id->uid)
		job->id->plain = false;
	if (job->draft) {
		struct snap_error *err = publish(job, result, &entry);
		if (err)
			return err;
		char id[STOREID_SIZE];
		json_set_text(reply, "id", storeid_format(entry->id, id));
		if (asprintf(&path, "%s/%s", store_path(job->manager->store), entry->name) < 0)
			path = NULL;
		json_set_text(reply, "path", path);
	}
	if (!(job->request.job.flags & JOB_DRY_RUN))
		add_record(job, result, entry, path);
	if (entry)
		manager_announce_dump(job->manager, entry);
	return NULL;
}

static void on_decided(void *userdata, struct snap_error *refusal);

/// The kernel has said no to the user himself.
static void ask_polkit(struct apijob *job, const struct snap_error *err)
{
	const struct authorizer_request request = {
		.action = "io.procsnap.dump",
		.pid = job->again.ref.pid,
		.interactive = job->interactive,
		.decided = on_decided,
		.userdata = job,
	};
	struct snap_error *refusal =
		authorizer_ask(job->manager->authorizer, job->connection, &request,
			       snap_error_new(err->code, "%s", err->message));
	if (refusal)
		on_decided(job, refusal);
}

static void on_end(void *userdata, const struct snap_error *err, struct json *result)
{
	_cleanup_(apijob_destroyp) struct apijob *job = userdata;
	if (err && err->code == SNAP_NOT_PERMITTED && job->again.ref.pid) {
		ask_polkit(TAKE_PTR(job), err);
		return;
	}
	struct json *reply = json_new_object();
	struct snap_error *late = err ? NULL : finish(job, result, reply);
	if (err || late) {
		const struct snap_error *why = err ? err : late;
		manager_log(LOG_NOTICE, "user %u (%s[%d]): %s", job->requester.uid,
			    job->requester.comm, job->requester.pid, why->message);
		connection_fail(job->connection, why);
		snap_error_destroy(late);
		json_destroy(reply);
		return;
	}
	json_set_shared(reply, "result", result);
	connection_reply(job->connection, reply, -EBADF);
}

// ---- the beginning -------------------------------------------------------------------------

static struct apijob *new_job(struct manager *manager, struct connection *connection)
{
	struct apijob *job = calloc(1, sizeof(*job));
	const struct peer *peer = connection_peer(connection);
	if (!job)
		return NULL;
	job->manager = manager;
	job->connection = connection;
	job->request.ref = PIDREF_NULL;
	job->request.spool = job->request.output = -EBADF;
	job->again = job->request;
	job->request.uid = peer->uid;
	job->request.userdata = job;
	job->request.callbacks.progress = on_progress;
	job->request.callbacks.end = on_end;
	memcpy(job->comm, peer->comm, sizeof(job->comm));
	job->requester = (struct record_requester){ peer->uid, peer->gid, peer->pid, job->comm };
	return job;
}

/// Whoever is not privileged has it done in his own name.
static struct snap_error *set_identity(struct apijob *job)
{
	if (api_is_privileged(job->manager, job->connection))
		return NULL;
	job->request.job.identity = peer_identity(connection_peer(job->connection));
	if (!job->request.job.identity)
		return snap_error_oom();
	json_set(job->request.owner, "identity", job->request.job.identity);
	return NULL;
}

/// Keeps what it takes to do it once more.
static void keep_for_again(struct apijob *job)
{
	const struct job_request *r = &job->request;
	struct job_request again = *r;
	if (!r->job.identity || !authorizer_may_ask(job->manager->authorizer, job->connection))
		return;
	again.job.identity = NULL;
	again.owner = json_share(r->owner);
	int pidfd = fcntl(r->ref.pidfd, F_DUPFD_CLOEXEC, 3);
	again.ref = PIDREF_NULL;
	again.spool = r->spool >= 0 ? fcntl(r->spool, F_DUPFD_CLOEXEC, 3) : -EBADF;
	again.output = r->output >= 0 ? fcntl(r->output, F_DUPFD_CLOEXEC, 3) : -EBADF;
	if (pidfd >= 0 && pidref_from_fd(pidfd, &again.ref) < 0)
		again.ref = PIDREF_NULL;
	if ((r->spool >= 0) != (again.spool >= 0) || (r->output >= 0) != (again.output >= 0) ||
	    again.ref.pid != r->ref.pid)
		request_deinit(&again); // he is refused, as without polkit
	job->again = again;
}

static struct snap_error *start(struct apijob *job)
{
	// From here on the queue owns what the request holds.
	struct job_request request = job->request;
	job->request = (struct job_request){ .job.flags = request.job.flags,
					     .ref = PIDREF_NULL,
					     .spool = -EBADF,
					     .output = -EBADF };
	struct snap_error *err = jobs_add(job->manager->jobs, &request, &job->run);
	if (!err)
		connection_wait(job->connection, on_cancel, job);
	return err;
}

/// Polkit has, or has not, allowed what the kernel has refused.
static void on_decided(void *userdata, struct snap_error *refusal)
{
	_cleanup_(apijob_destroyp) struct apijob *job = userdata;
	if (!refusal) {
		job->request = job->again;
		job->again = (struct job_request){ .ref = PIDREF_NULL,
						   .spool = -EBADF,
						   .output = -EBADF };
		refusal = start(job);
	}
	if (refusal)
		api_refuse(job->connection, refusal);
	else
		TAKE_PTR(job);
}

static struct snap_error *begin(struct apijob *job, const char *what)
{
	pid_t pid = job->request.ref.pid;
	bool privileged = !job->request.job.identity;
	keep_for_again(job);
	struct snap_error *err = start(job);
	if (err) {
		apijob_destroy(job);
		return err;
	}
	manager_log(LOG_INFO, "user %u (%s[%d]) asks for %s of process %d, %s", job->requester.uid,
		    job->requester.comm, job->requester.pid, what, pid,
		    privileged ? "as root" : "in his own name");
	return NULL;
}

static uint32_t procid_flags(const struct config *config)
{
	return (config->command_line ? PROCID_WITH_CMDLINE : 0U) |
	       (config->environment ? PROCID_WITH_ENVIRON : 0U);
}

struct snap_error *api_dump(struct manager *manager, struct connection *connection,
			    const struct call *call)
{
	_cleanup_(apijob_destroyp) struct apijob *job = new_job(manager, connection);
	if (!job)
		return snap_error_oom();
	job->request.owner = json_new_object();
	job->interactive = api_is_interactive(call);
	struct snap_error *err = take_process(job, call);
	if (!err)
		err = read_options(job, call);
	if (!err)
		err = set_identity(job);
	bool dry = job->request.job.flags & JOB_DRY_RUN;
	if (!err && !dry)
		err = procid_create(&job->request.ref, procid_flags(manager->config), &job->id);
	if (!err && !dry)
		err = json_get(call->parameters, "fileDescriptor") ||
				      json_get(call->parameters, "spoolFileDescriptor") ?
			      take_files(job, call) :
			      begin_in_store(job);
	return err ? err : begin(TAKE_PTR(job), dry ? "a dry run" : "a dump");
}

struct snap_error *api_goroutines(struct manager *manager, struct connection *connection,
				  const struct call *call)
{
	_cleanup_(apijob_destroyp) struct apijob *job = new_job(manager, connection);
	const struct json *request = json_get(call->parameters, "request");
	const char *text = json_is_object(request) ? json_text(request) : "{}";
	if (!job || !text)
		return snap_error_oom();
	struct json *owner = job->request.owner = json_new_object();
	struct job *j = &job->request.job;
	j->flags = JOB_ANALYZE;
	job->interactive = api_is_interactive(call);
	// A copy, since the call is gone before the job begins.
	json_set(owner, "request", json_parse(text, strlen(text)));
	json_set_text(owner, "exe", json_get_text(call->parameters, "exe"));
	j->analysis = json_get_mutable(owner, "request");
	j->exe = json_get_text(owner, "exe");
	j->max_pause_ns = json_get_u64(call->parameters, "maxPauseNSec", 0);
	struct snap_error *err = take_process(job, call);
	if (!err)
		err = set_identity(job);
	if (!err)
		err = take_file(job, call, "fileDescriptor", true, &job->request.spool);
	return err ? err : begin(TAKE_PTR(job), "the goroutines");
}
