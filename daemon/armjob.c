// SPDX-License-Identifier: LGPL-2.1-or-later
#include "armjob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/armed.h"
#include "common/fd.h"

struct armjob {
	struct jobs *jobs;
	struct armjob_request request; ///< without unit and pattern
	char *unit, *pattern;
	struct armed armed;
	int lock;
	struct job_run *run;
	enum armstate state; ///< that it will have when the second job has ended
};

void armjob_destroy(struct armjob *job)
{
	if (!job)
		return;
	snap_closep(&job->lock);
	armed_close(&job->armed);
	pidref_deinit(&job->request.ref);
	json_destroy(job->request.identity);
	free(job->unit);
	free(job->pattern);
	free(job);
}
DEFINE_CLEANUP(struct armjob *, armjob_destroy);

static void finish(struct armjob *job, const struct snap_error *err, const struct json *found,
		   enum armstate state)
{
	const struct armjob_callbacks callbacks = job->request.callbacks;
	void *userdata = job->request.userdata;
	// Whoever is told may begin the next one of this process.
	armjob_destroy(job);
	callbacks.end(userdata, err, found, state);
}

static void on_progress(void *userdata, size_t position, const char *phase, uint64_t done,
			uint64_t total)
{
	const struct armjob *job = userdata;
	if (job->request.callbacks.progress)
		job->request.callbacks.progress(job->request.userdata, position, phase, done,
						total);
}

/// A worker that looks, or with @arm, which is taken, one that writes.
static struct snap_error *start(struct armjob *job, struct json *arm,
				void (*end)(void *userdata, const struct snap_error *err,
					    struct json *result))
{
	struct job_request request = {
		.job = { .flags = JOB_ARM, .pid = job->request.ref.pid },
		.owner = json_new_object(),
		.ref = PIDREF_NULL,
		.spool = -EBADF,
		.output = -EBADF,
		.uid = job->request.uid,
		.background = job->request.background,
		.callbacks = { on_progress, end },
		.userdata = job,
	};
	json_set_shared(request.owner, "identity", job->request.identity);
	request.job.identity = job->request.identity;
	if (arm) {
		json_set(request.owner, "arm", arm);
		request.job.arm = json_get_mutable(request.owner, "arm");
	}
	int r = pidref_dup(&job->request.ref, &request.ref);
	if (r < 0 || !request.owner || (arm && !request.job.arm)) {
		json_destroy(request.owner);
		pidref_deinit(&request.ref);
		return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot hold process %d",
						job->request.ref.pid) :
			       snap_error_oom();
	}
	return jobs_add(job->jobs, &request, &job->run);
}

/// The word was written, or not.
static void on_written(void *userdata, const struct snap_error *err, struct json *result)
{
	struct armjob *job = userdata;
	struct snap_error *late = NULL;
	if (!err && job->state == ARMSTATE_DISARMED)
		late = armed_write_disarmed(&job->armed, job->request.ref.pid);
	finish(job, err ? err : late, err || late ? NULL : result, job->state);
	snap_error_destroy(late);
}

static struct snap_error *begin_arming(struct armjob *job, const struct json *found)
{
	_cleanup_(json_destroyp) struct json *record = armstate_record(found);
	pid_t pid = job->request.ref.pid;
	if (job->unit)
		json_set_text(record, "unit", job->unit);
	if (job->pattern)
		json_set_text(record, "pattern", job->pattern);
	if (job->request.of_user)
		json_set_u64(record, "uid", job->request.uid);
	struct snap_error *err = armed_write(&job->armed, pid, record);
	// Its number was asked for the start time; now it is known that it was this process's.
	if (!err && pidref_verify(&job->request.ref) < 0)
		err = snap_error_new(SNAP_NO_PROCESS, "process %d has ended", pid);
	job->state = ARMSTATE_ARMED;
	return err ? err : start(job, armstate_to_arm(found), on_written);
}

static struct snap_error *arm(struct armjob *job, const struct json *found, bool *ret_goes_on)
{
	_cleanup_(json_destroyp) struct json *record =
		armed_read(&job->armed, job->request.ref.pid);
	job->state = armstate_before(record, found);
	if (job->state != ARMSTATE_ARMED)
		return NULL;
	if (job->request.what == ARMJOB_LOOK) {
		job->state = ARMSTATE_CAN_BE_ARMED;
		return NULL;
	}
	*ret_goes_on = true;
	return begin_arming(job, found);
}

static struct snap_error *disarm(struct armjob *job, const struct json *found, bool *ret_goes_on)
{
	pid_t pid = job->request.ref.pid;
	_cleanup_(json_destroyp) struct json *record = armed_read(&job->armed, pid);
	job->state = ARMSTATE_NOT_ARMED;
	if (!record)
		return NULL;
	job->state = armstate_since(record, found);
	if (job->state != ARMSTATE_ARMED)
		return armed_write_disarmed(&job->armed, pid);
	job->state = ARMSTATE_DISARMED;
	*ret_goes_on = true;
	return start(job, armstate_to_disarm(record), on_written);
}

static void on_looked(void *userdata, const struct snap_error *err, struct json *found)
{
	struct armjob *job = userdata;
	bool goes_on = false;
	job->run = NULL;
	struct snap_error *late = NULL;
	if (!err)
		late = job->request.what == ARMJOB_DISARM ? disarm(job, found, &goes_on) :
							    arm(job, found, &goes_on);
	if (err || late || !goes_on)
		finish(job, err ? err : late, err || late ? NULL : found, job->state);
	snap_error_destroy(late);
}

static struct snap_error *lock(struct armjob *job)
{
	pid_t pid = job->request.ref.pid;
	struct snap_error *err = armed_open(&job->armed);
	if (err)
		return err;
	job->lock = armed_lock(&job->armed, pid);
	if (job->lock == -EAGAIN)
		return snap_error_new(SNAP_FAILED,
				      "somebody else arms or disarms process %d now; try again",
				      pid);
	return job->lock < 0 ? snap_error_errno(SNAP_FAILED, -job->lock,
						"cannot lock what is kept of process %d", pid) :
			       NULL;
}

struct snap_error *armjob_begin(struct jobs *jobs, struct armjob_request *request,
				struct armjob **ret)
{
	_cleanup_(armjob_destroyp) struct armjob *job = calloc(1, sizeof(*job));
	if (!job) {
		pidref_deinit(&request->ref);
		json_destroy(request->identity);
		return snap_error_oom();
	}
	job->jobs = jobs;
	job->request = *request;
	job->armed.dirfd = job->lock = -EBADF;
	job->unit = request->unit ? strdup(request->unit) : NULL;
	job->pattern = request->pattern ? strdup(request->pattern) : NULL;
	job->request.unit = job->request.pattern = NULL;
	if ((request->unit && !job->unit) || (request->pattern && !job->pattern))
		return snap_error_oom();
	struct snap_error *err = lock(job);
	if (!err)
		err = start(job, NULL, on_looked);
	if (!err)
		*ret = TAKE_PTR(job);
	return err;
}

void armjob_cancel(struct armjob *job)
{
	if (job->run)
		job_cancel(job->run);
}
