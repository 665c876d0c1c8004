// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The verb gcore, also run as a program of that name: what gdb's gcore script does, for scripts
 * that call it. Options, file names, the two messages on standard output and the exit status are
 * the script's (gdb 13 to 18); like it, and unlike snapctl dump, it replaces an existing file.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "dump.h"
#include "verbs.h"
#include "worker.h"

enum { GCORE_FAILED = 1, GCORE_USAGE = 2 };

static void print_usage(FILE *out)
{
	fprintf(out, "usage:  gcore [-h|--help] [-v|--version] [-a] [-o prefix] [-g gdb]\n"
		     "              [-d data-directory] pid1 [pid2...pidN]\n");
}

static void print_help(void)
{
	print_usage(stdout);
	printf("\n"
	       "Writes a core file of a running program, without gdb.\n\n"
	       "  -h, --help     Show this help\n"
	       "  -v, --version  Show the version\n"
	       "  -a             Dump all memory mappings\n"
	       "  -o prefix      Call the core file prefix.pid; default: core\n"
	       "  -g gdb         Accepted and not used\n"
	       "  -d directory   Accepted and not used\n");
}

struct gcore_args {
	const char *prefix;
	bool all;
	int first; ///< index of the first pid
};

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct gcore_args *args)
{
	int c;
	opterr = 0;
	optind = 1;
	while ((c = getopt(argc, argv, "+:vhao:g:d:-:")) != -1) {
		// The script knows its long options by the letter '-' with an argument.
		if (c == '-')
			c = !strcmp(optarg, "help") ? 'h' : !strcmp(optarg, "version") ? 'v' : '?';
		switch (c) {
		case 'a':
			args->all = true;
			break;
		case 'o':
			args->prefix = optarg;
			break;
		case 'g':
		case 'd':
			break;
		case 'h':
			print_help();
			return 0;
		case 'v':
			printf("procsnap gcore %s\n", PROCSNAP_VERSION);
			return 0;
		default:
			print_usage(stdout);
			return GCORE_USAGE;
		}
	}
	args->first = optind;
	if (optind < argc)
		return -1;
	print_usage(stdout);
	return GCORE_USAGE;
}

static struct snap_error *dump_as(const char *arg, const char *path, const struct gcore_args *args,
				  struct json **ret)
{
	pid_t pid;
	struct dump_request request = { .job.flags = args->all ? JOB_ALL : 0,
					.output = path,
					.name = "core",
					.replace = true,
					.quiet = true };
	struct snap_error *err = dump_parse_pid(arg, &pid);
	return err ? err : dump_process(pid, &request, ret);
}

static int dump_one(const char *arg, const struct gcore_args *args)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_(json_destroyp) struct json *result = NULL;
	if (asprintf(&path, "%s.%s", args->prefix, arg) < 0) {
		path = NULL;
		return GCORE_FAILED;
	}
	struct snap_error *err = dump_as(arg, path, args, &result);
	if (err) {
		print_message("gcore", err->message);
		printf("gcore: failed to create %s\n", path);
		snap_error_destroy(err);
		return GCORE_FAILED;
	}
	const struct json *warnings = json_get(result, "warnings");
	for (size_t i = 0; i < json_length(warnings); i++)
		fprintf(stderr, "warning: %s\n", json_text_value(json_at(warnings, i)));
	printf("Saved corefile %s\n", path);
	return 0;
}

int verb_gcore(int argc, char *argv[])
{
	struct gcore_args args = { .prefix = "core" };
	int status = parse_args(argc, argv, &args);
	if (status >= 0)
		return status;
	worker_block_signals();
	status = 0;
	for (int i = args.first; i < argc && !status; i++)
		status = dump_one(argv[i], &args);
	return status;
}
