/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/snapshot.h"

/**
 * DOC: Parsers for the text of /proc/PID
 *
 * They work on text that was read already, so they can be fuzzed. Part of it is written by the
 * process itself (its name, the names of the files it maps), so nothing in it is believed: stat is
 * read from its last ')', keys count only at the start of a line, numbers are checked. Text is
 * NUL-terminated; each parser returns 0 or -EBADMSG and leaves its result untouched on failure.
 */

struct procfs_stat {
	pid_t pid, ppid, pgrp, sid;
	char comm[64];
	char state;
	uint64_t flags;
	uint64_t utime, stime, cutime, cstime; ///< clock ticks
	int nice;
	uint64_t start_time; ///< clock ticks since boot
	int exit_signal; ///< that its parent gets when it ends; -1: unknown
	int exit_code; ///< as of wait(2), of one that has ended; -1: unknown
};

int procfs_parse_stat(const char *text, struct procfs_stat *ret);

struct procfs_status {
	uid_t uid; ///< real
	gid_t gid; ///< real
	uid_t fsuid;
	pid_t tracer_pid; ///< 0: nobody traces it
	/// Entries of NSpid: one for each pid namespace that the thread is in, from that of /proc
	/// inwards. 0: a kernel without them.
	unsigned int ns_levels;
	pid_t ns_pid, ns_pgrp, ns_sid; ///< innermost entries; 0: not visible in there
	uint64_t threads;
	uint64_t sig_pending, sig_shared_pending, sig_blocked, sig_ignored, sig_caught;
	uint64_t rss_bytes; ///< 0 for a process without memory
	uint64_t pinned_bytes; ///< that devices may write to at any time
	int seccomp; ///< 0: no filter; 1: strict; 2: filters
};

int procfs_parse_status(const char *text, struct procfs_status *ret);

/// What /proc/TID/syscall tells about a thread that is blocked in the kernel.
struct procfs_syscall {
	int64_t nr; ///< -1: not in a system call
	uint64_t args[6];
	uint64_t sp, pc;
};

/// -EAGAIN for a running thread, of which the file tells nothing.
int procfs_parse_syscall(const char *text, struct procfs_syscall *ret);

/// A walk over the text of /proc/PID/smaps or maps.
struct procfs_maps {
	const char *next;
	bool vm_flags; ///< the last mapping had a VmFlags line (smaps; not maps)
};

/**
 * The next mapping. Its name is added to @names, NUL-terminated, with the kernel's \012 for a
 * newline undone; @ret->name is its offset there.
 *
 * Returns 1 with a mapping, 0 at the end, -EBADMSG, or -ENOMEM.
 */
int procfs_maps_next(struct procfs_maps *walk, struct strbuf *names, struct snap_mapping *ret);

/// Clock ticks of stat as microseconds.
uint64_t procfs_ticks_to_usec(uint64_t ticks);

/// Reads and parses /proc/PID/@path below the directory @dirfd: "stat", "task/7/status", ...
int procfs_read_stat(int dirfd, const char *path, struct procfs_stat *ret);
int procfs_read_status(int dirfd, const char *path, struct procfs_status *ret);
