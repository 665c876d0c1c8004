/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "json.h"

/**
 * DOC: Native stacks of a core
 *
 * procsnap-unwind finds them in its sandbox; this is how it is asked, and what is made of its
 * answer. The answer was made from a hostile core, so it is taken apart and put together anew:
 * whatever stacks_find() gives has this form, and texts in it can be shown on a terminal:
 *
 *   architecture  as elfutils calls it: "AMD x86-64"
 *   threads       {tid, frames, more, error} each, in the order of the core: the kernel writes the
 *                 one that crashed first. more: it has more frames than were asked for. error: why
 *                 there are no further frames
 *     frames      {pc, symbol, symbol_offset, module, module_offset, signal}; only pc is always
 *                 there. signal: a signal came here, pc is not the return address of a call
 *   modules       {name, path, build_id, package} each. package: what the package metadata of
 *                 https://uapi-group.org/specifications/specs/package_metadata_for_executable_files
 *                 say, of which only members that are strings
 *   threads_total, modules_total
 *                 how many there are in the core, when it is known
 *   incomplete    why threads or modules are missing, a message; absent when none is
 *
 * Numbers are numbers, addresses too.
 */

enum {
	// Those of systemd-coredump.
	STACKS_FRAMES = 64,
	STACKS_THREADS = 64,
	// More than this is not read from an answer, whatever was asked for.
	STACKS_MAX_FRAMES = 4096,
	STACKS_MAX_THREADS = 65536,
	STACKS_MAX_MODULES = 4096,
	// Symbols of C++ have some hundred bytes, ten thousand at worst. Longer ones are cut.
	STACKS_MAX_TEXT = 16384,
	STACKS_MAX_MEMBERS = 32, // of package metadata
};

struct stacks_request {
	/// Opens a file, as that of struct analysis_callbacks (common/analysis.h) does. Only what
	/// begins as ELF files do is handed on.
	int (*open)(void *userdata, const char *name, const char *build_id, bool is_program);
	void *userdata;
	uint32_t frames, threads; ///< at most that many; 0: as systemd-coredump does
	uint64_t deadline_ns; ///< how long all may take; 0 for as long as it wants
};

/**
 * Finds the stacks of all threads in the raw core @core_fd, which stays the caller's.
 *
 * @ret is the caller's. When the unwinder dies half-way, @ret is what it had found by then, and
 * says so in "incomplete"; it is an error only when it had found nothing. May be called by whoever
 * may start processes and waits; not on the loop of the daemon.
 */
struct snap_error *stacks_find(int core_fd, const struct stacks_request *request,
			       struct json **ret) _must_check_;

/// The text that systemd-coredump 257 makes of it for MESSAGE, each line with its newline. Owned
/// by the caller; NULL when out of memory.
char *stacks_text(const struct json *stacks);
/// COREDUMP_PACKAGE_JSON= of systemd-coredump 257. Owned by the caller; NULL when out of memory.
struct json *stacks_packages(const struct json *stacks);
/// A member of the package metadata of the program, the module called as the file of the path @exe:
/// "name" is COREDUMP_PACKAGE_NAME=, "version" is COREDUMP_PACKAGE_VERSION=. Borrowed; NULL when
/// there is none.
const char *stacks_package_of(const struct json *stacks, const char *exe, const char *member);
