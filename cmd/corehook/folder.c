// SPDX-License-Identifier: LGPL-2.1-or-later
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crashpacked.h"
#include "common/fd.h"
#include "common/procfolder.h"
#include "patience.h"

static const int dir_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

static struct snap_error *cannot(const struct crash *crash, const char *what)
{
	return snap_error_errno(snap_code_from_errno(errno), errno, "cannot %s in %s/crash", what,
				crash->store);
}

/// What is in the store is root's, whoever made its folders.
static struct snap_error *open_crashes(const struct crash *crash, int *ret)
{
	struct stat st;
	_cleanup_close_ int store = open(crash->store, dir_flags);
	if (store < 0 && errno == ENOENT && mkdir(crash->store, 0755) == 0)
		store = open(crash->store, dir_flags);
	if (store < 0)
		return snap_error_errno(snap_code_from_errno(errno), errno, "cannot open %s",
					crash->store);
	if (fstat(store, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 0022)
		return snap_error_new(SNAP_FAILED, "%s can be written by others than root",
				      crash->store);
	if (mkdirat(store, "crash", 0700) < 0 && errno != EEXIST)
		return cannot(crash, "make a folder");
	_cleanup_close_ int crashes = openat(store, "crash", dir_flags);
	if (crashes < 0 || fstat(crashes, &st) < 0)
		return cannot(crash, "open the folder");
	if (st.st_uid != geteuid() || st.st_mode & 0022)
		return snap_error_new(SNAP_FAILED, "%s/crash can be written by others than root",
				      crash->store);
	*ret = TAKE_FD(crashes);
	return NULL;
}

int folder_write(const struct folder *folder, const char *name, const void *data, size_t len)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_close_ int fd = openat(folder->fd, name, flags, 0600);
	return fd < 0 ? -errno : snap_write_all(fd, data, len);
}

static int write_json(const struct folder *folder, const char *name, const struct json *json)
{
	const char *text = json ? json_text(json) : NULL;
	return text ? folder_write(folder, name, text, strlen(text)) : -ENOMEM;
}

struct copying {
	struct errand errand;
	int piddir, dir;
};

static void copying_run(struct errand *errand)
{
	const struct copying *c = (struct copying *)errand;
	(void)procfolder_copy(c->piddir, c->dir);
}

static void copying_destroy(struct errand *errand)
{
	struct copying *c = (struct copying *)errand;
	snap_closep(&c->piddir);
	snap_closep(&c->dir);
	free(c);
}

/// What /proc says is wanted by those who read the record; the core is good without. Some of it the
/// kernel reads from the memory of the process, which is behind all the rest.
static void copy_proc(const struct crash *crash, const struct folder *folder)
{
	pid_t tid;
	_cleanup_close_ int piddir = crash_open_proc(crash, &tid);
	if (piddir < 0 || (!crash->by_pidfd && !crash_is_held()) ||
	    mkdirat(folder->fd, "proc", 0700) < 0)
		return;
	_cleanup_close_ int dir = openat(folder->fd, "proc", dir_flags);
	struct copying *c = dir < 0 ? NULL : malloc(sizeof(*c));
	if (!c)
		return;
	*c = (struct copying){ .errand = { .run = copying_run, .destroy = copying_destroy },
			       .piddir = TAKE_FD(piddir),
			       .dir = TAKE_FD(dir) };
	if (patience_run(&c->errand, PATIENCE_MS))
		copying_destroy(&c->errand);
}

/// Makes it; leaves folder->fd as it is when the daemon has taken it for one of a dead hook.
static struct snap_error *make_folder(const struct crash *crash, struct folder *folder)
{
	struct stat ours, there;
	if (mkdirat(folder->crashes, folder->name, 0700) < 0)
		return cannot(crash, "make a folder");
	_cleanup_close_ int fd = openat(folder->crashes, folder->name, dir_flags);
	if (fd < 0)
		return errno == ENOENT ? NULL : cannot(crash, "open a folder");
	if (flock(fd, LOCK_EX) < 0 || fstat(fd, &ours) < 0)
		return cannot(crash, "lock a folder");
	// Between making and locking it, the daemon may have had the lock.
	if (fstatat(folder->crashes, folder->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    there.st_ino == ours.st_ino)
		folder->fd = TAKE_FD(fd);
	return NULL;
}

struct snap_error *folder_create(const struct crash *crash, struct folder *ret)
{
	*ret = FOLDER_NULL;
	struct folder folder = FOLDER_NULL;
	struct snap_error *err = open_crashes(crash, &folder.crashes);
	if (err)
		return err;
	(void)snprintf(folder.name, sizeof(folder.name), ".%" PRIu64 ".%d", crash->usec,
		       crash->ref.pid);
	while (!err && folder.fd < 0)
		err = make_folder(crash, &folder);
	if (!err) {
		_cleanup_(json_destroyp) struct json *facts = crash_to_json(crash);
		int r = write_json(&folder, "facts", facts);
		errno = -r;
		if (r < 0)
			err = cannot(crash, "write a file");
	}
	if (err) {
		if (folder.fd >= 0) {
			(void)unlinkat(folder.fd, "facts", 0);
			(void)unlinkat(folder.crashes, folder.name, AT_REMOVEDIR);
		}
		snap_closep(&folder.fd);
		folder.fd = -EBADF;
		*ret = folder;
		return err;
	}
	copy_proc(crash, &folder);
	*ret = folder;
	return NULL;
}

int folder_create_elsewhere(const struct crash *crash, char **ret_path)
{
	// File systems in memory, both. A sandbox may have left only the second one writable.
	static const char *const places[] = { "/run/procsnap-crash.XXXXXX",
					      "/dev/shm/procsnap-crash.XXXXXX" };
	_cleanup_free_ char *path = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(places) && !path; i++) {
		path = strdup(places[i]);
		if (path && !mkdtemp(path))
			free(TAKE_PTR(path));
	}
	struct folder folder = { .crashes = -EBADF, .fd = path ? open(path, dir_flags) : -EBADF };
	if (folder.fd < 0)
		return path ? -errno : -ENOSPC;
	_cleanup_(json_destroyp) struct json *facts = crash_to_json(crash);
	(void)write_json(&folder, "facts", facts);
	copy_proc(crash, &folder);
	*ret_path = TAKE_PTR(path);
	return folder.fd;
}

/// What it has is files, and one folder of files.
static void empty(int fd, const char *sub)
{
	int copy = openat(fd, sub, dir_flags);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;
	if (!dir) {
		snap_closep(&copy);
		return;
	}
	while ((d = readdir(dir)))
		(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)closedir(dir);
	(void)unlinkat(fd, sub, AT_REMOVEDIR);
}

void folder_remove_elsewhere(int fd, const char *path)
{
	empty(fd, "proc");
	(void)unlinkat(fd, "facts", 0);
	(void)rmdir(path);
}

/// A file without a name, or of this name where the file system has no such files.
static int open_unnamed(const struct folder *folder, const char *name)
{
	const int flags = O_RDWR | O_CLOEXEC;
	int fd = openat(folder->fd, ".", flags | O_TMPFILE, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	(void)unlinkat(folder->fd, name, 0);
	fd = openat(folder->fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int folder_open_core(const struct folder *folder)
{
	folder_drop_unfinished(folder); // of a copier that was killed
	return open_unnamed(folder, "core");
}

int folder_open_packed(const struct folder *folder)
{
	return open_unnamed(folder, CRASHPACKED_UNFINISHED);
}

void folder_drop_unfinished(const struct folder *folder)
{
	(void)unlinkat(folder->fd, CRASHPACKED_UNFINISHED, 0); // mostly there is none
}

static int give_packed_name(const struct folder *folder, int packed)
{
	char path[64];
	struct stat st;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", packed);
	bool named = fstat(packed, &st) == 0 && st.st_nlink;
	int r = named ? renameat(folder->fd, CRASHPACKED_UNFINISHED, folder->fd, CRASHPACKED_CORE) :
			linkat(AT_FDCWD, path, folder->fd, CRASHPACKED_CORE, AT_SYMLINK_FOLLOW);
	return r < 0 ? -errno : 0;
}

struct snap_error *folder_keep_packed(const struct folder *folder, int packed,
				      const struct json *result)
{
	int r = write_json(folder, CRASHPACKED_RESULT, result);
	if (r == 0)
		r = give_packed_name(folder, packed);
	if (r == 0)
		return NULL;
	(void)unlinkat(folder->fd, CRASHPACKED_RESULT, 0);
	return snap_error_errno(snap_code_from_errno(-r), -r, "cannot keep %s/%s", folder->name,
				CRASHPACKED_CORE);
}

struct snap_error *folder_link_core(const struct folder *folder, int core)
{
	char path[64];
	struct stat st;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", core);
	if (fstat(core, &st) == 0 && st.st_nlink)
		return NULL;
	(void)unlinkat(folder->fd, "core", 0); // of a copier that was killed after this
	return linkat(AT_FDCWD, path, folder->fd, "core", AT_SYMLINK_FOLLOW) < 0 ?
		       snap_error_errno(snap_code_from_errno(errno), errno,
					"cannot give the core a name") :
		       NULL;
}

struct snap_error *folder_write_result(const struct folder *folder, const struct json *result)
{
	(void)unlinkat(folder->fd, "result", 0);
	int r = write_json(folder, "result", result);
	if (r == -ENOSPC || r == -EDQUOT) { // the core may be there all the same
		(void)unlinkat(folder->fd, "result", 0);
		r = 0;
	}
	return r < 0 ? snap_error_errno(snap_code_from_errno(-r), -r, "cannot write %s/result",
					folder->name) :
		       NULL;
}

struct snap_error *folder_publish(struct folder *folder)
{
	if (folder->name[0] != '.')
		return NULL;
	char name[sizeof(folder->name)];
	memcpy(name, folder->name, sizeof(name));
	memmove(folder->name, folder->name + 1, strlen(folder->name));
	if (renameat(folder->crashes, name, folder->crashes, folder->name) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot rename %s", name);
	return NULL;
}

void folder_deinit(struct folder *folder)
{
	snap_closep(&folder->crashes);
	snap_closep(&folder->fd);
	*folder = FOLDER_NULL;
}
