// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashfolder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/binaries.h"
#include "common/crashpacked.h"
#include "common/fd.h"

static const int dir_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool crashfolder_is_name(const char *name)
{
	size_t usec = strspn(name, "0123456789");
	if (!usec || name[usec] != '.' || strlen(name) >= CRASHFOLDER_NAME_SIZE - 1)
		return false;
	size_t pid = strspn(name + usec + 1, "0123456789");
	return pid && !name[usec + 1 + pid];
}

int crashfolder_open(int crashes, const char *name)
{
	int fd = openat(crashes, name, dir_flags);
	return fd < 0 ? -errno : fd;
}

static int open_file(int folder, const char *name, int flags)
{
	struct stat st;
	_cleanup_close_ int fd = openat(folder, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EBADMSG;
}

char *crashfolder_read(int folder, const char *name, size_t max, size_t *ret_len)
{
	char *text = NULL;
	_cleanup_close_ int fd = open_file(folder, name, O_RDONLY);
	if (fd < 0)
		return NULL;
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = snap_read_file_at(AT_FDCWD, path, max, &text);
	if (n < 0)
		return NULL;
	*ret_len = (size_t)n;
	return text;
}

struct json *crashfolder_read_json(int folder, const char *name, size_t max)
{
	size_t len = 0;
	_cleanup_free_ char *text = crashfolder_read(folder, name, max, &len);
	return text ? json_parse(text, len) : NULL;
}

int crashfolder_open_core(int folder)
{
	return open_file(folder, "core", O_RDWR);
}

int crashfolder_open_packed(int folder)
{
	return open_file(folder, CRASHPACKED_CORE, O_RDWR);
}

uint64_t crashfolder_packed_bytes(int folder)
{
	struct stat st;
	return fstatat(folder, CRASHPACKED_CORE, &st, AT_SYMLINK_NOFOLLOW) < 0 ?
		       0 :
		       (uint64_t)st.st_blocks * 512;
}

int crashfolder_check_packed(int fd)
{
	// The first bytes of a frame, and the last ones of a seek table, which is written last.
	static const uint8_t begin[] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const uint8_t end[] = { 0xb1, 0xea, 0x92, 0x8f };
	uint8_t bytes[sizeof(begin)] = { 0 };
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)(sizeof(begin) + sizeof(end)))
		return -EBADMSG;
	ssize_t n = snap_pread_full(fd, bytes, sizeof(bytes), 0);
	bool good = n == sizeof(bytes) && !memcmp(bytes, begin, sizeof(begin));
	if (n >= 0)
		n = snap_pread_full(fd, bytes, sizeof(bytes), (uint64_t)st.st_size - sizeof(end));
	if (n < 0)
		return (int)n;
	return good && n == sizeof(bytes) && !memcmp(bytes, end, sizeof(end)) ? 0 : -EBADMSG;
}

void crashfolder_remove_packed(int folder)
{
	static const char *const names[] = { CRASHPACKED_CORE, CRASHPACKED_RESULT,
					     CRASHPACKED_UNFINISHED };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(folder, names[i], 0); // mostly there are none
}

uint64_t crashfolder_binaries_bytes(int folder)
{
	int fd = openat(folder, BINARIES_FOLDER, dir_flags);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	struct stat st;
	uint64_t bytes = 0;
	while (dir && (d = readdir(dir)))
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_nlink == 1)
			bytes += (uint64_t)st.st_blocks * 512;
	if (dir)
		(void)closedir(dir);
	else
		snap_closep(&fd);
	return bytes;
}

int crashfolder_set_recorded(int folder)
{
	return fchmod(folder, S_IRWXU | S_ISVTX) < 0 ? -errno : 0;
}

bool crashfolder_is_recorded(int folder)
{
	struct stat st;
	return fstat(folder, &st) == 0 && st.st_mode & S_ISVTX;
}

/// Removes what is in the folder @fd, which it takes; what is a folder in that is for @empty_sub.
static int empty(int fd, int (*empty_sub)(int fd))
{
	DIR *dir = fdopendir(fd);
	const struct dirent *d;
	int r = 0;
	if (!dir) {
		r = -errno;
		snap_closep(&fd);
		return r;
	}
	while ((d = readdir(dir))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    unlinkat(dirfd(dir), d->d_name, 0) == 0)
			continue;
		int sub = errno == EISDIR && empty_sub ?
				  openat(dirfd(dir), d->d_name, dir_flags) :
				  -EBADF;
		if (sub >= 0)
			(void)empty_sub(sub);
		if (sub < 0 || unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR) < 0)
			r = -errno;
	}
	(void)closedir(dir);
	return r;
}

/// Like proc, which has no folders.
static int empty_last(int fd)
{
	return empty(fd, NULL);
}

bool crashfolder_is_leftover(const char *name)
{
	return name[0] == '~' && crashfolder_is_name(name + 1);
}

int crashfolder_remove(int crashes, const char *name)
{
	char leftover[CRASHFOLDER_NAME_SIZE + 1];
	int folder = crashfolder_open(crashes, name);
	if (folder < 0)
		return folder;
	(void)snprintf(leftover, sizeof(leftover), "%s%s", crashfolder_is_leftover(name) ? "" : "~",
		       name);
	if (strcmp(name, leftover) != 0 && renameat(crashes, name, crashes, leftover) < 0) {
		int r = -errno;
		(void)close(folder);
		return r;
	}
	int r = empty(folder, empty_last);
	if (unlinkat(crashes, leftover, AT_REMOVEDIR) < 0 && r == 0)
		r = -errno;
	return r;
}
