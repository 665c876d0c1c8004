// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * To be preloaded: a file system without O_TMPFILE, as NFS and vfat are; and, when NO_NOREPLACE is
 * set, without RENAME_NOREPLACE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

static int refuse(int flags)
{
	if ((flags & O_TMPFILE) != O_TMPFILE)
		return 0;
	errno = EOPNOTSUPP;
	return -1;
}

#define WRAP(name)                                                                             \
	int name(int dirfd, const char *path, int flags, ...)                                  \
	{                                                                                      \
		int (*next)(int, const char *, int, ...) =                                     \
			(int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name);         \
		va_list ap;                                                                    \
		mode_t mode;                                                                   \
		va_start(ap, flags);                                                           \
		mode = va_arg(ap, mode_t);                                                     \
		va_end(ap);                                                                    \
		return refuse(flags) ? -1 : next(dirfd, path, flags, mode);                    \
	}
WRAP(openat)
WRAP(openat64)

int renameat2(int olddir, const char *old, int newdir, const char *new, unsigned int flags)
{
	int (*next)(int, const char *, int, const char *, unsigned int) =
		(int (*)(int, const char *, int, const char *, unsigned int))dlsym(RTLD_NEXT,
										    "renameat2");

	if (flags && getenv("NO_NOREPLACE")) {
		errno = EINVAL;
		return -1;
	}
	return next(olddir, old, newdir, new, flags);
}
