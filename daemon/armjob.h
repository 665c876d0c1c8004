/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/armstate.h"
#include "common/pidref.h"
#include "daemon/jobs.h"

/**
 * DOC: Arming one process
 *
 * A job that looks, and, if something is to be changed, a second one that looks again and writes
 * (cmd/worker/arm.h). What is changed is kept before that where `snapctl arm` keeps it
 * (common/armed.h), which is locked for this process from the beginning to the end.
 *
 * All calls are for the daemon's only thread.
 */
struct armjob;

struct armjob_request {
	enum armjob_what {
		ARMJOB_ARM,
		ARMJOB_LOOK, ///< whether it could be armed, or how it is if it was
		ARMJOB_DISARM,
	} what;
	struct pidref ref; ///< taken, also after an error
	struct json *identity; ///< who the worker becomes (common/job.h), taken; NULL: nobody
	uid_t uid; ///< who wants it: limits are by user
	bool of_user; ///< whoever asked is kept with what was changed
	bool background; ///< everybody else's work comes first
	const char *unit, *pattern; ///< of Arm=, or NULL; borrowed for the call
	struct armjob_callbacks {
		/// As of jobs; may be NULL.
		void (*progress)(void *userdata, size_t position, const char *phase, uint64_t done,
				 uint64_t total);
		/// It has ended, and is gone after this call. @err or @found, what the worker has
		/// found, is not NULL; both stay the caller's.
		void (*end)(void *userdata, const struct snap_error *err, const struct json *found,
			    enum armstate state);
	} callbacks;
	void *userdata;
};

/// Begins now or when it is its turn. The callbacks are not called from here. SNAP_FAILED also
/// when somebody else arms or disarms this process now. @ret is borrowed and valid until the end.
struct snap_error *armjob_begin(struct jobs *jobs, struct armjob_request *request,
				struct armjob **ret) _must_check_;
/// Ends it soon, by its end().
void armjob_cancel(struct armjob *job);
/// At once, without a word; for when the jobs have been destroyed. Accepts NULL.
void armjob_destroy(struct armjob *job);
