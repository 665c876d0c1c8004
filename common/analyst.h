/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "error.h"
#include "ipc.h"
#include "json.h"

/**
 * DOC: The sandboxed end of an analysis
 *
 * What procsnap-analyze and procsnap-unwind say to whoever started them; the other end is
 * common/analysis.h. All of it works inside the sandbox, if analyst_prepare() was called before.
 */

/// Does what could not be done inside: with its first key json-c asks for random numbers to hash
/// keys with.
void analyst_prepare(void);
/// Says that it stands in its sandbox, and waits for the request. @ret and @fds are the caller's;
/// entries without a descriptor are -EBADF.
struct snap_error *analyst_begin(struct json **ret, int fds[static IPC_MAX_FDS]) _must_check_;
/**
 * Asks for the file called @name; one whose build ID is @build_id (in hexadecimal, or NULL) is
 * preferred. Returns a descriptor that the caller owns, or a negative errno.
 */
int analyst_open(const char *name, const char *build_id, bool is_program);
/// Takes ownership of @value and answers {"KIND": @value}. 0 or a negative errno.
int analyst_say(const char *kind, struct json *value);
/// The last word; takes ownership of @err, which may be NULL. Returns the exit status.
int analyst_end(struct snap_error *err);
