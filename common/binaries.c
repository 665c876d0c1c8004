// SPDX-License-Identifier: LGPL-2.1-or-later
#include "binaries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

int binaries_place_by_id(const char *build_id, char ret[static BINARIES_PLACE_SIZE])
{
	size_t len = strlen(build_id);
	if (len < 4 || len % 2 || len > BINARIES_PLACE_SIZE - sizeof(".build-id/xx/") ||
	    strspn(build_id, "0123456789abcdef") != len)
		return -EINVAL;
	(void)snprintf(ret, BINARIES_PLACE_SIZE, ".build-id/%.2s/%s", build_id, build_id + 2);
	return 0;
}

void binaries_place_by_name(const char *name_hash, char ret[static BINARIES_PLACE_SIZE])
{
	(void)snprintf(ret, BINARIES_PLACE_SIZE, "other/%s", name_hash);
}

int binaries_open_file(const char *folder, const char *name, const char *build_id)
{
	char hash[DIGEST_SIZE], place[BINARIES_PLACE_SIZE];
	const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (build_id && binaries_place_by_id(build_id, place) == 0) {
		int fd = openat(dir, place, flags);
		if (fd >= 0)
			return fd;
	}
	digest_text(name, strlen(name), hash);
	binaries_place_by_name(hash, place);
	int fd = openat(dir, place, flags);
	return fd < 0 ? -errno : fd;
}
