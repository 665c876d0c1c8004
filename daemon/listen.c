// SPDX-License-Identifier: LGPL-2.1-or-later
#include "listen.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

enum {
	LISTENER_TRIES = 100,
	LISTENER_RETRY_NS = 10 * 1000 * 1000,
};

/// 0 when somebody listens; else why nobody does. EAGAIN: somebody who has much to do.
static int ask_listener(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ?
		       0 :
		       errno;
}

/// A socket that nobody listens to any more is in the way.
static struct snap_error *clear(const struct sockaddr_un *address)
{
	int errnum = ask_listener(address);
	// Children of a daemon that was killed have its socket until they end, a moment after it.
	for (int i = 0; (errnum == 0 || errnum == EAGAIN) && i < LISTENER_TRIES; i++) {
		snap_sleep_ns(LISTENER_RETRY_NS);
		errnum = ask_listener(address);
	}
	if (errnum == 0 || errnum == EAGAIN)
		return snap_error_new(SNAP_FAILED, "another procsnapd listens at %s",
				      address->sun_path);
	struct stat st; // connect() says the same of a file that is no socket at all
	if (lstat(address->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return snap_error_new(SNAP_FAILED, "'%s' is in the way, and is no socket",
				      address->sun_path);
	if (errnum == ECONNREFUSED && unlink(address->sun_path) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot remove %s", address->sun_path);
	return NULL;
}

static struct snap_error *bind_to(const char *path, int *ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return snap_error_new(SNAP_USAGE, "the path of the socket is too long: %s", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	_cleanup_free_ char *copy = strdup(path);
	if (!copy)
		return snap_error_oom();
	// What is wrong with it is told by bind(). Everybody may look into it, whatever our umask.
	const char *folder = dirname(copy);
	if (mkdir(folder, 0755) == 0)
		(void)chmod(folder, 0755);
	struct snap_error *err = clear(&address);
	if (err)
		return err;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	// Everybody may ask; each request is decided on.
	mode_t old = umask(0);
	bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	int errnum = errno;
	(void)umask(old);
	if (bound && listen(fd, SOMAXCONN) == 0) {
		*ret = TAKE_FD(fd);
		return NULL;
	}
	return snap_error_errno(SNAP_FAILED, bound ? errno : errnum, "cannot listen at %s", path);
}

struct snap_error *listen_all(struct server *server, const char *path)
{
	int n = sd_listen_fds(1);
	if (n < 0)
		return snap_error_errno(SNAP_FAILED, -n, "cannot use the sockets of systemd");
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0)
			return snap_error_new(SNAP_FAILED,
					      "descriptor %d from systemd is no listening stream "
					      "socket",
					      fd);
		struct snap_error *err = server_listen(server, fd);
		if (err)
			return err;
	}
	if (n)
		return NULL;
	int fd = -EBADF;
	struct snap_error *err = bind_to(path, &fd);
	return err ? err : server_listen(server, fd);
}
