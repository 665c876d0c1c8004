// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "common/fd.h"
#include "common/str.h"
#include "options.h"
#include "unpack.h"
#include "verbs.h"

enum debug_option { OPT_EXE, OPT_HELP };

static const struct option_row rows[] = {
	[OPT_EXE] = { "exe", 0, "FILE", "The program, if it is not where it was" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct debug_args {
	const char *what, *debugger, *exe;
	bool help;
};

static void print_help(void)
{
	printf("Usage: snapctl debug [OPTION...] ID|CORE [gdb|dlv|lldb]\n\n"
	       "Starts a debugger on a dump from the store, or on a core. Without a name it is\n"
	       "delve for Go programs where it is installed, else gdb, else lldb. The core is\n"
	       "decompressed into a file without a name, which ends with the debugger.\n\n"
	       "Options:\n");
	options_print(rows, ARRAY_SIZE(rows), stdout);
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct debug_args *args)
{
	struct option_parser parser = { .rows = rows,
					.n_rows = ARRAY_SIZE(rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl debug" };
	struct option_use use;
	int r;
	options_begin(&parser);
	while ((r = options_next(&parser, &use)) > 0) {
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
	int n = argc - parser.first;
	if (n < 1 || n > 2) {
		fprintf(stderr, "snapctl debug: give one ID or core, and a debugger if you like\n"
				"Try 'snapctl debug --help'.\n");
		return SNAP_USAGE;
	}
	args->what = argv[parser.first];
	args->debugger = n == 2 ? argv[parser.first + 1] : NULL;
	return -1;
}

static bool is_installed(const char *name)
{
	const char *path = getenv("PATH");
	_cleanup_free_ char *copy = strdup(path ? path : "/usr/local/bin:/usr/bin:/bin");
	char *state = NULL;
	for (char *dir = copy ? strtok_r(copy, ":", &state) : NULL; dir;
	     dir = strtok_r(NULL, ":", &state)) {
		_cleanup_free_ char *file = NULL;
		if (asprintf(&file, "%s/%s", dir, name) < 0)
			file = NULL;
		if (file && access(file, X_OK) == 0)
			return true;
	}
	return false;
}

static const char *choose(bool is_go)
{
	static const char *const names[] = { "dlv", "gdb", "lldb" };
	for (size_t i = is_go ? 0 : 1; i < ARRAY_SIZE(names); i++)
		if (is_installed(names[i]))
			return names[i];
	return NULL;
}

/// The core as a file without a name, decompressed.
static struct snap_error *open_plain(int core, int *ret)
{
	const char *tmp = secure_getenv("TMPDIR");
	tmp = tmp && *tmp ? tmp : "/var/tmp";
	int fd = open(tmp, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot make a file in '%s'", tmp);
	struct snap_error *err = unpack(core, fd);
	if (err) {
		snap_closep(&fd);
		return snap_error_wrap(err, "'%s'", tmp);
	}
	*ret = fd;
	return NULL;
}

static struct snap_error *start(const char *debugger, const char *exe, int fd)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)fcntl(fd, F_SETFD, 0); // it stays open in the debugger
	const char *gdb[] = { "gdb", exe, "-c", path, NULL };
	const char *dlv[] = { "dlv", "core", exe, path, NULL };
	const char *lldb[] = { "lldb", exe, "-c", path, NULL };
	const char **command = !strcmp(debugger, "dlv")	 ? dlv :
			       !strcmp(debugger, "lldb") ? lldb :
							   gdb;
	command[0] = debugger;
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(debugger, (char *const *)(uintptr_t)command);
	return snap_error_errno(SNAP_FAILED, errno, "cannot start '%s'", debugger);
}

/// Opens the core, and finds out what is known about it.
static struct snap_error *find(const struct debug_args *args, int *ret_core, struct json **ret)
{
	if (client_is_id(args->what))
		return client_get(args->what, ret, ret_core);
	*ret_core = open(args->what, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return *ret_core < 0 ?
		       snap_error_errno(SNAP_FAILED, errno, "cannot open '%s'", args->what) :
		       NULL;
}

static struct snap_error *run(const struct debug_args *args)
{
	_cleanup_(json_destroyp) struct json *reply = NULL;
	_cleanup_close_ int core = -EBADF;
	int plain = -EBADF;
	struct snap_error *err = find(args, &core, &reply);
	if (err)
		return err;
	const struct json *result = json_get(json_get(reply, "metadata"), "result");
	const char *known = json_get_text(json_get(reply, "entry"), "exe");
	const char *exe = args->exe ? args->exe : known;
	const char *debugger = args->debugger ? args->debugger : choose(json_get(result, "go"));
	if (!debugger)
		return snap_error_new(SNAP_FAILED, "no debugger is installed: apt install gdb");
	if (!exe)
		return snap_error_new(SNAP_USAGE, "which program was it? Give --exe=FILE");
	err = open_plain(core, &plain);
	return err ? err : start(debugger, exe, plain);
}

int verb_debug(int argc, char *argv[])
{
	struct debug_args args = { 0 };
	int r = parse_args(argc, argv, &args);
	return r >= 0 ? r : verb_finish(run(&args));
}
