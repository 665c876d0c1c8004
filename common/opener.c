// SPDX-License-Identifier: LGPL-2.1-or-later
#include "opener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "binaries.h"
#include "fd.h"
#include "wary.h"

/// Opens what @fd (O_PATH) is for reading, if it is a regular file; others may block, or do
/// something.
static int reopen_regular(int fd)
{
	char self[64];
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	// Files of procfs and tracefs look regular and empty, and reading may block or consume.
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return -EINVAL;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	int file = open(self, O_RDONLY | O_CLOEXEC);
	return file < 0 ? -errno : file;
}

static int open_regular(int dirfd, const char *path)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : reopen_regular(fd);
}

/// The file that the process calls @name: links in its root must not lead out of it.
static int open_in_process(int piddir, const char *name)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	_cleanup_close_ int root = openat(piddir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof(how));
	return fd < 0 ? -errno : reopen_regular(fd);
}

/// The copy of a file that a distribution's debug packages name by its build ID.
static int open_by_id(const char *build_id)
{
	static const char *const suffixes[] = { "", ".debug" };
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *path = NULL;
		if (asprintf(&path, "/usr/lib/debug/.build-id/%.2s/%s%s", build_id, build_id + 2,
			     suffixes[i]) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		int fd = open_regular(AT_FDCWD, path);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

/// What is beside the program that the user named.
static int open_beside(const char *exe, const char *name)
{
	_cleanup_free_ char *path = NULL;
	const char *slash = strrchr(exe, '/');
	if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - exe) : 0, exe, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return open_regular(AT_FDCWD, path);
}

static int open_ours(const struct opener *opener, const char *name)
{
	if (!opener->wary)
		return open_regular(AT_FDCWD, name);
	_cleanup_close_ int fd = wary_open(name);
	return fd < 0 ? fd : reopen_regular(fd);
}

int opener_open(const struct opener *opener, const char *name, const char *build_id,
		bool is_program)
{
	int fd = -ENOENT;
	if (!strncmp(name, "./", 2))
		return is_program && opener->exe ? open_beside(opener->exe, name) : -ENOENT;
	if (is_program && opener->exe)
		return open_regular(AT_FDCWD, opener->exe);
	if (opener->binaries)
		fd = binaries_open_file(opener->binaries, name, build_id);
	if (fd < 0 && is_program && opener->piddir >= 0) // also when it was deleted or replaced
		fd = open_regular(opener->piddir, "exe");
	if (fd < 0 && name[0] == '/')
		fd = opener->piddir >= 0 ? open_in_process(opener->piddir, name) :
					   open_ours(opener, name);
	if (fd < 0 && build_id && strlen(build_id) > 2 && !strchr(build_id, '/'))
		fd = open_by_id(build_id);
	return fd;
}
