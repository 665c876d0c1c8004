// SPDX-License-Identifier: LGPL-2.1-or-later
#include "denial.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "procfs.h"

struct snap_error *denial_traced(pid_t pid, pid_t tracer)
{
	char path[64];
	_cleanup_free_ char *comm = NULL, *shown = NULL;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", tracer);
	ssize_t n = snap_read_file_at(AT_FDCWD, path, 4096, &comm);
	if (n > 0)
		shown = snap_escape(comm, (size_t)n - (comm[n - 1] == '\n'));
	return snap_error_new(SNAP_TRACED,
			      "process %d is already traced by process %d ('%s'): "
			      "only one debugger can be attached; end or detach it first",
			      pid, tracer, shown ? shown : "?");
}

/// Yama's ptrace_scope, 0 when there is no Yama.
static int64_t yama_scope(void)
{
	_cleanup_free_ char *text = NULL;
	int64_t scope = 0;
	if (snap_read_file_at(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", 64, &text) > 0)
		(void)snap_parse_i64(text, &scope); // unreadable: as if there were none
	return scope;
}

static struct snap_error *permission_error(pid_t pid, const struct procfs_status *st, int errnum,
					   const char *what)
{
	int64_t scope = yama_scope();
	if (scope >= 3)
		return snap_error_errno(SNAP_NOT_PERMITTED, errnum,
					"cannot %s process %d: kernel.yama.ptrace_scope=3 forbids "
					"attaching to any process until the next boot",
					what, pid);
	if (geteuid() == 0)
		return snap_error_errno(SNAP_NOT_PERMITTED, errnum,
					"cannot %s process %d although root: CAP_SYS_PTRACE is "
					"missing (a container?), or a security module forbids it",
					what, pid);
	if (st && st->uid != geteuid())
		return snap_error_errno(SNAP_NOT_PERMITTED, errnum,
					"cannot %s process %d: it belongs to uid %u; run as root",
					what, pid, st->uid);
	if (scope >= 1)
		return snap_error_errno(SNAP_NOT_PERMITTED, errnum,
					"cannot %s process %d: kernel.yama.ptrace_scope=%lld "
					"allows it only with CAP_SYS_PTRACE; run as root",
					what, pid, (long long)scope);
	return snap_error_errno(SNAP_NOT_PERMITTED, errnum,
				"cannot %s process %d: it is set-user-ID, has more privileges than "
				"you, or made itself non-dumpable; run as root",
				what, pid);
}

struct snap_error *denial_from_errno(pid_t pid, int procfd, int errnum, const char *what)
{
	struct procfs_status st;
	bool known = procfs_read_status(procfd, "status", &st) == 0;
	if (errnum == ESRCH || errnum == ENOENT || (!known && errnum != EPERM && errnum != EACCES))
		return snap_error_new(SNAP_NO_PROCESS, "process %d ended before it could be dumped",
				      pid);
	if (known && st.tracer_pid && (errnum == EPERM || errnum == EACCES))
		return denial_traced(pid, st.tracer_pid);
	if (errnum == EPERM || errnum == EACCES)
		return permission_error(pid, known ? &st : NULL, errnum, what);
	return snap_error_errno(SNAP_FAILED, errnum, "cannot %s process %d", what, pid);
}
