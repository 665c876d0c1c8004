/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/json.h"

/**
 * DOC: Who is at the other end of a connection
 *
 * The kernel tells who connected (SO_PEERCRED, SO_PEERGROUPS, and from Linux 6.5 on SO_PEERPIDFD);
 * the rest is read from /proc of that process while it is held. Ids are those of our user
 * namespace. A process in another user or pid namespace is told apart, for its root is not ours,
 * and its numbers are not ours either.
 */
struct peer {
	pid_t pid; ///< 0 when it is in a pid namespace that we cannot see
	uid_t uid;
	gid_t gid;
	gid_t *groups; ///< owned
	size_t n_groups;
	char comm[17]; ///< as the kernel has it, "" when unknown
	bool outside; ///< in another user or pid namespace, or nobody knows
	bool tracer; ///< has CAP_SYS_PTRACE
};

/// A pidfd of the process that connected to @fd, or -errno: -ENOPROTOOPT before Linux 6.5.
int peer_pidfd(int fd);
/// Finds out who has connected to @fd. -errno when the kernel does not tell.
int peer_identify(int fd, struct peer *ret);
void peer_deinit(struct peer *peer);

/// May it do anything to any process and dump: root with CAP_SYS_PTRACE, or a member of @gid.
/// (gid_t)-1: no group.
bool peer_is_privileged(const struct peer *peer, gid_t gid);
/// NULL if it may ask for dumps at all.
struct snap_error *peer_check(const struct peer *peer) _must_check_;
/// What a worker becomes for it (struct job.identity), owned by the caller; NULL: out of memory.
struct json *peer_identity(const struct peer *peer);
