// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sender.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"

/// Where the protocol of journald says that it listens; libsystemd has the same constant.
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/// Does somebody listen? 0, or a negative errno.
static int check_journal(void)
{
	static const struct sockaddr_un address = { .sun_family = AF_UNIX,
						    .sun_path = JOURNAL_SOCKET };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static int drop_capabilities(void)
{
	cap_t none = cap_init();
	if (!none)
		return -ENOMEM;
	int r = cap_set_proc(none) < 0 ? -errno : 0;
	(void)cap_free(none); // cannot fail for what cap_init() made
	return r;
}

static int become(struct sender_identity identity)
{
	if (identity.is_user && geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 ||
	     setresgid(identity.gid, identity.gid, identity.gid) < 0 ||
	     setresuid(identity.uid, identity.uid, identity.uid) < 0))
		return -errno;
	// It still has the memory of the daemon. Changing ids makes a process not dumpable, unless
	// fs.suid_dumpable says otherwise.
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	// They survive the change of ids when the daemon has set SECBIT_NO_SETUID_FIXUP.
	return drop_capabilities();
}

static int send_entry(const struct iovec *fields, size_t n, struct sender_identity identity,
		      pid_t parent)
{
	// The daemon takes signals from a descriptor; the child is to end by them.
	sigset_t empty;
	(void)sigemptyset(&empty);
	(void)sigprocmask(SIG_SETMASK, &empty, NULL); // fails only for a wrong first argument
	int r = become(identity);
	if (r < 0)
		return r;
	// It has the locks of the daemon, too, which the next one wants; that sends again what is
	// not known to be sent. The kernel forgets this when ids change, so it comes after that.
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return -ECANCELED;
	// sd_journal_sendv() takes a missing socket for success. Asking before and after leaves
	// only a journald that went and came between the two.
	r = check_journal();
	if (r == 0)
		r = sd_journal_sendv(fields, (int)n);
	return r < 0 ? r : check_journal();
}

int sender_start(const struct iovec *fields, size_t n, struct sender_identity identity,
		 struct pidref *ret)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		int r = send_entry(fields, n, identity, parent);
		_exit(-r <= 255 ? -r : EIO);
	}
	int r = pidref_open(pid, ret);
	if (r < 0) {
		(void)kill(pid, SIGKILL); // ours, and not reaped
		(void)waitpid(pid, NULL, 0);
	}
	return r;
}
