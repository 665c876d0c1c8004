// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "common/clock.h"
#include "common/str.h"
#include "options.h"
#include "verbs.h"
#include "when.h"

enum list_option {
	OPT_PID,
	OPT_COMM,
	OPT_EXE,
	OPT_UNIT,
	OPT_UID,
	OPT_KIND,
	OPT_SINCE,
	OPT_UNTIL,
	OPT_LAST,
	OPT_JSON,
	OPT_NO_LEGEND,
	OPT_HELP,
};

static const struct option_row rows[] = {
	[OPT_PID] = { "pid", 0, "PID", "Only dumps of process PID" },
	[OPT_COMM] = { "comm", 0, "PATTERN", "Only of processes of this name" },
	[OPT_EXE] = { "exe", 0, "PATTERN", "Only of this program" },
	[OPT_UNIT] = { "unit", 0, "PATTERN", "Only of this unit of systemd" },
	[OPT_UID] = { "uid", 0, "USER", "Only of processes of USER, a name or a number" },
	[OPT_KIND] = { "kind", 0, "KIND", "Only these: live or crash" },
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
	const char *texts[OPT_KIND + 1]; ///< of the options up to there
	uint64_t pid, uid;
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
	_cleanup_free_ char *digits = strndup(text, strspn(text, "0123456789"));
	uint64_t n;
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 604800 } };
	uint64_t now = snap_clock_ns(CLOCK_REALTIME) / 1000;
	if (!digits || snap_parse_u64(digits, &n) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text + strlen(digits), units[i].unit) != 0 ||
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

static bool parse_user(const char *text, uint64_t *ret)
{
	const struct passwd *user;
	if (snap_parse_u64(text, ret) == 0 && *ret < UINT32_MAX)
		return true;
	user = getpwnam(text);
	if (user)
		*ret = user->pw_uid;
	return user;
}

/// Returns what is wrong with it, or NULL.
static const char *apply(const struct option_use *use, struct list_args *args)
{
	if (use->row <= OPT_KIND)
		args->texts[use->row] = use->arg;
	args->last |= use->row == OPT_LAST;
	args->json |= use->row == OPT_JSON;
	args->no_legend |= use->row == OPT_NO_LEGEND;
	args->help |= use->row == OPT_HELP;
	if (use->row == OPT_PID && (snap_parse_u64(use->arg, &args->pid) < 0 || !args->pid))
		return "is not a process id";
	if (use->row == OPT_UID && !parse_user(use->arg, &args->uid))
		return "is not a user";
	if (use->row == OPT_SINCE && !parse_time(use->arg, &args->since_usec))
		return "is not a time";
	if (use->row == OPT_UNTIL && !parse_time(use->arg, &args->until_usec))
		return "is not a time";
	if (use->row == OPT_KIND && strcmp(use->arg, "live") != 0 && strcmp(use->arg, "crash") != 0)
		return "is not live, and not crash";
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

static bool matches_text(const char *pattern, const struct json *entry, const char *key)
{
	const char *text = json_get_text(entry, key);
	return !pattern || (text && fnmatch(pattern, text, 0) == 0);
}

static bool is_wanted(const struct list_args *args, const struct json *entry)
{
	uint64_t usec = json_get_u64(entry, "timestamp_usec", 0);
	return (!args->texts[OPT_PID] || json_get_u64(entry, "pid", 0) == args->pid) &&
	       (!args->texts[OPT_UID] || json_get_u64(entry, "uid", UINT64_MAX) == args->uid) &&
	       matches_text(args->texts[OPT_COMM], entry, "comm") &&
	       matches_text(args->texts[OPT_EXE], entry, "exe") &&
	       matches_text(args->texts[OPT_UNIT], entry, "unit") &&
	       matches_text(args->texts[OPT_KIND], entry, "kind") && usec >= args->since_usec &&
	       (!args->until_usec || usec < args->until_usec);
}

// ---- printing ------------------------------------------------------------------------------

enum column { COL_TIME, COL_PID, COL_UID, COL_KIND, COL_SIZE, COL_ID, COL_EXE };

static bool add_columns(struct libscols_table *table)
{
	return scols_table_new_column(table, "TIME", 0, 0) &&
	       scols_table_new_column(table, "PID", 0, SCOLS_FL_RIGHT) &&
	       scols_table_new_column(table, "UID", 0, SCOLS_FL_RIGHT) &&
	       scols_table_new_column(table, "KIND", 0, 0) &&
	       scols_table_new_column(table, "SIZE", 0, SCOLS_FL_RIGHT) &&
	       scols_table_new_column(table, "ID", 0, 0) &&
	       scols_table_new_column(table, "EXE", 0, 0);
}

static bool add_line(struct libscols_table *table, const struct json *entry)
{
	char time[64], pid[24], uid[24], size[16];
	struct libscols_line *line = scols_table_new_line(table, NULL);
	const char *exe = json_get_text(entry, "exe"), *comm = json_get_text(entry, "comm");
	const char *id = json_get_text(entry, "id"), *kind = json_get_text(entry, "kind");
	if (!line)
		return false;
	(void)snprintf(pid, sizeof(pid), "%" PRIu64, json_get_u64(entry, "pid", 0));
	(void)snprintf(uid, sizeof(uid), "%" PRIu64, json_get_u64(entry, "uid", 0));
	int r = scols_line_set_data(
		line, COL_TIME, when_format(json_get_u64(entry, "timestamp_usec", 0) * 1000, time));
	r |= scols_line_set_data(line, COL_PID, pid);
	r |= scols_line_set_data(line, COL_UID, uid);
	r |= scols_line_set_data(line, COL_KIND, kind ? kind : "");
	r |= scols_line_set_data(line, COL_SIZE,
				 snap_format_bytes(json_get_u64(entry, "disk_bytes", 0), size));
	r |= scols_line_set_data(line, COL_ID, id ? id : "");
	r |= scols_line_set_data(line, COL_EXE, exe ? exe : comm ? comm : "");
	return r == 0;
}

static void print_table(const struct list_args *args, const struct json *const *wanted, size_t n)
{
	struct libscols_table *table = scols_new_table();
	bool ok = table && add_columns(table);
	(void)scols_table_enable_noheadings(table, args->no_legend);
	for (size_t i = 0; ok && i < n; i++)
		ok = add_line(table, wanted[i]);
	if (ok)
		(void)scols_print_table(table); // a full disk is told by whoever closes stdout
	scols_unref_table(table);
	if (!n && !args->no_legend)
		fprintf(stderr, "snapctl: there are no such dumps\n");
}

static void print_json(const struct json *const *wanted, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%s\n", json_text(wanted[i]) ? json_text(wanted[i]) : "");
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
		print_json(wanted + skip, n - skip);
	else
		print_table(args, wanted + skip, n - skip);
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
