/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

/**
 * DOC: Folders that hooks have left
 *
 * What is in them is said in cmd/corehook/folder.h. They are root's alone, but what the files say
 * was chosen by processes that crashed: sizes are bounded, and links are not followed.
 */
enum { CRASHFOLDER_NAME_SIZE = 48 };

/// Is it USEC.PID?
bool crashfolder_is_name(const char *name);
/// The folder below STORE/crash; -errno.
int crashfolder_open(int crashes, const char *name);
/// A file of it as JSON; NULL when it is missing, larger than @max bytes, or damaged.
struct json *crashfolder_read_json(int folder, const char *name, size_t max);
/// The bytes of a file of it, owned by the caller, with their number; NULL when it is missing or
/// larger than @max.
char *crashfolder_read(int folder, const char *name, size_t max, size_t *ret_len);
/// The core, to read and write; -errno.
int crashfolder_open_core(int folder);
/// The packed one (common/crashpacked.h), also when it is damaged; -errno.
int crashfolder_open_packed(int folder);
/// Bytes that it takes on the disk; 0: there is none.
uint64_t crashfolder_packed_bytes(int folder);
/// Is the file @fd a packed core, written to its end? 0, -EBADMSG, or another negative errno, which
/// may pass.
int crashfolder_check_packed(int fd);
/// Removes it, or what a hook that was killed has left of it.
void crashfolder_remove_packed(int folder);
/// Bytes that the programs and libraries in it take on the disk, but for those that the store has,
/// too (common/binaries.h).
uint64_t crashfolder_binaries_bytes(int folder);
/**
 * Marks a folder whose crash has a record already, though its dump is not made yet. Returns 0 or a
 * negative errno.
 *
 * That is a bit of its mode (S_ISVTX), which takes no room on a disk that has none.
 */
int crashfolder_set_recorded(int folder);
bool crashfolder_is_recorded(int folder);
/**
 * Removes the folder with all that is in it, but for folders in folders of it. Returns 0 or a
 * negative errno.
 *
 * From the first moment on it is called "~USEC.PID", so that one that is there only in part is
 * never taken for a crash.
 */
int crashfolder_remove(int crashes, const char *name);
/// Is it what a removal has left that was interrupted?
bool crashfolder_is_leftover(const char *name);
