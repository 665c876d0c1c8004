/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/**
 * DOC: Settings of the kernel that crashes depend on
 *
 * Read and written below @root, which is "" for the real ones; tests have a folder of their own
 * with regular files in it. A value is the bytes that the kernel has, without the newline that it
 * shows behind them: kernel.core_pattern may be any bytes but newline and NUL.
 */

enum sysctl_key {
	SYSCTL_CORE_PATTERN,
	SYSCTL_CORE_PIPE_LIMIT,
	SYSCTL_SUID_DUMPABLE,
	SYSCTL_KEY_MAX,
};

/// As in sysctl.d(5): "kernel.core_pattern" ...; never NULL.
const char *sysctl_name(enum sysctl_key key);

/// @ret is owned by the caller.
struct snap_error *sysctl_read(const char *root, enum sysctl_key key, char **ret) _must_check_;
/**
 * Writes @value and reads it back: some kernels take a pattern without a word and keep another.
 * SNAP_NOT_PERMITTED, with what to do, when it cannot be written here; nothing is changed then.
 * When another value is read back, it is as the kernel left it; whoever calls puts the old one
 * back.
 */
struct snap_error *sysctl_write(const char *root, enum sysctl_key key, const char *value)
	_must_check_;

/// All of them. Zeroes are empty; sysctl_values_deinit() when done.
struct sysctl_values {
	char *of[SYSCTL_KEY_MAX]; ///< owned
};
void sysctl_values_deinit(struct sysctl_values *values);
#define _cleanup_sysctl_values_ _cleanup_(sysctl_values_deinit)
struct snap_error *sysctl_read_all(const char *root, struct sysctl_values *ret) _must_check_;

/// Does the kernel know patterns `@@PATH`, the coredump socket with requests (Linux 6.17)?
bool sysctl_has_coredump_socket(const char *root);
/// Does somebody listen on the UNIX socket @path, as /proc/net/unix has it? Nothing is connected
/// to.
bool sysctl_is_listening(const char *root, const char *path);
/// Are we in the user, pid and mount namespaces that the machine began with, as far as can be told?
bool sysctl_in_initial_namespaces(void);
