// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "captured.h"
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
	       "decompressed into a file without a name, which ends with the debugger. Programs\n"
	       "and libraries that were kept with it are used.\n\n"
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

/// What is debugged.
struct session {
	const char *debugger, *exe;
	int core; ///< decompressed
	struct captured_root root; ///< of what was kept with it
};

static void exec_debugger(const struct session *s)
{
	char core[32];
	_cleanup_free_ char *sysroot = NULL, *search = NULL;
	bool kept = s->root.path;
	if (kept && (asprintf(&sysroot, "set sysroot %s/root", s->root.path) < 0 ||
		     asprintf(&search, "set solib-search-path %s/libraries", s->root.path) < 0))
		return;
	(void)snprintf(core, sizeof(core), "/proc/self/fd/%d", s->core);
	(void)fcntl(s->core, F_SETFD, 0); // it stays open in the debugger
	// Not as debug-file-directory: gdb runs scripts that are in files below that.
	const char *gdb[] = { "gdb", s->exe, "-c", core, NULL };
	const char *gdb_kept[] = { "gdb",  "-iex", sysroot, "-iex", search,
				   s->exe, "-c",   core,    NULL };
	const char *dlv[] = { "dlv", "core", s->exe, core, NULL };
	const char *lldb[] = { "lldb", s->exe, "-c", core, NULL };
	const char **command = !strcmp(s->debugger, "dlv")  ? dlv :
			       !strcmp(s->debugger, "lldb") ? lldb :
			       kept			    ? gdb_kept :
							      gdb;
	command[0] = s->debugger;
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(s->debugger, (char *const *)(uintptr_t)command);
}

/// The same, and waits for its end: the links are removed then. Signals of the terminal are the
/// debugger's, which has the terminal together with us.
static struct snap_error *run_debugger(const struct session *s)
{
	int status = 0;
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0) {
		(void)signal(SIGINT, SIG_DFL);
		(void)signal(SIGQUIT, SIG_DFL);
		exec_debugger(s);
		fprintf(stderr, "snapctl: cannot start '%s'\n", s->debugger);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot start '%s'", s->debugger);
	return WIFEXITED(status) && !WEXITSTATUS(status) ?
		       NULL :
		       snap_error_new(SNAP_FAILED, "'%s' has failed", s->debugger);
}

static struct snap_error *start(const struct session *s)
{
	if (s->root.path)
		return run_debugger(s);
	exec_debugger(s);
	return snap_error_errno(SNAP_FAILED, errno, "cannot start '%s'", s->debugger);
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

/// What was kept with the core; without it, what is on this machine has to do.
static void find_kept(const struct debug_args *args, const struct json *entry, int core,
		      struct captured_root *ret)
{
	const char *file = json_get_text(entry, "file");
	_cleanup_free_ char *folder = captured_find(core, file ? file : args->what);
	struct snap_error *err = folder ? captured_root_create(folder, ret) : NULL;
	if (err)
		fprintf(stderr, "snapctl: %s; what was kept with the core is not used\n",
			err->message);
	snap_error_destroy(err);
}

static struct snap_error *run(const struct debug_args *args)
{
	_cleanup_(json_destroyp) struct json *reply = NULL;
	_cleanup_close_ int core = -EBADF;
	struct session s = { .core = -EBADF };
	struct snap_error *err = find(args, &core, &reply);
	if (err)
		return err;
	const struct json *entry = json_get(reply, "entry");
	const struct json *result = json_get(json_get(reply, "metadata"), "result");
	s.debugger = args->debugger ? args->debugger : choose(json_get(result, "go"));
	if (!s.debugger)
		return snap_error_new(SNAP_FAILED, "no debugger is installed: apt install gdb");
	find_kept(args, entry, core, &s.root);
	s.exe = args->exe	? args->exe :
		s.root.program	? s.root.program :
				  json_get_text(entry, "exe");
	if (!s.exe)
		err = snap_error_new(SNAP_USAGE, "which program was it? Give --exe=FILE");
	if (!err)
		err = open_plain(core, &s.core);
	if (!err)
		err = start(&s);
	captured_root_destroy(&s.root);
	return err;
}

int verb_debug(int argc, char *argv[])
{
	struct debug_args args = { 0 };
	int r = parse_args(argc, argv, &args);
	return r >= 0 ? r : verb_finish(run(&args));
}
