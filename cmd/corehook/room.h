/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/**
 * DOC: Where there is room for a raw core
 *
 * On the disk, as long as that leaves as much for what a worker makes of it. Else in memory, if the
 * daemon lets us (daemon/crashspool.h), which counts what all hooks have. That is charged to the
 * control group of the hook: behind the coredump socket that of its service; of the pipe the kernel
 * starts hooks in the group at the root, which has no limit.
 */

/// Bytes that a raw core may have on the file system of @fd.
uint64_t room_on_disk(int fd);
/// Of a disk, for the records of this crash and of others: one is mostly less than 64 KiB.
enum { ROOM_RECORDS_BYTES = 1 << 20 };

/// Bytes that a packed core may have there, which will be all of the dump, beside a raw one.
uint64_t room_for_packed(int fd);
/// Bytes of memory that our control group, and those above it, have left; UINT64_MAX: any.
uint64_t room_in_memory(void);
/// The same for the group @path, as /proc/PID/cgroup has it, of the hierarchy below @mount.
uint64_t room_in_cgroup(const char *mount, const char *path);
/// About how much of the process with /proc/PID @piddir the kernel will dump that is not zero, of
/// at most @max bytes, which is the result when it cannot be told.
uint64_t room_expected(int piddir, uint64_t max);
