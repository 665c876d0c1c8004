/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/**
 * DOC: What the path of a control group says
 *
 * libsystemd answers for a pid that is there; of a process that has crashed only the text of
 * /proc/PID/cgroup is left. So the text is read here, for both, by the rules of systemd's
 * cgroup-util.c and unit-name.c (252 to 257): first slices, then the unit; in a user's manager, or
 * in a session, the same again. A test compares with libsystemd on processes that live.
 *
 * No process chooses its path without the right to write to that hierarchy, but users choose what
 * is below their own manager. Names are valid names of units: no newline, no slash, nothing that
 * is not ASCII.
 *
 * Any process may call these. Texts are owned by the caller; -ENXIO: there is no such thing in the
 * path; -ENOMEM.
 */

/**
 * The path of the hierarchy that systemd uses, out of the text of /proc/PID/cgroup: that of cgroup
 * v2, or where it says nothing (v1 only) the named hierarchy of systemd. "/" for the root.
 */
int cgpath_from_text(const char *text, size_t len, char **ret);
/// Takes off what the path of PID 1 (its text of /proc/1/cgroup) has before "/init.scope": in a
/// container without a cgroup namespace all paths begin with it. Borrowed from @path.
const char *cgpath_below_root(const char *path, const char *root_text, size_t root_len);

/// "web.service"; a user's process is in "user@1000.service" or "session-1.scope".
int cgpath_unit(const char *path, char **ret);
/// The unit inside the manager of a user.
int cgpath_user_unit(const char *path, char **ret);
/// The last of the slices at the beginning; "-.slice" when there is none.
int cgpath_slice(const char *path, char **ret);
/// "1", of "session-1.scope".
int cgpath_session(const char *path, char **ret);
/// The user in whose slice it is. -ENXIO.
int cgpath_owner_uid(const char *path, uid_t *ret);
