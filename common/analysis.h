/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "error.h"
#include "json.h"

/**
 * DOC: Running procsnap-analyze and procsnap-unwind
 *
 * The analyzer gets an open core and a request, and answers with JSON lines. It has no file system:
 * when it needs the file of a program it asks, and whoever started it opens it. procsnap-unwind is
 * talked to in the same way (common/stacks.h does that). Their side is in common/analyst.h:
 *
 *   ready (socket)     {"ready": true}, from inside the sandbox
 *   request (socket)   {"version", options...} with the core's descriptor, or, for a process that
 *                      is stopped, those of a core with headers and notes only and of its memory
 *   question (socket)  {"open": {"name" (hex), "build_id" (hex), "program"}}
 *   answer (socket)    {"opened": bool} with the file's descriptor
 *   lines (pipe)       {"KIND": ...} one after the other
 *   the end (socket)   {"done": true} or {"error": ...}
 *
 * With {"traceback": true} the request is about one word of each Go runtime, and the lines are
 * those of core and images and "traceback": {"image", "version", "address", "value", "symbol"} or
 * {"image", "version", "refused"}. The process may run meanwhile.
 *
 * The analyzer reads what others wrote, so its answers are checked like anything from outside.
 */

enum {
	ANALYSIS_VERSION = 1,
	ANALYSIS_SOCKET_FD = 3,
	ANALYSIS_LINES_FD = 1,
	// A goroutine with 16 384 frames; lines beyond it are dropped with an error.
	ANALYSIS_LINE_MAX = 32 << 20,
	ANALYSIS_NAME_MAX = 4096,
};

struct analysis_callbacks {
	/// Opens a file; a descriptor that analysis_run() closes, or a negative errno. @name is as
	/// the core has it; @build_id is in hexadecimal, or NULL.
	int (*open)(void *userdata, const char *name, const char *build_id, bool is_program);
	/// One line; @value is borrowed. A negative errno ends the analysis.
	int (*line)(void *userdata, const char *kind, const struct json *value);
	void *userdata;
};

struct analysis;
/// Starts procsnap-analyze, which then waits for its request.
struct snap_error *analysis_create(struct analysis **ret) _must_check_;
/// The same with procsnap-unwind.
struct snap_error *analysis_create_unwinder(struct analysis **ret) _must_check_;
/// Waits until it stands in its sandbox and can begin at once. Not needed before analysis_run().
struct snap_error *analysis_await_ready(struct analysis *analysis) _must_check_;
/// Ends it, if it has not ended.
void analysis_destroy(struct analysis *analysis);
DEFINE_CLEANUP(struct analysis *, analysis_destroy);

/// Descriptors of a request.
enum analysis_fd {
	ANALYSIS_FD_CORE,
	ANALYSIS_FD_MEMORY, ///< /proc/PID/mem, when the core has headers and notes only; or -EBADF
	ANALYSIS_FD_MAX,
};

/**
 * Has @request done, whose version it sets, on the core @core_fd, and follows it to the end.
 *
 * @deadline_ns: how long it may take, 0 for as long as it wants. Once for each analysis.
 */
struct snap_error *analysis_run(struct analysis *analysis, const int fds[ANALYSIS_FD_MAX],
				struct json *request, const struct analysis_callbacks *callbacks,
				uint64_t deadline_ns) _must_check_;

/// Text as hexadecimal and back; NULL when out of memory, or no hexadecimal text. Owned by the
/// caller.
char *analysis_to_hex(const void *data, size_t len);
char *analysis_from_hex(const char *hex);
