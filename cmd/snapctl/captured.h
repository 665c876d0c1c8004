/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/binaries.h"
#include "common/error.h"
#include "common/json.h"

/**
 * DOC: Programs and libraries that were kept with a core
 *
 * The folder with those of a core in the store is beside it (common/binaries.h), under the id that
 * is an attribute of the core.
 */

/**
 * The folder of the core @fd, a file at @path; owned by the caller, NULL when there is none.
 *
 * One that belongs to somebody else than the caller or root is none: a debugger trusts programs.
 */
char *captured_find(int fd, const char *path);
/// The list in the folder, owned by the caller; NULL when it is missing or damaged.
struct json *captured_list(const char *folder);

/// A tree of links for debuggers, which look for libraries by the names that the process had.
struct captured_root {
	char *path; ///< NULL: none
	char *program; ///< what the process executed, in the folder of the core; NULL: not kept
};

/**
 * Makes a folder in $TMPDIR, with links to what is in @folder:
 *   root/NAME        by the name that the core has; a file that was not kept leads to the one that
 *                    has its name here
 *   libraries/NAME   by the names that the dynamic linker knows libraries by, and their own: what
 *                    was found through a link has another one in the core than for the linker
 */
struct snap_error *captured_root_create(const char *folder, struct captured_root *ret) _must_check_;
/// Removes it. Accepts an empty one.
void captured_root_destroy(struct captured_root *root);
