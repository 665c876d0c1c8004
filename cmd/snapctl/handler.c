// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The verb that makes procsnap the handler of crashes, and goes back.
 */
#include <stdio.h>
#include <string.h>

#include "common/handler.h"
#include "common/json.h"
#include "common/str.h"
#include "options.h"
#include "verbs.h"

enum handler_option {
	OPT_SOCKET,
	OPT_STORE,
	OPT_RUNTIME,
	OPT_FORCE,
	OPT_JSON,
	OPT_HELP,
	OPT_ROOT,
};

static const struct option_row rows[] = {
	[OPT_SOCKET] = { "socket", 0, NULL,
			 "install: the coredump socket of Linux 6.17 and\n"
			 "later, on which procsnapd has to listen, and not\n"
			 "the pipe, which works everywhere" },
	[OPT_STORE] = { "store", 0, "DIR", "install: keep crashes in DIR (" HANDLER_STORE ")" },
	[OPT_RUNTIME] = { "runtime", 0, NULL, "install: until the next boot only" },
	[OPT_FORCE] = { "force", 'f', NULL,
			"uninstall: also when somebody else has become the\n"
			"handler since" },
	[OPT_JSON] = { "json", 0, NULL, "status: print it as one JSON object" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
	// As programs of systemd have it: all paths but those of programs are below it.
	[OPT_ROOT] = { "root", 0, "DIR", NULL },
};

enum action { ACTION_INSTALL, ACTION_UNINSTALL, ACTION_STATUS, ACTION_MAX };

static const struct {
	const char *name;
	unsigned int options; ///< that mean something with it, 1 << enum handler_option
} actions[ACTION_MAX] = {
	[ACTION_INSTALL] = { "install", 1 << OPT_SOCKET | 1 << OPT_STORE | 1 << OPT_RUNTIME },
	[ACTION_UNINSTALL] = { "uninstall", 1 << OPT_FORCE },
	[ACTION_STATUS] = { "status", 1 << OPT_JSON },
};

static void print_help(void)
{
	printf("Usage: snapctl handler install|uninstall|status [OPTION...]\n\n"
	       "Makes procsnap the handler of crashes (kernel.core_pattern), restores what was\n"
	       "there before, or tells how it is. The first two are for root.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
}

// ---- options -------------------------------------------------------------------------------

struct handler_args {
	struct handler_options options;
	enum action action;
	unsigned int given; ///< 1 << enum handler_option
};

/// "BEFORE 'WORD'", or only @before.
static int usage_error(const char *before, const char *word)
{
	_cleanup_free_ char *shown = word ? snap_escape(word, strlen(word)) : NULL;
	if (shown)
		fprintf(stderr, "snapctl handler: %s '%s'\n", before, shown);
	else
		fprintf(stderr, "snapctl handler: %s\n", before);
	fprintf(stderr, "Try 'snapctl handler --help'.\n");
	return SNAP_USAGE;
}

/// Which action it is, and whether the options go with it. An exit status, or -1 to go on.
static int check_action(int argc, char *argv[], int first, struct handler_args *args)
{
	if (first == argc)
		return usage_error("say install, uninstall or status", NULL);
	if (first + 1 < argc)
		return usage_error("one action at a time, without", argv[first + 1]);
	args->action = 0;
	while (args->action < ACTION_MAX && strcmp(argv[first], actions[args->action].name) != 0)
		args->action++;
	if (args->action == ACTION_MAX)
		return usage_error("there is no action", argv[first]);
	unsigned int wrong = args->given & ~actions[args->action].options;
	for (size_t i = 0; i < OPT_HELP; i++)
		if (wrong & 1U << i)
			return usage_error("another action has the option", rows[i].name);
	return -1;
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct handler_args *args)
{
	struct option_parser parser = { .rows = rows,
					.n_rows = ARRAY_SIZE(rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl handler" };
	struct option_use use;
	int r;
	options_begin(&parser);
	while ((r = options_next(&parser, &use)) > 0) {
		if (use.row == OPT_STORE)
			args->options.store = use.arg;
		if (use.row == OPT_ROOT)
			args->options.root = use.arg;
		else
			args->given |= 1U << use.row;
	}
	if (r < 0)
		return SNAP_USAGE;
	if (args->given & 1U << OPT_HELP) {
		print_help();
		return 0;
	}
	args->options.flags = (args->given & 1U << OPT_SOCKET ? HANDLER_SOCKET : 0) |
			      (args->given & 1U << OPT_RUNTIME ? HANDLER_RUNTIME : 0) |
			      (args->given & 1U << OPT_FORCE ? HANDLER_FORCE : 0);
	return check_action(argc, argv, parser.first, args);
}

// ---- status --------------------------------------------------------------------------------

static void print_line(const char *label, const char *text)
{
	_cleanup_free_ char *safe = snap_is_printable(text) ? NULL :
							      snap_escape(text, strlen(text));
	printf("%22s: %s\n", label, safe ? safe : text);
}

static void print_boot(const struct handler_status *status)
{
	const struct sysctld_line *winner = sysctld_winner(&status->boot, NULL);
	if (!winner)
		print_line("At boot", "no file of sysctl.d sets it");
	for (size_t i = 0; i < status->boot.n; i++) {
		const struct sysctld_line *line = &status->boot.lines[i];
		_cleanup_free_ char *text = NULL;
		if (asprintf(&text, "%s, line %zu: %s%s", line->file, line->number, line->value,
			     line == winner ? " (wins)" : "") < 0)
			text = NULL;
		print_line("At boot", text ? text : line->file);
	}
	if (status->boot.incomplete)
		print_line("At boot", "some files of sysctl.d cannot be read");
}

static void print_status(const struct handler_status *status)
{
	print_line("Handler", corepattern_owner_text(status->owner));
	for (enum sysctl_key key = 0; key < SYSCTL_KEY_MAX; key++)
		print_line(sysctl_name(key), status->now.of[key]);
	print_line("Hook", status->hook_problem ? status->hook_problem :
			   status->hook		? status->hook :
						  "?");
	print_line("Daemon", !status->daemon_known   ? "only root can tell" :
			     status->daemon_listens ? "listens" :
			     status->daemon_starts  ? "does not run; the next crash starts it" :
						      "does not listen; crashes wait in the store");
	print_line("Socket", !status->kernel_has_socket ? "not known to this kernel" :
			     status->socket_listens	? "procsnapd listens on it" :
							  "nobody listens on it");
	for (enum sysctl_key key = 0; status->remembered && key < SYSCTL_KEY_MAX; key++) {
		_cleanup_free_ char *text = NULL;
		if (asprintf(&text, "%s %s", sysctl_name(key), status->memory.found.of[key]) < 0)
			text = NULL;
		print_line("Before", text ? text : "?");
	}
	print_boot(status);
	for (size_t i = 0; i < status->problems.n; i++)
		print_line("Problem", status->problems.lines[i]);
}

static struct json *values_to_json(const struct sysctl_values *values)
{
	struct json *json = json_new_object();
	for (enum sysctl_key key = 0; key < SYSCTL_KEY_MAX; key++)
		json_set_text(json, sysctl_name(key), values->of[key]);
	return json;
}

static struct json *boot_to_json(const struct sysctld *boot)
{
	struct json *array = json_new_array();
	for (size_t i = 0; i < boot->n; i++) {
		struct json *line = json_new_object();
		json_set_text(line, "file", boot->lines[i].file);
		json_set_u64(line, "line", boot->lines[i].number);
		json_set_text(line, "value", boot->lines[i].value);
		json_set_bool(line, "wins", &boot->lines[i] == sysctld_winner(boot, NULL));
		json_add(array, line);
	}
	return array;
}

static void print_json(const struct handler_status *status)
{
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	struct json *problems = json_new_array();
	json_set_text(json, "handler", corepattern_owner_name(status->owner));
	json_set_bool(json, "installed", corepattern_is_ours(status->now.of[SYSCTL_CORE_PATTERN]));
	json_set(json, "now", values_to_json(&status->now));
	if (status->remembered) {
		json_set(json, "before", values_to_json(&status->memory.found));
		json_set_bool(json, "runtime", status->memory.runtime);
	}
	json_set_text(json, "hook", status->hook);
	json_set_message(json, "hook_problem", status->hook_problem);
	if (status->daemon_known)
		json_set_bool(json, "daemon_listens", status->daemon_listens);
	json_set_bool(json, "daemon_starts", status->daemon_starts);
	json_set_bool(json, "kernel_has_socket", status->kernel_has_socket);
	json_set_bool(json, "socket_listens", status->socket_listens);
	json_set(json, "boot", boot_to_json(&status->boot));
	for (size_t i = 0; i < status->problems.n; i++)
		json_add_message(problems, status->problems.lines[i]);
	json_set(json, "problems", problems);
	printf("%s\n", json_text(json) ? json_text(json) : "");
}

static int run_status(const struct handler_args *args)
{
	_cleanup_handler_status_ struct handler_status status = { 0 };
	struct snap_error *err = handler_inspect(args->options.root, &status);
	if (err)
		return verb_finish(err);
	if (args->given & 1U << OPT_JSON)
		print_json(&status);
	else
		print_status(&status);
	return status.problems.n ? SNAP_FAILED : 0;
}

int verb_handler(int argc, char *argv[])
{
	_cleanup_handler_notes_ struct handler_notes notes = { .n = 0 };
	struct handler_args args = { .options.root = "" };
	int r = parse_args(argc, argv, &args);
	if (r >= 0)
		return r;
	if (args.action == ACTION_STATUS)
		return run_status(&args);
	struct snap_error *err = args.action == ACTION_INSTALL ?
					 handler_install(&args.options, &notes) :
					 handler_uninstall(&args.options, &notes);
	for (size_t i = 0; i < notes.n; i++)
		fprintf(stderr, "snapctl: %s\n", notes.lines[i]);
	return verb_finish(err);
}
