// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sink.h"

#include <errno.h>
#include <stdlib.h>

#include "common/fd.h"

enum { STREAM_BYTES = 1 << 20 };

struct snap_error *sink_stream(int in, uint64_t size, int out, const struct sink_progress *progress)
{
	_cleanup_free_ char *buf = malloc(STREAM_BYTES);
	if (!buf)
		return snap_error_oom();
	for (uint64_t pos = 0; pos < size;) {
		size_t want = MIN(size - pos, (uint64_t)STREAM_BYTES);
		ssize_t n = snap_pread_full(in, buf, want, pos);
		if (n <= 0)
			return snap_error_errno(SNAP_FAILED, n ? (int)-n : EIO,
						"cannot read the core back");
		int r = snap_write_all(out, buf, (size_t)n);
		if (r < 0)
			return snap_error_errno(snap_code_from_errno(-r), -r,
						"cannot write the core to the output");
		pos += (uint64_t)n;
		if (progress)
			progress->fn(progress->userdata, pos);
	}
	return NULL;
}
