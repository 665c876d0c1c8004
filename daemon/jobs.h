/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "common/error.h"
#include "common/job.h"
#include "common/pidref.h"
#include "daemon/config.h"
#include "daemon/peer.h"

/**
 * DOC: Jobs
 *
 * Each is one procsnap-worker, started when its turn comes: so many at once, so many for one user.
 * Users take turns, so that one with a long queue does not keep the others waiting. A job ends when
 * its worker has, however it ends: by itself, because it was cancelled, at its deadline, or because
 * the daemon stops; whatever it held runs on then.
 *
 * All calls are for the daemon's only thread, below its event loop.
 */

struct jobs;
struct job_run;

/// What somebody wants done. jobs_add() takes ownership of everything in it, also when it fails.
struct job_request {
	struct job job; ///< points into `owner`
	struct json *owner; ///< what `job` points into, or NULL
	struct pidref ref; ///< the process; of JOB_FINISH, its number and JOB_FD_STACKS
	int spool, output; ///< as job_send() takes them
	int part; ///< of JOB_PACKED; others leave it as it is
	uid_t uid; ///< who wants it; limits are by user
	bool background; ///< for nobody in particular: everybody else's work comes first
	struct job_request_callbacks {
		/// It waits, and @position jobs are before it; or it runs (@phase is not NULL).
		void (*progress)(void *userdata, size_t position, const char *phase, uint64_t done,
				 uint64_t total);
		/// It has ended; the run and its descriptors are gone after this call. @err and
		/// @result, of which one is not NULL, stay the caller's.
		void (*end)(void *userdata, const struct snap_error *err, struct json *result);
	} callbacks;
	void *userdata;
};

struct snap_error *jobs_create(sd_event *event, struct jobs **ret) _must_check_;
/// Kills what runs, and forgets what waits, without a word to anybody.
void jobs_destroy(struct jobs *jobs);
DEFINE_CLEANUP(struct jobs *, jobs_destroy);
/// Limits from now on; borrowed.
void jobs_configure(struct jobs *jobs, const struct config *config);

/// Starts it now or later. The callbacks are not called from here. @ret is borrowed and valid until
/// its end.
struct snap_error *jobs_add(struct jobs *jobs, struct job_request *request,
			    struct job_run **ret) _must_check_;
/// Ends it soon, by its own end() with SNAP_CANCELLED, or with what it has if it may be partial.
void job_cancel(struct job_run *run);
/// Cancels all of them and starts no more.
void jobs_stop(struct jobs *jobs);

struct jobs_counts {
	size_t running, waiting;
};
struct jobs_counts jobs_count(const struct jobs *jobs);
