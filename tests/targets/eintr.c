// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * DOC: Theory of operation
 *
 * One thread in every blocking call that a stop by ptrace or by the freezer may end with EINTR,
 * without a timeout and (name ends in "+t") with one of an hour. Nothing ever happens that a call
 * waits for, so whatever comes back is a violation: an EINTR, or an early success.
 *
 * The calls are made with syscall() wherever glibc would choose another call (select, nanosleep)
 * or repeat it (sigwait). A child holds the record lock, is what wait4 waits for, and removes the
 * System V objects when the pipe from the target closes, however the target ended.
 *
 * Arguments: names of the cases to run, default all. Commands: "list" prints one line
 * "case NAME TID" each, then "end".
 */
#include "target.h"

#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#define HOUR 3600

struct eintr_case {
	const char *name;
	long (*run)(struct target_thread *t);	// value: timeout in s, 0 none
	bool (*set_up)(struct eintr_case *c);	// false: not available here
	unsigned int timeout_sec;
	int fd;					// set by set_up, for run
};

static pid_t eintr_child;
static int eintr_pipe[2], eintr_sem, eintr_msg_empty, eintr_msg_full;
static char eintr_dir[] = "/tmp/target-eintr.XXXXXX";
static const uint64_t eintr_no_signals;

static struct eintr_case *case_of(struct target_thread *t)
{
	return t->arg;
}

static struct timespec *timeout_of(struct target_thread *t, struct timespec *ts)
{
	*ts = (struct timespec) { .tv_sec = case_of(t)->timeout_sec };
	return ts->tv_sec ? ts : NULL;
}

static int ms_of(struct target_thread *t)
{
	return case_of(t)->timeout_sec ? (int)case_of(t)->timeout_sec * 1000 : -1;
}

/* ---- files that nothing ever comes from ---- */

static bool set_up_pipe(struct eintr_case *c)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC))
		return false;
	c->fd = p[0];
	return true;
}

static bool set_up_full_pipe(struct eintr_case *c)
{
	static const char data[65536];
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK))
		return false;
	while (write(p[1], data, sizeof(data)) > 0)
		;
	fcntl(p[1], F_SETFL, 0);
	c->fd = p[1];
	return true;
}

static bool set_up_epoll(struct eintr_case *c)
{
	struct epoll_event ev = { .events = EPOLLIN };

	c->fd = epoll_create1(EPOLL_CLOEXEC);
	return c->fd >= 0 && !epoll_ctl(c->fd, EPOLL_CTL_ADD, eintr_pipe[0], &ev);
}

static bool set_up_eventfd(struct eintr_case *c)
{
	c->fd = eventfd(0, EFD_CLOEXEC);
	return c->fd >= 0;
}

static bool set_up_timerfd(struct eintr_case *c)
{
	struct itimerspec in_an_hour = { .it_value.tv_sec = HOUR };

	c->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	return c->fd >= 0 && !timerfd_settime(c->fd, 0, &in_an_hour, NULL);
}

static bool set_up_signalfd(struct eintr_case *c)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	c->fd = signalfd(-1, &set, SFD_CLOEXEC);
	return c->fd >= 0;
}

static bool set_up_inotify(struct eintr_case *c)
{
	c->fd = inotify_init1(IN_CLOEXEC);
	return c->fd >= 0;
}

static bool set_up_pty(struct eintr_case *c)
{
	char name[64];
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) || unlockpt(master) ||
	    ptsname_r(master, name, sizeof(name)))
		return false;
	c->fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return c->fd >= 0;
}

static bool set_up_fifo(struct eintr_case *c)
{
	char path[64];

	(void)c;
	snprintf(path, sizeof(path), "%s/fifo", eintr_dir);
	return !mkfifo(path, 0600);
}

static bool set_up_flock(struct eintr_case *c)
{
	char path[64];
	int held;

	snprintf(path, sizeof(path), "%s/%s", eintr_dir, c->name);
	held = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	c->fd = open(path, O_RDWR | O_CLOEXEC);
	return c->fd >= 0 && !flock(held, LOCK_EX);
}

// Locks of this kind belong to the open file, so that one process can wait for itself.
static bool set_up_ofd_lock(struct eintr_case *c)
{
	struct flock lk = { .l_type = F_WRLCK };
	char path[64];
	int held;

	snprintf(path, sizeof(path), "%s/%s", eintr_dir, c->name);
	held = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	c->fd = open(path, O_RDWR | O_CLOEXEC);
	return c->fd >= 0 && !fcntl(held, F_OFD_SETLK, &lk);
}

static bool set_up_record_lock(struct eintr_case *c)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/record", eintr_dir);	// held by the child
	c->fd = open(path, O_RDWR | O_CLOEXEC);
	return c->fd >= 0;
}

static long in_read(struct target_thread *t)
{
	char buf[4096];

	return read(case_of(t)->fd, buf, sizeof(buf));
}

static long in_write(struct target_thread *t)
{
	static const char data[4096];

	return write(case_of(t)->fd, data, sizeof(data));
}

static long in_splice(struct target_thread *t)
{
	return splice(case_of(t)->fd, NULL, eintr_pipe[1], NULL, 4096, 0);
}

static long in_open_fifo(struct target_thread *t)
{
	char path[64];

	(void)t;
	snprintf(path, sizeof(path), "%s/fifo", eintr_dir);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static long in_flock(struct target_thread *t)
{
	return flock(case_of(t)->fd, LOCK_EX);
}

static long in_record_lock(struct target_thread *t)
{
	struct flock lk = { .l_type = F_WRLCK };

	return fcntl(case_of(t)->fd, F_SETLKW, &lk);
}

static long in_ofd_lock(struct target_thread *t)
{
	struct flock lk = { .l_type = F_WRLCK };

	return fcntl(case_of(t)->fd, F_OFD_SETLKW, &lk);
}

/* ---- readiness ---- */

static long in_epoll_wait(struct target_thread *t)
{
	struct epoll_event ev;

	return syscall(SYS_epoll_wait, case_of(t)->fd, &ev, 1, ms_of(t));
}

static long in_epoll_pwait(struct target_thread *t)
{
	struct epoll_event ev;

	return syscall(SYS_epoll_pwait, case_of(t)->fd, &ev, 1, ms_of(t), &eintr_no_signals, 8);
}

static bool set_up_epoll_pwait2(struct eintr_case *c)
{
	struct __kernel_timespec zero = { 0 };
	struct epoll_event ev;

	return set_up_epoll(c) && !syscall(SYS_epoll_pwait2, c->fd, &ev, 1, &zero, NULL, 8);
}

static long in_epoll_pwait2(struct target_thread *t)
{
	struct __kernel_timespec ts = { .tv_sec = case_of(t)->timeout_sec };
	struct epoll_event ev;

	return syscall(SYS_epoll_pwait2, case_of(t)->fd, &ev, 1, ts.tv_sec ? &ts : NULL,
		       &eintr_no_signals, 8);
}

static long in_poll(struct target_thread *t)
{
	struct pollfd pfd = { .fd = eintr_pipe[0], .events = POLLIN };

	return syscall(SYS_poll, &pfd, 1, ms_of(t));
}

static long in_ppoll(struct target_thread *t)
{
	struct pollfd pfd = { .fd = eintr_pipe[0], .events = POLLIN };
	struct timespec ts;

	return syscall(SYS_ppoll, &pfd, 1, timeout_of(t, &ts), &eintr_no_signals, 8);
}

#ifndef SYS__newselect
#define SYS__newselect SYS_select
#endif

static long in_select(struct target_thread *t)
{
	struct timeval tv = { .tv_sec = case_of(t)->timeout_sec };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(eintr_pipe[0], &set);
	return syscall(SYS__newselect, eintr_pipe[0] + 1, &set, NULL, NULL,
		       tv.tv_sec ? &tv : NULL);
}

static long in_pselect6(struct target_thread *t)
{
	struct { const uint64_t *set; size_t size; } mask = { &eintr_no_signals, 8 };
	struct timespec ts;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(eintr_pipe[0], &set);
	return syscall(SYS_pselect6, eintr_pipe[0] + 1, &set, NULL, NULL, timeout_of(t, &ts),
		       &mask);
}

/* ---- time ---- */

static long in_nanosleep(struct target_thread *t)
{
	struct timespec ts;

	return syscall(SYS_nanosleep, timeout_of(t, &ts), NULL);
}

static long in_clock_nanosleep(struct target_thread *t)
{
	struct timespec ts;

	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, timeout_of(t, &ts), NULL);
}

static long in_clock_nanosleep_abs(struct target_thread *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += case_of(t)->timeout_sec;
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* ---- futex ---- */

static int eintr_futex = 1;
static int eintr_pi_futex;

static long in_futex(struct target_thread *t)
{
	struct timespec ts;

	return syscall(SYS_futex, &eintr_futex, FUTEX_WAIT_PRIVATE, 1, timeout_of(t, &ts), NULL,
		       0);
}

static long in_futex_abs(struct target_thread *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += case_of(t)->timeout_sec;
	return syscall(SYS_futex, &eintr_futex, FUTEX_WAIT_BITSET_PRIVATE, 1, &ts, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

static bool set_up_pi(struct eintr_case *c)
{
	(void)c;
	eintr_pi_futex = target_gettid();	// owned by the main thread
	return true;
}

static long in_futex_pi(struct target_thread *t)
{
	(void)t;
	return syscall(SYS_futex, &eintr_pi_futex, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

#ifdef SYS_futex_waitv
static bool set_up_waitv(struct eintr_case *c)
{
	(void)c;
	return syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) && errno != ENOSYS;
}

static long in_futex_waitv(struct target_thread *t)
{
	struct futex_waitv w = { .val = 1, .uaddr = (uintptr_t)&eintr_futex,
				 .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG };
	struct __kernel_timespec ts = {
		.tv_sec = target_now_ns() / 1000000000 + case_of(t)->timeout_sec,
	};

	return syscall(SYS_futex_waitv, &w, 1, 0, case_of(t)->timeout_sec ? &ts : NULL,
		       CLOCK_MONOTONIC);
}
#endif

/* ---- System V and POSIX queues ---- */

struct eintr_msg {
	long type;
	char text[64];
};

static long in_semop(struct target_thread *t)
{
	struct sembuf op = { .sem_op = -1 };

	(void)t;
	return semop(eintr_sem, &op, 1);
}

static long in_semtimedop(struct target_thread *t)
{
	struct sembuf op = { .sem_op = -1 };
	struct timespec ts;

	return semtimedop(eintr_sem, &op, 1, timeout_of(t, &ts));
}

static long in_msgrcv(struct target_thread *t)
{
	struct eintr_msg m;

	(void)t;
	return msgrcv(eintr_msg_empty, &m, sizeof(m.text), 0, 0);
}

static long in_msgsnd(struct target_thread *t)
{
	struct eintr_msg m = { .type = 1 };

	(void)t;
	return msgsnd(eintr_msg_full, &m, sizeof(m.text), 0);
}

static bool set_up_msg_full(struct eintr_case *c)
{
	struct eintr_msg m = { .type = 1 };

	(void)c;
	while (!msgsnd(eintr_msg_full, &m, sizeof(m.text), IPC_NOWAIT))
		;
	return errno == EAGAIN;
}

static bool set_up_mq(struct eintr_case *c)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 64 };
	char name[64];

	snprintf(name, sizeof(name), "/target-eintr-%d-%s", (int)getpid(), c->name);
	c->fd = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
	if (c->fd >= 0)
		mq_unlink(name);
	return c->fd >= 0;
}

static bool set_up_mq_full(struct eintr_case *c)
{
	return set_up_mq(c) && !mq_send(c->fd, "full", 4, 0);
}

static long in_mq_receive(struct target_thread *t)
{
	struct timespec ts;
	char buf[64];

	if (!case_of(t)->timeout_sec)
		return mq_receive(case_of(t)->fd, buf, sizeof(buf), NULL);
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += case_of(t)->timeout_sec;
	return mq_timedreceive(case_of(t)->fd, buf, sizeof(buf), NULL, &ts);
}

static long in_mq_send(struct target_thread *t)
{
	return mq_send(case_of(t)->fd, "more", 4, 0);
}

/* ---- signals ---- */

static long in_sigtimedwait(struct target_thread *t)
{
	uint64_t set = UINT64_C(1) << (SIGUSR1 - 1);
	struct timespec ts;

	return syscall(SYS_rt_sigtimedwait, &set, NULL, timeout_of(t, &ts), 8);
}

static long in_pause(struct target_thread *t)
{
	(void)t;
	return pause();
}

static long in_sigsuspend(struct target_thread *t)
{
	uint64_t all = UINT64_MAX;

	(void)t;
	return syscall(SYS_rt_sigsuspend, &all, 8);
}

/* ---- asynchronous I/O ---- */

static aio_context_t eintr_aio[2];

static bool set_up_aio(struct eintr_case *c)
{
	return !syscall(SYS_io_setup, 4, &eintr_aio[c->timeout_sec != 0]);
}

static long in_io_getevents(struct target_thread *t)
{
	aio_context_t ctx = eintr_aio[case_of(t)->timeout_sec != 0];
	struct io_event ev;
	struct timespec ts;

	return syscall(SYS_io_getevents, ctx, 1, 1, &ev, timeout_of(t, &ts));
}

static bool set_up_uring(struct eintr_case *c)
{
	struct io_uring_params p = { 0 };

	c->fd = syscall(SYS_io_uring_setup, 4, &p);
	return c->fd >= 0 && (!c->timeout_sec || p.features & IORING_FEAT_EXT_ARG);
}

static long in_io_uring_enter(struct target_thread *t)
{
	struct __kernel_timespec ts = { .tv_sec = case_of(t)->timeout_sec };
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&ts };

	if (!ts.tv_sec)
		return syscall(SYS_io_uring_enter, case_of(t)->fd, 0, 1, IORING_ENTER_GETEVENTS,
			       NULL, 8);
	return syscall(SYS_io_uring_enter, case_of(t)->fd, 0, 1,
		       IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
}

/* ---- sockets ---- */

static bool set_timeout(struct eintr_case *c, int which)
{
	struct timeval tv = { .tv_sec = c->timeout_sec };

	return !tv.tv_sec || !setsockopt(c->fd, SOL_SOCKET, which, &tv, sizeof(tv));
}

static bool set_up_pair(struct eintr_case *c)
{
	int p[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p))
		return false;
	c->fd = p[0];
	return set_timeout(c, SO_RCVTIMEO);
}

static int listen_tcp(struct sockaddr_in *ret)
{
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in) { .sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd >= 0 && (bind(fd, (struct sockaddr *)ret, len) || listen(fd, 1) ||
			getsockname(fd, (struct sockaddr *)ret, &len)))
		return -1;
	return fd;
}

static bool set_up_tcp(struct eintr_case *c)
{
	struct sockaddr_in sin;

	if (listen_tcp(&sin) < 0)
		return false;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return c->fd >= 0 && !connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) &&
	       set_timeout(c, SO_RCVTIMEO);
}

static bool set_up_tcp_listen(struct eintr_case *c)
{
	struct sockaddr_in sin;

	c->fd = listen_tcp(&sin);
	return c->fd >= 0 && set_timeout(c, SO_RCVTIMEO);
}

static bool set_up_udp(struct eintr_case *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return c->fd >= 0 && !bind(c->fd, (struct sockaddr *)&sin, sizeof(sin)) &&
	       set_timeout(c, SO_RCVTIMEO);
}

// An abstract address, unique for process and case. Returns its length.
static socklen_t unix_address(const struct eintr_case *c, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
	return offsetof(struct sockaddr_un, sun_path) + 1 +
	       snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "target-eintr-%d-%s",
			(int)getpid(), c->name);
}

static int unix_listen(const struct eintr_case *c)
{
	struct sockaddr_un sun;
	socklen_t len = unix_address(c, &sun);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (bind(fd, (struct sockaddr *)&sun, len) || listen(fd, 0)))
		return -1;
	return fd;
}

static bool set_up_accept(struct eintr_case *c)
{
	c->fd = unix_listen(c);
	return c->fd >= 0 && set_timeout(c, SO_RCVTIMEO);
}

static bool set_up_connect(struct eintr_case *c)
{
	struct sockaddr_un sun;
	socklen_t len = unix_address(c, &sun);
	int err = 0;

	if (unix_listen(c) < 0)
		return false;
	for (int i = 0; i < 8 && err != EAGAIN; i++) {	// fill the backlog
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		err = connect(fd, (struct sockaddr *)&sun, len) ? errno : 0;
	}
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return err == EAGAIN && c->fd >= 0 && set_timeout(c, SO_SNDTIMEO);
}

static bool set_up_full_socket(struct eintr_case *c, int type)
{
	static const char data[4096];
	int p[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, p))
		return false;
	while (send(p[0], data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	c->fd = p[0];
	return errno == EAGAIN && set_timeout(c, SO_SNDTIMEO);
}

static bool set_up_full_stream(struct eintr_case *c)
{
	return set_up_full_socket(c, SOCK_STREAM);
}

static bool set_up_full_dgram(struct eintr_case *c)
{
	return set_up_full_socket(c, SOCK_DGRAM);
}

static long in_recv(struct target_thread *t)
{
	char buf[64];

	return recv(case_of(t)->fd, buf, sizeof(buf), 0);
}

static long in_recvmmsg(struct target_thread *t)
{
	struct mmsghdr m[2] = { 0 };

	return recvmmsg(case_of(t)->fd, m, 2, 0, NULL);
}

static long in_accept(struct target_thread *t)
{
	return accept4(case_of(t)->fd, NULL, NULL, SOCK_CLOEXEC);
}

static long in_connect(struct target_thread *t)
{
	struct sockaddr_un sun;
	socklen_t len = unix_address(case_of(t), &sun);

	return connect(case_of(t)->fd, (struct sockaddr *)&sun, len);
}

static long in_sendto(struct target_thread *t)
{
	static const char data[4096];

	return sendto(case_of(t)->fd, data, sizeof(data), 0, NULL, 0);
}

/* ---- children ---- */

static long in_wait4(struct target_thread *t)
{
	int status;

	(void)t;
	return syscall(SYS_wait4, eintr_child, &status, 0, NULL);
}

static long in_waitid(struct target_thread *t)
{
	siginfo_t si;

	(void)t;
	return syscall(SYS_waitid, P_PID, eintr_child, &si, WEXITED, NULL);
}

/* ---- the table ---- */

static struct eintr_case eintr_cases[] = {
	{ "epoll_wait", in_epoll_wait, set_up_epoll, 0, -1 },
	{ "epoll_wait+t", in_epoll_wait, set_up_epoll, HOUR, -1 },
	{ "epoll_pwait", in_epoll_pwait, set_up_epoll, 0, -1 },
	{ "epoll_pwait+t", in_epoll_pwait, set_up_epoll, HOUR, -1 },
	{ "epoll_pwait2", in_epoll_pwait2, set_up_epoll_pwait2, 0, -1 },
	{ "epoll_pwait2+t", in_epoll_pwait2, set_up_epoll_pwait2, HOUR, -1 },
	{ "poll", in_poll, NULL, 0, -1 },
	{ "poll+t", in_poll, NULL, HOUR, -1 },
	{ "ppoll", in_ppoll, NULL, 0, -1 },
	{ "ppoll+t", in_ppoll, NULL, HOUR, -1 },
	{ "select", in_select, NULL, 0, -1 },
	{ "select+t", in_select, NULL, HOUR, -1 },
	{ "pselect6", in_pselect6, NULL, 0, -1 },
	{ "pselect6+t", in_pselect6, NULL, HOUR, -1 },
	{ "nanosleep+t", in_nanosleep, NULL, HOUR, -1 },
	{ "clocksleep+t", in_clock_nanosleep, NULL, HOUR, -1 },
	{ "clocksleep_abs", in_clock_nanosleep_abs, NULL, HOUR, -1 },
	{ "futex", in_futex, NULL, 0, -1 },
	{ "futex+t", in_futex, NULL, HOUR, -1 },
	{ "futex_abs+t", in_futex_abs, NULL, HOUR, -1 },
	{ "futex_pi", in_futex_pi, set_up_pi, 0, -1 },
#ifdef SYS_futex_waitv
	{ "futex_waitv", in_futex_waitv, set_up_waitv, 0, -1 },
	{ "futex_waitv+t", in_futex_waitv, set_up_waitv, HOUR, -1 },
#endif
	{ "semop", in_semop, NULL, 0, -1 },
	{ "semtimedop+t", in_semtimedop, NULL, HOUR, -1 },
	{ "msgrcv", in_msgrcv, NULL, 0, -1 },
	{ "msgsnd", in_msgsnd, set_up_msg_full, 0, -1 },
	{ "mq_receive", in_mq_receive, set_up_mq, 0, -1 },
	{ "mq_receive+t", in_mq_receive, set_up_mq, HOUR, -1 },
	{ "mq_send", in_mq_send, set_up_mq_full, 0, -1 },
	{ "sigwaitinfo", in_sigtimedwait, NULL, 0, -1 },
	{ "sigtimedwait+t", in_sigtimedwait, NULL, HOUR, -1 },
	{ "pause", in_pause, NULL, 0, -1 },
	{ "sigsuspend", in_sigsuspend, NULL, 0, -1 },
	{ "io_getevents", in_io_getevents, set_up_aio, 0, -1 },
	{ "io_getevents+t", in_io_getevents, set_up_aio, HOUR, -1 },
	{ "io_uring", in_io_uring_enter, set_up_uring, 0, -1 },
	{ "io_uring+t", in_io_uring_enter, set_up_uring, HOUR, -1 },
	{ "recv", in_recv, set_up_pair, 0, -1 },
	{ "recv+t", in_recv, set_up_pair, HOUR, -1 },
	{ "recvmmsg", in_recvmmsg, set_up_pair, 0, -1 },
	{ "recvmmsg+t", in_recvmmsg, set_up_pair, HOUR, -1 },
	{ "recv_tcp", in_recv, set_up_tcp, 0, -1 },
	{ "recv_tcp+t", in_recv, set_up_tcp, HOUR, -1 },
	{ "recv_udp", in_recv, set_up_udp, 0, -1 },
	{ "recv_udp+t", in_recv, set_up_udp, HOUR, -1 },
	{ "accept", in_accept, set_up_accept, 0, -1 },
	{ "accept+t", in_accept, set_up_accept, HOUR, -1 },
	{ "accept_tcp", in_accept, set_up_tcp_listen, 0, -1 },
	{ "accept_tcp+t", in_accept, set_up_tcp_listen, HOUR, -1 },
	{ "connect", in_connect, set_up_connect, 0, -1 },
	{ "connect+t", in_connect, set_up_connect, HOUR, -1 },
	{ "sendto", in_sendto, set_up_full_stream, 0, -1 },
	{ "sendto+t", in_sendto, set_up_full_stream, HOUR, -1 },
	{ "sendto_dg", in_sendto, set_up_full_dgram, 0, -1 },
	{ "sendto_dg+t", in_sendto, set_up_full_dgram, HOUR, -1 },
	{ "read_pipe", in_read, set_up_pipe, 0, -1 },
	{ "read_eventfd", in_read, set_up_eventfd, 0, -1 },
	{ "read_timerfd", in_read, set_up_timerfd, 0, -1 },
	{ "read_signalfd", in_read, set_up_signalfd, 0, -1 },
	{ "read_inotify", in_read, set_up_inotify, 0, -1 },
	{ "read_pty", in_read, set_up_pty, 0, -1 },
	{ "write_pipe", in_write, set_up_full_pipe, 0, -1 },
	{ "splice", in_splice, set_up_pipe, 0, -1 },
	{ "open_fifo", in_open_fifo, set_up_fifo, 0, -1 },
	{ "flock", in_flock, set_up_flock, 0, -1 },
	{ "setlkw", in_record_lock, set_up_record_lock, 0, -1 },
	{ "ofd_setlkw", in_ofd_lock, set_up_ofd_lock, 0, -1 },
	{ "wait4", in_wait4, NULL, 0, -1 },
	{ "waitid", in_waitid, NULL, 0, -1 },
};

static struct target_thread eintr_threads[TARGET_ARRAY_SIZE(eintr_cases)];
static size_t eintr_count;
static char eintr_skipped[512];

/* ---- main ---- */

// What is left of the target's things when it is gone, even by SIGKILL.
static void eintr_clean_up(void)
{
	static const char names[] = "fifo\0flock\0record\0ofd_setlkw\0";
	char path[64];

	semctl(eintr_sem, 0, IPC_RMID);
	msgctl(eintr_msg_empty, IPC_RMID, NULL);
	msgctl(eintr_msg_full, IPC_RMID, NULL);
	for (const char *name = names; *name; name += strlen(name) + 1) {
		snprintf(path, sizeof(path), "%s/%s", eintr_dir, name);
		unlink(path);
	}
	rmdir(eintr_dir);
}

static void eintr_child_main(int alive, int tell)
{
	struct flock lk = { .l_type = F_WRLCK };
	char path[64], c = 0;
	int fd;

	setsid();	// out of reach of a ^C, or nobody would clean up
	snprintf(path, sizeof(path), "%s/record", eintr_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fcntl(fd, F_SETLK, &lk))
		_exit(1);
	(void)!write(tell, &c, 1);
	close(tell);
	while (read(alive, &c, 1) < 0 && errno == EINTR)
		;
	eintr_clean_up();
	_exit(0);
}

static void eintr_start_child(void)
{
	int alive[2], tell[2];
	char c;

	if (pipe2(alive, O_CLOEXEC) || pipe2(tell, O_CLOEXEC))
		target_die(1, "pipe2");
	eintr_child = fork();
	if (!eintr_child) {
		close(alive[1]);
		close(tell[0]);
		eintr_child_main(alive[0], tell[1]);
	}
	close(alive[0]);
	close(tell[1]);
	if (eintr_child < 0 || read(tell[0], &c, 1) != 1)
		target_die(1, "the child cannot take the lock");
	close(tell[0]);
}

// All; those given; or all but those given with a '-' before them.
static bool eintr_wanted(const char *name, char **argv)
{
	bool others = !argv[1] || argv[1][0] == '-';

	while (*++argv)
		if (!strcmp(*argv + others, name))
			return !others;
	return others;
}

static void eintr_start(struct eintr_case *c)
{
	struct target_thread *t = &eintr_threads[eintr_count];

	if (c->set_up && !c->set_up(c)) {
		size_t len = strlen(eintr_skipped);

		snprintf(eintr_skipped + len, sizeof(eintr_skipped) - len, "%s%s",
			 len ? "," : "", c->name);
		return;
	}
	*t = (struct target_thread) { .name = c->name, .run = c->run, .arg = c };
	target_start(t);
	target_wait_blocked(t);
	eintr_count++;
}

static void eintr_check(void)
{
	for (size_t i = 0; i < eintr_count; i++)
		target_check_thread(&eintr_threads[i]);
}

static bool eintr_command(const char *line)
{
	if (strcmp(line, "list"))
		return false;
	for (size_t i = 0; i < eintr_count; i++)
		printf("case %s %d\n", eintr_threads[i].name, (int)eintr_threads[i].tid);
	printf("end\n");
	return true;
}

int main(int argc, char **argv)
{
	static const struct target_ops ops = { .check = eintr_check, .command = eintr_command };

	(void)argc;
	target_init();
	eintr_sem = semget(IPC_PRIVATE, 1, 0600);
	eintr_msg_empty = msgget(IPC_PRIVATE, 0600);
	eintr_msg_full = msgget(IPC_PRIVATE, 0600);
	if (eintr_sem < 0 || eintr_msg_empty < 0 || eintr_msg_full < 0 || !mkdtemp(eintr_dir) ||
	    pipe2(eintr_pipe, O_CLOEXEC))
		target_die(1, "set-up");
	eintr_start_child();
	for (size_t i = 0; i < TARGET_ARRAY_SIZE(eintr_cases); i++)
		if (eintr_wanted(eintr_cases[i].name, argv))
			eintr_start(&eintr_cases[i]);
	target_ready(0, TARGET_CHILDREN, "cases=%zu threads=%zu skipped=%s child=%d", eintr_count,
		     eintr_count + 1, eintr_skipped, (int)eintr_child);
	return target_serve(&ops);
}
