// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * snapctl: the command line of procsnap. Finds the verb and runs it.
 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/str.h"
#include "verbs.h"

static const struct verb {
	const char *name;
	const char *args;
	int (*run)(int argc, char *argv[]);
	const char *help;
} verbs[] = {
	{ "dump", "[OPTION...] PID...", verb_dump, "Write a core of a live process" },
	{ "goroutines", "[OPTION...] CORE|PID|ID", verb_goroutines,
	  "Tell what a Go program's goroutines do" },
	{ "info", "[OPTION...] CORE|ID", verb_info, "Tell what a core is" },
	{ "list", "[OPTION...]", verb_list, "List the dumps in the store of procsnapd" },
	{ "wait", "[OPTION...]", verb_wait, "Wait for the next crash to be recorded" },
	{ "get", "[OPTION...] ID", verb_get, "Get a dump out of the store" },
	{ "debug", "[OPTION...] ID|CORE", verb_debug, "Start the debugger that suits a dump" },
	{ "remove", "ID...", verb_remove, "Remove dumps from the store" },
	{ "handler", "ACTION [OPTION...]", verb_handler, "Make procsnap the handler of crashes" },
	{ "status", "[OPTION...]", verb_status, "Tell what procsnapd is at" },
	{ "reload", "", verb_reload, "Have procsnapd read its configuration" },
	{ "arm", "[OPTION...] PID|UNIT...", verb_arm,
	  "Have a Go program dump core on panic" },
	{ "disarm", "[OPTION...] PID|UNIT...", verb_disarm, "Undo that" },
	{ "gcore", "[-a] [-o PREFIX] PID...", verb_gcore, "Do the same as gdb's gcore would" },
};

void print_message(const char *prefix, const char *message)
{
	// File names that the user gave are in it as they are.
	_cleanup_free_ char *escaped =
		snap_is_printable(message) ? NULL : snap_escape(message, strlen(message));
	fprintf(stderr, "%s: %s\n", prefix, escaped ? escaped : message);
}

int verb_finish(struct snap_error *err)
{
	int status = err ? (int)err->code : 0;
	if (err)
		print_message("snapctl", err->message);
	snap_error_destroy(err);
	return status;
}

static void print_help(void)
{
	printf("Usage: snapctl VERB [ARGUMENT...]\n\n"
	       "Takes snapshots of processes without hurting them.\n\n"
	       "Verbs:\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-12s%-26s%s\n", verbs[i].name, verbs[i].args, verbs[i].help);
	printf("\nOptions:\n"
	       "  -h, --help     Show this help\n"
	       "      --version  Show the version\n\n"
	       "'snapctl VERB --help' tells more about one. See also snapctl(1).\n");
}

int main(int argc, char *argv[])
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	if (argc && !strcmp(slash ? slash + 1 : argv[0], "gcore"))
		return verb_gcore(argc, argv);
	if (argc < 2) {
		fprintf(stderr, "snapctl: a verb is missing\nTry 'snapctl --help'.\n");
		return SNAP_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help();
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("snapctl %s\n", PROCSNAP_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	_cleanup_free_ char *shown = snap_escape(argv[1], strlen(argv[1]));
	fprintf(stderr, "snapctl: there is no verb '%s'\nTry 'snapctl --help'.\n", shown);
	return SNAP_USAGE;
}
