// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The verbs that ask procsnapd for something small: remove, status, reload.
 */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "common/handler.h"
#include "common/str.h"
#include "options.h"
#include "verbs.h"

static const struct option_row help_row[] = {
	{ "help", 'h', NULL, "Show this help" },
};

static const struct option_row status_rows[] = {
	{ "json", 0, NULL, "Print it as one JSON object" },
	{ "help", 'h', NULL, "Show this help" },
};

struct small_verb {
	const char *prefix, *usage;
	const struct option_row *rows;
	size_t n_rows;
	bool takes_ids;
};

/// Returns an exit status, or -1 to go on with the arguments from *@ret_first on.
static int parse_args(const struct small_verb *verb, int argc, char *argv[], bool *ret_json,
		      int *ret_first)
{
	struct option_parser parser = { .rows = verb->rows,
					.n_rows = verb->n_rows,
					.argc = argc,
					.argv = argv,
					.prefix = verb->prefix };
	struct option_use use;
	bool help = false;
	int r;
	options_begin(&parser);
	while ((r = options_next(&parser, &use)) > 0) {
		bool last = use.row == (int)verb->n_rows - 1;
		help |= last;
		*ret_json |= !last;
	}
	if (r < 0)
		return SNAP_USAGE;
	if (help) {
		fputs(verb->usage, stdout);
		options_print(verb->rows, verb->n_rows, stdout);
		return 0;
	}
	*ret_first = parser.first;
	if (verb->takes_ids == (parser.first < argc))
		return -1;
	fprintf(stderr, "%s: %s\nTry '%s --help'.\n", verb->prefix,
		verb->takes_ids ? "give at least one ID, as 'snapctl list' shows it" :
				  "takes no arguments",
		verb->prefix);
	return SNAP_USAGE;
}

static struct snap_error *ask(const char *method, const char *id, struct json **ret)
{
	_cleanup_(json_destroyp) struct json *parameters = json_new_object();
	const struct client_call call = { .method = method, .parameters = parameters };
	if (id)
		json_set_text(parameters, "id", id);
	if (strcmp(method, "Status") != 0)
		client_allow_questions(parameters);
	return client_call(&call, ret, NULL);
}

int verb_remove(int argc, char *argv[])
{
	static const struct small_verb verb = {
		"snapctl remove",
		"Usage: snapctl remove ID...\n\n"
		"Removes dumps from the store of procsnapd. Whoever reads one now can go on.\n\n"
		"Options:\n",
		help_row, ARRAY_SIZE(help_row), true
	};
	bool json = false;
	int first, r = parse_args(&verb, argc, argv, &json, &first), status = 0;
	if (r >= 0)
		return r;
	for (int i = first; i < argc; i++) {
		r = verb_finish(ask("Remove", argv[i], NULL));
		status = status ? status : r;
	}
	return status;
}

int verb_reload(int argc, char *argv[])
{
	static const struct small_verb verb = {
		"snapctl reload",
		"Usage: snapctl reload\n\n"
		"Has procsnapd read its configuration anew; see procsnap.conf(5). Dumps that are\n"
		"being made are not disturbed. After a mistake the old one stays in force.\n\n"
		"Options:\n",
		help_row, ARRAY_SIZE(help_row), false
	};
	bool json = false;
	int first, r = parse_args(&verb, argc, argv, &json, &first);
	return r >= 0 ? r : verb_finish(ask("Reload", NULL, NULL));
}

static void print_bytes(const struct json *status, const char *label, const char *key)
{
	char bytes[16];
	if (json_get(status, key))
		printf("%14s: %s\n", label, snap_format_bytes(json_get_u64(status, key, 0), bytes));
}

/// Crashes that have no dump yet, if there are any.
static void print_crashes(const struct json *status)
{
	char bytes[16];
	unsigned long long copying = json_get_u64(status, "crashesCopying", 0) +
				     json_get_u64(status, "crashesWaiting", 0);
	unsigned long long queued = json_get_u64(status, "crashesQueued", 0);
	unsigned long long kept = json_get_u64(status, "crashesKept", 0);
	if (copying || queued)
		printf("%14s: %llu being copied, %llu to be stored\n", "New crashes", copying,
		       queued);
	if (kept)
		printf("%14s: %llu cores, %s; no dump could be made of them so far\n", "Kept",
		       kept, snap_format_bytes(json_get_u64(status, "crashesKeptBytes", 0), bytes));
}

/// What Arm= has done, if it is configured.
static void print_armed(const struct json *status)
{
	if (json_get(status, "armPatterns"))
		printf("%14s: %llu of %llu processes of units of Arm=\n", "Armed",
		       (unsigned long long)json_get_u64(status, "armArmed", 0),
		       (unsigned long long)json_get_u64(status, "armProcesses", 0));
}

static void print_status(const struct json *status)
{
	const char *version = json_get_text(status, "version");
	const char *path = json_get_text(status, "storePath");
	printf("%14s: procsnapd %s\n", "Daemon", version ? version : "?");
	printf("%14s: %llu running, %llu waiting\n", "Jobs",
	       (unsigned long long)json_get_u64(status, "runningJobs", 0),
	       (unsigned long long)json_get_u64(status, "waitingJobs", 0));
	printf("%14s: %llu\n", "Connections",
	       (unsigned long long)json_get_u64(status, "connections", 0));
	if (json_get_u64(status, "unsentRecords", 0))
		printf("%14s: %llu wait for the journal\n", "Records",
		       (unsigned long long)json_get_u64(status, "unsentRecords", 0));
	print_armed(status);
	if (!path) {
		printf("%14s: none; the log of procsnapd says why\n", "Store");
		return;
	}
	printf("%14s: %s, %llu dumps\n", "Store", path,
	       (unsigned long long)json_get_u64(status, "storeDumps", 0));
	print_bytes(status, "Used", "storeBytes");
	print_bytes(status, "At most", "storeMaxBytes");
	print_bytes(status, "Binaries", "storeBinariesBytes");
	print_bytes(status, "Free", "storeFreeBytes");
	print_bytes(status, "Kept free", "storeKeepFreeBytes");
	print_crashes(status);
}

/// Who handles crashes; the daemon needs not know.
static bool find_handler(enum corepattern_owner *ret)
{
	_cleanup_free_ char *pattern = NULL;
	struct snap_error *err = sysctl_read("", SYSCTL_CORE_PATTERN, &pattern);
	if (!err)
		*ret = corepattern_owner(pattern);
	snap_error_destroy(err);
	return pattern;
}

int verb_status(int argc, char *argv[])
{
	static const struct small_verb verb = {
		"snapctl status",
		"Usage: snapctl status [OPTION...]\n\n"
		"Tells what procsnapd is at, and how full its store is.\n\n"
		"Options:\n",
		status_rows, ARRAY_SIZE(status_rows), false
	};
	_cleanup_(json_destroyp) struct json *status = NULL;
	enum corepattern_owner owner = COREPATTERN_FILE;
	bool json = false;
	int first, r = parse_args(&verb, argc, argv, &json, &first);
	if (r >= 0)
		return r;
	struct snap_error *err = ask("Status", NULL, &status);
	bool known = find_handler(&owner);
	if (!err && json) {
		if (known)
			json_set_text(status, "crashHandler", corepattern_owner_name(owner));
		printf("%s\n", json_text(status) ? json_text(status) : "");
	} else if (!err) {
		print_status(status);
		if (known)
			printf("%14s: %s\n", "Crashes", corepattern_owner_text(owner));
	}
	return verb_finish(err);
}
