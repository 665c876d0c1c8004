// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashhandler.h"

#include <syslog.h>

#include "common/handler.h"
#include "manager.h"

static struct snap_error *tell(struct snap_error *err, const struct handler_notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		manager_log(LOG_NOTICE, "%s", notes->lines[i]);
	return err;
}

static struct snap_error *install(const struct config *config, const char *root, const char *store,
				  unsigned int flags)
{
	_cleanup_handler_notes_ struct handler_notes notes = { .n = 0 };
	// What is restored when the service stops must not come back by itself.
	if (config->handler_on_stop == CONFIG_ON_STOP_RESTORE)
		flags |= HANDLER_RUNTIME;
	const struct handler_options options = { .root = root, .store = store, .flags = flags };
	return tell(handler_install(&options, &notes), &notes);
}

struct snap_error *crashhandler_start(const struct config *config, const char *root,
				      const char *store)
{
	unsigned int flags = 0;
	if (config->handler == CONFIG_HANDLER_NO)
		return NULL;
	if (config->handler == CONFIG_HANDLER_SOCKET) {
		if (sysctl_has_coredump_socket(root) &&
		    sysctl_is_listening(root, COREPATTERN_SOCKET_PATH))
			flags |= HANDLER_SOCKET;
		else
			manager_log(LOG_NOTICE, "Handler=socket: %s, so it is the pipe",
				    sysctl_has_coredump_socket(root) ?
					    "nobody listens on the coredump socket" :
					    "this kernel has no coredump socket with requests");
	}
	return install(config, root, store, flags);
}

static bool is_socket_without_listener(const char *root)
{
	_cleanup_free_ char *pattern = NULL;
	struct snap_error *err = sysctl_read(root, SYSCTL_CORE_PATTERN, &pattern);
	bool is = !err && corepattern_owner(pattern) == COREPATTERN_OURS_SOCKET &&
		  !sysctl_is_listening(root, COREPATTERN_SOCKET_PATH);
	snap_error_destroy(err);
	return is;
}

struct snap_error *crashhandler_stop(const struct config *config, const char *root,
				     const char *store)
{
	_cleanup_handler_notes_ struct handler_notes notes = { .n = 0 };
	const struct handler_options options = { .root = root, .store = store };
	if (config->handler != CONFIG_HANDLER_NO &&
	    config->handler_on_stop == CONFIG_ON_STOP_RESTORE)
		return tell(handler_uninstall(&options, &notes), &notes);
	// Whoever has asked for it, crashes would be lost.
	return is_socket_without_listener(root) ? install(config, root, store, 0) : NULL;
}
