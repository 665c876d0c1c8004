// SPDX-License-Identifier: LGPL-2.1-or-later
#include "openfds.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "fd.h"
#include "str.h"

enum {
	// Servers have thousands, of which the first tell what kind they are; a process may have
	// a million, and reading all takes seconds.
	DESCRIPTORS_MAX = 512,
	BYTES_MAX = 128 << 10,
	// Some 100 bytes; epoll and fanotify have a line for each thing that is watched.
	FDINFO_MAX = 16 << 10,
};

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); // was only read
}

static int add_target(int fds, const char *number, struct strbuf *buf)
{
	_cleanup_free_ char *target = NULL;
	int r = snap_readlink_at(fds, number, &target);
	if (r < 0)
		return r;
	// A file may be named "x\n4:/etc/shadow".
	_cleanup_free_ char *escaped = snap_escape(target, strlen(target));
	const char *shown = snap_is_printable(target) ? target : escaped;
	return shown ? strbuf_addf(buf, "%s:%s\n", number, shown) : -ENOMEM;
}

/// Adds one descriptor, or nothing if it was closed meanwhile.
static int add(int procfd, int fds, const char *number, struct strbuf *buf)
{
	size_t before = buf->len;
	int r = before ? strbuf_add(buf, "\n", 1) : 0;
	if (r == 0)
		r = add_target(fds, number, buf);
	if (r < 0 && r != -ENOMEM)
		buf->len = before;
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	char path[32];
	(void)snprintf(path, sizeof(path), "fdinfo/%.10s", number);
	_cleanup_free_ char *info = NULL;
	ssize_t n = snap_read_file_at(procfd, path, FDINFO_MAX, &info);
	if (n == -ENOMEM)
		return -ENOMEM;
	return n > 0 ? strbuf_add(buf, info, (size_t)n) : 0;
}

int openfds_read(int procfd, struct strbuf *buf)
{
	int fd = openat(procfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	_cleanup_(closedirp) DIR *dir = fdopendir(fd);
	if (!dir) {
		(void)close(fd);
		return errno == ENOMEM ? -ENOMEM : 0;
	}
	size_t n = 0;
	for (const struct dirent *entry; (entry = readdir(dir));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (n++ == DESCRIPTORS_MAX || buf->len > BYTES_MAX)
			return 1;
		int r = add(procfd, dirfd(dir), entry->d_name, buf);
		if (r < 0)
			return r;
	}
	return 0;
}
