// SPDX-License-Identifier: LGPL-2.1-or-later
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/analyst.h"

static bool asking;
static const char *program_name;

void files_ask(const char *program)
{
	program_name = program;
	asking = true;
}

int files_open(const char *name, const char *build_id)
{
	return analyst_open(name, build_id, program_name && !strcmp(name, program_name));
}

/**
 * The build ID in a name of debug packages, ".../.build-id/ab/cdef.debug". By it the file is found
 * also where it has another name. Owned by the caller; NULL when there is none.
 */
static char *id_in_name(const char *name)
{
	static const char folder[] = "/.build-id/";
	const char *p = strstr(name, folder);
	char *id = NULL;
	p = p ? p + strlen(folder) : "";
	if (strlen(p) < 3 || p[2] != '/' || asprintf(&id, "%.2s%s", p, p + 3) < 0)
		return NULL;
	id[strcspn(id, ".")] = '\0';
	return id;
}

static int opened(const char *path, int flags)
{
	_cleanup_free_ char *id = NULL;
	int fd = -EROFS;
	if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT)) {
		if (!asking)
			return openat(AT_FDCWD, path, flags | O_CLOEXEC);
		id = id_in_name(path);
		fd = files_open(path, id);
	}
	if (fd >= 0)
		return fd;
	errno = -fd;
	return -1;
}

// Each under the name that a header would give it; which of both libdw calls depends on how it was
// built. Nothing here includes them under these names, so they must be named in assembler's terms.
int files_open32(const char *path, int flags, ...) __asm__("open");
int files_open64(const char *path, int flags, ...) __asm__("open64");
int files_fstat(int fd, struct stat *st) __asm__("fstat");

int files_open32(const char *path, int flags, ...)
{
	return opened(path, flags);
}

int files_open64(const char *path, int flags, ...)
{
	return opened(path, flags);
}

/// libc makes it of newfstatat(), which also takes a path, and is closed for that.
int files_fstat(int fd, struct stat *st)
{
	return (int)syscall(SYS_fstat, fd, st);
}
