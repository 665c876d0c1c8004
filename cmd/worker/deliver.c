// SPDX-License-Identifier: LGPL-2.1-or-later
#include "deliver.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "dumper/sink.h"

enum { SPARE_BYTES = 2 << 20 };

/// What was set aside for a partial core and not used.
static void give_back(int fd)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, st.st_size) < 0)
		return; // it stays, which is a waste and no error
}

static struct snap_error *sync_file(const struct delivery *d, int fd, uint64_t size)
{
	if (!(d->job->flags & JOB_SYNC))
		return NULL;
	d->phase(d->userdata, "syncing", size);
	return fsync(fd) < 0 ? snap_error_errno(snap_code_from_errno(errno), errno,
						"cannot write the core to disk") :
			       NULL;
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
	return err ? err : sync_file(d, last, size);
}

/// Is there too little room for a copy of the spool? Headers may become larger, and others write.
static bool lacks_room(const struct delivery *d)
{
	struct stat st;
	struct statvfs fs;
	if (fstat(d->spool, &st) < 0 || fstatvfs(d->output, &fs) < 0)
		return false;
	uint64_t bytes = (uint64_t)st.st_blocks * 512;
	return (uint64_t)fs.f_bavail * fs.f_frsize < bytes + bytes / 8 + SPARE_BYTES;
}

struct snap_error *deliver_packed(const struct delivery *d, struct repack *repack)
{
	const struct sink_progress progress = { d->progress, d->userdata };
	d->phase(d->userdata, "compressing", repack->size);
	struct snap_error *err = repack_write(repack, d->output, d->job->level,
					      lacks_room(d) ? SINK_CONSUME : 0U, &progress);
	return err ? err : sync_file(d, d->output, repack->size);
}
