/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

/**
 * DOC: File names of dumps
 *
 * core.COMM.UID.BOOTID.PID.USEC[.zst], as systemd-coredump names its files. In COMM a dot, a slash,
 * a blank, a backslash, and every byte that is not printable ASCII is \xNN. Parsing is strict: a
 * name is only taken when dumpname_make() would have made it, so that no two names mean the same
 * and none can have a slash in it. Any process may use these calls.
 */

enum {
	DUMPNAME_COMM_MAX = 15, ///< bytes; TASK_COMM_LEN without the NUL
	DUMPNAME_BOOT_ID_CHARS = 32,
	/// "core", COMM all escaped, three decimals, BOOTID, dots and ".zst"; far below NAME_MAX,
	/// so that there is room for ".json".
	DUMPNAME_MAX = 4 + 4 * DUMPNAME_COMM_MAX + 10 + DUMPNAME_BOOT_ID_CHARS + 10 + 19 + 5 + 4,
};

struct dumpname {
	char comm[DUMPNAME_COMM_MAX + 1]; ///< not escaped; a longer one (kernel threads) is cut
	uid_t uid;
	char boot_id[DUMPNAME_BOOT_ID_CHARS + 1]; ///< lower-case hexadecimal
	pid_t pid;
	uint64_t usec; ///< CLOCK_REALTIME
	bool compressed; ///< ends in .zst
};

/// The file name into @ret. -EINVAL for what dumpname_parse() would not take back.
int dumpname_make(const struct dumpname *name, char ret[static DUMPNAME_MAX + 1]);
/// The parts of @text; -EINVAL when it is no such name, and @ret is untouched.
int dumpname_parse(const char *text, struct dumpname *ret);
/// Sets comm from the kernel's, cut to what a name holds; NULL is empty.
void dumpname_set_comm(struct dumpname *name, const char *comm);
