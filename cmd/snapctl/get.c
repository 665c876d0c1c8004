// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "common/fd.h"
#include "common/str.h"
#include "options.h"
#include "output.h"
#include "unpack.h"
#include "verbs.h"

enum get_option { OPT_OUTPUT, OPT_FORCE, OPT_QUIET, OPT_HELP };

static const struct option_row rows[] = {
	[OPT_OUTPUT] = { "output", 'o', "FILE",
			 "Write to FILE, into the directory FILE, or to\n"
			 "standard output if FILE is '-'; default: core.PID" },
	[OPT_FORCE] = { "force", 'f', NULL, "Replace an existing file" },
	[OPT_QUIET] = { "quiet", 'q', NULL, "Print errors only" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct get_args {
	const char *id, *output;
	bool replace, quiet, help;
};

static void print_help(void)
{
	printf("Usage: snapctl get [OPTION...] ID\n\n"
	       "Gets a dump out of the store of procsnapd, decompressed.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct get_args *args)
{
	struct option_parser parser = { .rows = rows,
					.n_rows = ARRAY_SIZE(rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl get" };
	struct option_use use;
	int r;
	options_begin(&parser);
	while ((r = options_next(&parser, &use)) > 0) {
		args->replace |= use.row == OPT_FORCE;
		args->quiet |= use.row == OPT_QUIET;
		args->help |= use.row == OPT_HELP;
		if (use.row == OPT_OUTPUT)
			args->output = use.arg;
	}
	if (r < 0)
		return SNAP_USAGE;
	if (args->help) {
		print_help();
		return 0;
	}
	if (argc - parser.first != 1) {
		fprintf(stderr, "snapctl get: give one ID, as 'snapctl list' shows it\n"
				"Try 'snapctl get --help'.\n");
		return SNAP_USAGE;
	}
	args->id = argv[parser.first];
	return -1;
}

static struct snap_error *write_out(const struct get_args *args, int core, struct output *out)
{
	struct snap_error *err = unpack(core, out->fd);
	if (err)
		return snap_error_wrap(err, "dump %s", args->id);
	if (out->name && fsync(out->fd) < 0)
		return snap_error_errno(snap_code_from_errno(errno), errno, "cannot write '%s'",
					out->name);
	return output_publish(out);
}

static struct snap_error *run(const struct get_args *args)
{
	_cleanup_(json_destroyp) struct json *reply = NULL;
	_cleanup_close_ int core = -EBADF;
	struct output out = { .dirfd = -EBADF, .fd = -EBADF, .spool = -EBADF };
	char name[32];
	struct snap_error *err = client_get(args->id, &reply, &core);
	if (err)
		return err;
	(void)snprintf(name, sizeof(name), "core.%llu",
		       (unsigned long long)json_get_u64(json_get(reply, "entry"), "pid", 0));
	err = output_open(args->output, name, args->replace ? OUTPUT_REPLACE : 0, &out);
	if (!err)
		err = write_out(args, core, &out);
	_cleanup_free_ char *path = err ? NULL : output_path(&out);
	if (path && !args->quiet && out.name) {
		_cleanup_free_ char *shown = snap_escape(path, strlen(path));
		printf("%s\n", shown ? shown : "");
	}
	output_close(&out);
	return err;
}

int verb_get(int argc, char *argv[])
{
	struct get_args args = { 0 };
	int r = parse_args(argc, argv, &args);
	return r >= 0 ? r : verb_finish(run(&args));
}
