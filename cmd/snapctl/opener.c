// SPDX-License-Identifier: LGPL-2.1-or-later
#include "opener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"

/// Opens @path if it is a regular file; others may block, or do something, when they are opened.
static int open_regular(const char *path)
{
	char self[64];
	struct stat st;
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	int file = open(self, O_RDONLY | O_CLOEXEC);
	return file < 0 ? -errno : file;
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
		int fd = open_regular(path);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

int opener_open(const struct opener *opener, const char *name, const char *build_id,
		bool is_program)
{
	if (is_program && opener->exe)
		return open_regular(opener->exe);
	if (name[0] != '/')
		return -ENOENT;
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s%s", opener->root, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	int fd = open_regular(path);
	return fd < 0 && build_id && strlen(build_id) > 2 && !strchr(build_id, '/') ?
		       open_by_id(build_id) :
		       fd;
}
