// SPDX-License-Identifier: LGPL-2.1-or-later
#include "jobstart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "fd.h"
#include "ipc.h"
#include "program.h"

static void exec_worker(const char *path, int sock)
{
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM); // to cancel it, which it knows how to do only a moment later
	(void)sigprocmask(SIG_SETMASK, &term, NULL);
	// Ctrl-C and Ctrl-Z at the terminal are for snapctl, which knows what to do.
	(void)setsid();
	if (sock == JOB_SOCKET_FD)
		(void)fcntl(sock, F_SETFD, 0);
	else
		(void)dup2(sock, JOB_SOCKET_FD);
	execl(path, "procsnap-worker", (char *)NULL);
	_exit(127);
}

struct snap_error *job_start(pid_t *ret_pid, int *ret_sock)
{
	_cleanup_free_ char *path = NULL;
	struct snap_error *err = program_find("procsnap-worker", &path);
	if (err)
		return err;
	int pair[2];
	int r = ipc_pair(pair);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot make a socket pair");
	pid_t pid = fork();
	if (pid == 0)
		exec_worker(path, pair[1]);
	int errnum = errno;
	snap_closep(&pair[1]);
	if (pid < 0) {
		snap_closep(&pair[0]);
		return snap_error_errno(SNAP_FAILED, errnum, "cannot start procsnap-worker");
	}
	*ret_pid = pid;
	*ret_sock = pair[0];
	return NULL;
}

_Static_assert((int)JOB_FD_MAX <= (int)IPC_MAX_FDS, "a message has room for all of them");

struct snap_error *job_send(int sock, const struct job *job, const int fds[static JOB_FD_MAX])
{
	_cleanup_(json_destroyp) struct json *json = job_to_json(job);
	size_t n = JOB_FD_MAX;
	while (n > 1 && fds[n - 1] < 0)
		n--;
	int r = ipc_send(sock, json, fds, n, 0);
	return r < 0 && r != -EPIPE && r != -ECONNRESET ?
		       snap_error_errno(SNAP_FAILED, -r, "cannot talk to procsnap-worker") :
		       NULL;
}
