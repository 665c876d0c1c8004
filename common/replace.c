// SPDX-License-Identifier: LGPL-2.1-or-later
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

static struct snap_error *failed(int errnum, const char *what, const char *path)
{
	enum snap_code code = errnum == EACCES || errnum == EPERM || errnum == EROFS ?
				      SNAP_NOT_PERMITTED :
				      snap_code_from_errno(errnum);
	return snap_error_errno(code, errnum, "cannot %s '%s'", what, path);
}

/// What is renamed or removed in the folder of @path stays so.
static int sync_folder(const char *path)
{
	_cleanup_free_ char *folder = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	if (!folder)
		return -ENOMEM;
	_cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const char *path, const char *text, mode_t mode)
{
	// Left over from one that was killed; a link there is not followed.
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = snap_write_all(fd, text, strlen(text));
	// The mode does not depend on our umask.
	return r < 0 ? r : fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

struct snap_error *replace_file(const char *path, const char *text, mode_t mode)
{
	_cleanup_free_ char *temp = NULL;
	if (asprintf(&temp, "%s.new", path) < 0) {
		temp = NULL;
		return snap_error_oom();
	}
	int r = write_file(temp, text, mode);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temp); // may not be there
	if (r == 0)
		r = sync_folder(path);
	return r < 0 ? failed(-r, "write", path) : NULL;
}

struct snap_error *replace_remove(const char *path)
{
	if (unlink(path) < 0)
		return errno == ENOENT || errno == ENOTDIR ? NULL : failed(errno, "remove", path);
	int r = sync_folder(path);
	return r < 0 ? failed(-r, "remove", path) : NULL;
}
