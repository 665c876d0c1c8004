// SPDX-License-Identifier: LGPL-2.1-or-later
#include "room.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/fd.h"
#include "common/str.h"

enum {
	STATUS_MAX = 64 << 10,
	CGROUP_MAX = 16 << 10,
	NUMBER_MAX = 64,
	DEPTH_MAX = 64, ///< of control groups
};

/// But for the records of this crash and of others.
uint64_t room_for_packed(int fd)
{
	struct statvfs st;
	if (fstatvfs(fd, &st) < 0)
		return UINT64_MAX;
	uint64_t bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return bytes > ROOM_RECORDS_BYTES ? bytes - ROOM_RECORDS_BYTES : 0;
}

/// There must be room for what a worker makes of the core, too, which may be as large.
uint64_t room_on_disk(int fd)
{
	uint64_t bytes = room_for_packed(fd);
	return bytes == UINT64_MAX ? bytes : bytes / 64 * 31;
}

/// What the kernel will take back of the pages of files before it finds no memory.
static uint64_t read_cache(int dir)
{
	_cleanup_free_ char *text = NULL;
	uint64_t bytes = 0;
	if (snap_read_file_at(dir, "memory.stat", STATUS_MAX, &text) < 0)
		return 0;
	return snap_line_u64(text, "inactive_file ", &bytes) == 0 ? bytes : 0;
}

/// "max" is no number, and no limit.
static bool read_number(int dir, const char *name, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(dir, name, NUMBER_MAX, &text) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return snap_parse_u64(text, ret) == 0;
}

uint64_t room_in_cgroup(const char *mount, const char *path)
{
	_cleanup_free_ char *name = NULL;
	uint64_t room = UINT64_MAX, max, used;
	if (asprintf(&name, "%s%s", mount, path) < 0)
		return 0;
	// From the group itself up to the root, which has no such files.
	for (int i = 0; i < DEPTH_MAX && strlen(name) > strlen(mount); i++) {
		_cleanup_close_ int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0 && read_number(dir, "memory.max", &max) &&
		    read_number(dir, "memory.current", &used))
			room = MIN(room, (max > used ? max - used : 0) + read_cache(dir));
		*strrchr(name, '/') = '\0';
	}
	return room;
}

uint64_t room_in_memory(void)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(AT_FDCWD, "/proc/self/cgroup", CGROUP_MAX, &text) < 0)
		return UINT64_MAX;
	const char *path = snap_line_value(text, "0::");
	_cleanup_free_ char *group = path ? strndup(path, strcspn(path, "\n")) : NULL;
	return group && *group == '/' ? room_in_cgroup("/sys/fs/cgroup", group) : UINT64_MAX;
}

uint64_t room_expected(int piddir, uint64_t max)
{
	static const char *const keys[] = { "RssAnon:", "RssShmem:", "VmSwap:" };
	_cleanup_free_ char *status = NULL;
	uint64_t sum = 0, bytes;
	if (piddir < 0 || snap_read_file_at(piddir, "status", STATUS_MAX, &status) < 0)
		return max;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (snap_line_kib(status, keys[i], &bytes) < 0)
			return max; // its first thread has ended, and is not asked any more
		sum += bytes;
	}
	return MIN(sum, max);
}
