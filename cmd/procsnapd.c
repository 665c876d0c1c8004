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

#include "daemon/manager.h"
#include "daemon/privilege.h"

// 512 connections with a dozen descriptors each, and some more.
enum { FILES_MAX = 8192 };

enum { OPT_FOREGROUND = 256, OPT_CONFIG, OPT_STORE, OPT_SOCKET, OPT_VERSION };

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
	       "  -h, --help         Show this help\n"
	       "      --version      Show the version\n");
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct manager_options *options)
{
	static const struct option table[] = {
		{ "foreground", no_argument, NULL, OPT_FOREGROUND },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "store", required_argument, NULL, OPT_STORE },
		{ "socket", required_argument, NULL, OPT_SOCKET },
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
	if (optind == argc)
		return -1;
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

int main(int argc, char *argv[])
{
	struct manager_options options = { .store_path = STORE_DEFAULT_PATH,
					   .socket_path = "/run/procsnap/io.procsnap" };
	_cleanup_(manager_destroyp) struct manager *manager = NULL;
	int status = parse_args(argc, argv, &options);
	if (status >= 0)
		return status;
	if (geteuid() != 0) {
		fprintf(stderr, "procsnapd: must be started as root; as another user, snapctl "
				"works without it\n");
		return SNAP_NOT_PERMITTED;
	}
	(void)umask(0077);
	raise_limits();
	struct snap_error *err = privilege_drop();
	if (!err)
		err = manager_create(&options, &manager);
	if (!err)
		err = manager_run(manager);
	if (!err)
		return 0;
	manager_log(LOG_ERR, "%s", err->message);
	status = (int)err->code;
	snap_error_destroy(err);
	return status;
}
