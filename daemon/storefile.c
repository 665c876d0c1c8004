// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/acl.h>
#include <sys/file.h>
#include <unistd.h>

#include <acl/libacl.h>

#include "common/clock.h"
#include "common/fd.h"
#include "storeid.h"

enum {
	LOCK_TRIES = 100,
	LOCK_RETRY_NS = 10 * 1000 * 1000,
};

static const char temp_prefix[] = ".tmp-";
static const char lock_name[] = ".lock";

static struct snap_error *folder_error(int errnum, const char *what, const char *path)
{
	return snap_error_errno(snap_code_from_errno(errnum), errnum,
				"cannot %s the folder of dumps '%s'", what, path);
}

/// @path without slashes at its end: with one, a symbolic link is followed.
static char *trimmed(const char *path)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/// The mode does not depend on our umask, and the folder outlives a power failure.
static int settle_folder(int dirfd)
{
	_cleanup_close_ int parent = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || fchmod(dirfd, 0755) < 0)
		return -errno;
	return storefile_sync_folder(parent);
}

struct snap_error *storefile_open_folder(const char *path, int *ret)
{
	_cleanup_free_ char *name = trimmed(path);
	if (!name)
		return snap_error_oom();
	bool made = mkdir(name, 0755) == 0;
	if (!made && errno != EEXIST)
		return folder_error(errno, "make", path);
	_cleanup_close_ int fd = open_folder(name);
	struct stat st;
	if (fd == -ELOOP || fd == -ENOTDIR)
		return snap_error_new(SNAP_FAILED,
				      "the folder of dumps '%s' is a symbolic link or no folder",
				      path);
	if (fd < 0)
		return folder_error(-fd, "open", path);
	int r = made ? settle_folder(fd) : 0;
	if (r < 0)
		return folder_error(-r, "make", path);
	if (fstat(fd, &st) < 0)
		return folder_error(errno, "look at", path);
	// With an access list the bits of the group are its mask, so they cover that too.
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return snap_error_new(
			SNAP_FAILED,
			"the folder of dumps '%s' must belong to user %u and be "
			"writable for nobody else; it belongs to user %u and has mode "
			"%04o",
			path, geteuid(), st.st_uid, st.st_mode & 07777);
	*ret = TAKE_FD(fd);
	return NULL;
}

/// Children of a daemon that was killed have its lock until they end, a moment after it.
static int take_lock(int fd)
{
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK || i == LOCK_TRIES)
			return errno;
		snap_sleep_ns(LOCK_RETRY_NS);
	}
	return 0;
}

struct snap_error *storefile_lock(int dirfd, const char *path, int *ret)
{
	// Not the folder itself: everybody who may read that could take its lock.
	_cleanup_close_ int fd = openat(
		dirfd, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return folder_error(errno, "lock", path);
	if (!storefile_is_ours(&st))
		return folder_error(EPERM, "lock", path);
	int errnum = take_lock(fd);
	if (errnum == EWOULDBLOCK)
		return snap_error_new(SNAP_FAILED,
				      "another procsnapd uses the folder of dumps '%s'", path);
	*ret = TAKE_FD(fd);
	return NULL;
}

bool storefile_is_ours(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_nlink == 1 && st->st_uid == geteuid();
}

int storefile_open(int dirfd, const char *name, struct stat *ret_st)
{
	struct stat st;
	// Looked at first, since opening a device may do something.
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!storefile_is_ours(&st))
		return -EPERM;
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ELOOP ? -EPERM : -errno;
	if (!storefile_is_ours(&st))
		return -EPERM;
	if (fcntl(fd, F_SETFL, 0) < 0) // whoever gets it expects a descriptor that blocks
		return -errno;
	if (ret_st)
		*ret_st = st;
	return TAKE_FD(fd);
}

int storefile_temp(int dirfd, uint64_t id, const char *what, char **ret_temp)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0) {
		*ret_temp = NULL;
		return fd;
	}
	// EISDIR: a kernel that does not know the flag; the others: a file system that does not.
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	char text[STOREID_SIZE];
	_cleanup_free_ char *name = NULL;
	if (asprintf(&name, "%s%s.%s", temp_prefix, storeid_format(id, text), what) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	*ret_temp = TAKE_PTR(name);
	return fd;
}

bool storefile_is_temp(const char *name)
{
	static const size_t prefix_len = sizeof(temp_prefix) - 1;
	char text[STOREID_SIZE] = { 0 };
	uint64_t id;
	if (strncmp(name, temp_prefix, prefix_len) != 0 ||
	    strlen(name) <= prefix_len + STOREID_CHARS || name[prefix_len + STOREID_CHARS] != '.')
		return false;
	memcpy(text, name + prefix_len, STOREID_CHARS);
	return storeid_parse(text, &id) == 0;
}

int storefile_link(int dirfd, int fd, char **temp, const char *name)
{
	if (!*temp) {
		char path[64];
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		int r = linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW);
		return r < 0 ? -errno : 0;
	}
	if (renameat2(dirfd, *temp, dirfd, name, RENAME_NOREPLACE) == 0) {
		free(TAKE_PTR(*temp));
		return 0;
	}
	if (errno != EINVAL) // the file system cannot (NFS); link() can
		return -errno;
	if (linkat(dirfd, *temp, dirfd, name, 0) < 0)
		return -errno;
	storefile_drop_temp(dirfd, temp);
	return 0;
}

void storefile_drop_temp(int dirfd, char **temp)
{
	if (*temp)
		(void)unlinkat(dirfd, *temp, 0); // the next start removes what stays
	free(TAKE_PTR(*temp));
}

static void free_acl(const acl_t *acl)
{
	if (*acl)
		(void)acl_free(*acl);
}

/// Lets @uid read, and search if it is a @folder, in addition to whom the mode lets.
static int grant_read(int fd, uid_t uid, bool folder)
{
	_cleanup_(free_acl) acl_t acl = acl_get_fd(fd);
	acl_entry_t entry;
	acl_permset_t permissions;
	if (!acl || acl_create_entry(&acl, &entry) < 0 || acl_set_tag_type(entry, ACL_USER) < 0 ||
	    acl_set_qualifier(entry, &uid) < 0 || acl_get_permset(entry, &permissions) < 0 ||
	    acl_add_perm(permissions, ACL_READ) < 0 ||
	    (folder && acl_add_perm(permissions, ACL_EXECUTE) < 0) || acl_calc_mask(&acl) < 0 ||
	    acl_set_fd(fd, acl) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

int storefile_protect(int fd, uid_t uid, bool grant)
{
	// A folder with the set-group-id bit would have given the file its own group.
	if (fchown(fd, geteuid(), getegid()) < 0 || fchmod(fd, 0640) < 0)
		return -errno;
	return grant ? grant_read(fd, uid, false) : 0;
}

int storefile_protect_folder(int fd, uid_t uid, bool grant)
{
	if (fchown(fd, geteuid(), getegid()) < 0 || fchmod(fd, 0750) < 0)
		return -errno;
	return grant ? grant_read(fd, uid, true) : 0;
}

int storefile_sync_folder(int dirfd)
{
	// EINVAL: there is nothing to sync on this file system.
	return fsync(dirfd) < 0 && errno != EINVAL ? -errno : 0;
}
