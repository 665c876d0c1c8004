// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyst.h"

#include <errno.h>
#include <string.h>

#include "analysis.h"
#include "fd.h"
#include "job.h"

void analyst_prepare(void)
{
	struct json *json = json_new_object();
	json_set_bool(json, "first", true);
	json_destroy(json);
}

static struct snap_error *receive(struct json **ret, int fds[static IPC_MAX_FDS])
{
	int r = ipc_recv(ANALYSIS_SOCKET_FD, ret, fds);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "%s got no request it understands",
					program_invocation_short_name);
	if (json_get_u64(*ret, "version", 0) != ANALYSIS_VERSION || fds[ANALYSIS_FD_CORE] < 0)
		return snap_error_new(SNAP_FAILED,
				      "%s got no request it understands; it is started by "
				      "snapctl, of the same version",
				      program_invocation_short_name);
	return NULL;
}

struct snap_error *analyst_begin(struct json **ret, int fds[static IPC_MAX_FDS])
{
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	json_set_bool(json, "ready", true);
	int r = ipc_send(ANALYSIS_SOCKET_FD, json, NULL, 0, 0);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "nobody asks %s anything",
					program_invocation_short_name) :
		       receive(ret, fds);
}

int analyst_open(const char *name, const char *build_id, bool is_program)
{
	_cleanup_(json_destroyp) struct json *json = json_new_object(), *reply = NULL;
	struct json *question = json_new_object();
	_cleanup_free_ char *name_hex = analysis_to_hex(name, strlen(name));
	int fds[IPC_MAX_FDS] = { -EBADF, -EBADF, -EBADF, -EBADF };
	json_set_message(question, "name", name_hex);
	json_set_message(question, "build_id", build_id);
	json_set_bool(question, "program", is_program);
	json_set(json, "open", question);
	int r = ipc_send(ANALYSIS_SOCKET_FD, json, NULL, 0, 0);
	if (r == 0)
		r = ipc_recv(ANALYSIS_SOCKET_FD, &reply, fds);
	if (r < 0)
		return r;
	for (int i = 1; i < IPC_MAX_FDS; i++)
		snap_closep(&fds[i]);
	if (json_get_bool(reply, "opened", false) && fds[0] >= 0)
		return fds[0];
	snap_closep(&fds[0]);
	return -ENOENT;
}

int analyst_say(const char *kind, struct json *value)
{
	_cleanup_(json_destroyp) struct json *line = json_new_object();
	json_set(line, kind, value);
	const char *text = json_text(line);
	if (!text)
		return -ENOMEM;
	int r = snap_write_all(ANALYSIS_LINES_FD, text, strlen(text));
	return r < 0 ? r : snap_write_all(ANALYSIS_LINES_FD, "\n", 1);
}

int analyst_end(struct snap_error *err)
{
	_cleanup_(json_destroyp) struct json *last = NULL;
	if (err) {
		last = job_error_to_json(err);
	} else {
		last = json_new_object();
		json_set_bool(last, "done", true);
	}
	snap_error_destroy(err);
	return ipc_send(ANALYSIS_SOCKET_FD, last, NULL, 0, 0) < 0 ? SNAP_FAILED : 0;
}
