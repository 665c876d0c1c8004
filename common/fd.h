/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "cleanup.h"

/**
 * DOC: File descriptors
 *
 * A variable that holds no descriptor holds -EBADF. All functions return 0 or a count, or a
 * negative errno, restart after EINTR, and may be called by any process and thread.
 */

static inline void snap_closep(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); // nothing to do about it here; writers check fsync()
}
#define _cleanup_close_ _cleanup_(snap_closep)

#define TAKE_FD(fd)           \
	({                    \
		int _fd = (fd); \
		(fd) = -EBADF; \
		_fd;          \
	})

/// Writes all of @buf at file offset @offset.
int snap_pwrite_all(int fd, const void *buf, size_t len, uint64_t offset);
/// Writes all of @buf at the descriptor's own position; also for pipes.
int snap_write_all(int fd, const void *buf, size_t len);
/// As read(), without EINTR, but waits at most @timeout_ms for the first byte (-1: for ever), and
/// returns -ETIMEDOUT then. @fd is something that poll() can wait for, or a file.
ssize_t snap_read_within(int fd, void *buf, size_t len, int timeout_ms);
/// Reads until @len bytes or the end of the file; returns how many.
ssize_t snap_pread_full(int fd, void *buf, size_t len, uint64_t offset);
/**
 * Reads a whole file, for /proc: sizes of zero and short reads are normal there.
 *
 * @ret is malloc'ed, owned by the caller, and NUL-terminated beyond the returned length.
 * -EFBIG when it is longer than @max bytes.
 */
ssize_t snap_read_file_at(int dirfd, const char *path, size_t max, char **ret);
/// readlinkat() into a fresh string owned by the caller. -ENAMETOOLONG above 64 KiB.
int snap_readlink_at(int dirfd, const char *path, char **ret);
