// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "common/fd.h"
#include "common/job.h"
#include "goframe.h"
#include "gojson.h"
#include "goread.h"
#include "infotext.h"
#include "options.h"
#include "verbs.h"

enum info_option { OPT_JSON, OPT_EXE, OPT_HELP };

static const struct option_row rows[] = {
	[OPT_JSON] = { "json", 0, NULL, "Print it as one JSON object" },
	[OPT_EXE] = { "exe", 0, "FILE", "The program, if it is not where the core says" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct info_args {
	const char *core, *exe;
	bool json, help;
};

static void print_help(void)
{
	printf("Usage: snapctl info [OPTION...] CORE|ID\n\n"
	       "Tells what a core is: of which process, from when, made by whom, what is missing\n"
	       "from it; and in a few lines what a Go program was doing.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct info_args *args)
{
	struct option_parser parser = { .rows = rows,
					.n_rows = ARRAY_SIZE(rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl info" };
	struct option_use use;
	int r;
	options_begin(&parser);
	while ((r = options_next(&parser, &use)) > 0) {
		args->json |= use.row == OPT_JSON;
		args->help |= use.row == OPT_HELP;
		if (use.row == OPT_EXE)
			args->exe = use.arg;
	}
	if (r < 0)
		return SNAP_USAGE;
	if (args->help) {
		print_help();
		return 0;
	}
	if (argc - parser.first != 1) {
		fprintf(stderr, "snapctl info: give one core\nTry 'snapctl info --help'.\n");
		return SNAP_USAGE;
	}
	args->core = argv[parser.first];
	return -1;
}

struct show {
	bool json_wanted;
	struct gojson json;
	struct infotext text;
};

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	struct show *s = userdata;
	if (s->json_wanted)
		return gojson_line(&s->json, kind, value);
	infotext_line(&s->text, kind, value);
	return 0;
}

/// What the file system says of it: {"path", "bytes", "bytes_on_disk", "modified_ns"}; the store
/// adds "kind", "signal" and "binaries" (common/binaries.h).
static struct json *file_json(const char *path)
{
	enum { BLOCK = 512 };
	struct stat st;
	struct json *json = json_new_object();
	_cleanup_(json_destroyp) struct json *stored = NULL;
	_cleanup_close_ int fd = -EBADF;
	// Why the daemon does not give it is told by whoever reads it next.
	if (client_is_id(path))
		snap_error_destroy(client_get(path, &stored, &fd));
	const struct json *entry = json_get(stored, "entry");
	const char *file = json_get_text(entry, "file"), *kind = json_get_text(entry, "kind");
	const struct json *binaries = json_get(json_get(stored, "metadata"), "binaries");
	json_set_text(json, "path", file ? file : path);
	if (json_length(binaries))
		json_set_shared(json, "binaries", binaries);
	if (kind) {
		json_set_text(json, "kind", kind);
		json_set_u64(json, "signal", json_get_u64(entry, "signal", 0));
	}
	if (fd >= 0 ? fstat(fd, &st) < 0 : stat(path, &st) < 0)
		return json;
	json_set_u64(json, "bytes", (uint64_t)st.st_size);
	json_set_u64(json, "bytes_on_disk", (uint64_t)st.st_blocks * BLOCK);
	json_set_u64(json, "modified_ns",
		     (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec);
	return json;
}

static int run(const struct info_args *args)
{
	_cleanup_(json_destroyp) struct json *request = json_new_object();
	_cleanup_(json_destroyp) struct json *file = file_json(args->core);
	struct show s = { .json_wanted = args->json, .text = { .out = stdout } };
	struct goread read = { .source = { .what = args->core, .exe = args->exe, .is_core = true },
			       .line = on_line,
			       .userdata = &s };
	json_set_u64(request, "top", INFO_GROUPS);
	if (args->json) {
		gojson_begin(&s.json, stdout, true);
		(void)gojson_line(&s.json, "file", file); // out of memory: it is missing
	} else {
		infotext_line(&s.text, "file", file);
	}
	struct snap_error *err = goread_run(&read, request);
	if (args->json)
		gojson_end(&s.json, err);
	else
		infotext_end(&s.text, err);
	return goread_finish(err);
}

int verb_info(int argc, char *argv[])
{
	struct info_args args = { 0 };
	int r = parse_args(argc, argv, &args);
	return r >= 0 ? r : run(&args);
}
