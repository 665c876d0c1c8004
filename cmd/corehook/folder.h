/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/error.h"
#include "common/json.h"
#include "crash.h"

/**
 * DOC: The folder of a crash
 *
 * STORE/crash/.USEC.PID while the hook works on it, and without the dot when it is complete; the
 * daemon makes a dump of it, now or whenever it starts (daemon/crash.h). It has
 *   facts    what the kernel said of the crash, JSON
 *   proc/    what /proc/PID said (common/procfolder.h)
 *   auxv     the auxiliary vector that is in the core
 *   core     the core, not compressed; missing when policy wanted none
 *   core.zst, packed
 *            all of the core, compressed, of which "core" has only a part (common/crashpacked.h)
 *   result   what the hook did and found, JSON
 *   binaries/ programs and libraries, if they are kept (cmd/corehook/binaries.h)
 * The hook holds a lock (flock) on the folder as long as it lives, so a folder with a dot that
 * nobody has locked is of a hook that was killed: all that is known of that crash is in it.
 */
struct folder {
	int crashes; ///< STORE/crash
	int fd; ///< the folder
	char name[48]; ///< within STORE/crash; with a dot until folder_publish()
};

#define FOLDER_NULL ((struct folder){ .crashes = -EBADF, .fd = -EBADF })

/// Makes the folder, with the lock, and writes what is known by now. After an error @ret may have
/// STORE/crash all the same, and nothing else.
struct snap_error *folder_create(const struct crash *crash, struct folder *ret) _must_check_;
/**
 * Makes a folder with facts and proc in memory instead, for when the store has no room. The holder
 * asks the daemon to read it, and removes it.
 *
 * Returns a descriptor of it, owned by the caller, or a negative errno. @ret_path, owned by the
 * caller, is for folder_remove_elsewhere().
 */
int folder_create_elsewhere(const struct crash *crash, char **ret_path);
void folder_remove_elsewhere(int fd, const char *path);
/// Writes a file of the folder, unless it is there already. Returns 0 or a negative errno.
int folder_write(const struct folder *folder, const char *name, const void *data, size_t len);
/// A file without a name, read and write, in the folder. -errno.
int folder_open_core(const struct folder *folder);
/// Gives @core, from folder_open_core(), its name.
struct snap_error *folder_link_core(const struct folder *folder, int core) _must_check_;
/// A file for a packed core, as folder_open_core().
int folder_open_packed(const struct folder *folder);
/// Gives @packed, from folder_open_packed(), its name, when @result is written.
struct snap_error *folder_keep_packed(const struct folder *folder, int packed,
				      const struct json *result) _must_check_;
/// Removes what is left of a packed core that did not get its name.
void folder_drop_unfinished(const struct folder *folder);
/// Writes @result, in place of one before. All that is needed for a record is there then.
struct snap_error *folder_write_result(const struct folder *folder,
				       const struct json *result) _must_check_;
/// Takes the dot away. The folder is the daemon's then.
struct snap_error *folder_publish(struct folder *folder) _must_check_;
void folder_deinit(struct folder *folder);
