// SPDX-License-Identifier: LGPL-2.1-or-later
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/pidref.h"
#include "common/str.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 // linux/socket.h, since Linux 6.5
#endif

enum { STATUS_MAX = 64 << 10, GROUPS_START = 64 };

static int read_groups(int fd, struct peer *peer)
{
	for (socklen_t bytes = GROUPS_START * sizeof(gid_t);;) {
		_cleanup_free_ gid_t *groups = malloc(bytes);
		if (!groups)
			return -ENOMEM;
		socklen_t had = bytes;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) == 0) {
			peer->n_groups = bytes / sizeof(gid_t);
			peer->groups = TAKE_PTR(groups);
			return 0;
		}
		if (errno != ERANGE || bytes <= had)
			return -errno;
	}
}

int peer_pidfd(int fd)
{
	int pidfd = -EBADF;
	socklen_t len = sizeof(pidfd);
	return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0 ? -errno : pidfd;
}

/// Pins the process. Without SO_PEERPIDFD it could have ended, and its number could be somebody
/// else's; that matters only to root, whose processes the number is compared with below.
static int pin(int fd, pid_t pid, struct pidref *ret)
{
	int pidfd = peer_pidfd(fd);
	if (pidfd >= 0)
		return pidref_from_fd(pidfd, ret);
	if (pidfd != -ENOPROTOOPT) // it has ended, and its number may be anybody's
		return pidfd;
	return pid > 0 ? pidref_open(pid, ret) : -ESRCH;
}

static bool same_namespace(int piddir, const char *path)
{
	char own[32];
	struct stat a, b;
	(void)snprintf(own, sizeof(own), "/proc/self/%s", path);
	return fstatat(piddir, path, &a, 0) == 0 && stat(own, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/// Word @index of a line of /proc/PID/status, with @prefix before it.
static bool read_number(const char *text, const char *key, size_t index, const char *prefix,
			uint64_t *ret)
{
	const char *word = snap_line_value(text, key);
	for (; word && index; index--) {
		word += strcspn(word, "\t\n");
		word += strspn(word, "\t");
	}
	_cleanup_free_ char *number = NULL;
	if (!word || asprintf(&number, "%s%.*s", prefix, (int)strcspn(word, "\t\n"), word) < 0) {
		number = NULL;
		return false;
	}
	return snap_parse_u64(number, ret) == 0;
}

/// Reads /proc/PID/status; false when it is not about the user who connected.
static bool read_status(int piddir, struct peer *peer)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(piddir, "status", STATUS_MAX, &text) < 0)
		return false;
	uint64_t effective, mask;
	if (!read_number(text, "Uid:", 1, "", &effective) || effective != peer->uid ||
	    !read_number(text, "CapEff:", 0, "0x", &mask))
		return false;
	peer->tracer = mask & 1ULL << CAP_SYS_PTRACE;
	return true;
}

static void read_comm(int piddir, struct peer *peer)
{
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(piddir, "comm", sizeof(peer->comm), &text) <= 0)
		return;
	(void)snprintf(peer->comm, sizeof(peer->comm), "%.16s", text);
	char *end = strrchr(peer->comm, '\n');
	if (end)
		*end = '\0';
}

int peer_identify(int fd, struct peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*ret = (struct peer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid, .outside = true };
	int r = read_groups(fd, ret);
	if (r < 0)
		return r;
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	if (pin(fd, cred.pid, &ref) < 0)
		return 0;
	_cleanup_close_ int piddir = pidref_open_proc(&ref);
	if (piddir < 0)
		return 0;
	read_comm(piddir, ret);
	bool inside = same_namespace(piddir, "ns/user") && same_namespace(piddir, "ns/pid");
	// All of the above is worth nothing when the process has ended meanwhile.
	ret->outside = !inside || !read_status(piddir, ret) || pidref_verify(&ref) < 0;
	return 0;
}

void peer_deinit(struct peer *peer)
{
	free(peer->groups);
	peer->groups = NULL;
	peer->n_groups = 0;
}

bool peer_is_privileged(const struct peer *peer, gid_t gid)
{
	if (peer->outside)
		return false;
	if (peer->uid == 0)
		return peer->tracer;
	bool member = gid != (gid_t)-1 && peer->gid == gid;
	for (size_t i = 0; i < peer->n_groups && gid != (gid_t)-1; i++)
		member |= peer->groups[i] == gid;
	return member;
}

struct snap_error *peer_check(const struct peer *peer)
{
	if (peer->outside)
		return snap_error_new(
			SNAP_NOT_PERMITTED,
			"procsnapd serves only processes in its own user and pid "
			"namespace, and only while they live; run snapctl on the host");
	if (peer->uid == 0 && !peer->tracer)
		return snap_error_new(SNAP_NOT_PERMITTED,
				      "this root has no CAP_SYS_PTRACE, so it may not trace "
				      "processes through procsnapd either");
	return NULL;
}

struct json *peer_identity(const struct peer *peer)
{
	struct json *json = json_new_object(), *groups = json_new_array();
	for (size_t i = 0; i < peer->n_groups; i++)
		json_add_u64(groups, peer->groups[i]);
	json_set_u64(json, "uid", peer->uid);
	json_set_u64(json, "gid", peer->gid);
	json_set(json, "groups", groups);
	return json;
}
