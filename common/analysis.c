// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analysis.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "ipc.h"
#include "job.h"
#include "program.h"
#include "strbuf.h"

enum { CHUNK = 64 << 10 };

// It takes milliseconds; this is a machine that does not get around to anything.
#define START_NS 10000000000ULL

struct analysis {
	const char *program; ///< its name
	pid_t pid;
	int sock, lines;
	bool ready, done; ///< it has said so
	struct strbuf buf; ///< of lines, the last one incomplete
	const struct analysis_callbacks *callbacks;
};

char *analysis_to_hex(const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = malloc(len * 2 + 1);
	const uint8_t *p = data;
	if (!hex)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		hex[i * 2] = digits[p[i] >> 4];
		hex[i * 2 + 1] = digits[p[i] & 15];
	}
	hex[len * 2] = '\0';
	return hex;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *analysis_from_hex(const char *hex)
{
	size_t len = strlen(hex) / 2;
	char *text = malloc(len + 1);
	for (size_t i = 0; text && i < len; i++) {
		int high = digit(hex[i * 2]), low = digit(hex[i * 2 + 1]);
		if (high < 0 || low < 0 || !(high | low)) { // no NUL inside
			free(text);
			return NULL;
		}
		text[i] = (char)(high << 4 | low);
	}
	if (text)
		text[len] = '\0';
	return text;
}

// ---- starting ------------------------------------------------------------------------------

static void exec_analyzer(const char *path, const char *name, int sock, int lines)
{
	sigset_t none;
	// Without whoever asked there is nobody to answer.
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	// Above both numbers first, so that neither overwrites the other.
	sock = fcntl(sock, F_DUPFD, 10);
	lines = fcntl(lines, F_DUPFD, 10);
	if (sock < 0 || lines < 0 || dup2(sock, ANALYSIS_SOCKET_FD) < 0 ||
	    dup2(lines, ANALYSIS_LINES_FD) < 0)
		_exit(126);
	(void)close(STDIN_FILENO);
	(void)close_range(ANALYSIS_SOCKET_FD + 1, ~0U, 0); // those we made, on kernels that can
	// Without DEBUGINFOD_URLS, among others: libdw would go to the network.
	execle(path, name, (char *)NULL, (char *[]){ NULL });
	_exit(127);
}

static struct snap_error *start(struct analysis *run)
{
	_cleanup_free_ char *path = NULL;
	struct snap_error *err = program_find(run->program, &path);
	int pair[2], lines[2];
	if (err)
		return err;
	int r = ipc_pair(pair);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot make a socket pair");
	if (pipe2(lines, O_CLOEXEC) < 0) {
		err = snap_error_errno(SNAP_FAILED, errno, "cannot make a pipe");
		snap_closep(&pair[0]);
		snap_closep(&pair[1]);
		return err;
	}
	run->pid = fork();
	if (run->pid == 0)
		exec_analyzer(path, run->program, pair[1], lines[1]);
	int errnum = errno;
	snap_closep(&pair[1]);
	snap_closep(&lines[1]);
	run->sock = pair[0];
	run->lines = lines[0];
	if (run->pid < 0)
		return snap_error_errno(SNAP_FAILED, errnum, "cannot start %s", run->program);
	(void)fcntl(run->lines, F_SETFL, O_NONBLOCK); // only read when there is something anyway
	return NULL;
}

// ---- talking -------------------------------------------------------------------------------

static int answer(struct analysis *run, const struct json *question)
{
	const char *hex = json_get_text(question, "name");
	_cleanup_free_ char *name = hex && strlen(hex) <= (size_t)ANALYSIS_NAME_MAX * 2 ?
					    analysis_from_hex(hex) :
					    NULL;
	int fd = -EBADF;
	if (name && run->callbacks->open)
		fd = run->callbacks->open(run->callbacks->userdata, name,
					  json_get_text(question, "build_id"),
					  json_get_bool(question, "program", false));
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	json_set_bool(json, "opened", fd >= 0);
	int r = ipc_send(run->sock, json, &fd, fd >= 0, 0);
	snap_closep(&fd);
	return r;
}

/// Reads a message: a question, or the last one.
static struct snap_error *on_message(struct analysis *run)
{
	_cleanup_(json_destroyp) struct json *json = NULL;
	int fds[IPC_MAX_FDS];
	int r = ipc_recv(run->sock, &json, fds);
	if (r == -ECONNRESET) { // why is told by its exit status
		snap_closep(&run->sock);
		run->sock = -EBADF;
		return NULL;
	}
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "%s answers nonsense", run->program);
	for (int i = 0; i < IPC_MAX_FDS; i++)
		snap_closep(&fds[i]);
	if (json_get(json, "open"))
		r = answer(run, json_get(json, "open"));
	else if (json_get_bool(json, "ready", false))
		run->ready = true;
	else if (json_get_bool(json, "done", false))
		run->done = true;
	else
		return job_error_from_json(json);
	return r < 0 && r != -EPIPE && r != -ECONNRESET ?
		       snap_error_errno(SNAP_FAILED, -r, "cannot talk to %s", run->program) :
		       NULL;
}

static struct snap_error *take_line(struct analysis *run, const char *text, size_t len)
{
	_cleanup_(json_destroyp) struct json *json = json_parse(text, len);
	_cleanup_free_ char *kind = NULL;
	const char *quote = len > 2 ? memchr(text + 2, '"', len - 2) : NULL;
	if (json && quote)
		kind = strndup(text + 2, (size_t)(quote - text - 2));
	const struct json *value = kind ? json_get(json, kind) : NULL;
	if (!value)
		return snap_error_new(SNAP_FAILED, "%s answers nonsense", run->program);
	int r = run->callbacks->line(run->callbacks->userdata, kind, value);
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot take what the analysis found") :
		       NULL;
}

/// Reads what there is; at the end *ret_end is true.
static struct snap_error *on_lines(struct analysis *run, bool *ret_end)
{
	if (strbuf_reserve(&run->buf, CHUNK) < 0)
		return snap_error_oom();
	ssize_t n = read(run->lines, run->buf.data + run->buf.len, CHUNK);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return NULL;
	if (n <= 0) {
		*ret_end = true;
		return NULL;
	}
	size_t searched = run->buf.len, start = 0;
	run->buf.len += (size_t)n;
	run->buf.data[run->buf.len] = '\0';
	for (char *eol; (eol = memchr(run->buf.data + searched, '\n', run->buf.len - searched));) {
		size_t end = (size_t)(eol - run->buf.data);
		struct snap_error *err = take_line(run, run->buf.data + start, end - start);
		if (err)
			return err;
		start = searched = end + 1;
	}
	memmove(run->buf.data, run->buf.data + start, run->buf.len - start);
	run->buf.len -= start;
	if (run->buf.len > ANALYSIS_LINE_MAX)
		return snap_error_new(SNAP_FAILED, "a line of the analysis is too long");
	return NULL;
}

/// Waits for one of @fds; *ret_some is false when there is nothing yet.
static struct snap_error *wait_some(struct pollfd *fds, nfds_t n, uint64_t end_ns, bool *ret_some)
{
	uint64_t now = snap_now_ns();
	if (end_ns && now >= end_ns)
		return snap_error_new(SNAP_FAILED, "the analysis took too long");
	int r = poll(fds, n, end_ns ? (int)((end_ns - now) / 1000000 + 1) : -1);
	if (r < 0 && errno != EINTR)
		return snap_error_errno(SNAP_FAILED, errno, "cannot wait for the analysis");
	*ret_some = r > 0;
	return NULL;
}

/// Reads messages until *@said, or until it closes the socket.
static struct snap_error *await(struct analysis *run, const bool *said, uint64_t end_ns)
{
	struct snap_error *err = NULL;
	while (!err && run->sock >= 0 && !*said) {
		struct pollfd fd = { .fd = run->sock, .events = POLLIN };
		bool some = false;
		err = wait_some(&fd, 1, end_ns, &some);
		if (!err && some)
			err = on_message(run);
	}
	return err;
}

static struct snap_error *follow(struct analysis *run, uint64_t end_ns)
{
	bool end = false;
	struct snap_error *err = NULL;
	while (!err && !end) {
		struct pollfd fds[] = { { .fd = run->lines, .events = POLLIN },
					{ .fd = run->sock, .events = POLLIN } };
		bool some = false;
		err = wait_some(fds, ARRAY_SIZE(fds), end_ns, &some);
		if (err || !some)
			continue;
		// Lines first: they were written before the word that ends it.
		if (fds[0].revents)
			err = on_lines(run, &end);
		else if (fds[1].revents)
			err = on_message(run);
	}
	// The last word may still be in the socket; whoever closed the pipe need not say it.
	return err ? err : await(run, &run->done, end_ns);
}

static struct snap_error *death_error(int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return snap_error_new(SNAP_FAILED,
				      "the analysis was ended by its sandbox: it tried something "
				      "it has no business with");
	if (WIFSIGNALED(status))
		return snap_error_new(SNAP_FAILED, "the analysis ended with signal %d (%s)",
				      WTERMSIG(status), strsignal(WTERMSIG(status)));
	return snap_error_new(SNAP_FAILED, "the analysis ended with status %d",
			      WEXITSTATUS(status));
}

/// Waits for its end; what it died of, if it did not end by itself.
static struct snap_error *reap(struct analysis *run)
{
	int status = 0;
	snap_closep(&run->sock);
	snap_closep(&run->lines);
	run->sock = run->lines = -EBADF;
	while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
		;
	run->pid = -1;
	return !run->done || status ? death_error(status) : NULL;
}

static struct snap_error *create(const char *program, struct analysis **ret)
{
	_cleanup_(analysis_destroyp) struct analysis *run = calloc(1, sizeof(*run));
	if (!run)
		return snap_error_oom();
	run->program = program;
	run->pid = -1;
	run->sock = run->lines = -EBADF;
	struct snap_error *err = start(run);
	if (err)
		return err;
	*ret = TAKE_PTR(run);
	return NULL;
}

struct snap_error *analysis_create(struct analysis **ret)
{
	return create("procsnap-analyze", ret);
}

struct snap_error *analysis_create_unwinder(struct analysis **ret)
{
	return create("procsnap-unwind", ret);
}

void analysis_destroy(struct analysis *analysis)
{
	if (!analysis)
		return;
	if (analysis->pid > 0) {
		(void)kill(analysis->pid, SIGKILL); // our own child, not yet waited for
		snap_error_destroy(reap(analysis));
	}
	snap_closep(&analysis->sock);
	snap_closep(&analysis->lines);
	strbuf_deinit(&analysis->buf);
	free(analysis);
}

struct snap_error *analysis_await_ready(struct analysis *analysis)
{
	struct snap_error *err = await(analysis, &analysis->ready, snap_now_ns() + START_NS);
	return err || analysis->ready ? err : reap(analysis);
}

struct snap_error *analysis_run(struct analysis *analysis, const int fds[ANALYSIS_FD_MAX],
				struct json *request, const struct analysis_callbacks *callbacks,
				uint64_t deadline_ns)
{
	analysis->callbacks = callbacks;
	json_set_u64(request, "version", ANALYSIS_VERSION);
	size_t n = fds[ANALYSIS_FD_MEMORY] >= 0 ? 2 : 1;
	int r = ipc_send(analysis->sock, request, fds, n, 0);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return snap_error_errno(SNAP_FAILED, -r, "cannot talk to %s", analysis->program);
	struct snap_error *err = follow(analysis, deadline_ns ? snap_now_ns() + deadline_ns : 0);
	return err ? err : reap(analysis);
}
