/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/error.h"

/**
 * DOC: Files in the folder of the store
 *
 * Everything is relative to the descriptor of the folder; no symbolic link in it is ever followed,
 * and nothing but a regular file of ours with one name is opened. All return 0, a descriptor that
 * the caller owns, or a negative errno, unless they return an error. For the daemon only.
 */

/// Opens the folder @path, made if it is missing, and checks that it is ours alone to write.
struct snap_error *storefile_open_folder(const char *path, int *ret) _must_check_;
/// Keeps other daemons out as long as the descriptor is open.
struct snap_error *storefile_lock(int dirfd, const char *path, int *ret) _must_check_;

/// Is it a regular file of ours that has no second name?
bool storefile_is_ours(const struct stat *st);
/// Opens such a file for reading; -EPERM when it is none.
int storefile_open(int dirfd, const char *name, struct stat *ret_st);
/**
 * An empty file without a name, 0600. Where the file system has none, it is called .tmp-ID.@what,
 * which is then in @ret_temp, owned by the caller; else that is NULL.
 */
int storefile_temp(int dirfd, uint64_t id, const char *what, char **ret_temp);
/// Is @name one that storefile_temp() would give?
bool storefile_is_temp(const char *name);
/// Gives such a file its name, unless that is taken (-EEXIST); frees @temp when that is gone.
int storefile_link(int dirfd, int fd, char **temp, const char *name);
/// Removes the temporary name, if there is one, and frees it.
void storefile_drop_temp(int dirfd, char **temp);
/// Mode 0640, owned by us, and readable for @uid too if @grant; -EOPNOTSUPP when only that failed.
int storefile_protect(int fd, uid_t uid, bool grant);
/// The same of a folder, mode 0750.
int storefile_protect_folder(int fd, uid_t uid, bool grant);
/// fsync() of the folder.
int storefile_sync_folder(int dirfd);
/// Bytes that the file takes on the disk.
static inline uint64_t storefile_disk_bytes(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512; // by definition of st_blocks
}
