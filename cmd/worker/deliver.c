// SPDX-License-Identifier: LGPL-2.1-or-later
#include "deliver.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dumper/sink.h"

/// What was set aside for a partial core and not used.
static void give_back(int fd)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, st.st_size) < 0)
		return; // it stays, which is a waste and no error
}

struct snap_error *deliver(const struct delivery *d)
{
	const struct sink_progress progress = { d->progress, d->userdata };
	struct snap_error *err = NULL;
	struct stat st;
	bool partial = d->job->flags & JOB_KEEP_PARTIAL;
	int last = d->spool;
	if (fstat(d->spool, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot look at the core");
	uint64_t size = (uint64_t)st.st_size;
	if (d->job->flags & JOB_COMPRESS) {
		d->phase(d->userdata, "compressing", size);
		last = d->output;
		err = sink_zstd(d->spool, size, d->output, d->job->level, d->threads,
				partial ? SINK_CONSUME : 0, &progress);
		if (!err && partial)
			give_back(d->output);
	} else if (d->job->flags & JOB_STREAM) {
		d->phase(d->userdata, "writing", size);
		err = sink_stream(d->spool, size, d->output, &progress);
	}
	if (!err && d->job->flags & JOB_SYNC) {
		d->phase(d->userdata, "syncing", size);
		if (fsync(last) < 0)
			err = snap_error_errno(snap_code_from_errno(errno), errno,
					       "cannot write the core to disk");
	}
	return err;
}
