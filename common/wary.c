// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wary.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

enum {
	MOUNTINFO_MAX = 1 << 20,
	LINKS_MAX = 40, // as the kernel has it
};

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
static bool on_fuse(const char *mounts, const char *path)
{
	size_t longest = 0;
	bool is_fuse = false;
	for (const char *line = mounts; line && *line; line = strchr(line, '\n')) {
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

/// A path on its way to one without links.
struct way {
	char done[PATH_MAX]; ///< absolute, of links free; "" is the root
	char todo[PATH_MAX]; ///< what comes behind it
	int links; ///< that were followed
};

static void go_up(struct way *way)
{
	char *slash = strrchr(way->done, '/');
	if (slash)
		*slash = '\0';
}

/// Moves the next name of what is to do. False when there is none, or no room for it.
static bool take_name(struct way *way)
{
	const char *name = way->todo + strspn(way->todo, "/");
	size_t n = strcspn(name, "/"), len = strlen(way->done);
	if (!n || len + 1 + n >= sizeof(way->done))
		return false;
	if (n == 2 && !memcmp(name, "..", 2)) {
		go_up(way);
	} else if (n != 1 || *name != '.') {
		way->done[len] = '/';
		memcpy(way->done + len + 1, name, n);
		way->done[len + 1 + n] = '\0';
	}
	memmove(way->todo, name + n, strlen(name + n) + 1);
	return true;
}

/// Puts where the link @fd leads to in the place of its name.
static int follow(struct way *way, int fd)
{
	char target[PATH_MAX];
	size_t rest = strlen(way->todo) + 1;
	ssize_t n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if (++way->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)n + 1 + rest > sizeof(way->todo))
		return -ENAMETOOLONG;
	memmove(way->todo + n + 1, way->todo, rest);
	memcpy(way->todo, target, (size_t)n);
	way->todo[n] = '/';
	if (n && target[0] == '/')
		way->done[0] = '\0';
	else
		go_up(way);
	return 0;
}

int wary_open(const char *path)
{
	// Links are followed one by one, each after a look at where it is. One that comes to be on
	// the way after that is not followed.
	static const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
					     .resolve = RESOLVE_NO_SYMLINKS };
	_cleanup_free_ char *mounts = NULL;
	_cleanup_free_ struct way *way = calloc(1, sizeof(*way));
	_cleanup_close_ int fd = -EBADF;
	if (!way)
		return -ENOMEM;
	if (path[0] != '/' || strlen(path) >= sizeof(way->todo))
		return -EINVAL;
	memcpy(way->todo, path, strlen(path) + 1);
	if (snap_read_file_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mounts) < 0)
		return -ENOTSUP;
	while (take_name(way)) {
		struct stat st;
		const char *here = *way->done ? way->done : "/";
		snap_closep(&fd);
		if (on_fuse(mounts, here))
			return -ENOTSUP;
		fd = (int)syscall(SYS_openat2, AT_FDCWD, here, &how, sizeof(how));
		if (fd < 0 || fstat(fd, &st) < 0)
			return -errno;
		int r = S_ISLNK(st.st_mode) ? follow(way, fd) : 0;
		if (r < 0)
			return r;
	}
	// What is left is a name for which there was no room.
	return way->todo[strspn(way->todo, "/")] ? -ENAMETOOLONG : TAKE_FD(fd);
}
