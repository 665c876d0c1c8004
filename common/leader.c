// SPDX-License-Identifier: LGPL-2.1-or-later
#include "leader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "str.h"

enum {
	// Shells in shells; nobody nests deeper than that but to keep us busy.
	ANCESTORS_MAX = 64,
	STAT_MAX = 4096,
};

/// 0 or a negative errno; 0 is also the parent of what has none here.
static int read_parent(int procfd, pid_t *ret)
{
	_cleanup_free_ char *text = NULL;
	ssize_t n = snap_read_file_at(procfd, "stat", STAT_MAX, &text);
	if (n < 0)
		return (int)n;
	// "PID (NAME) S PARENT ...", and anything in the name.
	char *p = strrchr(text, ')');
	if (!p || strlen(p) < strlen(") S 1") || p[1] != ' ' || p[3] != ' ')
		return -EBADMSG;
	p += strlen(") S ");
	p[strspn(p, "0123456789")] = '\0';
	uint64_t pid;
	int r = snap_parse_u64(p, &pid);
	if (r == 0)
		*ret = (pid_t)pid;
	return r;
}

static bool same_file(int a, const char *path_a, int b, const char *path_b)
{
	struct stat one, other;
	return fstatat(a, path_a, &one, 0) == 0 && fstatat(b, path_b, &other, 0) == 0 &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/// Opens /proc/PID of the parent of @procfd.
static int open_parent(int procfd)
{
	pid_t parent = 0, again = 0;
	char path[32];
	int r = read_parent(procfd, &parent);
	if (r < 0 || parent <= 0)
		return r < 0 ? r : -ENOENT;
	(void)snprintf(path, sizeof(path), "/proc/%d", parent);
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	// Opened by number: while he is the parent, the number is his.
	r = read_parent(procfd, &again);
	return r == 0 && again == parent ? TAKE_FD(fd) : -ENOENT;
}

static int read_cmdline(int procfd, size_t max, struct strbuf *buf)
{
	_cleanup_close_ int fd = openat(procfd, "cmdline", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : strbuf_reserve(buf, max);
	if (r < 0)
		return r;
	ssize_t n;
	do {
		n = read(fd, buf->data + buf->len, max);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -ENOENT;
	buf->len += (size_t)n;
	buf->data[buf->len] = '\0';
	return 0;
}

static int find(int procfd, size_t max, struct strbuf *buf)
{
	_cleanup_close_ int child = -EBADF;
	if (same_file(procfd, "root", AT_FDCWD, "/"))
		return -ENOENT;
	for (int i = 0; i < ANCESTORS_MAX; i++) {
		int parent = open_parent(child < 0 ? procfd : child);
		if (parent < 0)
			return parent;
		snap_closep(&child);
		child = parent;
		if (!same_file(parent, "ns/mnt", procfd, "ns/mnt"))
			return read_cmdline(parent, max, buf);
	}
	return -ENOENT;
}

int leader_read_cmdline(int procfd, size_t max, struct strbuf *buf)
{
	int r = find(procfd, max, buf);
	return r == 0 || r == -ENOMEM ? r : -ENOENT;
}
