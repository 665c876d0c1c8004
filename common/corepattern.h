/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "error.h"

/**
 * DOC: Patterns of kernel.core_pattern
 *
 * What core(5) calls the pattern: a file, `|PROGRAM ARGUMENT...` for a pipe, or, since Linux 6.16,
 * `@PATH` and `@@PATH` for a socket. The kernel splits a pipe's pattern at blanks before it fills
 * in what begins with %, so a file name of others cannot become two arguments; and it keeps 127
 * bytes of a pattern without a word about the rest.
 *
 * Functions of texts only; any process may call them.
 */

/// CORENAME_MAX_SIZE of the kernel, its NUL not counted.
enum { COREPATTERN_MAX = 127 };

/// The program that the kernel starts for each crash.
#define COREPATTERN_HOOK "procsnap-corehook"
/// Where procsnapd listens for the kernel, and the pattern for it.
#define COREPATTERN_SOCKET_PATH "/run/procsnap/coredump.socket"
#define COREPATTERN_SOCKET "@@" COREPATTERN_SOCKET_PATH

enum corepattern_owner {
	COREPATTERN_OURS_PIPE,
	COREPATTERN_OURS_SOCKET,
	COREPATTERN_SYSTEMD,
	COREPATTERN_APPORT,
	COREPATTERN_ABRT,
	COREPATTERN_NOBODY, ///< a program that throws it away, as PID 1 sets it at boot
	COREPATTERN_FILE,
	COREPATTERN_OTHER_PIPE,
	COREPATTERN_OTHER_SOCKET,
	COREPATTERN_OWNER_MAX,
};

/// Whose @pattern is, by the name of the program or of the socket.
enum corepattern_owner corepattern_owner(const char *pattern);
/// In JSON: "procsnap-pipe", "systemd-coredump" ...; never NULL.
const char *corepattern_owner_name(enum corepattern_owner owner);
/// For people: "procsnap, through a pipe" ...; never NULL.
const char *corepattern_owner_text(enum corepattern_owner owner);
static inline bool corepattern_is_ours(const char *pattern)
{
	enum corepattern_owner owner = corepattern_owner(pattern);
	return owner == COREPATTERN_OURS_PIPE || owner == COREPATTERN_OURS_SOCKET;
}

/**
 * The number that systemd-coredump's pattern has in place of %c, the limit of the process, or NULL;
 * owned by the caller. Debian 12 has one: it starts services with a limit of 0, and keeps their
 * cores all the same.
 */
char *corepattern_limit(const char *pattern);
/**
 * The pattern that starts @hook with @store and the facts of the crash as its arguments; with
 * @limit, if not NULL, for the limit of every process. @ret is owned by the caller. SNAP_FAILED
 * when it is too long for the kernel, or a name has bytes in it that a pattern cannot have; both
 * names must be absolute.
 */
struct snap_error *corepattern_make_pipe(const char *hook, const char *store, const char *limit,
					 char **ret) _must_check_;
/// The store in a pattern of corepattern_make_pipe(), owned by the caller; NULL when it is no such
/// pattern, or when out of memory.
char *corepattern_store(const char *pattern);
/// The program of a pipe, or the path of a socket, owned by the caller; NULL for a file, or when
/// out of memory.
char *corepattern_target(const char *pattern);
