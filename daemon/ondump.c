// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ondump.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/pidref.h"
#include "common/str.h"
#include "daemon/manager.h"
#include "daemon/privilege.h"

enum {
	VARIABLES_MAX = 24,
	EXIT_NOT_STARTED = 127,
};

struct run {
	STAILQ_ENTRY(run) entry;
	char *variables[VARIABLES_MAX + 1]; ///< "NAME=value", the last one NULL
	size_t n;
};

struct ondump {
	sd_event *event;
	const struct config *config;
	struct ondump_user user;
	STAILQ_HEAD(, run) runs; ///< the first one runs when child is open
	size_t n;
	uint64_t left_out; ///< dumps that the queue had no room for
	struct pidref child;
	bool too_late;
	sd_event_source *ended, *deadline;
};

static void run_destroy(struct run *run)
{
	for (size_t i = 0; i < run->n; i++)
		free(run->variables[i]);
	free(run);
}

struct snap_error *ondump_find_user(const struct config *config, struct ondump_user *ret)
{
	uint64_t uid;
	if (!config->on_dump)
		return NULL;
	const char *name = config->on_dump_user;
	const struct passwd *user = snap_parse_u64(name, &uid) == 0 && uid < (uid_t)-1 ?
					    getpwuid((uid_t)uid) :
					    getpwnam(name);
	if (!user)
		return snap_error_new(SNAP_USAGE, "OnDumpUser=: there is no user '%s'", name);
	*ret = (struct ondump_user){ user->pw_uid, user->pw_gid };
	return NULL;
}

// ---- its environment ---------------------------------------------------------------------------

static void add_variable(struct run *run, const char *name, const char *value)
{
	char *text = NULL;
	if (!value || run->n == VARIABLES_MAX)
		return;
	_cleanup_free_ char *safe = snap_is_printable(value) ? strdup(value) :
							       snap_escape(value, strlen(value));
	if (safe && asprintf(&text, "%s=%s", name, safe) >= 0)
		run->variables[run->n++] = text;
}

static struct run *make_run(const struct json *entry)
{
	static const struct {
		const char *name, *key;
	} texts[] = {
		{ "PROCSNAP_ID", "id" },	 { "PROCSNAP_KIND", "kind" },
		{ "PROCSNAP_FILENAME", "file" }, { "PROCSNAP_COMM", "comm" },
		{ "PROCSNAP_EXE", "exe" },	 { "PROCSNAP_UNIT", "unit" },
		{ "PROCSNAP_HOSTNAME", "hostname" },
	}, numbers[] = {
		{ "PROCSNAP_PID", "pid" }, { "PROCSNAP_UID", "uid" }, { "PROCSNAP_GID", "gid" },
		{ "PROCSNAP_SIGNAL", "signal" }, { "PROCSNAP_TIMESTAMP_USEC", "timestamp_usec" },
	};
	struct run *run = calloc(1, sizeof(*run));
	if (!run)
		return NULL;
	add_variable(run, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		add_variable(run, texts[i].name, json_get_text(entry, texts[i].key));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		char digits[24];
		uint64_t value = json_get_u64(entry, numbers[i].key, UINT64_MAX);
		(void)snprintf(digits, sizeof(digits), "%" PRIu64, value);
		add_variable(run, numbers[i].name, value == UINT64_MAX ? NULL : digits);
	}
	add_variable(run, "PROCSNAP_PARTIAL", json_get_bool(entry, "partial", false) ? "1" : "0");
	return run;
}

// ---- the child ---------------------------------------------------------------------------------

static int become(struct ondump_user user)
{
	static const struct rlimit no_core = { 0, 0 };
	// Tests run the daemon without the right to be somebody else.
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(user.gid, user.gid, user.gid) < 0 ||
	     setresuid(user.uid, user.uid, user.uid) < 0))
		return -errno;
	// Its own crash is not to run it once more.
	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return privilege_drop_all();
}

static void exec_program(const struct ondump *ondump, struct run *run)
{
	char *const argv[] = { ondump->config->on_dump, NULL };
	sigset_t none;
	(void)setsid(); // so that all it starts can be killed
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(EXIT_NOT_STARTED);
	(void)close_range(3, ~0U, 0); // all are O_CLOEXEC; this is for what a library has opened
	if (chdir("/") < 0 || become(ondump->user) < 0)
		_exit(EXIT_NOT_STARTED);
	// Forgotten when ids change, so it comes after that.
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)umask(077);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(argv[0], argv, run->variables);
	_exit(EXIT_NOT_STARTED);
}

static int start_child(const struct ondump *ondump, struct run *run, struct pidref *ret)
{
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_program(ondump, run);
	int r = pidref_open(pid, ret);
	if (r < 0) {
		(void)kill(pid, SIGKILL); // ours, and not reaped
		(void)waitpid(pid, NULL, 0);
	}
	return r;
}

// ---- one after the other -----------------------------------------------------------------------

static void start_next(struct ondump *ondump);

static void drop_first(struct ondump *ondump)
{
	struct run *run = STAILQ_FIRST(&ondump->runs);
	STAILQ_REMOVE_HEAD(&ondump->runs, entry);
	ondump->n--;
	run_destroy(run);
}

static void tell_end(const struct ondump *ondump, const siginfo_t *info)
{
	const char *program = ondump->config->on_dump ? ondump->config->on_dump : "";
	if (ondump->too_late)
		manager_log(LOG_WARNING, "OnDump=%s was killed, its time was up", program);
	else if (info->si_code != CLD_EXITED)
		manager_log(LOG_WARNING, "OnDump=%s was killed by signal %d", program,
			    info->si_status);
	else if (info->si_status == EXIT_NOT_STARTED)
		manager_log(LOG_WARNING, "OnDump=%s could not be started (status 127)", program);
	else if (info->si_status)
		manager_log(LOG_WARNING, "OnDump=%s ended with status %d", program,
			    info->si_status);
}

/// Kills what is left of its session, takes its end, and forgets it.
static void reap(struct ondump *ondump, siginfo_t *ret)
{
	ondump->ended = sd_event_source_disable_unref(ondump->ended);
	ondump->deadline = sd_event_source_disable_unref(ondump->deadline);
	// It is not reaped yet, so the number of its group is nobody else's. Before it has a group
	// of its own, there is only itself.
	(void)kill(-ondump->child.pid, SIGKILL);
	(void)kill(ondump->child.pid, SIGKILL);
	while (waitid(P_PID, (id_t)ondump->child.pid, ret, WEXITED) < 0 && errno == EINTR)
		;
	pidref_deinit(&ondump->child);
}

static void finish(struct ondump *ondump)
{
	siginfo_t info = { 0 };
	reap(ondump, &info);
	tell_end(ondump, &info);
	drop_first(ondump);
	start_next(ondump);
}

static int on_ended(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
		    void *userdata)
{
	finish(userdata);
	return 0;
}

static int on_deadline(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
	struct ondump *ondump = userdata;
	ondump->too_late = true;
	finish(ondump);
	return 0;
}

static void watch_child(struct ondump *ondump)
{
	uint64_t now, timeout_ns = ondump->config->on_dump_timeout_ns;
	(void)sd_event_add_io(ondump->event, &ondump->ended, ondump->child.pidfd, EPOLLIN,
			      on_ended, ondump);
	if (timeout_ns == CONFIG_INFINITY)
		return;
	(void)sd_event_now(ondump->event, CLOCK_MONOTONIC, &now);
	(void)sd_event_add_time(ondump->event, &ondump->deadline, CLOCK_MONOTONIC,
				now + timeout_ns / 1000, 0, on_deadline, ondump);
}

static void start_next(struct ondump *ondump)
{
	ondump->too_late = false;
	while (ondump->n) {
		// It may have been switched off while they waited.
		int r = ondump->config->on_dump ?
				start_child(ondump, STAILQ_FIRST(&ondump->runs), &ondump->child) :
				-ECANCELED;
		if (r == 0) {
			watch_child(ondump);
			return;
		}
		if (r != -ECANCELED)
			manager_log(LOG_WARNING, "cannot start OnDump=%s: %s",
				    ondump->config->on_dump, strerror(-r));
		drop_first(ondump);
	}
	if (ondump->left_out)
		manager_log(LOG_WARNING, "OnDump= was not run for %" PRIu64 " dumps: too many",
			    ondump->left_out);
	ondump->left_out = 0;
}

// ---- from outside ------------------------------------------------------------------------------

struct snap_error *ondump_create(sd_event *event, struct ondump **ret)
{
	struct ondump *ondump = calloc(1, sizeof(*ondump));
	if (!ondump)
		return snap_error_oom();
	ondump->event = sd_event_ref(event);
	ondump->child = PIDREF_NULL;
	STAILQ_INIT(&ondump->runs);
	*ret = ondump;
	return NULL;
}

void ondump_destroy(struct ondump *ondump)
{
	siginfo_t info = { 0 };
	if (!ondump)
		return;
	if (ondump->child.pidfd >= 0)
		reap(ondump, &info);
	while (ondump->n)
		drop_first(ondump);
	sd_event_unref(ondump->event);
	free(ondump);
}

void ondump_configure(struct ondump *ondump, const struct config *config, struct ondump_user user)
{
	ondump->config = config;
	ondump->user = user;
}

void ondump_add(struct ondump *ondump, const struct json *entry)
{
	if (!ondump->config || !ondump->config->on_dump)
		return;
	struct run *run = ondump->n < ONDUMP_QUEUE_MAX ? make_run(entry) : NULL;
	if (!run) {
		ondump->left_out++;
		return;
	}
	STAILQ_INSERT_TAIL(&ondump->runs, run, entry);
	ondump->n++;
	if (ondump->child.pidfd < 0)
		start_next(ondump);
}
