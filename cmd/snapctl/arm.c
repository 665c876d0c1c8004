// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The verbs arm and disarm: a Go program that runs dumps core at its next panic, or not any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "common/armed.h"
#include "common/armstate.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/str.h"
#include "common/unit.h"
#include "options.h"
#include "verbs.h"
#include "when.h"
#include "worker.h"

enum arm_option { OPT_LIST, OPT_DRY_RUN, OPT_DIRECT, OPT_JSON, OPT_QUIET, OPT_HELP };

/// Of a worker that looks at a large program, and of one that writes.
#define LOCK_WAIT_NS 20000000000ULL

static const struct option_row arm_rows[] = {
	[OPT_LIST] = { "list", 'l', NULL, "List the processes that were armed, and how they are" },
	[OPT_DRY_RUN] = { "dry-run", 'n', NULL, "Change nothing; tell whether it would work" },
	[OPT_DIRECT] = { "direct", 0, NULL, "Do it without procsnapd, also when it is there" },
	[OPT_JSON] = { "json", 0, NULL, "Print the results as JSON, one object for each process" },
	[OPT_QUIET] = { "quiet", 'q', NULL, "Print errors and warnings only" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct arm_args {
	bool disarm, list, dry_run, direct, json, quiet, help;
	int n_words;
	char **words;
};

struct arming {
	const struct arm_args *args;
	struct armed armed; ///< the caller's own; not open where he has none
	const char *unit; ///< that the process must be in, or NULL
	size_t n_armed; ///< or would be, or were already
};

// ---- one process ---------------------------------------------------------------------------

/// Looks at the word, or with @arm, which it takes, writes to it.
static struct snap_error *run_job(const struct pidref *ref, struct json *arm, struct json **ret)
{
	struct job job = { .flags = JOB_ARM, .pid = ref->pid, .arm = arm };
	struct progress progress;
	char label[32];
	(void)snprintf(label, sizeof(label), "process %d", ref->pid);
	progress_begin(&progress, false);
	struct snap_error *err = worker_run(&job, ref, -EBADF, -EBADF, label, &progress, ret);
	json_destroy(arm);
	return err;
}

static struct snap_error *write_armed(struct arming *a, const struct pidref *ref,
				      struct json **found)
{
	_cleanup_(json_destroyp) struct json *record = armstate_record(*found);
	_cleanup_(json_destroyp) struct json *look = TAKE_PTR(*found);
	struct snap_error *err = armed_write(&a->armed, ref->pid, record);
	// Its number was asked for the start time; now it is known that it was this process's.
	if (!err && pidref_verify(ref) < 0)
		err = snap_error_new(SNAP_NO_PROCESS, "process %d has ended", ref->pid);
	// After an error the record stays: it is not known whether the word was written.
	return err ? err : run_job(ref, armstate_to_arm(look), found);
}

static struct snap_error *arm_process(struct arming *a, const struct pidref *ref,
				      struct json **found, enum armstate *ret)
{
	_cleanup_(json_destroyp) struct json *record = armed_read(&a->armed, ref->pid);
	*ret = armstate_before(record, *found);
	if (*ret == ARMSTATE_ARMED && a->args->dry_run)
		*ret = ARMSTATE_CAN_BE_ARMED;
	return *ret == ARMSTATE_ARMED ? write_armed(a, ref, found) : NULL;
}

static struct snap_error *disarm_process(struct arming *a, const struct pidref *ref,
					 struct json **found, enum armstate *ret)
{
	_cleanup_(json_destroyp) struct json *record = armed_read(&a->armed, ref->pid);
	*ret = ARMSTATE_NOT_ARMED;
	if (!record)
		return NULL;
	*ret = armstate_since(record, *found);
	struct snap_error *err = NULL;
	if (*ret == ARMSTATE_ARMED) {
		json_destroy(TAKE_PTR(*found));
		err = run_job(ref, armstate_to_disarm(record), found);
		*ret = ARMSTATE_DISARMED;
	}
	return err ? err : armed_write_disarmed(&a->armed, ref->pid);
}

/// Others who arm or disarm it wait for us, and we for them.
static struct snap_error *lock(const struct arming *a, pid_t pid, int *ret)
{
	uint64_t end = snap_now_ns() + LOCK_WAIT_NS;
	while ((*ret = armed_lock(&a->armed, pid)) == -EAGAIN && snap_now_ns() < end &&
	       !worker_signalled())
		snap_sleep_ns(20000000);
	if (*ret == -EAGAIN)
		return snap_error_new(SNAP_FAILED,
				      "somebody else arms or disarms process %d now; try again",
				      pid);
	return *ret < 0 ? snap_error_errno(snap_code_from_errno(-*ret), -*ret,
					   "cannot lock what is kept of process %d", pid) :
			  NULL;
}

/// Without the daemon.
static struct snap_error *do_direct(struct arming *a, const struct pidref *ref, struct json **found,
				    enum armstate *ret)
{
	_cleanup_close_ int locked = -EBADF;
	struct snap_error *err = a->armed.dirfd < 0 ? armed_open(&a->armed) : NULL;
	if (!err)
		err = lock(a, ref->pid, &locked);
	if (!err)
		err = run_job(ref, NULL, found);
	if (err)
		return err;
	return a->args->disarm ? disarm_process(a, ref, found, ret) :
				 arm_process(a, ref, found, ret);
}

/// What the caller has armed without the daemon is kept where only he looks.
static bool is_own(const struct arming *a, pid_t pid)
{
	_cleanup_(json_destroyp) struct json *record =
		a->armed.dirfd >= 0 ? armed_read(&a->armed, pid) : NULL;
	return record;
}

/// What of a single process is an error, is none of one of a unit.
static struct snap_error *judge(struct arming *a, pid_t pid, const struct json *found,
				enum armstate state)
{
	if (state == ARMSTATE_REFUSED || (state == ARMSTATE_SKIPPED && !a->unit))
		return armstate_refusal(found, pid);
	if (state == ARMSTATE_NOT_ARMED && !a->unit)
		return snap_error_new(SNAP_FAILED, "process %d was not armed by 'snapctl arm'",
				      pid);
	a->n_armed += state != ARMSTATE_SKIPPED && state != ARMSTATE_NOT_ARMED;
	return NULL;
}

// ---- output --------------------------------------------------------------------------------

static void print_warnings(const struct json *warnings, pid_t pid)
{
	for (size_t i = 0; i < json_length(warnings); i++) {
		const char *text = json_text_value(json_at(warnings, i));
		fprintf(stderr, "snapctl: warning: process %d: %s\n", pid, text ? text : "");
	}
}

static void copy_texts(struct json *json, const struct json *from)
{
	static const char *const keys[] = { "comm", "version", "address", "unit", "pattern" };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_get_text(from, keys[i]))
			json_set_text(json, keys[i], json_get_text(from, keys[i]));
}

static void show(const struct arming *a, pid_t pid, const struct json *found, enum armstate state)
{
	struct json *warnings = json_new_array();
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	const char *comm = json_get_text(found, "comm"), *version = json_get_text(found, "version");
	if (!a->args->disarm && state != ARMSTATE_SKIPPED)
		armstate_warn(found, warnings);
	print_warnings(warnings, pid);
	json_set_u64(json, "pid", (uint64_t)pid);
	copy_texts(json, found);
	json_set_text(json, "state", armstate_name(state));
	if (json_get(found, "value")) {
		json_set_u64(json, "before", json_get_u64(found, "before", 0));
		json_set_u64(json, "value", json_get_u64(found, "value", 0));
		json_set_bool(json, "symbol", json_get_bool(found, "symbol", false));
	}
	json_set(json, "warnings", warnings);
	if (a->args->json)
		printf("%s\n", json_text(json) ? json_text(json) : "");
	else if (!a->args->quiet)
		printf("process %d (%s%s%s) %s\n", pid, comm ? comm : "?", version ? ", " : "",
		       version ? version : "", armstate_text(state));
}

static int show_error(const struct arm_args *args, pid_t pid, struct snap_error *err)
{
	_cleanup_(json_destroyp) struct json *json = args->json ? job_error_to_json(err) : NULL;
	if (pid > 0)
		json_set_u64(json, "pid", (uint64_t)pid);
	if (args->json)
		printf("%s\n", json_text(json) ? json_text(json) : "");
	return verb_finish(err);
}

// ---- the verbs -----------------------------------------------------------------------------

static struct snap_error *pin(const struct arming *a, pid_t pid, struct pidref *ref)
{
	struct snap_error *err = worker_pin(pid, ref);
	if (!err && a->unit && !unit_has(a->unit, pid))
		return snap_error_new(SNAP_NO_PROCESS, "process %d has left its unit", pid);
	return err;
}

static int do_process(struct arming *a, pid_t pid)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	_cleanup_(json_destroyp) struct json *found = NULL;
	enum client_arm what = a->args->disarm	? CLIENT_DISARM :
			       a->args->dry_run ? CLIENT_ARM_DRY :
						  CLIENT_ARM;
	enum armstate state = ARMSTATE_MAX;
	struct snap_error *err = pin(a, pid, &ref);
	if (!err)
		err = client_is_there() && !is_own(a, pid) ?
			      client_arm(what, &ref, true, &state, &found) :
			      do_direct(a, &ref, &found, &state);
	if (!err)
		err = judge(a, pid, found, state);
	if (err)
		return show_error(a->args, pid, err);
	show(a, pid, found, state);
	return 0;
}

static int do_unit(struct arming *a, const char *name)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	int status = 0;
	struct snap_error *err = unit_processes(name, &pids, &n);
	if (err)
		return show_error(a->args, 0, err);
	a->unit = name;
	a->n_armed = 0;
	for (size_t i = 0; i < n; i++) {
		int r = do_process(a, pids[i]);
		status = status ? status : r;
	}
	a->unit = NULL;
	if (a->n_armed || status)
		return status;
	_cleanup_free_ char *shown = snap_escape(name, strlen(name));
	return show_error(a->args, 0,
			  snap_error_new(SNAP_FAILED, "'%s' has no process %s", shown ? shown : "?",
					 a->args->disarm ? "that was armed" :
							   "that runs a Go program"));
}

static int do_word(struct arming *a, const char *word)
{
	uint64_t pid;
	if (strspn(word, "0123456789") != strlen(word))
		return do_unit(a, word);
	if (snap_parse_u64(word, &pid) < 0 || !pid || pid > INT32_MAX)
		return show_error(a->args, 0,
				  snap_error_new(SNAP_USAGE, "'%s' is not a process id", word));
	return do_process(a, (pid_t)pid);
}

/// Why it is armed, where that was not 'snapctl arm' of the same user without the daemon.
static void print_origin(const struct json *record)
{
	const char *pattern = json_get_text(record, "pattern");
	if (pattern)
		printf("  Arm=%s", pattern);
	else if (json_get(record, "uid"))
		printf("  user %" PRIu64, json_get_u64(record, "uid", 0));
	printf("\n");
}

static void print_listed(const struct json *record, const char *state, bool json)
{
	static const char *const keys[] = { "before", "value", "realtime_ns", "uid" };
	char ago[32];
	const char *comm = json_get_text(record, "comm"), *go = json_get_text(record, "version");
	uint64_t pid = json_get_u64(record, "pid", 0), at = json_get_u64(record, "realtime_ns", 0);
	_cleanup_(json_destroyp) struct json *line = json_new_object();
	json_set_u64(line, "pid", pid);
	copy_texts(line, record);
	json_set_text(line, "state", state);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_get(record, keys[i]))
			json_set_u64(line, keys[i], json_get_u64(record, keys[i], 0));
	if (json) {
		printf("%s\n", json_text(line) ? json_text(line) : "");
		return;
	}
	printf("%7" PRIu64 "  %-15s  %-10s  %-13s  %s", pid, comm ? comm : "?", go ? go : "?",
	       state, when_ago(at, ago));
	print_origin(record);
}

/// One of which there was a record a moment ago.
static struct snap_error *list_own(struct arming *a, pid_t pid)
{
	_cleanup_(json_destroyp) struct json *record = NULL, *found = NULL;
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	_cleanup_close_ int locked = -EBADF;
	struct snap_error *err = lock(a, pid, &locked);
	if (err || !(record = armed_read(&a->armed, pid)))
		return err;
	err = pin(a, pid, &ref);
	if (!err)
		err = run_job(&ref, NULL, &found);
	if (err && err->code == SNAP_NO_PROCESS) {
		snap_error_destroy(err);
		armed_drop(&a->armed, pid);
		return NULL;
	}
	enum armstate state = err ? ARMSTATE_MAX : armstate_since(record, found);
	print_listed(record, armstate_name(state), a->args->json);
	if (state == ARMSTATE_OTHER_PROGRAM || state == ARMSTATE_DISARMED)
		armed_drop(&a->armed, pid);
	return err;
}

/// One that the daemon has told of.
static struct snap_error *list_of_daemon(struct arming *a, const struct json *record)
{
	_cleanup_(json_destroyp) struct json *found = NULL;
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	enum armstate state = ARMSTATE_MAX;
	struct snap_error *err = pin(a, (pid_t)json_get_u64(record, "pid", 0), &ref);
	if (!err)
		err = client_arm(CLIENT_ARM_DRY, &ref, false, &state, &found);
	if (err && err->code == SNAP_NO_PROCESS) {
		snap_error_destroy(err);
		return NULL;
	}
	print_listed(record, err ? "unknown" : armstate_name(armstate_since(record, found)),
		     a->args->json);
	return err;
}

/// What the daemon has, without what is among @own.
static struct snap_error *ask_for_list(const struct json *own, struct json **ret)
{
	_cleanup_(json_destroyp) struct json *parameters = json_new_object(), *reply = NULL;
	const struct client_call call = { .method = "ListArmed", .parameters = parameters };
	struct snap_error *err = client_call(&call, &reply, NULL);
	const struct json *entries = json_get(reply, "entries");
	if (err)
		return err;
	*ret = json_new_array();
	for (size_t i = 0; i < json_length(entries); i++) {
		uint64_t pid = json_get_u64(json_at(entries, i), "pid", 0);
		size_t k = 0;
		while (k < json_length(own) && json_get_u64(json_at(own, k), "pid", 0) != pid)
			k++;
		if (k == json_length(own))
			json_add(*ret, json_share(json_at(entries, i)));
	}
	return NULL;
}

static int list_armed(struct arming *a)
{
	_cleanup_(json_destroyp) struct json *own = NULL, *others = NULL;
	int status = 0;
	struct snap_error *err = NULL;
	// Where the caller has no folder, the daemon may have something.
	if (a->armed.dirfd >= 0 || !client_is_there())
		err = a->armed.dirfd < 0 ? armed_open(&a->armed) : armed_list(&a->armed, &own);
	if (!err && client_is_there())
		err = ask_for_list(own, &others);
	if (err)
		return verb_finish(err);
	bool none = !json_length(own) && !json_length(others);
	if (!a->args->json && !a->args->quiet && !none)
		printf("%7s  %-15s  %-10s  %-13s  %s\n", "PID", "COMM", "GO", "STATE", "SINCE");
	for (size_t i = 0; i < json_length(own); i++) {
		pid_t pid = (pid_t)json_get_u64(json_at(own, i), "pid", 0);
		int r = verb_finish(list_own(a, pid));
		status = status ? status : r;
	}
	for (size_t i = 0; i < json_length(others); i++) {
		int r = verb_finish(list_of_daemon(a, json_at(others, i)));
		status = status ? status : r;
	}
	if (none && !a->args->json && !a->args->quiet)
		fprintf(stderr, "snapctl: no process is armed\n");
	return status;
}

static void print_help(bool disarm)
{
	if (disarm)
		printf("Usage: snapctl disarm [OPTION...] PID|UNIT...\n\n"
		       "Undoes 'snapctl arm': GOTRACEBACK counts again as it was.\n\n"
		       "Options:\n");
	else
		printf("Usage: snapctl arm [OPTION...] PID|UNIT...\n"
		       "       snapctl arm --list\n\n"
		       "Has a running Go program dump core at its next panic or fatal signal, as\n"
		       "if it had been started with GOTRACEBACK=crash. It is not stopped for\n"
		       "that.\n\n"
		       "Options:\n");
	options_print(arm_rows + (disarm ? OPT_DIRECT : 0),
		      ARRAY_SIZE(arm_rows) - (disarm ? OPT_DIRECT : 0), stdout);
	printf("\nA UNIT is one of systemd, such as nginx.service: all its processes.\n");
}

static void apply(const struct option_use *use, int first_row, struct arm_args *args)
{
	enum arm_option option = (enum arm_option)(use->row + first_row);
	args->list |= option == OPT_LIST;
	args->dry_run |= option == OPT_DRY_RUN;
	args->direct |= option == OPT_DIRECT;
	args->json |= option == OPT_JSON;
	args->quiet |= option == OPT_QUIET;
	args->help |= option == OPT_HELP;
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct arm_args *args)
{
	int first_row = args->disarm ? OPT_DIRECT : 0, r;
	struct option_parser parser = { .rows = arm_rows + first_row,
					.n_rows = ARRAY_SIZE(arm_rows) - (size_t)first_row,
					.argc = argc,
					.argv = argv,
					.prefix = args->disarm ? "snapctl disarm" : "snapctl arm" };
	struct option_use use;
	options_begin(&parser);
	while ((r = options_next(&parser, &use)) > 0)
		apply(&use, first_row, args);
	if (r < 0)
		return SNAP_USAGE;
	if (args->help) {
		print_help(args->disarm);
		return 0;
	}
	args->n_words = argc - parser.first;
	args->words = argv + parser.first;
	if (args->list ? !args->n_words && !args->dry_run : args->n_words > 0)
		return -1;
	fprintf(stderr, "%s: %s\nTry '%s --help'.\n", parser.prefix,
		args->list ? "--list takes no process, and no --dry-run" :
			     "which process? Give at least one PID or UNIT",
		parser.prefix);
	return SNAP_USAGE;
}

static int run(const struct arm_args *args)
{
	struct arming a = { .args = args, .armed.dirfd = -EBADF };
	int status = 0;
	if (args->direct)
		client_set_direct();
	worker_block_signals();
	// Whoever has no folder may still have it done by the daemon.
	snap_error_destroy(armed_open(&a.armed));
	if (args->list)
		status = list_armed(&a);
	for (int i = 0; i < args->n_words && !args->list; i++) {
		int r = do_word(&a, args->words[i]);
		status = status ? status : r;
	}
	armed_close(&a.armed);
	return status;
}

int verb_arm(int argc, char *argv[])
{
	struct arm_args args = { 0 };
	int r = parse_args(argc, argv, &args);
	return r >= 0 ? r : run(&args);
}

int verb_disarm(int argc, char *argv[])
{
	struct arm_args args = { .disarm = true };
	int r = parse_args(argc, argv, &args);
	return r >= 0 ? r : run(&args);
}
