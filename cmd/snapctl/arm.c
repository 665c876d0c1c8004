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

#include "armed.h"
#include "client.h"
#include "common/fd.h"
#include "common/str.h"
#include "options.h"
#include "unit.h"
#include "verbs.h"
#include "when.h"
#include "worker.h"

enum arm_option { OPT_LIST, OPT_DRY_RUN, OPT_JSON, OPT_QUIET, OPT_HELP };

static const struct option_row arm_rows[] = {
	[OPT_LIST] = { "list", 'l', NULL, "List the processes that were armed, and how they are" },
	[OPT_DRY_RUN] = { "dry-run", 'n', NULL, "Change nothing; tell whether it would work" },
	[OPT_JSON] = { "json", 0, NULL, "Print the results as JSON, one object for each process" },
	[OPT_QUIET] = { "quiet", 'q', NULL, "Print errors and warnings only" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

/// What was found, or has become, of a process.
enum state {
	STATE_CAN_BE_ARMED, ///< of --dry-run
	STATE_ARMED,
	STATE_ALREADY, ///< armed before
	STATE_ALWAYS, ///< dumps core of itself
	STATE_DISARMED,
	STATE_CHANGED, ///< was armed; the program has set the word itself since
	STATE_OTHER_PROGRAM, ///< was armed; the process runs another program since
	STATE_SKIPPED, ///< of a unit: no Go program
	STATE_MAX,
};

static const struct {
	const char *name, *text;
} states[STATE_MAX] = {
	[STATE_CAN_BE_ARMED] = { "can-be-armed", "can be armed; nothing was changed" },
	[STATE_ARMED] = { "armed", "is armed: it dumps core at its next panic or fatal signal" },
	[STATE_ALREADY] = { "already-armed", "is armed already" },
	[STATE_ALWAYS] = { "always", "dumps core anyway, by GOTRACEBACK or its own code; nothing "
				     "was changed" },
	[STATE_DISARMED] = { "disarmed", "is not armed any more, and is as it was before" },
	[STATE_CHANGED] = { "changed", "has set the word itself since it was armed, and was left "
				       "as it is" },
	[STATE_OTHER_PROGRAM] = { "other-program", "runs another program since it was armed, which "
						   "is not armed" },
	[STATE_SKIPPED] = { "skipped", "is no Go program, and was left alone" },
};

struct arm_args {
	bool disarm, list, dry_run, json, quiet, help;
	int n_words;
	char **words;
};

struct arming {
	const struct arm_args *args;
	struct armed armed;
	const char *unit; ///< that the process must be in, or NULL
	size_t n_armed; ///< or would be, or were already
};

// ---- one process ---------------------------------------------------------------------------

/// Looks at the word, and writes @value when @expect is not UINT64_MAX.
static struct snap_error *run_job(const struct pidref *ref, uint64_t expect, uint32_t value,
				  struct json **ret)
{
	_cleanup_(json_destroyp) struct json *arm = NULL;
	struct job job = { .flags = JOB_ARM, .pid = ref->pid };
	struct progress progress;
	char label[32];
	if (expect != UINT64_MAX) {
		arm = json_new_object();
		json_set_u64(arm, "expect", expect);
		json_set_u64(arm, "value", value);
		job.arm = arm;
	}
	(void)snprintf(label, sizeof(label), "process %d", ref->pid);
	progress_begin(&progress, false);
	return worker_run(&job, ref, -EBADF, -EBADF, label, &progress, ret);
}

static uint32_t word_of(const struct json *json, const char *key)
{
	return (uint32_t)json_get_u64(json, key, 0);
}

static bool same_text(const struct json *a, const struct json *b, const char *key)
{
	const char *x = json_get_text(a, key), *y = json_get_text(b, key);
	return x && y && !strcmp(x, y);
}

/// Is what was found the program that @record is about?
static bool same_program(const struct json *record, const struct json *found)
{
	return same_text(record, found, "program") && same_text(record, found, "address");
}

static struct snap_error *refusal(const struct json *found, pid_t pid)
{
	const char *refused = json_get_text(found, "refused");
	return refused ? snap_error_new(SNAP_FAILED, "process %d was left alone because %s", pid,
					refused) :
			 NULL;
}

static struct snap_error *write_armed(struct arming *a, const struct pidref *ref,
				      struct json **found)
{
	static const char *const texts[] = { "comm", "version", "program", "address" };
	_cleanup_(json_destroyp) struct json *record = json_new_object();
	uint32_t before = word_of(*found, "value"), value = before | JOB_ARM_BITS;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_set_text(record, texts[i], json_get_text(*found, texts[i]));
	json_set_u64(record, "before", before);
	json_set_u64(record, "value", value);
	struct snap_error *err = armed_write(&a->armed, ref->pid, record);
	// Its number was asked for the start time; now it is known that it was this process's.
	if (!err && pidref_verify(ref) < 0)
		err = snap_error_new(SNAP_NO_PROCESS, "process %d has ended", ref->pid);
	if (err)
		return err;
	json_destroy(TAKE_PTR(*found));
	// After an error the record stays: it is not known whether the word was written.
	return run_job(ref, before, value, found);
}

static struct snap_error *arm_process(struct arming *a, const struct pidref *ref,
				      struct json **found, enum state *ret)
{
	_cleanup_(json_destroyp) struct json *record = armed_read(&a->armed, ref->pid);
	if (json_get(*found, "refused")) {
		*ret = STATE_SKIPPED;
		return a->unit && !json_get_bool(*found, "go", false) ? NULL :
									refusal(*found, ref->pid);
	}
	uint32_t value = word_of(*found, "value");
	a->n_armed++;
	if (record && same_program(record, *found) && word_of(record, "value") == value)
		*ret = STATE_ALREADY;
	else if (value & JOB_ARM_CRASH)
		*ret = STATE_ALWAYS;
	else
		*ret = a->args->dry_run ? STATE_CAN_BE_ARMED : STATE_ARMED;
	return *ret == STATE_ARMED ? write_armed(a, ref, found) : NULL;
}

/// What has become of a process that was armed.
static enum state state_of(const struct json *record, const struct json *found)
{
	if (!same_program(record, found))
		return STATE_OTHER_PROGRAM;
	if (word_of(found, "value") == word_of(record, "value"))
		return STATE_ARMED;
	// A worker that was killed before it wrote.
	return word_of(found, "value") == word_of(record, "before") ? STATE_DISARMED :
								      STATE_CHANGED;
}

static struct snap_error *disarm_process(struct arming *a, const struct pidref *ref,
					 struct json **found, enum state *ret)
{
	_cleanup_(json_destroyp) struct json *record = armed_read(&a->armed, ref->pid);
	if (!record && a->unit) {
		*ret = STATE_SKIPPED;
		return NULL;
	}
	if (!record)
		return snap_error_new(SNAP_FAILED, "process %d was not armed by 'snapctl arm'",
				      ref->pid);
	a->n_armed++;
	*ret = state_of(record, *found);
	struct snap_error *err = NULL;
	if (*ret == STATE_ARMED) {
		json_destroy(TAKE_PTR(*found));
		err = run_job(ref, word_of(record, "value"), word_of(record, "before"), found);
		*ret = STATE_DISARMED;
	}
	if (!err)
		armed_drop(&a->armed, ref->pid);
	return err;
}

// ---- output --------------------------------------------------------------------------------

/// Will there be a core? What the kernel does depends on who takes them.
static void add_warnings(const struct json *found, struct json *warnings)
{
	_cleanup_free_ char *pattern = NULL;
	uint64_t limit = json_get_u64(found, "core_limit", UINT64_MAX);
	bool handler =
		snap_read_file_at(AT_FDCWD, "/proc/sys/kernel/core_pattern", 4096, &pattern) > 0 &&
		(pattern[0] == '|' || pattern[0] == '@');
	if (limit == 0 && !handler)
		json_add_message(
			warnings,
			"its limit on cores (RLIMIT_CORE) is 0, so the kernel writes none; "
			"prlimit(1) can raise it");
	else if (limit == 0)
		json_add_message(warnings,
				 "its limit on cores (RLIMIT_CORE) is 0, which the handler in "
				 "core_pattern may go by; prlimit(1) can raise it");
	else if (limit == 1 && handler)
		json_add_message(warnings,
				 "its limit on cores (RLIMIT_CORE) is 1, with which the kernel "
				 "calls no handler; prlimit(1) can raise it");
	else if (limit < UINT64_MAX && !handler)
		json_add_message(warnings,
				 "its limit on cores (RLIMIT_CORE) may cut the core short");
	if (!json_get_bool(found, "plain", true))
		json_add_message(warnings,
				 "it is not dumpable, so that the kernel may write no core "
				 "(fs.suid_dumpable)");
}

static void print_warnings(const struct json *warnings, pid_t pid)
{
	for (size_t i = 0; i < json_length(warnings); i++) {
		const char *text = json_text_value(json_at(warnings, i));
		fprintf(stderr, "snapctl: warning: process %d: %s\n", pid, text ? text : "");
	}
}

static void copy_texts(struct json *json, const struct json *from)
{
	static const char *const keys[] = { "comm", "version", "address" };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_get_text(from, keys[i]))
			json_set_text(json, keys[i], json_get_text(from, keys[i]));
}

static void show(const struct arming *a, pid_t pid, const struct json *found, enum state state)
{
	struct json *warnings = json_new_array();
	_cleanup_(json_destroyp) struct json *json = json_new_object();
	const char *comm = json_get_text(found, "comm"), *version = json_get_text(found, "version");
	if (!a->args->disarm && state != STATE_SKIPPED)
		add_warnings(found, warnings);
	print_warnings(warnings, pid);
	json_set_u64(json, "pid", (uint64_t)pid);
	copy_texts(json, found);
	json_set_text(json, "state", states[state].name);
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
		       version ? version : "", states[state].text);
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

/// Holds the process, of which @found is then known.
static struct snap_error *look(const struct arming *a, pid_t pid, struct pidref *ref,
			       struct json **found)
{
	struct snap_error *err = worker_pin(pid, ref);
	if (!err && a->unit && !unit_has(a->unit, pid))
		return snap_error_new(SNAP_NO_PROCESS, "process %d has left its unit", pid);
	return err ? err : run_job(ref, UINT64_MAX, 0, found);
}

static int do_process(struct arming *a, pid_t pid)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	_cleanup_(json_destroyp) struct json *found = NULL;
	enum state state = STATE_SKIPPED;
	struct snap_error *err = look(a, pid, &ref, &found);
	if (!err)
		err = a->args->disarm ? disarm_process(a, &ref, &found, &state) :
					arm_process(a, &ref, &found, &state);
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

static void print_listed(const struct json *record, const char *state, bool json)
{
	char ago[32];
	const char *comm = json_get_text(record, "comm"), *go = json_get_text(record, "version");
	uint64_t pid = json_get_u64(record, "pid", 0), at = json_get_u64(record, "realtime_ns", 0);
	_cleanup_(json_destroyp) struct json *line = json_new_object();
	json_set_u64(line, "pid", pid);
	copy_texts(line, record);
	json_set_text(line, "state", state);
	json_set_u64(line, "before", json_get_u64(record, "before", 0));
	json_set_u64(line, "value", json_get_u64(record, "value", 0));
	json_set_u64(line, "realtime_ns", at);
	if (json)
		printf("%s\n", json_text(line) ? json_text(line) : "");
	else
		printf("%7" PRIu64 "  %-15s  %-10s  %-13s  %s\n", pid, comm ? comm : "?",
		       go ? go : "?", state, when_ago(at, ago));
}

static int list_armed(struct arming *a)
{
	_cleanup_(json_destroyp) struct json *records = NULL;
	int status = 0;
	struct snap_error *err = armed_list(&a->armed, &records);
	if (err)
		return verb_finish(err);
	if (!a->args->json && !a->args->quiet && json_length(records))
		printf("%7s  %-15s  %-10s  %-13s  %s\n", "PID", "COMM", "GO", "STATE", "SINCE");
	for (size_t i = 0; i < json_length(records); i++) {
		const struct json *record = json_at(records, i);
		pid_t pid = (pid_t)json_get_u64(record, "pid", 0);
		_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
		_cleanup_(json_destroyp) struct json *found = NULL;
		err = look(a, pid, &ref, &found);
		if (err && err->code == SNAP_NO_PROCESS) {
			snap_error_destroy(err);
			armed_drop(&a->armed, pid);
			continue;
		}
		enum state state = err ? STATE_MAX : state_of(record, found);
		print_listed(record, err ? "unknown" : states[state].name, a->args->json);
		if (state == STATE_OTHER_PROGRAM || state == STATE_DISARMED)
			armed_drop(&a->armed, pid);
		int r = verb_finish(err);
		status = status ? status : r;
	}
	if (!json_length(records) && !a->args->json && !a->args->quiet)
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
	options_print(arm_rows + (disarm ? OPT_JSON : 0),
		      ARRAY_SIZE(arm_rows) - (disarm ? OPT_JSON : 0), stdout);
	printf("\nA UNIT is one of systemd, such as nginx.service: all its processes.\n");
}

static void apply(const struct option_use *use, int first_row, struct arm_args *args)
{
	enum arm_option option = (enum arm_option)(use->row + first_row);
	args->list |= option == OPT_LIST;
	args->dry_run |= option == OPT_DRY_RUN;
	args->json |= option == OPT_JSON;
	args->quiet |= option == OPT_QUIET;
	args->help |= option == OPT_HELP;
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct arm_args *args)
{
	int first_row = args->disarm ? OPT_JSON : 0, r;
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
	_cleanup_armed_ struct armed armed = { .dirfd = -EBADF };
	int status = 0;
	struct snap_error *err = armed_open(&armed);
	if (err)
		return verb_finish(err);
	struct arming a = { .args = args, .armed = armed };
	// What it takes is the right to trace the process, and that is the caller's.
	client_set_direct();
	worker_block_signals();
	if (args->list)
		return list_armed(&a);
	for (int i = 0; i < args->n_words; i++) {
		int r = do_word(&a, args->words[i]);
		status = status ? status : r;
	}
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
