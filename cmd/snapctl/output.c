// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/fd.h"

enum { TEMP_TRIES = 16 };

static struct snap_error *file_error(int errnum, const char *what, const char *path)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum, "cannot %s '%s'", what, path);
}

bool output_is_directory(const char *spec)
{
	struct stat st;
	size_t len = strlen(spec);
	return len && (spec[len - 1] == '/' || (stat(spec, &st) == 0 && S_ISDIR(st.st_mode)));
}

/// Splits @spec into directory and name.
static struct snap_error *find_place(const char *spec, const char *name, struct output *out)
{
	const char *slash = spec ? strrchr(spec, '/') : NULL;
	if (!spec) {
		out->dir = strdup(".");
		out->name = strdup(name);
	} else if (!*spec) {
		return snap_error_new(SNAP_USAGE, "the name of the output file is empty");
	} else if (output_is_directory(spec)) {
		out->dir = strdup(spec);
		out->name = strdup(name);
	} else {
		out->dir = !slash	 ? strdup(".") :
			   slash == spec ? strdup("/") :
					   strndup(spec, (size_t)(slash - spec));
		out->name = strdup(slash ? slash + 1 : spec);
	}
	return out->dir && out->name ? NULL : snap_error_oom();
}

/// A file without a name in @dirfd, or with a temporary one, which is then in @ret_temp.
static int open_temp(int dirfd, int *ret, char **ret_temp)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0) {
		*ret = fd;
		return 0;
	}
	// EISDIR: a kernel that does not know the flag; the others: a file system that does not.
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	for (int i = 0; i < TEMP_TRIES; i++) {
		uint64_t random;
		_cleanup_free_ char *name = NULL;
		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EIO;
		if (asprintf(&name, ".procsnap-%016llx.tmp", (unsigned long long)random) < 0) {
			name = NULL;
			return -ENOMEM;
		}
		fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0) {
			*ret = fd;
			*ret_temp = TAKE_PTR(name);
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static struct snap_error *open_stdout(struct output *out)
{
	const char *tmp = secure_getenv("TMPDIR");
	if (!tmp || !*tmp)
		tmp = "/var/tmp"; // not /tmp, which may be memory
	if (isatty(STDOUT_FILENO) && !(out->flags & OUTPUT_LOOK))
		return snap_error_new(SNAP_USAGE,
				      "a core is not for a terminal; redirect the output or use "
				      "-o FILE");
	out->fd = STDOUT_FILENO;
	out->dirfd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = out->dirfd < 0 ? -errno : 0;
	if (r == 0 && !(out->flags & OUTPUT_LOOK))
		r = open_temp(out->dirfd, &out->spool, &out->spool_temp);
	return r < 0 ? file_error(-r, "make a temporary file in", tmp) : NULL;
}

static struct snap_error *check_taken(const struct output *out)
{
	struct stat st;
	if (fstatat(out->dirfd, out->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	if (S_ISDIR(st.st_mode))
		return snap_error_new(SNAP_FAILED, "'%s/%s' is a directory", out->dir, out->name);
	if (!(out->flags & OUTPUT_REPLACE))
		return snap_error_new(SNAP_FAILED,
				      "'%s/%s' exists already; use --force to replace it", out->dir,
				      out->name);
	return NULL;
}

static struct snap_error *open_file(struct output *out)
{
	out->dirfd = open(out->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->dirfd < 0)
		return file_error(errno, "open the directory", out->dir);
	struct snap_error *err = check_taken(out);
	if (err || out->flags & OUTPUT_LOOK)
		return err;
	int r = open_temp(out->dirfd, &out->fd, &out->temp);
	if (r == 0 && out->flags & OUTPUT_COMPRESS)
		r = open_temp(out->dirfd, &out->spool, &out->spool_temp);
	return r < 0 ? file_error(-r, "make a file in", out->dir) : NULL;
}

struct snap_error *output_open(const char *spec, const char *name, uint32_t flags,
			       struct output *ret)
{
	struct output out = {
		.dirfd = -EBADF, .fd = -EBADF, .spool = -EBADF, .flags = flags
	};
	struct snap_error *err;
	if (spec && !strcmp(spec, "-")) {
		err = open_stdout(&out);
	} else {
		err = find_place(spec, name, &out);
		if (!err)
			err = open_file(&out);
	}
	if (err) {
		output_close(&out);
		return err;
	}
	*ret = out;
	return NULL;
}

/// Links the unnamed file as @name; -EEXIST when that is taken.
static int link_as(const struct output *out, const char *name)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", out->fd);
	return linkat(AT_FDCWD, path, out->dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/// Puts the file in the place of whatever has the name now.
static int replace(struct output *out)
{
	if (!out->temp) {
		int r = link_as(out, out->name);
		if (r != -EEXIST)
			return r;
		uint64_t random;
		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EIO;
		if (asprintf(&out->temp, ".procsnap-%016llx.tmp", (unsigned long long)random) < 0) {
			out->temp = NULL;
			return -ENOMEM;
		}
		r = link_as(out, out->temp);
		if (r < 0) {
			free(TAKE_PTR(out->temp));
			return r;
		}
	}
	if (renameat(out->dirfd, out->temp, out->dirfd, out->name) < 0)
		return -errno;
	free(TAKE_PTR(out->temp));
	return 0;
}

static int publish_new(struct output *out)
{
	if (!out->temp)
		return link_as(out, out->name);
	int r = renameat2(out->dirfd, out->temp, out->dirfd, out->name, RENAME_NOREPLACE);
	if (r < 0 && errno == EINVAL) // the file system cannot (NFS); link() can
		r = linkat(out->dirfd, out->temp, out->dirfd, out->name, 0);
	else if (r == 0)
		free(TAKE_PTR(out->temp));
	return r < 0 ? -errno : 0;
}

struct snap_error *output_publish(struct output *out)
{
	if (!out->name)
		return NULL;
	int r = out->flags & OUTPUT_REPLACE ? replace(out) : publish_new(out);
	if (r < 0)
		return file_error(-r, "give the core its name", out->name);
	if (fsync(out->dirfd) < 0 && errno != EINVAL)
		return file_error(errno, "write to disk the directory", out->dir);
	return NULL;
}

void output_close(struct output *out)
{
	if (out->temp)
		(void)unlinkat(out->dirfd, out->temp, 0);
	if (out->spool_temp)
		(void)unlinkat(out->dirfd, out->spool_temp, 0);
	if (out->fd != STDOUT_FILENO)
		snap_closep(&out->fd);
	snap_closep(&out->spool);
	snap_closep(&out->dirfd);
	free(out->temp);
	free(out->spool_temp);
	free(out->dir);
	free(out->name);
	*out = (struct output){ .dirfd = -EBADF, .fd = -EBADF, .spool = -EBADF };
}

uint64_t output_free_bytes(const struct output *out)
{
	struct statvfs st;
	if (fstatvfs(out->dirfd, &st) < 0 || !st.f_blocks)
		return 0;
	uint64_t blocks = geteuid() == 0 ? st.f_bfree : st.f_bavail;
	return MAX(blocks * st.f_frsize, (uint64_t)1);
}

char *output_path(const struct output *out)
{
	char *path;
	if (!out->name)
		return strdup("-");
	if (!strcmp(out->dir, "."))
		return strdup(out->name);
	size_t len = strlen(out->dir);
	if (asprintf(&path, "%s%s%s", out->dir, out->dir[len - 1] == '/' ? "" : "/", out->name) < 0)
		return NULL;
	return path;
}
