// SPDX-License-Identifier: LGPL-2.1-or-later
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

struct snap_error *program_find(const char *name, char **ret)
{
	_cleanup_free_ char *self = NULL;
	char *path = NULL;
	if (snap_readlink_at(AT_FDCWD, "/proc/self/exe", &self) == 0) {
		char *slash = strrchr(self, '/');
		if (slash && asprintf(&path, "%.*s/%s", (int)(slash - self), self, name) < 0)
			return snap_error_oom();
	}
	if (path && access(path, X_OK) == 0) {
		*ret = path;
		return NULL;
	}
	free(path);
	if (asprintf(&path, LIBEXECDIR "/%s", name) < 0)
		return snap_error_oom();
	if (access(path, X_OK) < 0) {
		struct snap_error *err =
			snap_error_errno(SNAP_FAILED, errno,
					 "cannot run '%s'; is procsnap installed completely?",
					 path);
		free(path);
		return err;
	}
	*ret = path;
	return NULL;
}
