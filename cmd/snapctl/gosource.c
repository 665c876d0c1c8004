// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gosource.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "captured.h"
#include "client.h"
#include "common/analysis.h"
#include "common/fd.h"
#include "common/opener.h"
#include "common/str.h"
#include "common/summary.h"
#include "worker.h"

struct reading {
	const struct gosource *source;
	struct opener opener;
	int (*line)(void *userdata, const char *kind, const struct json *value);
	void *userdata;
};

static int on_open(void *userdata, const char *name, const char *build_id, bool is_program)
{
	const struct reading *r = userdata;
	return opener_open(&r->opener, name, build_id, is_program);
}

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	const struct reading *r = userdata;
	return strcmp(kind, "summary") != 0 ? r->line(r->userdata, kind, value) :
					      summary_replay(value, r->line, r->userdata);
}

static struct snap_error *read_core(struct reading *r, struct json *request)
{
	const char *what = r->source->what;
	const struct analysis_callbacks callbacks = { on_open, on_line, r };
	_cleanup_(analysis_destroyp) struct analysis *analysis = NULL;
	_cleanup_(json_destroyp) struct json *reply = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct snap_error *err = NULL;
	if (client_is_id(what) && client_is_there()) {
		err = client_get(what, &reply, &fd);
		if (err)
			return err;
	} else {
		fd = open(what, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	if (fd < 0)
		return snap_error_errno(errno == EACCES ? SNAP_NOT_PERMITTED : SNAP_FAILED, errno,
					"cannot open '%s'", what);
	const char *file = json_get_text(json_get(reply, "entry"), "file");
	_cleanup_free_ char *binaries = captured_find(fd, file ? file : what);
	r->opener.binaries = binaries;
	json_set_bool(request, "attached", r->source->attached);
	const int fds[ANALYSIS_FD_MAX] = { fd, -EBADF };
	err = analysis_create(&analysis);
	if (!err)
		err = analysis_run(analysis, fds, request, &callbacks, 0);
	r->opener.binaries = NULL;
	return snap_error_wrap(err, "'%s'", what);
}

// ---- live processes ------------------------------------------------------------------------

/// A file without a name for what may be as large as all the goroutines of a large program.
static int open_lines(void)
{
	const char *tmp = secure_getenv("TMPDIR");
	return open(tmp && *tmp ? tmp : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static struct snap_error *give_line(struct reading *r, const char *text, size_t len)
{
	_cleanup_(json_destroyp) struct json *json = json_parse(text, len);
	const char *kind = json_key_at(json, 0);
	int e = kind ? r->line(r->userdata, kind, json_get(json, kind)) : -EBADMSG;
	return e < 0 ? snap_error_errno(SNAP_FAILED, -e, "cannot take what the analysis found") :
		       NULL;
}

static struct snap_error *give_lines(struct reading *r, int fd)
{
	int copy = dup(fd);
	_cleanup_fclose_ FILE *in = copy < 0 ? NULL : fdopen(copy, "r");
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	struct snap_error *err = NULL;
	if (!in)
		return snap_error_oom();
	rewind(in);
	for (ssize_t n; !err && (n = getline(&text, &size, in)) > 0;)
		err = give_line(r, text, (size_t)(n - (text[n - 1] == '\n')));
	return err;
}

static struct snap_error *read_process(struct reading *r, pid_t pid, struct json *request,
				       uint64_t *ret_pause_ns)
{
	struct job job = { .flags = JOB_ANALYZE,
			   .pid = pid,
			   .max_pause_ns = r->source->max_pause_ns,
			   .analysis = request,
			   .exe = r->source->exe };
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	_cleanup_(json_destroyp) struct json *result = NULL;
	_cleanup_close_ int lines = open_lines();
	struct progress progress;
	char label[32];
	worker_block_signals();
	if (r->source->attached)
		return snap_error_new(SNAP_USAGE, "--attached is for cores, not for processes");
	if (lines < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot make a temporary file");
	struct snap_error *err = worker_pin(pid, &ref);
	if (err)
		return err;
	(void)snprintf(label, sizeof(label), "process %d", pid);
	progress_begin(&progress, !r->source->quiet);
	err = worker_run(&job, &ref, lines, -EBADF, label, &progress, &result);
	if (err)
		return err;
	*ret_pause_ns = json_get_u64(result, "pause_ns", 0);
	return give_lines(r, lines);
}

struct snap_error *gosource_run(const struct gosource *source, struct json *request,
				int (*line)(void *userdata, const char *kind,
					    const struct json *value),
				void *userdata, uint64_t *ret_pause_ns)
{
	struct reading r = { .source = source,
			     .opener = { .exe = source->exe, .piddir = -EBADF },
			     .line = line,
			     .userdata = userdata };
	uint64_t pid;
	*ret_pause_ns = 0;
	if (!source->is_core && snap_parse_u64(source->what, &pid) == 0 && pid > 0 &&
	    pid <= INT32_MAX)
		return read_process(&r, (pid_t)pid, request, ret_pause_ns);
	return read_core(&r, request);
}
