// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * procsnap-analyze: reads a core and tells what the Go programs in it were doing.
 *
 * Started by snapctl and procsnap-worker with a socket as descriptor 3 and a pipe as descriptor 1;
 * see common/analysis.h. It has no other way to the world.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "analyzer/analyze.h"
#include "analyzer/sandbox.h"
#include "common/analysis.h"
#include "common/fd.h"
#include "common/ipc.h"
#include "common/job.h"

enum {
	// Ten million goroutines, which is ten times what anybody has shown.
	MEMORY_BYTES = 2U << 30,
	CPU_SECONDS = 600,
};

static int open_by_question(void *userdata _unused_, const char *name,
			    const struct elf_build_id *id, bool is_program)
{
	_cleanup_(json_destroyp) struct json *json = json_new_object(), *reply = NULL;
	struct json *question = json_new_object();
	_cleanup_free_ char *name_hex = analysis_to_hex(name, strlen(name));
	_cleanup_free_ char *id_hex = id ? analysis_to_hex(id->bytes, id->size) : NULL;
	int fds[IPC_MAX_FDS] = { -EBADF, -EBADF, -EBADF, -EBADF };
	json_set_message(question, "name", name_hex);
	json_set_message(question, "build_id", id_hex);
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

static int write_line(void *userdata _unused_, const char *kind, struct json *value)
{
	_cleanup_(json_destroyp) struct json *line = json_new_object();
	json_set(line, kind, value);
	const char *text = json_text(line);
	if (!text)
		return -ENOMEM;
	int r = snap_write_all(ANALYSIS_LINES_FD, text, strlen(text));
	return r < 0 ? r : snap_write_all(ANALYSIS_LINES_FD, "\n", 1);
}

static struct snap_error *get_ready(void)
{
	const struct sandbox_limits limits = { MEMORY_BYTES, CPU_SECONDS };
	// Made outside: with its first object json-c asks for random numbers to hash keys with.
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	json_set_bool(json, "ready", true);
	struct snap_error *err = sandbox_enter(&limits);
	int r = err ? 0 : ipc_send(ANALYSIS_SOCKET_FD, json, NULL, 0, 0);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "nobody asks procsnap-analyze anything") :
		       err;
}

static struct snap_error *receive(struct json **ret, int fds[static IPC_MAX_FDS])
{
	int r = ipc_recv(ANALYSIS_SOCKET_FD, ret, fds);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r,
					"procsnap-analyze got no request it understands");
	if (json_get_u64(*ret, "version", 0) != ANALYSIS_VERSION || fds[ANALYSIS_FD_CORE] < 0)
		return snap_error_new(SNAP_FAILED,
				      "procsnap-analyze got no request it understands; it is "
				      "started by snapctl, of the same version");
	return NULL;
}

static struct snap_error *run(void)
{
	const struct image_opener opener = { open_by_question, NULL };
	const struct report_sink sink = { write_line, NULL };
	_cleanup_(json_destroyp) struct json *request = NULL;
	int fds[IPC_MAX_FDS]; // closed by the end of the process
	struct snap_error *err = get_ready();
	if (!err)
		err = receive(&request, fds);
	return err ? err :
		     analyze(fds[ANALYSIS_FD_CORE], fds[ANALYSIS_FD_MEMORY], request, &opener,
			     &sink);
}

int main(int argc, char *argv[])
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("procsnap-analyze %s\n", PROCSNAP_VERSION);
		return 0;
	}
	if (argc != 1) {
		fprintf(stderr, "procsnap-analyze is started by snapctl; see snapctl(1)\n");
		return SNAP_USAGE;
	}
	_cleanup_(json_destroyp) struct json *last = NULL;
	struct snap_error *err = run();
	if (err) {
		last = job_error_to_json(err);
	} else {
		last = json_new_object();
		json_set_bool(last, "done", true);
	}
	snap_error_destroy(err);
	return ipc_send(ANALYSIS_SOCKET_FD, last, NULL, 0, 0) < 0 ? SNAP_FAILED : 0;
}
