// SPDX-License-Identifier: LGPL-2.1-or-later
#include "opener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "binaries.h"
#include "fd.h"

enum { MOUNTINFO_MAX = 1 << 20 };

/// Opens what @fd (O_PATH) is for reading, if it is a regular file; others may block, or do
/// something.
static int reopen_regular(int fd)
{
	char self[64];
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	// Files of procfs and tracefs look regular and empty, and reading may block or consume.
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return -EINVAL;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	int file = open(self, O_RDONLY | O_CLOEXEC);
	return file < 0 ? -errno : file;
}

static int open_regular(int dirfd, const char *path)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : reopen_regular(fd);
}

/// The file that the process calls @name: links in its root must not lead out of it.
static int open_in_process(int piddir, const char *name)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	_cleanup_close_ int root = openat(piddir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof(how));
	return fd < 0 ? -errno : reopen_regular(fd);
}

/// The copy of a file that a distribution's debug packages name by its build ID.
static int open_by_id(const char *build_id)
{
	static const char *const suffixes[] = { "", ".debug" };
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *path = NULL;
		if (asprintf(&path, "/usr/lib/debug/.build-id/%.2s/%s%s", build_id, build_id + 2,
			     suffixes[i]) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		int fd = open_regular(AT_FDCWD, path);
		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

/// What is beside the program that the user named.
static int open_beside(const char *exe, const char *name)
{
	_cleanup_free_ char *path = NULL;
	const char *slash = strrchr(exe, '/');
	if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - exe) : 0, exe, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return open_regular(AT_FDCWD, path);
}

/// One field of a line of mountinfo (proc(5)); blanks in it are \\040.
static const char *next_field(const char **line, size_t *ret_len)
{
	const char *field = *line + strspn(*line, " ");
	*ret_len = strcspn(field, " \n");
	*line = field + *ret_len;
	return field;
}

/// The length of the mount point when @path lies below it; 0: it does not. One with characters that
/// are escaped is taken to be as long as it can be: such names are rare, and then not opened.
static size_t covers(const char *mount, size_t len, const char *path)
{
	const char *escape = memchr(mount, '\\', len);
	size_t plain = escape ? (size_t)(escape - mount) : len;
	if (strncmp(mount, path, plain) != 0)
		return 0;
	if (len == 1 || escape)
		return len;
	return path[len] == '/' || !path[len] ? len : 0;
}

/// Is @path below a mount of FUSE? Nothing but the kernel's list is looked at: every other way to
/// find out would ask whoever serves it.
static bool on_fuse(const char *path)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text) < 0)
		return true;
	size_t longest = 0;
	bool is_fuse = false;
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		const char *at = line, *mount = NULL;
		size_t len = 0;
		for (int i = 0; i < 5; i++)
			mount = next_field(&at, &len);
		size_t covered = covers(mount, len, path);
		const char *type = strstr(at, " - ");
		if (!covered || !type || covered < longest)
			continue;
		if (strncmp(type + 3, "fuse", 4) != 0 && memchr(mount, '\\', len))
			continue; // only perhaps, and that must not hide one of FUSE
		longest = covered; // of two at the same place the later one is on top
		is_fuse = !strncmp(type + 3, "fuse", 4);
	}
	return is_fuse;
}

static int open_warily(const char *name)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	if (on_fuse(name))
		return -ENOTSUP;
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof(how));
	return fd < 0 ? -errno : reopen_regular(fd);
}

static int open_ours(const struct opener *opener, const char *name)
{
	return opener->wary ? open_warily(name) : open_regular(AT_FDCWD, name);
}

int opener_open(const struct opener *opener, const char *name, const char *build_id,
		bool is_program)
{
	int fd = -ENOENT;
	if (!strncmp(name, "./", 2))
		return is_program && opener->exe ? open_beside(opener->exe, name) : -ENOENT;
	if (is_program && opener->exe)
		return open_regular(AT_FDCWD, opener->exe);
	if (opener->binaries)
		fd = binaries_open_file(opener->binaries, name, build_id);
	if (fd < 0 && is_program && opener->piddir >= 0) // also when it was deleted or replaced
		fd = open_regular(opener->piddir, "exe");
	if (fd < 0 && name[0] == '/')
		fd = opener->piddir >= 0 ? open_in_process(opener->piddir, name) :
					   open_ours(opener, name);
	if (fd < 0 && build_id && strlen(build_id) > 2 && !strchr(build_id, '/'))
		fd = open_by_id(build_id);
	return fd;
}
