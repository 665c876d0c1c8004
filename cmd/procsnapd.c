// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * procsnapd: the daemon. Who may dump what, where dumps go, and what the journal says of them.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/crashhandler.h"
#include "daemon/manager.h"
#include "daemon/privilege.h"

// 512 connections with a dozen descriptors each, and some more.
enum { FILES_MAX = 8192 };

enum { OPT_FOREGROUND = 256, OPT_CONFIG, OPT_STORE, OPT_SOCKET, OPT_HANDLER, OPT_ROOT,
       OPT_VERSION };

/// What is asked of this process.
struct daemon_args {
	struct manager_options options;
	const char *handler; ///< "start" or "stop"; NULL: to be the daemon
	const char *root; ///< for tests: of /proc/sys, /etc and the handler's memory
};

static void print_help(void)
{
	printf("Usage: procsnapd [OPTION...]\n\n"
	       "Takes snapshots of processes for those who may have them, and keeps them.\n"
	       "Started by systemd, or by hand; stays in the foreground either way.\n\n"
	       "Options:\n"
	       "      --foreground   Do not expect systemd; this is also the default\n"
	       "      --config=FILE  Read FILE instead of procsnap.conf(5) and its drop-ins\n"
	       "      --store=DIR    Keep dumps in DIR (default: " STORE_DEFAULT_PATH ")\n"
	       "      --socket=PATH  Listen at PATH when systemd passes no socket\n"
	       "                     (default: /run/procsnap/io.procsnap)\n"
	       "      --handler=start|stop\n"
	       "                     Apply Handler= or HandlerOnStop= and end, as the unit does\n"
	       "  -h, --help         Show this help\n"
	       "      --version      Show the version\n");
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct daemon_args *args)
{
	struct manager_options *options = &args->options;
	static const struct option table[] = {
		{ "foreground", no_argument, NULL, OPT_FOREGROUND },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "store", required_argument, NULL, OPT_STORE },
		{ "socket", required_argument, NULL, OPT_SOCKET },
		{ "handler", required_argument, NULL, OPT_HANDLER },
		{ "root", required_argument, NULL, OPT_ROOT },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ 0 },
	};
	int c;
	while ((c = getopt_long(argc, argv, "h", table, NULL)) >= 0)
		switch (c) {
		case OPT_FOREGROUND:
			break;
		case OPT_CONFIG:
			options->config_path = optarg;
			break;
		case OPT_STORE:
			options->store_path = optarg;
			break;
		case OPT_SOCKET:
			options->socket_path = optarg;
			break;
		case OPT_HANDLER:
			args->handler = optarg;
			break;
		case OPT_ROOT:
			args->root = optarg;
			break;
		case 'h':
			print_help();
			return 0;
		case OPT_VERSION:
			printf("procsnapd %s\n", PROCSNAP_VERSION);
			return 0;
		default:
			fprintf(stderr, "Try 'procsnapd --help'.\n");
			return SNAP_USAGE;
		}
	bool known = !args->handler || !strcmp(args->handler, "start") ||
		     !strcmp(args->handler, "stop");
	if (optind == argc && known)
		return -1;
	if (!known)
		fprintf(stderr, "procsnapd: --handler is start or stop\nTry 'procsnapd --help'.\n");
	else
		fprintf(stderr, "procsnapd: takes no arguments\nTry 'procsnapd --help'.\n");
	return SNAP_USAGE;
}

/// Each client may have several descriptors on their way to us, and all of them together must not
/// use up ours.
static void raise_limits(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	rlim_t wanted = MIN(files.rlim_max, (rlim_t)FILES_MAX);
	files.rlim_cur = MAX(files.rlim_cur, wanted);
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

/// --handler: not the daemon, but what the unit runs beside it.
static struct snap_error *apply_handler(const struct daemon_args *args)
{
	_cleanup_(config_destroyp) struct config *config = NULL;
	const char *path = args->options.config_path, *store = args->options.store_path;
	struct snap_error *err = path ? config_load_file(path, &config) :
					config_load(args->root, &config);
	if (err)
		return err;
	if (!strcmp(store, STORE_DEFAULT_PATH))
		store = NULL;
	return !strcmp(args->handler, "start") ? crashhandler_start(config, args->root, store) :
						 crashhandler_stop(config, args->root, store);
}

/// Returns when it is told to end.
static struct snap_error *run_daemon(const struct manager_options *options)
{
	_cleanup_(manager_destroyp) struct manager *manager = NULL;
	raise_limits();
	struct snap_error *err = privilege_drop();
	if (!err)
		err = manager_create(options, &manager);
	return err ? err : manager_run(manager);
}

int main(int argc, char *argv[])
{
	struct daemon_args args = { .options = { .store_path = STORE_DEFAULT_PATH,
						 .socket_path = "/run/procsnap/io.procsnap" },
				    .root = "" };
	int status = parse_args(argc, argv, &args);
	if (status >= 0)
		return status;
	if (geteuid() != 0) {
		fprintf(stderr, "procsnapd: must be started as root; as another user, snapctl "
				"works without it\n");
		return SNAP_NOT_PERMITTED;
	}
	(void)umask(0077);
	struct snap_error *err = args.handler ? apply_handler(&args) : run_daemon(&args.options);
	if (!err)
		return 0;
	manager_log(LOG_ERR, "%s", err->message);
	status = (int)err->code;
	snap_error_destroy(err);
	return status;
}
