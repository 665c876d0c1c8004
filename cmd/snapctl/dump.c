// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/pidref.h"
#include "common/str.h"
#include "dryrun.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"
#include "worker.h"

enum { ZSTD_LEVEL_DEFAULT = 3, ZSTD_LEVEL_MAX = 19, FILTER_MAX = 0x1ff };

struct snap_error *dump_parse_pid(const char *arg, pid_t *ret)
{
	int64_t pid;
	if (snap_parse_i64(arg, &pid) < 0 || pid <= 0 || pid > INT32_MAX)
		return snap_error_new(SNAP_USAGE, "'%s' is not a process id", arg);
	*ret = (pid_t)pid;
	return NULL;
}

/// Runs the job with the descriptors it needs.
static struct snap_error *run_job(const struct dump_request *request, const struct pidref *ref,
				  struct output *out, struct json **ret)
{
	struct job job = request->job;
	job.pid = ref->pid;
	struct progress progress;
	char label[32];
	(void)snprintf(label, sizeof(label), "process %d", ref->pid);
	progress_begin(&progress, !request->quiet);
	if (job.flags & JOB_DRY_RUN)
		return worker_run(&job, ref, -EBADF, -EBADF, label, &progress, ret);
	job.free_bytes = output_free_bytes(out);
	if (out->name)
		job.flags |= JOB_SYNC;
	else if (!(job.flags & JOB_COMPRESS))
		job.flags |= JOB_STREAM;
	if (out->spool < 0)
		return worker_run(&job, ref, out->fd, -EBADF, label, &progress, ret);
	return worker_run(&job, ref, out->spool, out->fd, label, &progress, ret);
}

/// Into the store: the daemon makes the files.
static struct snap_error *dump_to_store(const struct dump_request *request,
					const struct pidref *ref, struct json **ret)
{
	struct job job = request->job;
	struct progress progress;
	char label[32];
	job.pid = ref->pid;
	(void)snprintf(label, sizeof(label), "process %d", ref->pid);
	progress_begin(&progress, !request->quiet);
	return client_run(&job, ref, -EBADF, -EBADF, true, label, &progress, ret);
}

struct snap_error *dump_process(pid_t pid, const struct dump_request *request, struct json **ret)
{
	_cleanup_pidref_ struct pidref ref = PIDREF_NULL;
	struct output out = { .dirfd = -EBADF, .fd = -EBADF, .spool = -EBADF };
	uint64_t begin = snap_now_ns();
	struct snap_error *err = worker_pin(pid, &ref);
	if (err)
		return err;
	if (request->store) {
		err = dump_to_store(request, &ref, ret);
		if (!err)
			json_set_u64(*ret, "wall_ns", snap_now_ns() - begin);
		return err;
	}
	bool dry = request->job.flags & JOB_DRY_RUN;
	uint32_t flags = (request->replace ? OUTPUT_REPLACE : 0U) |
			 (request->job.flags & JOB_COMPRESS ? OUTPUT_COMPRESS : 0U);
	if (dry)
		flags |= OUTPUT_LOOK | OUTPUT_REPLACE;
	err = output_open(request->output, request->name, flags, &out);
	_cleanup_(json_destroyp) struct json *result = NULL;
	if (!err)
		err = run_job(request, &ref, &out, &result);
	if (!err && !dry)
		err = output_publish(&out);
	if (!err) {
		_cleanup_free_ char *path = output_path(&out);
		json_set_text(result, "path", path);
		json_set_u64(result, "wall_ns", snap_now_ns() - begin);
		if (dry)
			json_set_u64(result, "free_bytes", output_free_bytes(&out));
		*ret = TAKE_PTR(result);
	}
	output_close(&out);
	return err;
}

enum dump_option {
	OPT_OUTPUT,
	OPT_FORCE,
	OPT_FILTER,
	OPT_ALL,
	OPT_WITH_BINARIES,
	OPT_STACKS,
	OPT_NO_SUMMARY,
	OPT_COMPRESS,
	OPT_MODE,
	OPT_MAX_PAUSE,
	OPT_KEEP_PARTIAL,
	OPT_STORE,
	OPT_DIRECT,
	OPT_DRY_RUN,
	OPT_JSON,
	OPT_QUIET,
	OPT_HELP,
};

static const struct option_row dump_rows[] = {
	[OPT_OUTPUT] = { "output", 'o', "FILE",
			 "Write to FILE, into the directory FILE, or to\n"
			 "standard output if FILE is '-'; default: core.PID" },
	[OPT_FORCE] = { "force", 'f', NULL, "Replace an existing file" },
	[OPT_FILTER] = { "filter", 0, "MASK",
			 "Dump the kinds of memory in MASK, not those in the\n"
			 "process's own coredump_filter; see core(5)" },
	[OPT_ALL] = { "all", 'a', NULL,
		      "Dump all memory that can be read, also what the\n"
		      "process excluded with MADV_DONTDUMP" },
	[OPT_WITH_BINARIES] = { "with-binaries", 0, NULL,
				"Dump programs and libraries too, so that the core\n"
				"can be read where they are missing" },
	[OPT_STACKS] = { "stacks", 0, NULL,
			 "Dump only what backtraces need: the stacks, and the\n"
			 "data of programs and libraries" },
	[OPT_NO_SUMMARY] = { "no-summary", 0, NULL,
			     "Do not look for goroutines in the core" },
	[OPT_COMPRESS] = { "compress", 'z', "[LEVEL]",
			   "Compress with zstd, level 1 to 19 (default: 3); the\n"
			   "default name is core.PID.zst then" },
	[OPT_MODE] = { "mode", 0, "MODE",
		       "How the memory is copied: while the process stands\n"
		       "still (copy), mostly before (precopy), mostly after\n"
		       "it from a child (fork), or whatever stops it for\n"
		       "less time (auto, the default)" },
	[OPT_MAX_PAUSE] = { "max-pause", 0, "TIME",
			    "Give up, and let the process run, when it would be\n"
			    "stopped for longer than TIME (200ms, 1.5s)" },
	[OPT_KEEP_PARTIAL] = { "keep-partial", 0, NULL,
			       "When the dump cannot be completed, keep what there\n"
			       "is as a core that is marked as partial" },
	[OPT_STORE] = { "store", 0, NULL,
			"Put the dump into the store of procsnapd, which\n"
			"compresses it and keeps it as configured" },
	[OPT_DIRECT] = { "direct", 0, NULL, "Do it without procsnapd, also when it is there" },
	[OPT_DRY_RUN] = { "dry-run", 'n', NULL,
			  "Touch nothing; show what would be dumped, and the\n"
			  "expected size and pause" },
	[OPT_JSON] = { "json", 0, NULL, "Print the results as JSON, one object for each PID" },
	[OPT_QUIET] = { "quiet", 'q', NULL, "Print errors and warnings only" },
	[OPT_HELP] = { "help", 'h', NULL, "Show this help" },
};

struct dump_args {
	struct dump_request request;
	bool json, help;
	int n_pids;
	char **pids;
};

static struct snap_error *parse_level(const char *arg, struct job *job)
{
	uint64_t level = ZSTD_LEVEL_DEFAULT;
	if (arg && (snap_parse_u64(arg, &level) < 0 || level < 1 || level > ZSTD_LEVEL_MAX))
		return snap_error_new(SNAP_USAGE,
				      "--compress takes a level from 1 to 19, not '%s'", arg);
	job->level = (int)level;
	job->flags |= JOB_COMPRESS;
	return NULL;
}

static struct snap_error *parse_filter(const char *arg, struct job *job)
{
	uint64_t mask;
	if (snap_parse_u64(arg, &mask) < 0 || mask > FILTER_MAX)
		return snap_error_new(SNAP_USAGE,
				      "--filter takes a mask from 0 to 0x1ff, not '%s'", arg);
	job->filter = (uint32_t)mask;
	job->flags |= JOB_HAS_FILTER;
	return NULL;
}

static struct snap_error *parse_max_pause(const char *arg, struct job *job)
{
	uint64_t ns;
	if (snap_parse_duration_ns(arg, &ns) < 0 || !ns)
		return snap_error_new(SNAP_USAGE,
				      "--max-pause takes a time such as 200ms or 1.5s, not '%s'",
				      arg);
	job->max_pause_ns = ns;
	return NULL;
}

static struct snap_error *parse_mode(const char *arg, struct job *job)
{
	job->flags &= ~(uint32_t)JOB_MODES;
	if (!strcmp(arg, "copy"))
		job->flags |= JOB_COPY;
	else if (!strcmp(arg, "precopy"))
		job->flags |= JOB_PRECOPY;
	else if (!strcmp(arg, "fork"))
		job->flags |= JOB_FORK;
	else if (strcmp(arg, "auto") != 0)
		return snap_error_new(SNAP_USAGE, "--mode is auto, copy, fork or precopy, not '%s'",
				      arg);
	return NULL;
}

static struct snap_error *apply_option(const struct option_use *use, struct dump_args *args)
{
	struct job *job = &args->request.job;
	switch ((enum dump_option)use->row) {
	case OPT_OUTPUT:
		args->request.output = use->arg;
		return NULL;
	case OPT_FORCE:
		args->request.replace = true;
		return NULL;
	case OPT_FILTER:
		return parse_filter(use->arg, job);
	case OPT_ALL:
		job->flags |= JOB_ALL;
		return NULL;
	case OPT_WITH_BINARIES:
		job->flags |= JOB_WITH_BINARIES;
		return NULL;
	case OPT_STACKS:
		job->flags |= JOB_STACKS;
		return NULL;
	case OPT_NO_SUMMARY:
		job->flags |= JOB_NO_SUMMARY;
		return NULL;
	case OPT_COMPRESS:
		return parse_level(use->arg, job);
	case OPT_MODE:
		return parse_mode(use->arg, job);
	case OPT_MAX_PAUSE:
		return parse_max_pause(use->arg, job);
	case OPT_KEEP_PARTIAL:
		job->flags |= JOB_KEEP_PARTIAL;
		return NULL;
	case OPT_STORE:
		args->request.store = true;
		return NULL;
	case OPT_DIRECT:
		client_set_direct();
		return NULL;
	case OPT_DRY_RUN:
		job->flags |= JOB_DRY_RUN;
		return NULL;
	case OPT_JSON:
		args->json = true;
		return NULL;
	case OPT_QUIET:
		args->request.quiet = true;
		return NULL;
	case OPT_HELP:
		args->help = true;
		return NULL;
	}
	return NULL;
}

static struct snap_error *check_args(const struct dump_args *args)
{
	const struct dump_request *request = &args->request;
	const char *out = request->output;
	if (!args->n_pids)
		return snap_error_new(SNAP_USAGE, "which process? Give at least one PID");
	if (request->job.flags & JOB_ALL && request->job.flags & JOB_HAS_FILTER)
		return snap_error_new(SNAP_USAGE, "--all and --filter exclude each other");
	if (request->job.flags & JOB_STACKS &&
	    request->job.flags & (JOB_ALL | JOB_HAS_FILTER | JOB_WITH_BINARIES))
		return snap_error_new(SNAP_USAGE,
				      "--stacks excludes --all, --filter and --with-binaries");
	if (request->job.flags & JOB_STACKS && request->job.flags & JOB_PRECOPY)
		return snap_error_new(SNAP_USAGE,
				      "--stacks excludes --mode=precopy: stacks are known when the "
				      "process stands still");
	if (request->store && (out || request->job.flags & (JOB_COMPRESS | JOB_DRY_RUN)))
		return snap_error_new(SNAP_USAGE,
				      "--store excludes -o, -z and --dry-run: where and how dumps "
				      "are stored is configured, see procsnap.conf(5)");
	if (args->n_pids > 1 && out && !output_is_directory(out))
		return snap_error_new(SNAP_USAGE,
				      "with several processes -o must name a directory");
	return NULL;
}

static void print_dump_help(void)
{
	printf("Usage: snapctl dump [OPTION...] PID...\n\n"
	       "Writes an ELF core of a live process, which goes on as if nothing had\n"
	       "happened. The core holds the memory of the process: keep it secret.\n\n"
	       "Options:\n");
	options_print(dump_rows, ARRAY_SIZE(dump_rows), stdout);
	printf("\nExit status:\n");
	for (int i = 0; i < SNAP_CODE_MAX; i++)
		printf("  %d  %s\n", i, snap_code_text((enum snap_code)i));
	printf("\nWith several PIDs the status is that of the first one that is not 0.\n");
}

/// Returns an exit status, or -1 to go on.
static int parse_args(int argc, char *argv[], struct dump_args *args)
{
	struct option_parser parser = { .rows = dump_rows,
					.n_rows = ARRAY_SIZE(dump_rows),
					.argc = argc,
					.argv = argv,
					.prefix = "snapctl dump" };
	struct option_use use;
	struct snap_error *err = NULL;
	int r;
	options_begin(&parser);
	while (!err && (r = options_next(&parser, &use)) > 0)
		err = apply_option(&use, args);
	if (!err && r < 0)
		return SNAP_USAGE;
	if (!err && args->help) {
		print_dump_help();
		return 0;
	}
	if (!err) {
		args->n_pids = argc - parser.first;
		args->pids = argv + parser.first;
		err = check_args(args);
	}
	if (!err)
		return -1;
	print_message("snapctl dump", err->message);
	fprintf(stderr, "Try 'snapctl dump --help'.\n");
	snap_error_destroy(err);
	return SNAP_USAGE;
}

static void print_result(const struct json *result, FILE *out)
{
	char a[16], b[16], c[16];
	const char *path = json_get_text(result, "path"), *id = json_get_text(result, "id");
	if (id)
		fprintf(out, "%s ", id);
	fprintf(out, "%s: %s (%s on disk) of '%s', %llu thread%s, paused for %s\n",
		path ? path : "core",
		snap_format_bytes(json_get_u64(result, "bytes", 0), a),
		snap_format_bytes(json_get_u64(result, "bytes_on_disk", 0), b),
		json_get_text(result, "comm") ? json_get_text(result, "comm") : "?",
		(unsigned long long)json_get_u64(result, "threads", 0),
		json_get_u64(result, "threads", 0) == 1 ? "" : "s",
		snap_format_ns(json_get_u64(result, "pause_ns", 0), c));
}

/// What the goroutines of a Go program did, in a few lines.
static void print_go(const struct json *go, FILE *out)
{
	enum { STATES_SHOWN = 4, FINDINGS_SHOWN = 3 };
	const struct json *states = json_get(go, "states"), *findings = json_get(go, "findings");
	const char *version = json_get_text(go, "version");
	fprintf(out, "  %s, %llu goroutines", version ? version : "Go",
		(unsigned long long)json_get_u64(go, "goroutine_count", 0));
	for (size_t i = 0; i < json_length(states) && i < STATES_SHOWN; i++) {
		const char *key = json_key_at(states, i);
		fprintf(out, "%s%llu %s", i ? ", " : ": ",
			(unsigned long long)json_get_u64(states, key, 0), key);
	}
	fputs(json_length(states) > STATES_SHOWN ? ", ...\n" : "\n", out);
	for (size_t i = 0; i < json_length(findings) && i < FINDINGS_SHOWN; i++) {
		const char *text = json_get_text(json_at(findings, i), "text");
		fprintf(out, "  %s\n", text ? text : "");
	}
}

static void print_warnings(const struct json *result, unsigned long long pid)
{
	const struct json *warnings = json_get(result, "warnings");
	for (size_t i = 0; i < json_length(warnings); i++) {
		const char *text = json_text_value(json_at(warnings, i));
		fprintf(stderr, "snapctl: warning: process %llu: %s\n", pid, text ? text : "");
	}
}

static bool print_json(const struct json *json, FILE *out)
{
	const char *text = json_text(json);
	if (!text) {
		print_message("snapctl", "out of memory");
		return false;
	}
	fprintf(out, "%s\n", text);
	return true;
}

static int show(const struct dump_args *args, const struct json *result)
{
	// With the core on standard output, the rest goes to where it is not in the way.
	bool to_stdout = !args->request.output || strcmp(args->request.output, "-") != 0 ||
			 args->request.job.flags & JOB_DRY_RUN;
	FILE *out = to_stdout ? stdout : stderr;
	print_warnings(result, json_get_u64(result, "pid", 0));
	bool ok = true;
	if (args->json)
		ok = print_json(result, out);
	else if (args->request.job.flags & JOB_DRY_RUN)
		dryrun_print(result, out);
	else if (!args->request.quiet)
		print_result(result, out);
	if (json_get(result, "go") && !args->json && !args->request.quiet)
		print_go(json_get(result, "go"), out);
	fflush(out);
	if (!ok)
		return SNAP_FAILED;
	return json_get_u64(result, "lost_bytes", 0) ? SNAP_PARTIAL : 0;
}

static int show_error(const struct dump_args *args, const char *pid, const struct snap_error *err)
{
	if (args->json) {
		_cleanup_(json_destroyp) struct json *json = job_error_to_json(err);
		int64_t number;
		if (snap_parse_i64(pid, &number) == 0 && number > 0)
			json_set_u64(json, "pid", (uint64_t)number);
		bool to_stdout = !args->request.output || strcmp(args->request.output, "-") != 0;
		(void)print_json(json, to_stdout ? stdout : stderr);
		fflush(stdout);
	}
	print_message("snapctl", err->message);
	return (int)err->code;
}

static int dump_one(const struct dump_args *args, const char *arg)
{
	pid_t pid = 0;
	char name[32];
	struct dump_request request = args->request;
	_cleanup_(json_destroyp) struct json *result = NULL;
	struct snap_error *err = dump_parse_pid(arg, &pid);
	(void)snprintf(name, sizeof(name), "core.%d%s", pid,
		       request.job.flags & JOB_COMPRESS ? ".zst" : "");
	request.name = name;
	if (!err)
		err = dump_process(pid, &request, &result);
	int status = err ? show_error(args, arg, err) : show(args, result);
	snap_error_destroy(err);
	return status;
}

int verb_dump(int argc, char *argv[])
{
	struct dump_args args = { 0 };
	int status = parse_args(argc, argv, &args);
	if (status >= 0)
		return status;
	worker_block_signals();
	status = 0;
	for (int i = 0; i < args.n_pids; i++) {
		int r = dump_one(&args, args.pids[i]);
		if (!status)
			status = r;
		bool more = i + 1 < args.n_pids;
		if (r != SNAP_CANCELLED && more && worker_signalled()) {
			print_message("snapctl dump", "cancelled; the processes after it are not "
						      "dumped");
			status = status ? status : SNAP_CANCELLED;
		}
		if (r == SNAP_CANCELLED || worker_signalled())
			break;
	}
	return status;
}
