// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "gosource.h"
#include "gotext.h"
#include "options.h"
#include "verbs.h"
#include "worker.h"

enum goroutines_option {
	OPT_ALL,
	OPT_SYSTEM,
	OPT_EXE,
	OPT_ATTACHED,
	OPT_MAX_PAUSE,
	OPT_STATE,
	OPT_FUNCTION,
	OPT_LABEL,
	OPT_MIN_WAIT,
	OPT_ID,
	OPT_TOP,
	OPT_JSON,
	OPT_HELP,
};

static const struct option_row rows[] = {
	[OPT_ALL] = { "all", 'a', NULL,
		      "Show each goroutine, in the form of Go's own\n"
		      "tracebacks, not groups of those with equal stacks" },
	[OPT_SYSTEM] = { "system", 0, NULL,
			 "Show the runtime's own goroutines and frames too,\n"
			 "and with --all the addresses of frames" },
	[OPT_EXE] = { "exe", 0, "FILE", "The program, if it is not where the core says" },
	[OPT_ATTACHED] = { "attached", 0, NULL,
			   "Show the summary that was attached to the core when\n"
			   "it was made; needs no program" },
	[OPT_MAX_PAUSE] = { "max-pause", 0, "TIME",
			    "Give up, and let the process run, when it would be\n"
			    "stopped for longer than TIME (200ms, 1.5s)" },
	[OPT_STATE] = { "state", 0, "TEXT",
			"Only those whose state has TEXT in it: running,\n"
			"'chan receive', select, IO wait, ..." },
	[OPT_FUNCTION] = { "function", 0, "TEXT",
			   "Only those with TEXT in the name of a function" },
	[OPT_LABEL] = { "label", 0, "KEY[=V]", "Only those with this profiler label" },
	[OPT_MIN_WAIT] = { "min-wait", 0, "TIME",
			   "Only those known to be blocked for TIME (90s, 10m)" },
	[OPT_ID] = { "id", 0, "NUMBER", "Only this goroutine; can be given several times" },
	[OPT_TOP] = { "top", 0, "N", "Only the N largest groups" },
	[OPT_JSON] = { "json", 0, NULL, "Print all that is known as one JSON object" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct goroutines_args {
	struct json *request, *ids;
	struct gosource source;
	bool all, system, json, help;
};

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

static struct snap_error *apply_number(const char *option, const char *arg, uint64_t *ret)
{
	if (snap_parse_u64(arg, ret) < 0 || !*ret)
		return snap_error_new(SNAP_USAGE, "--%s takes a number from 1 on, not '%s'",
				      option, arg);
	return NULL;
}

static struct snap_error *apply_option(const struct option_use *use, struct goroutines_args *args)
{
	struct snap_error *err = NULL;
	uint64_t number = 0;
	switch ((enum goroutines_option)use->row) {
	case OPT_ALL:
		args->all = true;
		break;
	case OPT_SYSTEM:
		args->system = true;
		break;
	case OPT_EXE:
		args->source.exe = use->arg;
		break;
	case OPT_ATTACHED:
		args->source.attached = true;
		break;
	case OPT_MAX_PAUSE:
		if (snap_parse_duration_ns(use->arg, &args->source.max_pause_ns) < 0 ||
		    !args->source.max_pause_ns)
			return snap_error_new(SNAP_USAGE,
					      "--max-pause takes a time such as 200ms or 1.5s, not "
					      "'%s'",
					      use->arg);
		break;
	case OPT_STATE:
		json_set_text(args->request, "state", use->arg);
		break;
	case OPT_FUNCTION:
		json_set_text(args->request, "function", use->arg);
		break;
	case OPT_LABEL:
		err = apply_label(use->arg, args->request);
		break;
	case OPT_MIN_WAIT:
		if (snap_parse_duration_ns(use->arg, &number) < 0)
			return snap_error_new(SNAP_USAGE,
					      "--min-wait takes a time such as 90s or 10m, not '%s'",
					      use->arg);
		json_set_u64(args->request, "min_wait_ns", number);
		break;
	case OPT_ID:
		err = apply_number("id", use->arg, &number);
		json_add_message(args->ids, use->arg);
		break;
	case OPT_TOP:
		err = apply_number("top", use->arg, &number);
		json_set_u64(args->request, "top", number);
		break;
	case OPT_JSON:
		args->json = true;
		break;
	case OPT_HELP:
		args->help = true;
		break;
	}
	return err;
}

static void print_help(void)
{
	printf("Usage: snapctl goroutines [OPTION...] CORE|PID\n\n"
	       "Tells what the goroutines of a Go program were doing, or are doing: from a\n"
	       "core, also of a stripped program, or from a live process.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
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

struct output {
	const struct goroutines_args *args;
	FILE *out;
	unsigned int runtimes;
	uint64_t shown;
	// of --json: what was the last thing in the list that is open
	const char *list;
	bool any;
};

static void warn_image(const struct json *image)
{
	const char *state = json_get_text(image, "file"), *name = json_get_text(image, "name");
	if (!state || !strcmp(state, "matches"))
		return;
	if (!strcmp(state, "differs"))
		fprintf(stderr,
			"snapctl: warning: '%s' is another build than the one in the core; it was not "
			"used (--exe FILE names the right one)\n",
			name ? name : "?");
	else if (!strcmp(state, "missing"))
		fprintf(stderr,
			"snapctl: warning: '%s' was not found; only what is in the core was used "
			"(--exe FILE names it)\n",
			name ? name : "?");
	else
		fprintf(stderr,
			"snapctl: warning: '%s' could not be checked to be the program of the core\n",
			name ? name : "?");
}

static int on_text(void *userdata, const char *kind, const struct json *value)
{
	struct output *o = userdata;
	if (!strcmp(kind, "image"))
		warn_image(value);
	else if (!strcmp(kind, "warning"))
		fprintf(stderr, "snapctl: warning: %s\n", json_get_text(value, "text"));
	else if (!strcmp(kind, "crash"))
		gotext_crash(value, o->out);
	else if (!strcmp(kind, "goroutine"))
		gotext_goroutine(value, o->args->system, o->out);
	else if (!strcmp(kind, "runtime"))
		o->runtimes++;
	if (!strcmp(kind, "runtime") && !o->args->all)
		gotext_runtime(value, o->out);
	else if (!strcmp(kind, "finding") && !o->args->all)
		gotext_finding(value, o->out);
	else if (!strcmp(kind, "group") && !o->args->all)
		gotext_group(value, o->out);
	return ferror(o->out) ? -EIO : 0;
}

/// The name of the list that lines of a kind go into; NULL for single values.
static const char *list_of(const char *kind)
{
	static const char *const lists[][2] = {
		{ "image", "images" },	     { "warning", "warnings" },
		{ "runtime", "runtimes" },   { "thread", "threads" },
		{ "finding", "findings" },   { "group", "groups" },
		{ "goroutine", "goroutines" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (!strcmp(lists[i][0], kind))
			return lists[i][1];
	return NULL;
}

static void close_list(struct output *o)
{
	if (o->list)
		fputs("]", o->out);
	o->list = NULL;
}

static void close_runtime(struct output *o)
{
	close_list(o);
	if (o->runtimes)
		fputs("}", o->out);
}

/// Runtimes hold all that follows them until the next one.
static int on_json(void *userdata, const char *kind, const struct json *value)
{
	struct output *o = userdata;
	const char *list = list_of(kind), *text = json_text(value);
	if (!text)
		return -ENOMEM;
	if (!strcmp(kind, "runtime")) {
		close_runtime(o);
		fputs(o->runtimes++ ? "," : ",\"runtimes\":[", o->out);
		fprintf(o->out, "%.*s", (int)strlen(text) - 1, text);
	} else if (!list) {
		close_list(o);
		fprintf(o->out, "%s\"%s\":%s", o->any ? "," : "", kind, text);
	} else if (o->list && !strcmp(o->list, list)) {
		fprintf(o->out, ",%s", text);
	} else {
		close_list(o);
		fprintf(o->out, ",\"%s\":[%s", list, text);
		o->list = list;
	}
	o->any = true;
	return ferror(o->out) ? -EIO : 0;
}

static int report_end(struct output *o, struct snap_error *err)
{
	if (o->args->json) {
		close_runtime(o);
		fputs(o->runtimes ? "]}\n" : o->any ? "}\n" : "", o->out);
	}
	if (fflush(o->out) != 0 && !err)
		err = snap_error_errno(SNAP_FAILED, errno, "cannot write the answer");
	if (!err && !o->runtimes)
		err = snap_error_new(SNAP_FAILED, "no Go program was found in '%s'",
				     o->args->source.what);
	if (!err)
		return 0;
	int code = (int)err->code;
	print_message("snapctl", err->message);
	snap_error_destroy(err);
	return code;
}

static int run(struct goroutines_args *args)
{
	struct output output = { .args = args, .out = stdout };
	uint64_t pause_ns;
	char text[16];
	struct snap_error *err = gosource_run(&args->source, args->request,
					      args->json ? on_json : on_text, &output, &pause_ns);
	if (pause_ns)
		fprintf(stderr, "snapctl: process %s was paused for %s\n", args->source.what,
			snap_format_ns(pause_ns, text));
	return report_end(&output, err);
}

int verb_goroutines(int argc, char *argv[])
{
	_cleanup_(json_destroyp) struct json *request = json_new_object();
	struct goroutines_args args = { .request = request, .ids = json_new_array() };
	worker_block_signals();
	int r = parse_args(argc, argv, &args);
	json_set_bool(request, "each", args.all || args.json);
	json_set_bool(request, "system", args.system);
	json_set(request, "ids", args.ids);
	return r >= 0 ? r : run(&args);
}
