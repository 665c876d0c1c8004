// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * To be preloaded: a file system that says that it has much more room than it has, as those with
 * quotas do, and as all do when others fill them meanwhile.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/statvfs.h>

#define WRAP(name, type)                                                                     \
	int name(int fd, struct type *buf)                                                   \
	{                                                                                    \
		int (*next)(int, struct type *) =                                            \
			(int (*)(int, struct type *))dlsym(RTLD_NEXT, #name);                \
		int r = next(fd, buf);                                                       \
		buf->f_bfree = buf->f_bavail = 1 << 30;                                      \
		return r;                                                                    \
	}
WRAP(fstatvfs, statvfs)
WRAP(fstatvfs64, statvfs64)
