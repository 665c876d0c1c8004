/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "span.h"

/**
 * DOC: Who may read the core of a crash
 *
 * Root, and the user of the process if nothing in its memory can be above him. That is decided
 * from what the kernel says of the crash and from the core itself, never from /proc, which may
 * belong to another process by now (CVE-2025-4598). A core of a program that had more rights than
 * its user when it was executed (setuid, setgid, capabilities of files) has AT_SECURE, or ids
 * that differ, in its auxiliary vector (CVE-2022-4415); one that changed its rights since, or
 * asked not to be dumped, is not dumpable as 1. What is missing, damaged or said twice means no.
 *
 * Pure functions: any process may call them.
 */

/// Is it a user that people have: 1000 or above, none of systemd's dynamic users, not nobody?
bool coreaccess_is_person(uid_t uid);
/**
 * May @uid, the real user of the process, read its core?
 *
 * @dumpable is %d of core_pattern; -1: unknown. @auxv has the bytes of the core's note NT_AUXV, of
 * a core of ELFCLASS64 if @is_64. @ret_why, unless NULL, gets why not: a static text.
 */
bool coreaccess_owner_reads(int dumpable, uid_t uid, struct span auxv, bool is_64,
			    const char **ret_why);
