/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/**
 * DOC: Who sets a kernel setting at boot
 *
 * The files of sysctl.d(5), read as systemd-sysctl reads them: *.conf of four folders, in the
 * order of their names whichever folder they are in; of files with the same name only the one in
 * the first of the folders; what is read later wins; but a key with * or ? in it never wins over
 * one that is written out. sysctl(8) of procps does the same, and reads /etc/sysctl.conf last.
 *
 * The texts are the administrator's. Any process may call these functions; they read files only.
 */

/// One line that sets it.
struct sysctld_line {
	char *file; ///< its path, without the root
	size_t number; ///< of the line, from 1
	char *value;
	bool glob; ///< its key is a pattern
};

struct sysctld {
	struct sysctld_line *lines; ///< in the order in which they are read
	size_t n;
	bool incomplete; ///< a folder or file could not be read
};

/// All lines below @root ("": the real ones) that set @name, such as "kernel.core_pattern". What
/// cannot be read is left out, and said to be. NULL on success; out of memory is the only error.
struct snap_error *sysctld_find(const char *root, const char *name, struct sysctld *ret)
	_must_check_;
void sysctld_deinit(struct sysctld *found);
#define _cleanup_sysctld_ _cleanup_(sysctld_deinit)
/// The line that wins at boot, borrowed; NULL when there is none. Lines of @but are not counted
/// (NULL: all are).
const struct sysctld_line *sysctld_winner(const struct sysctld *found, const char *but);
/// Adds what @text, a file called @file, has of @name. For tests too.
struct snap_error *sysctld_parse(struct sysctld *found, const char *file, const char *text,
				 const char *name) _must_check_;
