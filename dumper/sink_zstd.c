// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "zstframes.h"

struct sink {
	int in;
	uint32_t flags;
	const struct sink_progress *progress;
};

/// Is this whole frame a hole? File systems that cannot tell say no.
static bool is_hole(int in, uint64_t pos, size_t len)
{
	off_t data = lseek(in, (off_t)pos, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO && len == ZSTFRAMES_BYTES;
	return len == ZSTFRAMES_BYTES && (uint64_t)data >= pos + len;
}

static struct snap_error *fill(void *userdata, uint64_t pos, char *buf, size_t len, bool *ret_zero)
{
	const struct sink *s = userdata;
	*ret_zero = is_hole(s->in, pos, len);
	ssize_t n = *ret_zero ? (ssize_t)len : snap_pread_full(s->in, buf, len, pos);
	return n == (ssize_t)len ? NULL :
				   snap_error_errno(SNAP_FAILED, n < 0 ? (int)-n : EIO,
						    "cannot read the core back");
}

static void on_written(void *userdata, uint64_t pos, size_t len)
{
	const struct sink *s = userdata;
	if (s->flags & SINK_CONSUME) // not possible: then the room is taken twice
		(void)fallocate(s->in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)pos,
				(off_t)len);
	if (s->progress)
		s->progress->fn(s->progress->userdata, pos + len);
}

struct snap_error *sink_zstd(int in, uint64_t size, int out, int level, unsigned int threads,
			     uint32_t flags, const struct sink_progress *progress)
{
	struct sink sink = { in, flags, progress };
	const struct zstframes_job job = { .fill = fill,
					   .written = on_written,
					   .userdata = &sink,
					   .end = size,
					   .out = out,
					   .level = level,
					   .threads = threads };
	_cleanup_zsttable_ struct zsttable table = { 0 };
	struct stat st;
	int errnum = fstat(in, &st) < 0 ? errno : (uint64_t)st.st_size < size ? EIO : 0;
	if (errnum)
		return snap_error_errno(SNAP_FAILED, errnum, "cannot read the core back");
	struct snap_error *err = zstframes_write(&job, &table);
	return err ? err : zsttable_write(&table, out);
}
