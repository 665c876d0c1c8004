// SPDX-License-Identifier: LGPL-2.1-or-later
#include "job.h"

#include <errno.h>

enum { JOB_VERSION = 1 };

struct json *job_to_json(const struct job *job)
{
	struct json *json = json_new_object();
	json_set_u64(json, "version", JOB_VERSION);
	json_set_u64(json, "flags", job->flags);
	json_set_u64(json, "filter", job->filter);
	json_set_u64(json, "pid", (uint64_t)job->pid);
	json_set_u64(json, "max_pause_ns", job->max_pause_ns);
	json_set_u64(json, "free_bytes", job->free_bytes);
	json_set_u64(json, "level", (uint64_t)job->level);
	if (job->analysis)
		json_set(json, "analysis", json_share(job->analysis));
	if (job->arm)
		json_set(json, "arm", json_share(job->arm));
	json_set_text(json, "exe", job->exe);
	json_set_message(json, "binaries", job->binaries);
	if (job->identity)
		json_set(json, "identity", json_share(job->identity));
	return json;
}

int job_from_json(struct json *json, struct job *ret)
{
	uint64_t flags = json_get_u64(json, "flags", 0), filter = json_get_u64(json, "filter", 0);
	uint64_t level = json_get_u64(json, "level", 0), pid = json_get_u64(json, "pid", 0);
	// A worker and a starter of different versions must not guess what the other means.
	if (json_get_u64(json, "version", 0) != JOB_VERSION || flags > UINT32_MAX ||
	    filter > UINT32_MAX || level > INT32_MAX || pid > INT32_MAX ||
	    (json_get(json, "analysis") && !json_is_object(json_get(json, "analysis"))) ||
	    (json_get(json, "arm") && !json_is_object(json_get(json, "arm"))) ||
	    (json_get(json, "identity") && !json_is_object(json_get(json, "identity"))))
		return -EBADMSG;
	*ret = (struct job){
		.flags = (uint32_t)flags,
		.filter = (uint32_t)filter,
		.max_pause_ns = json_get_u64(json, "max_pause_ns", 0),
		.free_bytes = json_get_u64(json, "free_bytes", 0),
		.level = (int)level,
		.pid = (pid_t)pid,
		.analysis = json_get_mutable(json, "analysis"),
		.arm = json_get_mutable(json, "arm"),
		.exe = json_get_text(json, "exe"),
		.binaries = json_get_text(json, "binaries"),
		.identity = json_get_mutable(json, "identity"),
	};
	return 0;
}

struct json *job_error_to_json(const struct snap_error *err)
{
	struct json *json = json_new_object(), *inner = json_new_object();
	json_set_text(inner, "code", snap_code_name(err->code));
	json_set_message(inner, "message", err->message);
	json_set(json, "error", inner);
	return json;
}

struct snap_error *job_error_from_json(const struct json *json)
{
	const struct json *inner = json_get(json, "error");
	if (!inner)
		return NULL;
	const char *message = json_get_text(inner, "message");
	enum snap_code code = snap_code_from_name(json_get_text(inner, "code"));
	return snap_error_new(code ? code : SNAP_FAILED, "%s",
			      message ? message : "failed for an unknown reason");
}
