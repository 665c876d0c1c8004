// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pidref.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "fd.h"
#include "str.h"

int pidref_open(pid_t pid, struct pidref *ret)
{
	if (pid <= 0)
		return -ESRCH;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ENOENT ? -EINVAL : -errno; // ENOENT: a thread, since Linux 6.15
	*ret = (struct pidref){ .pid = pid, .pidfd = fd };
	return 0;
}

int pidref_from_fd(int pidfd, struct pidref *ret)
{
	_cleanup_close_ int fd = pidfd;
	char path[64];
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && flags & O_EXCL) // PIDFD_THREAD: of a thread, since Linux 6.9
		return -EINVAL;
	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	_cleanup_free_ char *text = NULL;
	ssize_t n = snap_read_file_at(AT_FDCWD, path, 65536, &text);
	if (n < 0)
		return (int)n;
	const char *line = snap_line_value(text, "Pid:");
	int64_t pid;
	if (!line || snap_parse_i64(line, &pid) < 0)
		return -EBADF;
	if (pid <= 0 || pid > INT32_MAX)
		return -ESRCH; // -1: exited; 0: lives in a pid namespace we cannot see
	*ret = (struct pidref){ .pid = (pid_t)pid, .pidfd = TAKE_FD(fd) };
	return 0;
}

int pidref_dup(const struct pidref *ref, struct pidref *ret)
{
	int fd = fcntl(ref->pidfd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	*ret = (struct pidref){ .pid = ref->pid, .pidfd = fd };
	return 0;
}

int pidref_verify(const struct pidref *ref)
{
	if (syscall(SYS_pidfd_send_signal, ref->pidfd, 0, NULL, 0) < 0 && errno != EPERM)
		return -errno;
	return 0;
}

int pidref_open_proc(const struct pidref *ref)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", ref->pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	// The directory belongs to whoever had the number when it was opened. If our process still
	// exists now, it had it then.
	int r = pidref_verify(ref);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

void pidref_deinit(struct pidref *ref)
{
	snap_closep(&ref->pidfd);
	*ref = PIDREF_NULL;
}
