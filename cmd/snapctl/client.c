// SPDX-License-Identifier: LGPL-2.1-or-later
#include "client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/varlink.h"
#include "worker.h"

// How long the daemon has to end a job.
#define CANCEL_NS 5000000000ULL

static bool direct;

void client_set_direct(void)
{
	direct = true;
}

static struct snap_error *connect_daemon(int *ret)
{
	const char *path = secure_getenv("PROCSNAP_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (!path || !*path)
		path = "/run/procsnap/io.procsnap";
	if (direct)
		return snap_error_new(SNAP_FAILED, "--direct means without procsnapd");
	if (strlen(path) >= sizeof(address.sun_path))
		return snap_error_new(SNAP_FAILED, "PROCSNAP_SOCKET is too long for a socket");
	memcpy(address.sun_path, path, strlen(path) + 1);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return snap_error_errno(SNAP_FAILED, errno,
					"procsnapd, which has to run for this, does not "
					"answer at '%s'",
					path);
	*ret = TAKE_FD(fd);
	return NULL;
}

bool client_is_there(void)
{
	static int there = -1;
	int fd = -EBADF;
	if (direct)
		return false;
	if (there < 0) {
		struct snap_error *err = connect_daemon(&fd);
		there = !err;
		snap_error_destroy(err);
		snap_closep(&fd);
	}
	return there;
}

// ---- a call --------------------------------------------------------------------------------

struct talk {
	const struct client_call *call;
	struct varlink link;
	int signals; ///< -EBADF when nothing cancels
	bool cancelled;
	uint64_t cancel_end_ns; ///< when we stop to wait for the end; 0: never
};

static void on_signal(struct talk *talk)
{
	if (!worker_take_signal(talk->signals))
		return;
	if (talk->cancelled) { // a second one
		talk->cancel_end_ns = 1;
		return;
	}
	talk->cancelled = true;
	if (!talk->call->patient)
		talk->cancel_end_ns = snap_now_ns() + CANCEL_NS;
	(void)shutdown(talk->link.fd, SHUT_WR); // the daemon takes it for "enough"
}

static struct snap_error *cancelled_error(void)
{
	return snap_error_new(SNAP_CANCELLED, "cancelled; the process runs on unharmed");
}

static struct snap_error *closed_error(void)
{
	return snap_error_new(SNAP_FAILED,
			      "procsnapd has closed the connection: it ended, or serves "
			      "too many already; see its log");
}

/// Waits until the daemon has said something; *ret_some is false after a signal.
static struct snap_error *wait_some(struct talk *talk, bool *ret_some)
{
	struct pollfd fds[] = { { .fd = talk->link.fd, .events = POLLIN },
				{ .fd = talk->signals, .events = POLLIN } };
	uint64_t now = snap_now_ns(), end = talk->cancel_end_ns, late = talk->call->deadline_ns;
	*ret_some = false;
	if (end && now >= end)
		return cancelled_error();
	if (late && now >= late)
		return snap_error_new(SNAP_CANCELLED, "nothing came in time");
	end = late && (!end || late < end) ? late : end;
	if (varlink_unsent(&talk->link))
		fds[0].events |= POLLOUT;
	uint64_t ms = end ? (end - now) / 1000000 + 1 : 0;
	int r = poll(fds, ARRAY_SIZE(fds), end ? (int)MIN(ms, (uint64_t)INT_MAX) : -1);
	if (r < 0 && errno != EINTR)
		return snap_error_errno(SNAP_FAILED, errno, "cannot wait for procsnapd");
	if (r > 0 && fds[1].revents)
		on_signal(talk);
	if (talk->cancelled && varlink_unsent(&talk->link))
		return cancelled_error(); // it was not even asked
	if (r > 0 && fds[0].revents & POLLOUT && varlink_flush(&talk->link) < 0)
		return closed_error();
	*ret_some = r > 0 && fds[0].revents & (POLLIN | POLLHUP | POLLERR);
	return NULL;
}

/// The next message.
static struct snap_error *receive(struct talk *talk, struct json **ret)
{
	for (;;) {
		int r = varlink_next(&talk->link, ret);
		if (r > 0)
			return NULL;
		bool some;
		struct snap_error *err = r < 0 ? NULL : wait_some(talk, &some);
		if (err)
			return err;
		if (r == 0 && some)
			r = varlink_fill(&talk->link);
		if (r == -ECONNRESET && talk->cancelled)
			return cancelled_error();
		if (r == -ECONNRESET)
			return closed_error();
		if (r < 0)
			return snap_error_errno(SNAP_FAILED, -r, "procsnapd answers nonsense");
	}
}

/// The error of a reply; NULL when it has none.
static struct snap_error *error_from(const struct json *message)
{
	const char *name = json_get_text(message, "error");
	const struct json *p = json_get(message, "parameters");
	const char *text = json_get_text(p, "message"), *code = json_get_text(p, "code");
	if (!name)
		return NULL;
	enum snap_code number = snap_code_from_name(code ? code : "failed");
	return snap_error_new(number ? number : SNAP_FAILED, "%s", text ? text : name);
}

static struct snap_error *talk_through(struct talk *talk, struct json **ret, int *ret_fd)
{
	for (;;) {
		_cleanup_(json_destroyp) struct json *message = NULL;
		struct snap_error *err = receive(talk, &message);
		if (!err)
			err = error_from(message);
		if (err)
			return err;
		const struct json *parameters = json_get(message, "parameters");
		if (json_get_bool(message, "continues", false)) {
			if (talk->call->progress)
				talk->call->progress(talk->call->userdata, parameters);
			continue;
		}
		if (ret_fd)
			*ret_fd = varlink_take_fd(&talk->link,
						  (size_t)json_get_u64(parameters, "fileDescriptor",
								       SIZE_MAX));
		// Out of the message, so that the caller owns it alone.
		const char *text = json_is_object(parameters) ? json_text(parameters) : "{}";
		struct json *own = text ? json_parse(text, strlen(text)) : NULL;
		if (ret)
			*ret = own;
		else
			json_destroy(own);
		return own ? NULL : snap_error_oom();
	}
}

static struct snap_error *begin(struct talk *talk)
{
	const struct client_call *call = talk->call;
	_cleanup_(json_destroyp) struct json *message = json_new_object();
	_cleanup_free_ char *method = NULL;
	int fd = -EBADF;
	struct snap_error *err = connect_daemon(&fd);
	if (err)
		return err;
	varlink_init(&talk->link, fd, VARLINK_REPLY_MAX);
	if (asprintf(&method, "io.procsnap.%s", call->method) < 0) {
		method = NULL;
		return snap_error_oom();
	}
	json_set_text(message, "method", method);
	json_set(message, "parameters", json_share(call->parameters));
	json_set_bool(message, "more", call->progress);
	int r = varlink_queue(&talk->link, message, call->fds, call->n_fds);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot ask procsnapd") : NULL;
}

struct snap_error *client_call(const struct client_call *call, struct json **ret, int *ret_fd)
{
	struct talk talk = { .call = call, .link.fd = -EBADF, .signals = -EBADF };
	if (ret_fd)
		*ret_fd = -EBADF;
	if (call->cancellable)
		talk.signals = worker_signalfd();
	struct snap_error *err = begin(&talk);
	if (!err)
		err = talk_through(&talk, ret, ret_fd);
	varlink_deinit(&talk.link);
	snap_closep(&talk.signals);
	return err;
}

// ---- jobs ----------------------------------------------------------------------------------

struct shown {
	const char *label;
	struct progress *progress;
};

static void on_progress(void *userdata, const struct json *parameters)
{
	const struct shown *shown = userdata;
	const struct json *p = json_get(parameters, "progress");
	const char *phase = json_get_text(p, "phase");
	char text[48];
	(void)snprintf(text, sizeof(text), "%s",
		       phase ? phase : "waiting for other jobs of procsnapd");
	progress_show(shown->progress, shown->label, text, json_get_u64(p, "done", 0),
		      json_get_u64(p, "total", 0));
}

static void set_if(struct json *p, const char *name, bool value)
{
	if (value)
		json_set_bool(p, name, true);
}

void client_allow_questions(struct json *parameters)
{
	if (isatty(STDIN_FILENO)) // somebody is there
		json_set_bool(parameters, "allowInteractiveAuthentication", true);
}

static struct json *dump_parameters(const struct job *job)
{
	struct json *p = json_new_object();
	json_set_u64(p, "pid", (uint64_t)job->pid);
	json_set_u64(p, "pidFileDescriptor", 0);
	set_if(p, "all", job->flags & JOB_ALL);
	set_if(p, "withBinaries", job->flags & JOB_WITH_BINARIES);
	set_if(p, "stacks", job->flags & JOB_STACKS);
	set_if(p, "noSummary", job->flags & JOB_NO_SUMMARY);
	set_if(p, "keepPartial", job->flags & JOB_KEEP_PARTIAL);
	set_if(p, "dryRun", job->flags & JOB_DRY_RUN);
	set_if(p, "stream", job->flags & JOB_STREAM);
	set_if(p, "sync", job->flags & JOB_SYNC);
	if (job->flags & JOB_MODES)
		json_set_text(p, "mode",
			      job->flags & JOB_COPY ? "copy" :
			      job->flags & JOB_FORK ? "fork" :
						      "precopy");
	if (job->flags & JOB_HAS_FILTER)
		json_set_u64(p, "filter", job->filter);
	if (job->flags & JOB_COMPRESS)
		json_set_u64(p, "compress", (uint64_t)job->level);
	if (job->max_pause_ns)
		json_set_u64(p, "maxPauseNSec", job->max_pause_ns);
	if (job->free_bytes)
		json_set_u64(p, "freeBytes", job->free_bytes);
	client_allow_questions(p);
	return p;
}

static struct json *goroutines_parameters(const struct job *job)
{
	struct json *p = json_new_object();
	json_set_u64(p, "pid", (uint64_t)job->pid);
	json_set_u64(p, "pidFileDescriptor", 0);
	json_set_u64(p, "fileDescriptor", 1);
	json_set(p, "request", json_share(job->analysis));
	if (job->exe) { // the daemon is in another folder
		_cleanup_free_ char *path = realpath(job->exe, NULL);
		json_set_text(p, "exe", path ? path : job->exe);
	}
	if (job->max_pause_ns)
		json_set_u64(p, "maxPauseNSec", job->max_pause_ns);
	client_allow_questions(p);
	return p;
}

struct snap_error *client_run(const struct job *job, const struct pidref *ref, int spool,
			      int output, bool store, const char *label, struct progress *progress,
			      struct json **ret)
{
	bool analyze = job->flags & JOB_ANALYZE;
	struct shown shown = { label, progress };
	const int fds[] = { ref->pidfd, spool, output };
	_cleanup_(json_destroyp) struct json *parameters = analyze ? goroutines_parameters(job) :
								     dump_parameters(job);
	_cleanup_(json_destroyp) struct json *reply = NULL;
	if (!analyze && !store && spool >= 0)
		json_set_u64(parameters, output >= 0 ? "spoolFileDescriptor" : "fileDescriptor", 1);
	if (output >= 0)
		json_set_u64(parameters, "fileDescriptor", 2);
	struct client_call call = { .method = analyze ? "Goroutines" : "Dump",
				    .parameters = parameters,
				    .fds = fds,
				    .n_fds = output >= 0 ? 3 :
					     spool >= 0	 ? 2 :
							   1,
				    .progress = on_progress,
				    .userdata = &shown,
				    .cancellable = true,
				    .patient = job->flags & JOB_KEEP_PARTIAL };
	struct snap_error *err = client_call(&call, &reply, NULL);
	progress_wipe(progress);
	if (err)
		return err;
	const char *text = json_text(json_get(reply, "result"));
	*ret = text ? json_parse(text, strlen(text)) : NULL;
	if (!*ret)
		return snap_error_new(SNAP_FAILED, "procsnapd answers nonsense");
	if (store) {
		json_set_message(*ret, "id", json_get_text(reply, "id"));
		json_set_message(*ret, "path", json_get_text(reply, "path"));
	}
	return NULL;
}

struct snap_error *client_arm(enum client_arm what, const struct pidref *ref, bool ask,
			      enum armstate *ret_state, struct json **ret)
{
	_cleanup_(json_destroyp) struct json *parameters = json_new_object(), *reply = NULL;
	const struct client_call call = { .method = what == CLIENT_DISARM ? "Disarm" : "Arm",
					  .parameters = parameters,
					  .fds = &ref->pidfd,
					  .n_fds = 1,
					  .cancellable = true };
	json_set_u64(parameters, "pid", (uint64_t)ref->pid);
	json_set_u64(parameters, "pidFileDescriptor", 0);
	set_if(parameters, "dryRun", what == CLIENT_ARM_DRY);
	if (ask)
		client_allow_questions(parameters);
	struct snap_error *err = client_call(&call, &reply, NULL);
	if (err)
		return err;
	const char *text = json_text(json_get(reply, "result"));
	enum armstate state = armstate_from_name(json_get_text(reply, "state"));
	struct json *found = text ? json_parse(text, strlen(text)) : NULL;
	if (!found || state == ARMSTATE_MAX) {
		json_destroy(found);
		return snap_error_new(SNAP_FAILED, "procsnapd answers nonsense");
	}
	*ret_state = state;
	*ret = found;
	return NULL;
}

// ---- dumps in the store --------------------------------------------------------------------

bool client_is_id(const char *what)
{
	size_t len = strlen(what);
	return len >= 4 && len <= 13 &&
	       strspn(what, "0123456789abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len &&
	       access(what, F_OK) < 0;
}

struct snap_error *client_get(const char *id, struct json **ret, int *ret_fd)
{
	_cleanup_(json_destroyp) struct json *parameters = json_new_object();
	json_set_text(parameters, "id", id);
	const struct client_call call = { .method = "Get", .parameters = parameters };
	return client_call(&call, ret, ret_fd);
}
