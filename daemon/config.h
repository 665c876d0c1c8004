/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "daemon/crashrule.h"
#include "daemon/unitpatterns.h"

/**
 * DOC: Configuration of procsnapd
 *
 * /etc/procsnap/procsnap.conf, then the files *.conf of the folders procsnap.conf.d below
 * /etc/procsnap, /run/procsnap and /usr/lib/procsnap, all of them in the order of their names. Of
 * files with the same name only the one in the first of these folders counts; one that is empty or
 * a link to /dev/null switches the others off. What is read later wins. procsnap.conf(5) documents
 * every key.
 *
 * A configuration is made as a whole or not at all: a mistake anywhere is an error that names file
 * and line, and whoever reloads keeps the configuration he has. A key or section that is not known
 * is a warning only, so that a file may be shared between versions.
 */

/// Any limit: there is none.
#define CONFIG_INFINITY UINT64_MAX

/// A size in bytes, or a share of the file system that the store is on.
struct config_size {
	uint64_t bytes; ///< CONFIG_INFINITY: no limit; not meant if percent is used
	uint8_t percent; ///< 1 to 100; 0: bytes are meant
};

/// So many within a time, which begins with the first of them.
struct config_rate {
	uint64_t max; ///< CONFIG_INFINITY: no limit
	uint64_t interval_ns;
};

enum config_handler {
	CONFIG_HANDLER_NO, ///< who handles crashes is not the daemon's matter
	CONFIG_HANDLER_PIPE,
	CONFIG_HANDLER_SOCKET, ///< where the kernel has it, else the pipe
};

enum config_on_stop {
	CONFIG_ON_STOP_KEEP,
	CONFIG_ON_STOP_RESTORE,
};

/// Whose programs and libraries are kept with their crashes.
enum config_capture { CONFIG_CAPTURE_NO, CONFIG_CAPTURE_CONTAINERS, CONFIG_CAPTURE_YES };

/// Something that is done where it is possible, or always, or never.
enum config_choice { CONFIG_AUTO, CONFIG_YES, CONFIG_NO };

struct config {
	// [Store]
	struct config_size max_use; ///< all dumps together
	struct config_size keep_free; ///< what the store leaves to others; 0 bytes: nothing
	uint64_t max_age_ns; ///< of a dump; CONFIG_INFINITY
	uint64_t max_per_executable; ///< dumps; CONFIG_INFINITY
	unsigned int compress; ///< level of zstd, 1 to 19; 0: not at all
	bool keep_partial; ///< on a full disk

	// [Access]
	char *group; ///< whose members may dump everything; NULL: nobody
	enum config_choice polkit; ///< is it asked about those who may not; CONFIG_YES: says if not

	// [Limits]
	unsigned int max_jobs; ///< at once
	unsigned int max_jobs_per_user; ///< at once, of max_jobs
	unsigned int max_queue; ///< jobs that wait, of all users
	unsigned int max_connections;
	unsigned int max_connections_per_user;
	uint64_t job_timeout_ns; ///< CONFIG_INFINITY
	struct config_size job_memory; ///< percent: of the machine's memory

	// [Record]
	bool command_line;
	bool environment;
	uint64_t summary_bytes; ///< at most RECORD_SUMMARY_MAX

	// [Crash]
	unsigned int handler; ///< enum config_handler
	unsigned int handler_on_stop; ///< enum config_on_stop
	unsigned int storage; ///< enum crash_action, where no rule says otherwise
	struct crashrules rules;
	uint64_t max_core_size; ///< bytes of memory; CONFIG_INFINITY
	struct config_size spool_memory; ///< percent: of the machine's memory
	struct config_rate duplicates; ///< cores of one executable that crashed at one place
	struct config_rate rate_limit; ///< cores of one executable
	struct config_rate user_rate_limit; ///< cores of one user
	struct unitpatterns arm; ///< units whose Go programs are armed
	unsigned int capture_binaries; ///< enum config_capture
	struct config_size capture_max_use; ///< of them all together

	// [Hook]
	char *on_dump; ///< absolute path of a program; NULL: none
	char *on_dump_user; ///< name or number; never NULL
	uint64_t on_dump_timeout_ns; ///< CONFIG_INFINITY

	char **warnings; ///< lines to log, what is from outside escaped
	size_t n_warnings;
};

/// The configuration without any file. Owned by the caller.
struct snap_error *config_create(struct config **ret) _must_check_;
/// Accepts NULL.
void config_destroy(struct config *config);
DEFINE_CLEANUP(struct config *, config_destroy);

/**
 * Reads all files below @root ("" for the real ones) into a fresh configuration.
 *
 * Files that do not exist are fine. SNAP_USAGE for a mistake in a file, SNAP_FAILED for a file that
 * cannot be read. Called by the daemon, at start and to reload.
 */
struct snap_error *config_load(const char *root, struct config **ret) _must_check_;
/// Reads one file, which must exist, and no drop-ins: for `procsnapd --config=FILE`.
struct snap_error *config_load_file(const char *path, struct config **ret) _must_check_;
/// Applies @len bytes of @text to @config; @name is what messages call the file. After an error
/// @config is half changed and only good for config_destroy().
struct snap_error *config_parse(struct config *config, const char *name, const char *text,
				size_t len) _must_check_;

/// What @size means when the whole is @total_bytes; CONFIG_INFINITY stays.
uint64_t config_size_bytes(struct config_size size, uint64_t total_bytes);

/// One line of the table of keys, for tests and for the manual.
struct config_key {
	const char *section, *name;
	const char *allowed; ///< what may be said, as in "MaxAge= takes ..."
	const char *fallback; ///< the value that stands without any file, as one would write it
};
/// NULL beyond the last key. Static.
const struct config_key *config_key_at(size_t index);
