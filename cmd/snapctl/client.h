/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/armstate.h"
#include "common/error.h"
#include "common/job.h"
#include "common/json.h"
#include "common/pidref.h"
#include "progress.h"

/**
 * DOC: Speaking to procsnapd
 *
 * The daemon is where PROCSNAP_SOCKET says, else at /run/procsnap/io.procsnap. Its interface is
 * daemon/io.procsnap.varlink; its errors have the same codes as ours.
 */

/// Never speak to it (--direct), from here on.
void client_set_direct(void);
/// Does a daemon answer? Asked once.
bool client_is_there(void);

/// What a call sends and gets besides its parameters.
struct client_call {
	const char *method; ///< without "io.procsnap."
	struct json *parameters; ///< owned by the caller
	const int *fds; ///< borrowed
	size_t n_fds;
	/// Replies before the last one; NULL when none are wanted.
	void (*progress)(void *userdata, const struct json *progress);
	void *userdata;
	bool cancellable; ///< by the signals of worker_block_signals()
	bool patient; ///< with what comes after that
	uint64_t deadline_ns; ///< CLOCK_MONOTONIC, given up then (SNAP_CANCELLED); 0: never
};

/// Calls and waits. @ret, owned by the caller, is what the reply has; @ret_fd the descriptor that
/// came with it, or -EBADF; both may be NULL.
struct snap_error *client_call(const struct client_call *call, struct json **ret,
			       int *ret_fd) _must_check_;

/// Has the daemon run @job, as worker_run() would do itself. @store: the dump goes there, and the
/// result has its "id" and "path".
struct snap_error *client_run(const struct job *job, const struct pidref *ref, int spool,
			      int output, bool store, const char *label,
			      struct progress *progress, struct json **ret) _must_check_;

enum client_arm { CLIENT_ARM, CLIENT_ARM_DRY, CLIENT_DISARM };
/**
 * Has the daemon arm or disarm the process. @ret_state is its state (common/armstate.h), @ret what
 * was found, owned by the caller. @ask: polkit may ask whoever sits at this terminal.
 */
struct snap_error *client_arm(enum client_arm what, const struct pidref *ref, bool ask,
			      enum armstate *ret_state, struct json **ret) _must_check_;

/// Lets polkit ask whoever sits at this terminal, for methods that it may allow.
void client_allow_questions(struct json *parameters);

/// May @what be an id (or the beginning of one) rather than the name of a file?
bool client_is_id(const char *what);
/// Gets the dump @id: its {"entry", "metadata"}, and a descriptor of the core. Both are owned by
/// the caller, and may be NULL.
struct snap_error *client_get(const char *id, struct json **ret, int *ret_fd) _must_check_;
