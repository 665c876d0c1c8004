/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include "test.h"

/// A file on a file system of @bytes that only this process sees, or -1. For forked children.
static inline int tmpfs_file(size_t bytes)
{
	char options[32], dir[] = "/tmp/procsnap-unit-XXXXXX", path[64];
	(void)snprintf(options, sizeof(options), "size=%zu", bytes);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/f", dir);
	int fd = -1;
	if (mount("tmpfs", dir, "tmpfs", 0, options) == 0) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		(void)umount2(dir, MNT_DETACH);
	}
	(void)rmdir(dir);
	return fd;
}
