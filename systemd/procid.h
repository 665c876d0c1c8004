/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/pidref.h"
#include "systemd/container.h"

/**
 * DOC: Who a process is, for the journal
 *
 * What systemd-coredump tells of a process, read from /proc. The process chooses most of it: names
 * and arguments are bytes, with newlines and without UTF-8, and only those who print them escape
 * them. Every text has a limit (procid.c says how it was chosen); what is longer is cut, and
 * procid.cut tells so, since a process must not be able to fill the journal or the memory of the
 * daemon.
 *
 * A pid may be reused while its files are read. They are read below one descriptor of /proc/PID,
 * which dies with the process, and nothing is asked by number. Of a process that has crashed there
 * is a folder with copies (common/procfolder.h), which is read in the same way.
 */

/// Text of a process; data is NULL when it could not be read or was not asked for.
struct procid_text {
	char *data; ///< NUL behind the last byte; there may be others before
	size_t len;
};

enum procid_field {
	PROCID_COMM,
	PROCID_EXE,
	PROCID_CMDLINE, ///< arguments quoted for a shell where needed, separated by blanks
	PROCID_ENVIRON, ///< escaped as in C, separated by newlines, as systemd-coredump writes it
	PROCID_CWD,
	PROCID_ROOT,
	PROCID_CGROUP, ///< the path of its control group
	PROCID_UNIT,
	PROCID_USER_UNIT,
	PROCID_SLICE,
	PROCID_SESSION,
	PROCID_CONTAINER_CMDLINE, ///< of who started the container (common/leader.h)
	PROCID_OPEN_FDS,
	PROCID_PROC_STATUS,
	PROCID_PROC_MAPS,
	PROCID_PROC_LIMITS,
	PROCID_PROC_CGROUP,
	PROCID_PROC_MOUNTINFO,
	PROCID_PROC_AUXV, ///< binary
	PROCID_FIELD_MAX,
};

enum procid_flags {
	PROCID_WITH_CMDLINE = 1U << 0, ///< may hold secrets: as configured
	PROCID_WITH_ENVIRON = 1U << 1, ///< the same, much more so
};

struct procid {
	pid_t pid;
	uid_t uid; ///< real
	gid_t gid; ///< real
	bool ids_known; ///< else the two are not to be believed
	/// All user ids are equal, all group ids are, and the process may be dumped
	/// (PR_SET_DUMPABLE): what is said of it may be shown to its user.
	bool plain;
	uid_t owner_uid; ///< whose slice it is in; (uid_t)-1: nobody's
	pid_t ns_pid; ///< in its own pid namespace; 0: unknown
	struct container container;
	uint64_t rlimit_core; ///< soft, bytes; UINT64_MAX: none
	uint64_t start_ticks; ///< since boot, field 22 of /proc/PID/stat, in 1/sysconf(_SC_CLK_TCK)
	char hostname[65]; ///< of this system, not of the process's UTS namespace
	char boot_id[33]; ///< 32 hexadecimal digits, "" when unknown
	uint32_t cut; ///< bit N: fields[N] is not all there was
	struct procid_text fields[PROCID_FIELD_MAX];
};

/**
 * Finds out who @ref is, which stays the caller's and must be open.
 *
 * @flags: enum procid_flags. What cannot be read is left out, for the process may be ending; only
 * a process that is gone before its identity was known (SNAP_NO_PROCESS) and lack of memory are
 * errors. Reads /proc without waiting for the process. Called by the daemon, or by any process
 * with the rights to read those files. The result is owned by the caller.
 */
struct snap_error *procid_create(const struct pidref *ref, uint32_t flags, struct procid **ret)
	_must_check_;
/**
 * The same of a folder of common/procfolder.h, or of /proc/PID itself, which is @dirfd; it stays
 * the caller's. Of a folder without files nothing is known but @pid. Out of memory is the only
 * error. What a folder says is as true as who wrote it.
 */
struct snap_error *procid_create_at(int dirfd, pid_t pid, uint32_t flags,
				    struct procid **ret) _must_check_;
/// Accepts NULL.
void procid_destroy(struct procid *id);
DEFINE_CLEANUP(struct procid *, procid_destroy);

/// The text of a field, or NULL. Borrowed.
const char *procid_text(const struct procid *id, enum procid_field field);
