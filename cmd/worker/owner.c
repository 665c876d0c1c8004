// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/str.h"
#include "owner.h"

/// The one id that is four times in a line of /proc/PID/status; UINT64_MAX when they differ.
static uint64_t single_id(const char *status, const char *key)
{
	const char *p = snap_line_value(status, key);
	uint64_t first = UINT64_MAX;
	for (int i = 0; p && i < 4; i++) {
		uint64_t id;
		if (snap_take_u64(&p, &id) < 0 || (i && id != first))
			return UINT64_MAX;
		first = id;
	}
	return first;
}

uint64_t owner_find(const struct pidref *ref)
{
	_cleanup_close_ int piddir = pidref_open_proc(ref);
	_cleanup_free_ char *status = NULL;
	struct stat st;
	if (piddir < 0 || snap_read_file_at(piddir, "status", 64 << 10, &status) < 0 ||
	    fstatat(piddir, "environ", &st, 0) < 0)
		return UINT64_MAX;
	uint64_t uid = single_id(status, "Uid:"), gid = single_id(status, "Gid:");
	// The files of one that is not dumpable are root's.
	return st.st_uid == uid && st.st_gid == gid ? uid : UINT64_MAX;
}
