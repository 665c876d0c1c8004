// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hookcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// How long it may take to say its version; a disk that has to wake up takes some.
enum { RUN_SECONDS = 20 };

static bool is_others(const struct stat *st)
{
	if (st->st_uid != 0)
		return true;
	if (S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX)
		return false;
	return st->st_mode & (S_IWGRP | S_IWOTH);
}

/// @path and all folders above it; there are no links in it.
static struct snap_error *check_writers(const char *path)
{
	_cleanup_free_ char *part = strdup(path);
	struct stat st;
	if (!part)
		return snap_error_oom();
	for (char *slash = part + strlen(part); slash; slash = strrchr(part, '/')) {
		*slash = '\0';
		const char *name = *part ? part : "/";
		if (lstat(name, &st) < 0)
			return snap_error_errno(SNAP_FAILED, errno, "cannot look at '%s'", name);
		if (is_others(&st))
			return snap_error_new(
				SNAP_FAILED,
				"the kernel would start '%s' as root, but others than "
				"root can write to '%s'",
				path, name);
	}
	return NULL;
}

struct snap_error *hookcheck_file(const char *path)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;
	if (!real || stat(real, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno,
					"cannot find '%s'; is procsnap installed completely?",
					path);
	if (!S_ISREG(st.st_mode))
		return snap_error_new(SNAP_FAILED, "'%s' is no program", path);
	// Also says no where nothing is executed (noexec).
	if (access(real, X_OK) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot run '%s'", path);
	return check_writers(real);
}

static pid_t start(const char *path)
{
	pid_t pid = fork();
	if (pid)
		return pid;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	// The timer stays over execve(), and ends it.
	(void)alarm(RUN_SECONDS);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0) {
		char *const argv[] = { (char *)path, (char *)"--version", NULL };
		char *const envp[] = { NULL }; // as the kernel does, nearly
		execve(path, argv, envp);
	}
	_exit(127);
}

struct snap_error *hookcheck_run(const char *path)
{
	int status;
	pid_t pid = start(path);
	if (pid < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot start '%s'", path);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return snap_error_errno(SNAP_FAILED, errno, "cannot wait for '%s'", path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return NULL;
	if (WIFEXITED(status))
		return snap_error_new(SNAP_FAILED, "'%s --version' fails with status %d", path,
				      WEXITSTATUS(status));
	return snap_error_new(SNAP_FAILED, "'%s --version' is ended by signal %d", path,
			      WTERMSIG(status));
}
