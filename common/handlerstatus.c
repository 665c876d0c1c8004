// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fd.h"
#include "handler.h"
#include "handlernote.h"
#include "hookcheck.h"
#include "program.h"

void handler_status_deinit(struct handler_status *status)
{
	sysctl_values_deinit(&status->now);
	free(status->hook);
	free(status->hook_problem);
	handlermemory_deinit(&status->memory);
	sysctld_deinit(&status->boot);
	handler_notes_deinit(&status->problems);
}

static void look_for_hook(struct handler_status *status)
{
	struct snap_error *err = program_find(COREPATTERN_HOOK, &status->hook);
	if (!err)
		err = hookcheck_file(status->hook);
	if (err)
		status->hook_problem = strdup(err->message);
	snap_error_destroy(err);
}

/// Only root may know what was there before.
static void look_for_memory(const char *root, struct handler_status *status)
{
	struct snap_error *err = handlermemory_load(root, &status->memory, &status->remembered);
	if (err && err->code != SNAP_NOT_PERMITTED)
		handler_note(&status->problems, "%s; remove the file after a look", err->message);
	snap_error_destroy(err);
}

/// Connects as a hook does, and goes away.
static void look_for_daemon(const char *root, struct handler_status *status)
{
	_cleanup_free_ char *store = corepattern_store(status->now.of[SYSCTL_CORE_PATTERN]);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s%s" HANDLER_DAEMON_SOCKET, root,
			 store ? store : HANDLER_STORE);
	_cleanup_close_ int sock =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0 || n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return;
	bool connected = connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0;
	status->daemon_known = connected || (errno != EACCES && errno != EPERM);
	// EAGAIN: it listens, and has more to do than it can.
	status->daemon_listens = connected || errno == EAGAIN;
	status->daemon_starts = sysctl_is_listening(root, HANDLER_DOORBELL);
}

static void judge_now(const char *root, struct handler_status *status)
{
	const char *pattern = status->now.of[SYSCTL_CORE_PATTERN];
	const char *limit = status->now.of[SYSCTL_CORE_PIPE_LIMIT];
	bool ours = corepattern_is_ours(pattern);
	_cleanup_free_ char *target = corepattern_target(pattern);
	if (handler_points_to_nothing(root, pattern))
		handler_note(&status->problems, "crashes are lost: %s '%s'",
			     *pattern == '@' ? "nobody listens on" : "there is no program",
			     target ? target : "?");
	if (status->owner == COREPATTERN_OURS_PIPE && !strcmp(limit, "0"))
		handler_note(&status->problems,
			     "kernel.core_pipe_limit is 0, so the kernel does not wait, and "
			     "processes are gone before they are read; install again");
	if (status->remembered && !ours &&
	    strcmp(pattern, status->memory.found.of[SYSCTL_CORE_PATTERN]) != 0)
		handler_note(&status->problems, "procsnap was installed, and somebody else has set "
						"kernel.core_pattern since");
}

static void judge_boot(const char *root, struct handler_status *status)
{
	const struct sysctld_line *winner = sysctld_winner(&status->boot, NULL);
	bool ours = corepattern_is_ours(status->now.of[SYSCTL_CORE_PATTERN]);
	bool stays = status->remembered && !status->memory.runtime;
	bool ours_at_boot = winner && corepattern_is_ours(winner->value);
	if (ours && stays && !winner)
		handler_note(&status->problems,
			     "at the next boot procsnap is not the handler: " HANDLER_SYSCTLD_PATH
			     " is missing; install again");
	if (ours && stays && winner && !ours_at_boot)
		handler_note(&status->problems,
			     "at the next boot procsnap is not the handler: '%s', line %zu, makes "
			     "kernel.core_pattern '%s'",
			     winner->file, winner->number, winner->value);
	if ((ours && stays) || ours_at_boot)
		handler_note_rival(root, &status->problems);
	if (!ours && ours_at_boot)
		handler_note(&status->problems,
			     "at the next boot procsnap is the handler: '%s', line %zu, says so",
			     winner->file, winner->number);
	if (winner && strcmp(winner->value, status->now.of[SYSCTL_CORE_PATTERN]) != 0 &&
	    handler_points_to_nothing(root, winner->value))
		handler_note(
			&status->problems,
			"from the next boot on crashes are lost: '%s', line %zu, names what is "
			"not there",
			winner->file, winner->number);
}

struct snap_error *handler_inspect(const char *root, struct handler_status *ret)
{
	_cleanup_handler_status_ struct handler_status status = { 0 };
	struct snap_error *err = sysctl_read_all(root, &status.now);
	if (!err)
		err = sysctld_find(root, sysctl_name(SYSCTL_CORE_PATTERN), &status.boot);
	if (err)
		return err;
	status.owner = corepattern_owner(status.now.of[SYSCTL_CORE_PATTERN]);
	status.kernel_has_socket = sysctl_has_coredump_socket(root);
	status.socket_listens = sysctl_is_listening(root, COREPATTERN_SOCKET_PATH);
	look_for_daemon(root, &status);
	look_for_hook(&status);
	look_for_memory(root, &status);
	judge_now(root, &status);
	judge_boot(root, &status);
	*ret = status;
	memset(&status, 0, sizeof(status));
	return NULL;
}
