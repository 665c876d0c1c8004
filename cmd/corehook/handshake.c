// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handshake.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/str.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 // Linux 6.5
#endif

// include/uapi/linux/coredump.h, Linux 6.17. All fields are in the byte order of the machine.
enum {
	COREDUMP_KERNEL = 1 << 0,
	COREDUMP_WAIT = 1 << 3,
	COREDUMP_MARK_REQACK = 0,
	REQ_SIZE_MAX = 4096, // newer kernels may say more
	// The kernel answers at once; this is for others that connect.
	TIMEOUT_SEC = 5,
	LIMITS_MAX = 16 << 10,
};

struct coredump_req {
	uint32_t size, size_ack;
	uint64_t mask;
};

struct coredump_ack {
	uint32_t size, spare;
	uint64_t mask;
};

// include/uapi/linux/pidfd.h, Linux 6.16.
enum {
	PIDFD_INFO_CREDS = 1 << 1,
	PIDFD_INFO_COREDUMP = 1 << 4,
	PIDFD_COREDUMPED = 1 << 0,
	PIDFD_COREDUMP_USER = 1 << 2,
};

struct pidfd_info {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid;
	uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
	uint32_t coredump_mask, coredump_signal;
};
_Static_assert(sizeof(struct pidfd_info) == 72, "PIDFD_INFO_SIZE_VER1");
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info)

/// How long to wait for each piece of what is received; 0: for ever.
static int set_timeout(int sock, time_t sec)
{
	const struct timeval tv = { .tv_sec = sec };
	return setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int receive(int sock, void *buf, size_t len)
{
	ssize_t n = recv(sock, buf, len, MSG_WAITALL);
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EBADMSG;
}

/// Takes the request, of whatever size.
static int receive_request(int sock, struct coredump_req *ret)
{
	char rest[REQ_SIZE_MAX];
	int r = receive(sock, ret, sizeof(*ret));
	if (r < 0)
		return r;
	if (ret->size < sizeof(*ret) || ret->size > sizeof(rest) ||
	    ret->size_ack < sizeof(struct coredump_ack))
		return -EBADMSG;
	size_t more = ret->size - sizeof(*ret);
	return more ? receive(sock, rest, more) : 0;
}

static int agree(int sock)
{
	struct coredump_req req;
	const uint64_t want = COREDUMP_KERNEL | COREDUMP_WAIT;
	const struct coredump_ack ack = { .size = sizeof(ack), .mask = want };
	uint32_t mark;
	int r = receive_request(sock, &req);
	if (r < 0)
		return r;
	if ((req.mask & want) != want)
		return -EOPNOTSUPP;
	if (send(sock, &ack, sizeof(ack), MSG_NOSIGNAL) != (ssize_t)sizeof(ack))
		return -errno;
	r = receive(sock, &mark, sizeof(mark));
	return r < 0 ? r : mark == COREDUMP_MARK_REQACK ? 0 : -EPROTO;
}

/// Soft limit of "Max core file size" in /proc/PID/limits; UINT64_MAX: none, or not known.
static uint64_t read_rlimit(const struct pidref *ref)
{
	static const char key[] = "Max core file size";
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int piddir = pidref_open_proc(ref);
	if (piddir < 0 || snap_read_file_at(piddir, "limits", LIMITS_MAX, &text) < 0)
		return UINT64_MAX;
	const char *line = strstr(text, key);
	if (!line)
		return UINT64_MAX;
	line += sizeof(key) - 1;
	line += strspn(line, " ");
	_cleanup_free_ char *digits = strndup(line, strspn(line, "0123456789"));
	uint64_t value;
	return digits && snap_parse_u64(digits, &value) == 0 ? value : UINT64_MAX;
}

static struct snap_error *identify(int sock, struct crash *crash)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_CREDS | PIDFD_INFO_COREDUMP };
	int pidfd = -EBADF;
	socklen_t len = sizeof(pidfd);
	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "the kernel does not say who crashed");
	int r = ioctl(pidfd, PIDFD_GET_INFO, &info) < 0 ? -errno : 0;
	// Any process may connect, if it can; only one that the kernel dumps has this.
	if (r < 0 || !(info.mask & PIDFD_INFO_COREDUMP) ||
	    !(info.coredump_mask & PIDFD_COREDUMPED)) {
		snap_closep(&pidfd);
		return snap_error_new(SNAP_NOT_PERMITTED,
				      "somebody who is not the kernel has connected to the "
				      "coredump socket");
	}
	r = pidref_from_fd(pidfd, &crash->ref);
	if (r < 0)
		return snap_error_errno(SNAP_NO_PROCESS, -r, "a process has crashed and is gone");
	crash->by_pidfd = true;
	crash->uid = info.ruid;
	crash->gid = info.rgid;
	crash->dumpable = info.coredump_mask & PIDFD_COREDUMP_USER ? 1 : 2;
	return NULL;
}

struct snap_error *handshake(int sock, const char *store, struct crash *ret)
{
	*ret = (struct crash){ .store = store,
			       .ref = PIDREF_NULL,
			       .usec = snap_clock_ns(CLOCK_REALTIME) / 1000,
			       .dumpable = -1 };
	struct snap_error *err = identify(sock, ret);
	if (err)
		return err;
	int r = set_timeout(sock, TIMEOUT_SEC);
	if (r >= 0)
		r = agree(sock);
	if (r >= 0)
		r = set_timeout(sock, 0); // the core comes as fast as it can be kept
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r,
					"the kernel does not hand over the core of process %d",
					ret->ref.pid);
	ret->rlimit = read_rlimit(&ret->ref);
	return NULL;
}
