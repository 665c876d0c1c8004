// SPDX-License-Identifier: LGPL-2.1-or-later
#include "procfolder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "leader.h"
#include "openfds.h"

/// What tells most comes first; what takes longest last.
static const struct file {
	const char *name;
	size_t max_bytes;
} files[] = {
	// 1.5 KiB, but for a list of supplementary groups that may be long.
	{ "status", 16 << 10 },
	{ "stat", 4 << 10 },
	// 15 bytes; 63 for kernel threads.
	{ "comm", 256 },
	// A path for each of at most 13 hierarchies.
	{ "cgroup", 16 << 10 },
	// A page of what people read; compilers have longer ones.
	{ "cmdline", 16 << 10 },
	// A fixed table of 1.3 KiB.
	{ "limits", 4 << 10 },
	// Some 25 pairs of numbers; glibc does not take more than 400 bytes either.
	{ "auxv", 4 << 10 },
	// Half of what execve() takes as one string.
	{ "environ", 64 << 10 },
	// 400 mounts, as on a host with many containers.
	{ "mountinfo", 64 << 10 },
	// 2500 mappings, several times of what usual programs have; the core lists all.
	{ "maps", 256 << 10 },
};

static const char *const links[] = { "exe", "cwd", "root" };

size_t procfolder_max(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (!strcmp(files[i].name, name))
			return files[i].max_bytes;
	return 0;
}

/// Makes the text shorter, and what was allocated for the longest possible one, too.
static void cut_to(struct strbuf *buf, size_t len)
{
	char *smaller = realloc(buf->data, len + 1);
	if (smaller) {
		buf->data = smaller;
		buf->size = len + 1;
	}
	buf->len = len;
	if (buf->data)
		buf->data[len] = '\0';
}

int procfolder_read(int dirfd, const char *name, size_t max, struct strbuf *ret)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	int r = strbuf_reserve(ret, max + 1);
	if (r < 0)
		return r;
	while (ret->len <= max) {
		ssize_t n = read(fd, ret->data + ret->len, max + 1 - ret->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		ret->len += (size_t)n;
	}
	bool cut = ret->len > max;
	cut_to(ret, MIN(ret->len, max));
	return cut;
}

static int write_file(int dirfd, const char *name, const void *data, size_t len)
{
	_cleanup_close_ int fd = openat(
		dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : snap_write_all(fd, data, len);
}

static int copy_file(int procfd, int dirfd, const struct file *file)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	if (procfolder_read(procfd, file->name, file->max_bytes + 1, &buf) < 0 || !buf.len)
		return 0;
	return write_file(dirfd, file->name, buf.data, buf.len);
}

static int copy_link(int procfd, int dirfd, const char *name)
{
	_cleanup_free_ char *target = NULL;
	if (snap_readlink_at(procfd, name, &target) < 0)
		return 0; // kernel threads have no exe
	return write_file(dirfd, name, target, strlen(target));
}

static int copy_owner(int procfd, int dirfd)
{
	char text[32];
	struct stat st;
	// Files of a process that may not be dumped belong to root; the directory itself is an
	// exception (task_dump_owner() in the kernel's fs/proc/base.c).
	if (fstatat(procfd, "environ", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	int n = snprintf(text, sizeof(text), "%u %u\n", st.st_uid, st.st_gid);
	return write_file(dirfd, "owner", text, (size_t)n);
}

static int copy_leader(int procfd, int dirfd)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	if (leader_read_cmdline(procfd, procfolder_max("cmdline"), &buf) < 0)
		return 0;
	return write_file(dirfd, "container_cmdline", buf.data, buf.len);
}

static int copy_fds(int procfd, int dirfd)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	int more = openfds_read(procfd, &buf);
	// Empty lines are between descriptors; one at the end tells that there are more.
	if (more > 0)
		(void)strbuf_add(&buf, "\n", 1);
	return buf.len ? write_file(dirfd, "fds", buf.data, buf.len) : 0;
}

int procfolder_copy(int procfd, int dirfd)
{
	int first = copy_owner(procfd, dirfd);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		int r = copy_link(procfd, dirfd, links[i]);
		first = first ? first : r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int r = copy_file(procfd, dirfd, &files[i]);
		first = first ? first : r;
	}
	int leader = copy_leader(procfd, dirfd);
	int fds = copy_fds(procfd, dirfd);
	return first ? first : leader ? leader : fds;
}
