/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "error.h"
#include "sysctl.h"

/**
 * DOC: What was there before procsnap became the handler of crashes
 *
 * One JSON file, readable for root only, replaced as a whole and synced before the kernel is told
 * anything: whenever we are killed, what to go back to is known. Values are in it as hexadecimal,
 * byte for byte, and as text for people.
 */

#define HANDLERMEMORY_PATH "/var/lib/procsnap/handler.json"

struct handlermemory {
	struct sysctl_values found; ///< to go back to
	struct sysctl_values set; ///< what we have written
	char *boot_id; ///< of when it was written; NULL when not known
	bool runtime; ///< nothing sets it again at the next boot
};

void handlermemory_deinit(struct handlermemory *memory);
#define _cleanup_handlermemory_ _cleanup_(handlermemory_deinit)

/// Reads it below @root. @ret_there is false when there is none, which is no error. A file that is
/// damaged, or can be written by others than root, is one.
struct snap_error *handlermemory_load(const char *root, struct handlermemory *ret, bool *ret_there)
	_must_check_;
/// For tests: what handlermemory_load() makes of a file's text.
struct snap_error *handlermemory_parse(const char *text, size_t len, struct handlermemory *ret)
	_must_check_;
struct snap_error *handlermemory_save(const char *root, const struct handlermemory *memory)
	_must_check_;
/// None to remove is fine.
struct snap_error *handlermemory_remove(const char *root) _must_check_;

/**
 * Opens the folder of it, made when it is missing, and waits for others that change the handler.
 * They wait until @ret, which is the caller's, is closed.
 */
struct snap_error *handlermemory_lock(const char *root, int *ret) _must_check_;
