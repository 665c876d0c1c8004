// SPDX-License-Identifier: LGPL-2.1-or-later
#include "devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/str.h"
#include "procfs.h"

enum { FDS_MAX = 65536 };

static bool begins(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/// Is descriptor @name open for direct I/O?
static bool is_direct(int procfd, const char *name)
{
	_cleanup_free_ char *info = NULL;
	char path[300];
	(void)snprintf(path, sizeof(path), "fdinfo/%s", name);
	if (snap_read_file_at(procfd, path, 4096, &info) <= 0)
		return false;
	const char *digits = snap_line_value(info, "flags:"); // octal
	uint64_t flags = 0;
	for (; digits && *digits >= '0' && *digits <= '7'; digits++)
		flags = flags << 3 | (uint64_t)(*digits - '0');
	return flags & O_DIRECT;
}

static const char *behind(int fddir, int procfd, const char *name, enum devices_purpose purpose)
{
	_cleanup_free_ char *link = NULL;
	if (snap_readlink_at(fddir, name, &link) < 0)
		return NULL;
	if (!strcmp(link, "anon_inode:[io_uring]"))
		return "it uses io_uring";
	// Both notes of writes to a page would be one, and its own registrations could fail; and
	// it may be told of a fork, which then waits until it has listened.
	if (!strcmp(link, "anon_inode:[userfaultfd]"))
		return "it uses userfaultfd itself";
	if (begins(link, "/dev/vfio/") || begins(link, "/dev/infiniband/"))
		return "a device writes to its memory";
	if (purpose == DEVICES_FORK) {
		bool gpu = begins(link, "/dev/nvidia") || !strcmp(link, "/dev/kfd");
		return gpu					? "a device writes to its memory" :
		       begins(link, "anon_inode:kvm-vm") ? "it runs a virtual machine" :
								  NULL;
	}
	bool direct = link[0] == '/' && is_direct(procfd, name);
	return direct ? "it has files open for direct I/O" : NULL;
}

const char *devices_obstacle(int procfd, enum devices_purpose purpose)
{
	struct procfs_status status;
	if (procfs_read_status(procfd, "status", &status) == 0 && status.pinned_bytes)
		return "it has memory pinned for devices";
	int fddir = openat(procfd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fddir < 0 ? NULL : fdopendir(fddir);
	if (!dir) {
		snap_closep(&fddir);
		return "its descriptors cannot be listed";
	}
	const char *why = NULL;
	size_t n = 0;
	for (struct dirent *d; !why && (d = readdir(dir));)
		if (d->d_name[0] != '.')
			why = ++n > FDS_MAX ? "it has too many descriptors to look at" :
					      behind(fddir, procfd, d->d_name, purpose);
	(void)closedir(dir);
	return why;
}
