// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "common/clock.h"
#include "common/str.h"
#include "filter.h"
#include "listing.h"
#include "options.h"
#include "verbs.h"

enum list_option {
	OPT_SINCE = FILTER_MAX,
	OPT_UNTIL,
	OPT_LAST,
	OPT_JSON,
	OPT_NO_LEGEND,
	OPT_HELP,
};

static const struct option_row rows[] = {
	FILTER_ROWS,
	[FILTER_KIND] = { "kind", 0, "KIND", "Only these: live or crash" },
	[OPT_SINCE] = { "since", 0, "TIME",
			"Only dumps since TIME: 90m, 2h or 3d ago, or a\n"
			"day (2026-11-22), with a time if wanted (T10:30)" },
	[OPT_UNTIL] = { "until", 0, "TIME", "Only dumps before TIME" },
	[OPT_LAST] = { "last", '1', NULL, "Only the newest" },
	[OPT_JSON] = { "json", 0, NULL, "Print JSON, one object for each dump" },
	[OPT_NO_LEGEND] = { "no-legend", 0, NULL, "No headings" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct list_args {
	struct filter filter;
	uint64_t since_usec, until_usec;
	bool last, json, no_legend, help;
};

static void print_help(void)
{
	printf("Usage: snapctl list [OPTION...]\n\n"
	       "Lists the dumps in the store of procsnapd that you may read, newest last.\n"
	       "PATTERN may have * and ? in it.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
}

// ---- options -------------------------------------------------------------------------------

/// "2h": so long ago. snap_parse_duration_ns() knows no hours and days.
static bool parse_ago(const char *text, uint64_t *ret_usec)
{
	uint64_t n;
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 604800 } };
	uint64_t now = snap_clock_ns(CLOCK_REALTIME) / 1000;
	if (snap_take_u64(&text, &n) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text, units[i].unit) != 0 ||
		    n > now / 1000000 / units[i].seconds)
			continue;
		*ret_usec = now - n * units[i].seconds * 1000000;
		return true;
	}
	return false;
}

static bool parse_time(const char *text, uint64_t *ret_usec)
{
	static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
					       "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S" };
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, formats[i], &tm);
		time_t s = end && !*end ? mktime(&tm) : -1;
		if (s < 0)
			continue;
		*ret_usec = (uint64_t)s * 1000000;
		return true;
	}
	return parse_ago(text, ret_usec);
}

/// Returns what is wrong with it, or NULL.
static const char *apply(const struct option_use *use, struct list_args *args)
{
	args->last |= use->row == OPT_LAST;
	args->json |= use->row == OPT_JSON;
	args->no_legend |= use->row == OPT_NO_LEGEND;
	args->help |= use->row == OPT_HELP;
	if (use->row == FILTER_KIND && strcmp(use->arg, "live") != 0 &&
	    strcmp(use->arg, "crash") != 0)
		return "is not live, and not crash";
	if (use->row < FILTER_MAX)
		return filter_apply(&args->filter, use);
	if (use->row == OPT_SINCE && !parse_time(use->arg, &args->since_usec))
		return "is not a time";
	if (use->row == OPT_UNTIL && !parse_time(use->arg, &args->until_usec))
		return "is not a time";
	return NULL;
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct list_args *args)
{
	struct option_parser parser = { .rows = rows,
					.n_rows = ARRAY_SIZE(rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl list" };
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
		fprintf(stderr, "snapctl list: '%s' %s\n", shown ? shown : "?", wrong);
	} else if (!r && parser.first < argc) {
		fprintf(stderr, "snapctl list: takes no arguments\n");
	} else if (!r) {
		return -1;
	}
	if (wrong || !r)
		fprintf(stderr, "Try 'snapctl list --help'.\n");
	return SNAP_USAGE;
}

// ---- which dumps ---------------------------------------------------------------------------

static bool is_wanted(const struct list_args *args, const struct json *entry)
{
	uint64_t usec = json_get_u64(entry, "timestamp_usec", 0);
	return filter_matches(&args->filter, entry) && usec >= args->since_usec &&
	       (!args->until_usec || usec < args->until_usec);
}

static struct snap_error *run(const struct list_args *args)
{
	_cleanup_(json_destroyp) struct json *parameters = json_new_object(), *reply = NULL;
	const struct client_call call = { .method = "List", .parameters = parameters };
	struct snap_error *err = client_call(&call, &reply, NULL);
	if (err)
		return err;
	const struct json *entries = json_get(reply, "entries");
	_cleanup_free_ const struct json **wanted =
		calloc(json_length(entries) + 1, sizeof(struct json *));
	size_t n = 0;
	if (!wanted)
		return snap_error_oom();
	for (size_t i = 0; i < json_length(entries); i++)
		if (is_wanted(args, json_at(entries, i)))
			wanted[n++] = json_at(entries, i);
	size_t skip = args->last && n ? n - 1 : 0;
	if (args->json)
		listing_print_json(wanted + skip, n - skip);
	else
		listing_print(wanted + skip, n - skip, args->no_legend);
	if (!n && !args->json && !args->no_legend)
		fprintf(stderr, "snapctl: there are no such dumps\n");
	return fflush(stdout) == EOF ? snap_error_errno(snap_code_from_errno(errno), errno,
							"cannot write the list") :
				       NULL;
}

int verb_list(int argc, char *argv[])
{
	struct list_args args = { 0 };
	int r = parse_args(argc, argv, &args);
	return r >= 0 ? r : verb_finish(run(&args));
}
