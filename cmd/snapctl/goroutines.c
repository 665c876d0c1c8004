// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "gofold.h"
#include "goframe.h"
#include "gojson.h"
#include "gopprof.h"
#include "goread.h"
#include "gotext.h"
#include "gotraceback.h"
#include "options.h"
#include "verbs.h"

enum goroutines_option {
	OPT_ALL,
	OPT_JSON,
	OPT_FOLDED,
	OPT_PPROF,
	OPT_STATE,
	OPT_FUNCTION,
	OPT_LABEL,
	OPT_MIN_WAIT,
	OPT_ID,
	OPT_TOP,
	OPT_SYSTEM,
	OPT_EXE,
	OPT_VALUES,
	OPT_ATTACHED,
	OPT_MAX_PAUSE,
	OPT_HELP,
};

static const struct option_row rows[] = {
	[OPT_ALL] = { "all", 'a', NULL,
		      "Show each goroutine, in the form of Go's own\n"
		      "tracebacks, not groups of those with equal stacks" },
	[OPT_JSON] = { "json", 0, NULL, "Print all that is known as one JSON object" },
	[OPT_FOLDED] = { "folded", 0, "[states]",
			 "Print a line for each group as flame graphs want it;\n"
			 "=states: with the state as the innermost frame" },
	[OPT_PPROF] = { "pprof", 0, "FILE",
			"Write a goroutine profile for 'go tool pprof'; '-' is\n"
			"standard output" },
	[OPT_STATE] = { "state", 0, "TEXT",
			"Only those whose state has TEXT in it: running,\n"
			"'chan receive', select, IO wait, ..." },
	[OPT_FUNCTION] = { "function", 0, "TEXT",
			   "Only those with TEXT in the name of a function" },
	[OPT_LABEL] = { "label", 0, "KEY[=V]", "Only those with this profiler label" },
	[OPT_MIN_WAIT] = { "min-wait", 0, "TIME",
			   "Only those that Go counts as blocked for TIME or\n"
			   "longer (90s, 10m)" },
	[OPT_ID] = { "id", 0, "NUMBER", "Only this goroutine; can be given several times" },
	[OPT_TOP] = { "top", 0, "N", "Only the N largest groups" },
	[OPT_SYSTEM] = { "system", 0, NULL,
			 "Show the runtime's own goroutines and frames too,\n"
			 "and with --all the addresses of frames" },
	[OPT_EXE] = { "exe", 0, "FILE", "The program, if it is not where the core says" },
	[OPT_VALUES] = { "values", 0, NULL,
			 "With --json, the names and values of arguments, from\n"
			 "the program's debug information" },
	[OPT_ATTACHED] = { "attached", 0, NULL,
			   "Show the summary that was attached to the core when\n"
			   "it was made; needs no program" },
	[OPT_MAX_PAUSE] = { "max-pause", 0, "TIME",
			    "Give up, and let the process run, when it would be\n"
			    "stopped for longer than TIME (200ms, 1.5s)" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

enum view { VIEW_SUMMARY, VIEW_ALL, VIEW_JSON, VIEW_FOLDED, VIEW_PPROF };

struct goroutines_args {
	struct json *request, *ids;
	enum view view;
	const char *view_option; ///< that chose it
	struct gosource source;
	const char *profile; ///< file of --pprof
	bool system, states, filtered, help;
};

// ---- the command line ----------------------------------------------------------------------

static struct snap_error *apply_view(struct goroutines_args *args, enum view view,
				     const char *option)
{
	// JSON has each of them anyway.
	if ((view == VIEW_ALL && args->view == VIEW_JSON) ||
	    (view == VIEW_JSON && args->view == VIEW_ALL))
		view = VIEW_JSON;
	else if (args->view != VIEW_SUMMARY && args->view != view)
		return snap_error_new(SNAP_USAGE, "--%s and --%s exclude each other",
				      args->view_option, option);
	args->view = view;
	args->view_option = option;
	return NULL;
}

static struct snap_error *apply_folded(struct goroutines_args *args, const char *arg)
{
	if (arg && strcmp(arg, "states") != 0)
		return snap_error_new(SNAP_USAGE, "--folded takes nothing or 'states', not '%s'",
				      arg);
	args->states = arg;
	return apply_view(args, VIEW_FOLDED, "folded");
}

static struct snap_error *apply_label(const char *arg, struct json *request)
{
	const char *equals = strchr(arg, '=');
	_cleanup_free_ char *key = equals ? strndup(arg, (size_t)(equals - arg)) : strdup(arg);
	if (!key)
		return snap_error_oom();
	json_set_text(request, "label_key", key);
	if (equals)
		json_set_text(request, "label_value", equals + 1);
	return NULL;
}

static struct snap_error *parse_number(const char *option, const char *arg, uint64_t *ret)
{
	if (snap_parse_u64(arg, ret) < 0 || !*ret)
		return snap_error_new(SNAP_USAGE, "--%s takes a number from 1 on, not '%s'",
				      option, arg);
	return NULL;
}

static struct snap_error *apply_id(struct goroutines_args *args, const char *arg)
{
	uint64_t number;
	struct snap_error *err = parse_number("id", arg, &number);
	if (!err)
		json_add_message(args->ids, arg);
	return err;
}

static struct snap_error *apply_top(struct goroutines_args *args, const char *arg)
{
	uint64_t number = 0;
	struct snap_error *err = parse_number("top", arg, &number);
	json_set_u64(args->request, "top", number);
	return err;
}

static struct snap_error *apply_min_wait(struct goroutines_args *args, const char *arg)
{
	uint64_t ns = 0;
	if (snap_parse_duration_ns(arg, &ns) < 0)
		return snap_error_new(SNAP_USAGE,
				      "--min-wait takes a time such as 90s or 10m, not '%s'", arg);
	json_set_u64(args->request, "min_wait_ns", ns);
	return NULL;
}

static struct snap_error *apply_max_pause(struct goroutines_args *args, const char *arg)
{
	if (snap_parse_duration_ns(arg, &args->source.max_pause_ns) < 0 ||
	    !args->source.max_pause_ns)
		return snap_error_new(SNAP_USAGE,
				      "--max-pause takes a time such as 200ms or 1.5s, not '%s'",
				      arg);
	return NULL;
}

static struct snap_error *apply_option(const struct option_use *use, struct goroutines_args *args)
{
	args->filtered |= use->row >= OPT_STATE && use->row <= OPT_ID;
	switch ((enum goroutines_option)use->row) {
	case OPT_ALL:
		return apply_view(args, VIEW_ALL, "all");
	case OPT_JSON:
		return apply_view(args, VIEW_JSON, "json");
	case OPT_FOLDED:
		return apply_folded(args, use->arg);
	case OPT_PPROF:
		args->profile = use->arg;
		return apply_view(args, VIEW_PPROF, "pprof");
	case OPT_STATE:
		json_set_text(args->request, "state", use->arg);
		return NULL;
	case OPT_FUNCTION:
		json_set_text(args->request, "function", use->arg);
		return NULL;
	case OPT_LABEL:
		return apply_label(use->arg, args->request);
	case OPT_MIN_WAIT:
		return apply_min_wait(args, use->arg);
	case OPT_ID:
		return apply_id(args, use->arg);
	case OPT_TOP:
		return apply_top(args, use->arg);
	case OPT_SYSTEM:
		args->system = true;
		return NULL;
	case OPT_EXE:
		args->source.exe = use->arg;
		return NULL;
	case OPT_VALUES:
		json_set_bool(args->request, "values", true);
		break;
	case OPT_ATTACHED:
		args->source.attached = true;
		return NULL;
	case OPT_MAX_PAUSE:
		return apply_max_pause(args, use->arg);
	case OPT_HELP:
		args->help = true;
		return NULL;
	}
	return NULL;
}

static void print_help(void)
{
	printf("Usage: snapctl goroutines [OPTION...] CORE|PID\n\n"
	       "Tells what the goroutines of a Go program were doing when a core was made, or\n"
	       "what those of a process are doing. The program may be stripped.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
	printf("\nConditions that are given together must all hold. See also\n"
	       "snapctl-goroutines(1).\n");
}

/// Takes ownership of @err. Not inlined, for gcc 12 would see a null pointer that is not there.
__attribute__((noinline)) static int usage_error(struct snap_error *err)
{
	print_message("snapctl goroutines", err->message);
	fprintf(stderr, "Try 'snapctl goroutines --help'.\n");
	snap_error_destroy(err);
	return SNAP_USAGE;
}

static struct snap_error *take_what(int n, char *words[], struct goroutines_args *args)
{
	if (n != 1)
		return snap_error_new(SNAP_USAGE, "give one core or one PID");
	// It was made without conditions, and has no goroutines one by one.
	if (args->source.attached && (args->filtered || args->view == VIEW_ALL ||
				      json_get(args->request, "top")))
		return snap_error_new(SNAP_USAGE,
				      "--attached shows all groups there are; conditions, --top "
				      "and --all need the program");
	args->source.what = words[0];
	return NULL;
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct goroutines_args *args)
{
	struct option_parser parser = { .rows = rows,
					.n_rows = ARRAY_SIZE(rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl goroutines" };
	struct option_use use;
	struct snap_error *err = NULL;
	int r = 0;
	options_begin(&parser);
	while (!err && (r = options_next(&parser, &use)) > 0)
		err = apply_option(&use, args);
	if (!err && r < 0)
		return SNAP_USAGE;
	if (!err && args->help) {
		print_help();
		return 0;
	}
	if (!err)
		err = take_what(argc - parser.first, argv + parser.first, args);
	return err ? usage_error(err) : -1;
}

// ---- what comes back -----------------------------------------------------------------------

struct show {
	const struct goroutines_args *args;
	unsigned int traceback_flags;
	struct gotext text;
	struct gojson json;
	struct gopprof pprof;
};

static void show_traceback(struct show *s, const char *kind, const struct json *value)
{
	if (!strcmp(kind, "runtime")) {
		s->traceback_flags =
			(s->args->system ? GOTRACEBACK_SYSTEM : 0U) |
			(gotraceback_has_labels(value) ? GOTRACEBACK_LABELS : 0U);
	} else if (!strcmp(kind, "goroutine")) {
		gotraceback_goroutine(value, s->traceback_flags, stdout);
	} else if (!strcmp(kind, "crash")) {
		gotraceback_crash(value, stdout);
		fputc('\n', stdout);
	}
}

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	struct show *s = userdata;
	switch (s->args->view) {
	case VIEW_SUMMARY:
		gotext_line(&s->text, kind, value);
		break;
	case VIEW_ALL:
		show_traceback(s, kind, value);
		break;
	case VIEW_JSON:
		return gojson_line(&s->json, kind, value);
	case VIEW_FOLDED:
		if (!strcmp(kind, "group"))
			gofold_group(value, s->args->system, s->args->states, stdout);
		break;
	case VIEW_PPROF:
		return gopprof_line(&s->pprof, kind, value);
	}
	return 0;
}

static struct snap_error *write_profile(struct show *s)
{
	_cleanup_free_ char *path = NULL, *shown = NULL;
	struct snap_error *err = gopprof_write(&s->pprof, s->args->profile, &path);
	if (path)
		shown = snap_escape(path, strlen(path));
	if (!err && shown)
		printf("%s: %" PRIu64 " goroutine%s in %" PRIu64 " group%s\n", shown,
		       s->pprof.goroutines, s->pprof.goroutines == 1 ? "" : "s", s->pprof.groups,
		       s->pprof.groups == 1 ? "" : "s");
	return err;
}

static int run(struct goroutines_args *args)
{
	struct show s = {
		.args = args,
		.text = { .out = stdout, .system = args->system, .filtered = args->filtered },
	};
	struct goread read = { .source = args->source, .line = on_line, .userdata = &s };
	struct snap_error *err = NULL;
	if (args->view == VIEW_JSON)
		gojson_begin(&s.json, stdout, false);
	if (args->view == VIEW_PPROF)
		err = gopprof_begin(&s.pprof, args->source.what, args->system);
	if (!err)
		err = goread_run(&read, args->request);
	if (!err && !read.runtimes)
		err = snap_error_new(SNAP_FAILED, "no Go program was found in '%s'",
				     args->source.what);
	if (args->view == VIEW_JSON)
		gojson_end(&s.json, err);
	if (!err && args->view == VIEW_PPROF)
		err = write_profile(&s);
	gotext_end(&s.text);
	gopprof_deinit(&s.pprof);
	return goread_finish(err);
}

int verb_goroutines(int argc, char *argv[])
{
	_cleanup_(json_destroyp) struct json *request = json_new_object();
	struct goroutines_args args = { .request = request, .ids = json_new_array() };
	int r = parse_args(argc, argv, &args);
	json_set_bool(request, "each", args.view == VIEW_ALL || args.view == VIEW_JSON);
	json_set_bool(request, "system", args.system);
	json_set(request, "ids", args.ids);
	return r >= 0 ? r : run(&args);
}
