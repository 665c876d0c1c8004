/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "corepattern.h"
#include "error.h"
#include "handlermemory.h"
#include "sysctl.h"
#include "sysctld.h"

/**
 * DOC: Becoming the handler of crashes, and going back
 *
 * Three settings of the kernel: the pattern; how many programs of it the kernel waits for; and
 * whether processes that changed their user are dumped. The order of steps is such that whenever we
 * are killed, no pattern points to nothing, and what was there before is known:
 *
 *   install    check all; remember (synced); limit; pattern, read back; suid_dumpable; sysctl.d
 *   uninstall  sysctl.d; suid_dumpable; pattern, read back; limit; forget
 *
 * A step that fails takes back those before it. A value that somebody else has changed since is
 * his, and stays. For a privileged process in the first namespaces (snapctl, and procsnapd before
 * it gives up its capabilities); none of it is for the daemon's loop.
 */

/**
 * Why these values.
 *
 * core_pipe_limit: not 0, since the kernel waits then, and the process is there to be read while
 * its hook runs. Crashes beyond the limit are not handled at all, so it is twice what is to be
 * coped with at once, 500; a hook that waits for its turn is small.
 *
 * suid_dumpable: with 0, no crash of a process that changed its user or has file capabilities is
 * told to anybody. With 2 they are, and only root may read their cores. systemd-coredump has it
 * so.
 */
#define HANDLER_PIPE_LIMIT "1024"
#define HANDLER_SUID_DUMPABLE "2"

/// After 50-coredump.conf of systemd-coredump and other defaults of packages; before
/// 99-sysctl.conf, so that /etc/sysctl.conf has the last word.
#define HANDLER_SYSCTLD_PATH "/etc/sysctl.d/90-procsnap.conf"
#define HANDLER_STORE "/var/lib/procsnap"
/// Where procsnapd listens for hooks, below the store.
#define HANDLER_DAEMON_SOCKET "/crash/socket"

/// Where systemd listens for procsnapd (procsnapd.socket), and starts it for whoever connects.
#define HANDLER_DOORBELL "/run/procsnap/io.procsnap"

enum handler_flags {
	HANDLER_SOCKET = 1U << 0, ///< the coredump socket instead of the pipe
	HANDLER_RUNTIME = 1U << 1, ///< until the next boot only: no file in sysctl.d
	HANDLER_FORCE = 1U << 2, ///< uninstall: also over what somebody else has set since
};

struct handler_options {
	const char *root; ///< before all paths but those of programs; "" for the real ones
	const char *store; ///< NULL: HANDLER_STORE
	unsigned int flags;
};

/// Lines for people about what was done and what to know; owned by the caller.
struct handler_notes {
	char *lines[16]; ///< without newline; what is from outside is escaped
	size_t n;
};
void handler_notes_deinit(struct handler_notes *notes);
#define _cleanup_handler_notes_ _cleanup_(handler_notes_deinit)

/// Both wait for one another. SNAP_NOT_PERMITTED when not root, not in the first namespaces, or
/// where /proc/sys is read-only. An error leaves all as it was, or says what it could not put
/// back.
struct snap_error *handler_install(const struct handler_options *options,
				   struct handler_notes *notes) _must_check_;
/// Nothing to undo is fine. SNAP_FAILED when somebody else has become the handler since.
struct snap_error *handler_uninstall(const struct handler_options *options,
				     struct handler_notes *notes) _must_check_;

/// How it is. Nothing is changed, and nobody has to be root; what cannot be found out is left
/// empty.
struct handler_status {
	struct sysctl_values now;
	enum corepattern_owner owner;
	char *hook; ///< NULL: there is none
	char *hook_problem; ///< why it cannot be installed; NULL: it can
	bool kernel_has_socket, socket_listens;
	bool daemon_known; ///< daemon_listens counts; who may not look into the store cannot tell
	bool daemon_listens; ///< for hooks
	bool daemon_starts; ///< when a hook rings at HANDLER_DOORBELL
	bool remembered; ///< memory counts
	struct handlermemory memory;
	struct sysctld boot; ///< who sets the pattern at boot
	struct handler_notes problems;
};
void handler_status_deinit(struct handler_status *status);
#define _cleanup_handler_status_ _cleanup_(handler_status_deinit)
struct snap_error *handler_inspect(const char *root, struct handler_status *ret) _must_check_;
