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
	COREDUMP_REJECT = 1 << 2,
	COREDUMP_WAIT = 1 << 3,
	COREDUMP_MARK_REQACK = 0,
	REQ_SIZE_MAX = 4096, // newer kernels may say more
	// The kernel answers at once; this is for others that connect.
	TIMEOUT_SEC = 5,
	LIMITS_MAX = 16 << 10,
	STAT_MAX = 4 << 10,
	// Fields of /proc/PID/stat, proc_pid_stat(5).
	STAT_THREADS = 20,
	STAT_EXIT_CODE = 52,
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
	PIDFD_INFO_COREDUMP_SIGNAL = 1 << 6, // newer than the rest
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

/// Takes the request, which must offer all that we may answer.
static int hear(int sock)
{
	struct coredump_req req;
	const uint64_t want = COREDUMP_KERNEL | COREDUMP_REJECT | COREDUMP_WAIT;
	int r = receive_request(sock, &req);
	if (r < 0)
		return r;
	return (req.mask & want) == want ? 0 : -EOPNOTSUPP;
}

static int say(int sock, uint64_t mask)
{
	const struct coredump_ack ack = { .size = sizeof(ack), .mask = mask };
	uint32_t mark;
	if (send(sock, &ack, sizeof(ack), MSG_NOSIGNAL) != (ssize_t)sizeof(ack))
		return -errno;
	int r = receive(sock, &mark, sizeof(mark));
	return r < 0 ? r : mark == COREDUMP_MARK_REQACK ? 0 : -EPROTO;
}

/// Soft limit of "Max core file size" in /proc/PID/limits; UINT64_MAX: none, or not known.
static uint64_t read_rlimit(const struct pidref *ref)
{
	_cleanup_free_ char *text = NULL;
	uint64_t value;
	_cleanup_close_ int piddir = pidref_open_proc(ref);
	if (piddir < 0 || snap_read_file_at(piddir, "limits", LIMITS_MAX, &text) < 0)
		return UINT64_MAX;
	return snap_line_u64(text, "Max core file size", &value) == 0 ? value : UINT64_MAX;
}

/// A field behind the name in the text of /proc/PID/stat; 0 when there is none.
static uint64_t stat_field(const char *text, int field)
{
	uint64_t value;
	const char *p = strrchr(text, ')');
	for (int i = 2; p && i < field; i++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p && snap_take_u64(&p, &value) == 0 ? value : 0;
}

/// What the core would tell: as soon as a process dumps core, its status is what has ended it.
static void read_stat(struct crash *crash)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int piddir = pidref_open_proc(&crash->ref);
	if (piddir < 0 || snap_read_file_at(piddir, "stat", STAT_MAX, &text) < 0)
		return;
	if (!crash->signal)
		crash->signal = (int)(stat_field(text, STAT_EXIT_CODE) & 0x7f);
	if (stat_field(text, STAT_THREADS) == 1)
		crash->tid = crash->ref.pid;
}

static struct snap_error *identify(int sock, struct crash *crash)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_CREDS | PIDFD_INFO_COREDUMP |
					   PIDFD_INFO_COREDUMP_SIGNAL };
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
	if (info.mask & PIDFD_INFO_COREDUMP_SIGNAL)
		crash->signal = (int)(info.coredump_signal & 0x7f);
	crash->dumpable = info.coredump_mask & PIDFD_COREDUMP_USER ? 1 : 2;
	return NULL;
}

static struct snap_error *no_answer(const struct crash *crash, int errnum)
{
	return snap_error_errno(SNAP_FAILED, errnum,
				"the kernel does not hand over the core of process %d",
				crash->ref.pid);
}

struct snap_error *handshake_begin(int sock, const char *store, struct crash *ret)
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
		r = hear(sock);
	if (r < 0)
		return no_answer(ret, -r);
	ret->rlimit = read_rlimit(&ret->ref);
	read_stat(ret);
	return NULL;
}

struct snap_error *handshake_end(int sock, const struct crash *crash, enum handshake_answer answer)
{
	int r = say(sock,
		    answer == HANDSHAKE_TAKE ? COREDUMP_KERNEL | COREDUMP_WAIT : COREDUMP_REJECT);
	if (r >= 0)
		r = set_timeout(sock, 0); // the core comes as fast as it can be kept
	return r < 0 ? no_answer(crash, -r) : NULL;
}
