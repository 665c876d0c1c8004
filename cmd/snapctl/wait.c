// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "common/clock.h"
#include "common/str.h"
#include "filter.h"
#include "listing.h"
#include "options.h"
#include "verbs.h"

enum {
	// Ten seconds, in which a daemon is upgraded.
	TRIES = 20,
	TRY_USEC = 500000,
};

enum wait_option { OPT_TIMEOUT = FILTER_MAX, OPT_JSON, OPT_HELP };

static const struct option_row rows[] = {
	FILTER_ROWS,
	[FILTER_KIND] = { "kind", 0, "KIND", "These: live, crash (the default) or any" },
	[OPT_TIMEOUT] = { "timeout", 't', "TIME", "Wait no longer than TIME (30s, 2m)" },
	[OPT_JSON] = { "json", 0, NULL, "Print JSON" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct wait_args {
	struct filter filter;
	uint64_t timeout_ns; ///< 0: none
	bool json, help;
};

static void print_help(void)
{
	printf("Usage: snapctl wait [OPTION...]\n\n"
	       "Waits until procsnapd has recorded the next crash, or dump, that you may read and\n"
	       "that fits, and prints it. PATTERN may have * and ? in it.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
}

/// Returns what is wrong with it, or NULL.
static const char *apply(const struct option_use *use, struct wait_args *args)
{
	args->json |= use->row == OPT_JSON;
	args->help |= use->row == OPT_HELP;
	if (use->row == FILTER_KIND && strcmp(use->arg, "live") != 0 &&
	    strcmp(use->arg, "crash") != 0 && strcmp(use->arg, "any") != 0)
		return "is not live, not crash, and not any";
	if (use->row < FILTER_MAX)
		return filter_apply(&args->filter, use);
	if (use->row == OPT_TIMEOUT &&
	    (snap_parse_duration_ns(use->arg, &args->timeout_ns) < 0 || !args->timeout_ns))
		return "is not a time";
	return NULL;
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct wait_args *args)
{
	struct option_parser parser = { .rows = rows,
					.n_rows = ARRAY_SIZE(rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl wait" };
	struct option_use use;
	const char *wrong = NULL;
	int r;
	options_begin(&parser);
	while (!wrong && (r = options_next(&parser, &use)) > 0)
		wrong = apply(&use, args);
	if (!wrong && !r && args->help) {
		print_help();
		return 0;
	}
	if (wrong) {
		_cleanup_free_ char *shown = snap_escape(use.arg, strlen(use.arg));
		fprintf(stderr, "snapctl wait: '%s' %s\n", shown ? shown : "?", wrong);
	} else if (!r && parser.first < argc) {
		fprintf(stderr, "snapctl wait: takes no arguments\n");
	} else if (!r) {
		return -1;
	}
	if (wrong || !r)
		fprintf(stderr, "Try 'snapctl wait --help'.\n");
	return SNAP_USAGE;
}

/// One call: what came behind *@position, which goes on. Owned by the caller.
static struct snap_error *ask(char **position, uint64_t deadline_ns, struct json **ret)
{
	_cleanup_(json_destroyp) struct json *parameters = json_new_object(), *reply = NULL;
	if (*position)
		json_set_text(parameters, "position", *position);
	const struct client_call call = { .method = "Wait",
					  .parameters = parameters,
					  .deadline_ns = deadline_ns };
	struct snap_error *err = client_call(&call, &reply, NULL);
	if (err)
		return err;
	const char *next = json_get_text(reply, "position");
	char *copy = next ? strdup(next) : NULL;
	if (!copy)
		return snap_error_new(SNAP_FAILED, "procsnapd answers nonsense");
	free(*position);
	*position = copy;
	*ret = TAKE_PTR(reply);
	return NULL;
}

static struct snap_error *print(const struct wait_args *args, const struct json *entry)
{
	if (args->json)
		listing_print_json(&entry, 1);
	else
		listing_print(&entry, 1, true);
	return fflush(stdout) == EOF ? snap_error_errno(snap_code_from_errno(errno), errno,
							"cannot write what was waited for") :
				       NULL;
}

/// Is it worth to ask again? A daemon that ends comes back; what it records then is new to us.
static bool may_come_back(const struct snap_error *err, const char *position, uint64_t deadline_ns)
{
	return position && (err->code == SNAP_FAILED || err->code == SNAP_CANCELLED) &&
	       (!deadline_ns || snap_now_ns() < deadline_ns);
}

static struct snap_error *run(const struct wait_args *args)
{
	unsigned int failures = 0;
	_cleanup_free_ char *position = NULL;
	uint64_t deadline = args->timeout_ns ? snap_now_ns() + args->timeout_ns : 0;
	for (;;) {
		_cleanup_(json_destroyp) struct json *reply = NULL;
		struct snap_error *err = ask(&position, deadline, &reply);
		if (err && ++failures <= TRIES && may_come_back(err, position, deadline)) {
			snap_error_destroy(err);
			(void)usleep(TRY_USEC);
			continue;
		}
		if (err)
			return err;
		failures = 0;
		const struct json *entries = json_get(reply, "entries");
		for (size_t i = 0; i < json_length(entries); i++)
			if (filter_matches(&args->filter, json_at(entries, i)))
				return print(args, json_at(entries, i));
	}
}

int verb_wait(int argc, char *argv[])
{
	struct wait_args args = { .filter.texts[FILTER_KIND] = "crash" };
	int r = parse_args(argc, argv, &args);
	if (r >= 0)
		return r;
	if (!strcmp(args.filter.texts[FILTER_KIND], "any"))
		args.filter.texts[FILTER_KIND] = NULL;
	return verb_finish(run(&args));
}
