// SPDX-License-Identifier: LGPL-2.1-or-later
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "common/fd.h"
#include "common/ipc.h"
#include "common/jobstart.h"

struct running {
	pid_t pid;
	int sock, signals;
	bool asked; ///< a signal came, and the worker was told
	bool cancelled; ///< and was killed then
};

/// How long a cancelled worker has to end by itself.
enum { CANCEL_MS = 2000 };

static void cancel_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void worker_block_signals(void)
{
	sigset_t set;
	cancel_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int worker_signalfd(void)
{
	sigset_t set;
	cancel_signals(&set);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool signalled;

bool worker_take_signal(int signalfd)
{
	struct signalfd_siginfo si;
	bool came = read(signalfd, &si, sizeof(si)) == (ssize_t)sizeof(si);
	signalled |= came;
	return came;
}

bool worker_signalled(void)
{
	sigset_t pending;
	if (signalled || sigpending(&pending) < 0)
		return signalled;
	return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
	       sigismember(&pending, SIGHUP) == 1;
}

static void on_signal(struct running *run)
{
	if (!worker_take_signal(run->signals))
		return;
	if (!run->asked) {
		run->asked = true;
		(void)kill(run->pid, SIGTERM);
		return;
	}
	run->cancelled = true;
	(void)kill(run->pid, SIGKILL);
}

/// Reads messages until the last one. *ret stays NULL when the worker went away without it.
static struct snap_error *follow(struct running *run, const struct job *job, const char *label,
				 struct progress *progress, struct json **ret)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = run->sock, .events = POLLIN },
					{ .fd = run->signals, .events = POLLIN } };
		bool impatient = run->asked && !(job->flags & JOB_KEEP_PARTIAL);
		int r = poll(fds, ARRAY_SIZE(fds), impatient ? CANCEL_MS : -1);
		if (r < 0 && errno != EINTR)
			return snap_error_errno(SNAP_FAILED, errno, "cannot wait for the worker");
		if (r == 0) {
			run->cancelled = true;
			(void)kill(run->pid, SIGKILL);
		}
		if (r <= 0)
			continue;
		if (fds[1].revents)
			on_signal(run);
		if (!fds[0].revents)
			continue;
		struct json *json;
		int none[IPC_MAX_FDS];
		if (ipc_recv(run->sock, &json, none) < 0)
			return NULL;
		for (int i = 0; i < IPC_MAX_FDS; i++)
			snap_closep(&none[i]);
		const struct json *p = json_get(json, "progress");
		if (!p) {
			*ret = json;
			return NULL;
		}
		const char *phase = json_get_text(p, "phase");
		progress_show(progress, label, phase ? phase : "", json_get_u64(p, "done", 0),
			      json_get_u64(p, "total", 0));
		json_destroy(json);
	}
}

/// Why a worker ended without a last word.
static struct snap_error *death_error(const struct running *run, int status, pid_t pid)
{
	if (run->cancelled)
		return snap_error_new(SNAP_CANCELLED,
				      "the dump of process %d was cancelled; it runs on unharmed",
				      pid);
	if (WIFSIGNALED(status))
		return snap_error_new(SNAP_FAILED,
				      "procsnap-worker was killed by signal %d (%s) while it "
				      "dumped process %d, which runs on unharmed%s",
				      WTERMSIG(status), strsignal(WTERMSIG(status)), pid,
				      WTERMSIG(status) == SIGKILL ?
					      "; it ends itself so when it is stuck for 5 s" :
					      "");
	return snap_error_new(SNAP_FAILED, "procsnap-worker ended with status %d",
			      WEXITSTATUS(status));
}

struct snap_error *worker_pin(pid_t pid, struct pidref *ret)
{
	int r = pidref_open(pid, ret);
	if (r == -ESRCH)
		return snap_error_new(SNAP_NO_PROCESS, "there is no process %d", pid);
	if (r == -EINVAL)
		return snap_error_new(SNAP_NO_PROCESS,
				      "%d is a thread, not a process; see Tgid in /proc/%d/status",
				      pid, pid);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot open process %d", pid);
	return NULL;
}

struct snap_error *worker_run(const struct job *job, const struct pidref *ref, int spool,
			      int output, const char *label, struct progress *progress,
			      struct json **ret)
{
	// What is changed in a process is kept by whoever changes it: client_arm().
	if (!(job->flags & JOB_ARM) && client_is_there())
		return client_run(job, ref, spool, output, false, label, progress, ret);
	struct running run = { .pid = -1, .sock = -EBADF };
	run.signals = worker_signalfd();
	if (run.signals < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot watch for signals");
	_cleanup_(json_destroyp) struct json *last = NULL;
	int status = 0;
	struct snap_error *err = job_start(&run.pid, &run.sock);
	if (!err)
		err = job_send(run.sock, job,
			       (const int[JOB_FD_MAX]){ ref->pidfd, spool, output, -EBADF });
	if (!err)
		err = follow(&run, job, label, progress, &last);
	if (err && run.pid > 0)
		(void)kill(run.pid, SIGKILL);
	snap_closep(&run.sock);
	while (run.pid > 0 && waitpid(run.pid, &status, 0) < 0 && errno == EINTR)
		;
	snap_closep(&run.signals);
	progress_wipe(progress);
	if (err)
		return err;
	if (!last)
		return death_error(&run, status, ref->pid);
	err = job_error_from_json(last);
	if (err)
		return err;
	// Out of the message, so that the caller owns it alone.
	const char *text = json_text(json_get(last, "result"));
	*ret = text ? json_parse(text, strlen(text)) : NULL;
	return *ret ? NULL : snap_error_oom();
}
