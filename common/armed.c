// SPDX-License-Identifier: LGPL-2.1-or-later
#include "armed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "str.h"

enum { RECORD_MAX_BYTES = 16 << 10, STAT_MAX_BYTES = 4096 };

struct name {
	char text[24];
};

static struct name name_of(pid_t pid, const char *suffix)
{
	struct name name;
	(void)snprintf(name.text, sizeof(name.text), "%d%s", pid, suffix);
	return name;
}

// ---- which process -------------------------------------------------------------------------

/// Ticks from boot to the start of the process; 0 when it is not there.
static uint64_t start_time(pid_t pid)
{
	enum { FIELD_STATE = 3, FIELD_START = 22 };
	char path[32];
	uint64_t ticks = 0;
	_cleanup_free_ char *text = NULL;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (snap_read_file_at(AT_FDCWD, path, STAT_MAX_BYTES, &text) < 0)
		return 0;
	// The name may have anything in it, but nothing behind it has a parenthesis.
	char *save, *p = strrchr(text, ')');
	char *word = p ? strtok_r(p + 1, " ", &save) : NULL;
	for (int field = FIELD_STATE; word && field < FIELD_START; field++)
		word = strtok_r(NULL, " ", &save);
	return word && snap_parse_u64(word, &ticks) == 0 ? ticks : 0;
}

static bool is_current(const struct json *record, pid_t pid)
{
	uint64_t start = start_time(pid);
	return start && json_get_u64(record, "start_time", 0) == start &&
	       json_get_u64(record, "pid", 0) == (uint64_t)pid;
}

// ---- the folder ----------------------------------------------------------------------------

/// Where records are; owned by the caller. NULL: nowhere, or out of memory.
static char *folder(void)
{
	const char *named = secure_getenv("PROCSNAP_ARMED");
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	char *path = NULL;
	if (named && *named)
		return strdup(named);
	if (geteuid() == 0)
		return strdup("/run/procsnap/armed");
	if (!run || !*run || asprintf(&path, "%s/procsnap/armed", run) < 0)
		return NULL;
	return path;
}

static struct snap_error *folder_error(const char *path, int errnum)
{
	_cleanup_free_ char *shown = snap_escape(path, strlen(path));
	return snap_error_errno(snap_code_from_errno(errnum), errnum,
				"cannot keep what was changed in '%s'", shown ? shown : "?");
}

struct snap_error *armed_open(struct armed *armed)
{
	_cleanup_free_ char *path = folder(), *parent = path ? strdup(path) : NULL;
	struct stat st;
	*armed = (struct armed){ .dirfd = -EBADF };
	if (!parent)
		return snap_error_new(SNAP_FAILED, "there is no folder to keep what was changed: "
						   "XDG_RUNTIME_DIR is not set");
	char *slash = strrchr(parent, '/');
	if (slash && slash > parent) {
		*slash = '\0';
		(void)mkdir(parent, 0755); // what is wrong is told by the next one
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return folder_error(path, errno);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return folder_error(path, errno);
	// What somebody else can write to would have us write to processes what he likes.
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return folder_error(path, EPERM);
	armed->dirfd = TAKE_FD(fd);
	return NULL;
}

void armed_close(struct armed *armed)
{
	snap_closep(&armed->dirfd);
	armed->dirfd = -EBADF;
}

int armed_lock(const struct armed *armed, pid_t pid)
{
	// One byte of one file for each process: there is nothing to remove afterwards.
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = pid, .l_len = 1 };
	_cleanup_close_ int fd =
		openat(armed->dirfd, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return TAKE_FD(fd);
}

// ---- records -------------------------------------------------------------------------------

/// Of whatever process; NULL when there is none, or it is damaged.
static struct json *read_any(const struct armed *armed, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	struct name name = name_of(pid, "");
	ssize_t n = snap_read_file_at(armed->dirfd, name.text, RECORD_MAX_BYTES, &text);
	return n < 0 ? NULL : json_parse(text, (size_t)n);
}

/// Of a process that still is the one it was.
static struct json *read_current(const struct armed *armed, pid_t pid)
{
	struct json *record = read_any(armed, pid);
	if (record && is_current(record, pid))
		return record;
	json_destroy(record);
	return NULL;
}

struct json *armed_read(const struct armed *armed, pid_t pid)
{
	struct json *record = read_current(armed, pid);
	if (record && !json_get_bool(record, "disarmed", false))
		return record;
	json_destroy(record);
	return NULL;
}

bool armed_is_disarmed(const struct armed *armed, pid_t pid)
{
	_cleanup_(json_destroyp) struct json *record = read_current(armed, pid);
	return json_get_bool(record, "disarmed", false);
}

struct snap_error *armed_write(const struct armed *armed, pid_t pid, struct json *record)
{
	struct name name = name_of(pid, ""), draft = name_of(pid, ".new");
	json_set_u64(record, "pid", (uint64_t)pid);
	json_set_u64(record, "start_time", start_time(pid));
	json_set_u64(record, "realtime_ns", snap_clock_ns(CLOCK_REALTIME));
	const char *text = json_text(record);
	if (!text)
		return snap_error_oom();
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_close_ int fd = openat(armed->dirfd, draft.text, flags, 0600);
	int r = fd < 0 ? -errno : snap_write_all(fd, text, strlen(text));
	if (r == 0 && renameat(armed->dirfd, draft.text, armed->dirfd, name.text) < 0)
		r = -errno;
	if (r < 0)
		return snap_error_errno(snap_code_from_errno(-r), -r,
					"process %d was left alone, since what is changed in it "
					"cannot be kept",
					pid);
	return NULL;
}

struct snap_error *armed_write_disarmed(const struct armed *armed, pid_t pid)
{
	_cleanup_(json_destroyp) struct json *record = json_new_object();
	json_set_bool(record, "disarmed", true);
	return armed_write(armed, pid, record);
}

void armed_drop_ended(const struct armed *armed, pid_t pid)
{
	_cleanup_close_ int lock = armed_lock(armed, pid);
	_cleanup_(json_destroyp) struct json *record = lock < 0 ? NULL : read_current(armed, pid);
	if (lock >= 0 && !record)
		armed_drop(armed, pid);
}

void armed_drop(const struct armed *armed, pid_t pid)
{
	struct name name = name_of(pid, "");
	(void)unlinkat(armed->dirfd, name.text, 0); // it is about nothing any more; and no harm
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
	return (x > y) - (x < y);
}

struct snap_error *armed_list(const struct armed *armed, struct json **ret)
{
	int copy = openat(armed->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	if (!dir) {
		snap_closep(&copy);
		return snap_error_errno(SNAP_FAILED, errno, "cannot list what was changed");
	}
	for (const struct dirent *d; (d = readdir(dir));) {
		uint64_t pid;
		if (strspn(d->d_name, "0123456789") != strlen(d->d_name) ||
		    snap_parse_u64(d->d_name, &pid) < 0 || !pid || pid > INT32_MAX)
			continue;
		pid_t *larger = reallocarray(pids, n + 1, sizeof(*pids));
		if (!larger) {
			(void)closedir(dir);
			return snap_error_oom();
		}
		pids = larger;
		pids[n++] = (pid_t)pid;
	}
	(void)closedir(dir);
	if (n)
		qsort(pids, n, sizeof(*pids), compare_pids);
	*ret = json_new_array();
	for (size_t i = 0; i < n; i++) {
		struct json *record = armed_read(armed, pids[i]);
		if (record)
			json_add(*ret, record);
		else
			armed_drop_ended(armed, pids[i]);
	}
	return NULL;
}
