// SPDX-License-Identifier: LGPL-2.1-or-later
#include "infotext.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "common/str.h"
#include "goframe.h"
#include "gotext.h"
#include "gotraceback.h"
#include "listing.h"
#include "when.h"

enum {
	LABEL_COLUMNS = 14,
	STATES_SHOWN = 5,
	ARGS_MAX = 79, // what NT_PRPSINFO has room for, include/uapi/linux/elfcore.h
};

static void label(const struct infotext *t, const char *name)
{
	fprintf(t->out, "%*s%s ", LABEL_COLUMNS, name, *name ? ":" : " ");
}

// ---- the core ------------------------------------------------------------------------------

static void print_file(const struct infotext *t, const struct json *core)
{
	char a[16], b[16];
	label(t, "File");
	fprintf(t->out, "%s (%s, %s on disk%s)\n", gotext_of(t->file, "path"),
		snap_format_bytes(json_get_u64(core, "bytes", 0), a),
		snap_format_bytes(json_get_u64(t->file, "bytes_on_disk", 0), b),
		json_get_u64(core, "bytes", 0) != json_get_u64(t->file, "bytes", 0) ?
			", compressed" :
			"");
}

/// What the store says of it; a file outside has nothing like that.
static void print_kind(const struct infotext *t)
{
	char signal[24];
	uint64_t number = json_get_u64(t->file, "signal", 0);
	if (!json_get_text(t->file, "kind"))
		return;
	label(t, "Kind");
	fputs(gotext_of(t->file, "kind"), t->out);
	if (number)
		fprintf(t->out, ", %s", listing_signal(number, signal));
	fputc('\n', t->out);
}

/// Programs and libraries that were kept with it, and what was not.
static void print_binaries(const struct infotext *t)
{
	const struct json *files = json_get(t->file, "binaries");
	char bytes[16];
	uint64_t sum = 0, kept = 0;
	for (size_t i = 0; i < json_length(files); i++) {
		kept += !json_get(json_at(files, i), "why");
		sum += json_get_u64(json_at(files, i), "bytes", 0);
	}
	if (!json_length(files))
		return;
	label(t, "Binaries");
	fprintf(t->out, "%" PRIu64 " kept, %s\n", kept, snap_format_bytes(sum, bytes));
	for (size_t i = 0; i < json_length(files); i++) {
		const struct json *file = json_at(files, i);
		const char *why = json_get_text(file, "why"), *id = json_get_text(file, "build_id");
		label(t, "");
		fputs(gotext_of(file, "name"), t->out);
		if (why)
			fprintf(t->out, " (not kept: %s)", gotext_safe(why));
		else if (id)
			fprintf(t->out, " (%.12s)", gotext_safe(id));
		fputc('\n', t->out);
	}
}

static void print_process(const struct infotext *t, const struct json *core)
{
	const char *args = json_get_text(core, "args");
	label(t, "Process");
	fprintf(t->out, "%" PRIu64, json_get_u64(core, "pid", 0));
	if (json_get_text(core, "comm"))
		fprintf(t->out, " '%s'", gotext_of(core, "comm"));
	fputc('\n', t->out);
	if (!args)
		return;
	// The kernel puts a blank behind each argument.
	int len = (int)strlen(gotext_safe(args));
	bool cut = len >= ARGS_MAX;
	while (len && args[len - 1] == ' ')
		len--;
	label(t, "Command line");
	fprintf(t->out, "%.*s%s\n", len, gotext_safe(args), cut ? "..." : "");
}

static void print_time(const struct infotext *t, const struct json *core)
{
	char when[64], ago[32];
	uint64_t ns = json_get_u64(core, "realtime_ns", 0);
	bool known = ns;
	if (!known)
		ns = json_get_u64(t->file, "modified_ns", 0);
	label(t, "Time");
	(void)when_ago(ns, ago);
	fprintf(t->out, "%s%s%s%s%s\n", when_format(ns, when), *ago ? " (" : "", ago,
		*ago ? ")" : "", known ? "" : ", when the file was written");
}

/// Was the process not let go on?
static bool is_of_crash(const struct json *core)
{
	const char *mode = json_get_text(core, "mode");
	return mode && (!strcmp(mode, "crash") || !strcmp(mode, "stream"));
}

static void print_maker(const struct infotext *t, const struct json *core)
{
	char pause[16];
	label(t, "Made by");
	if (!json_get_text(core, "by"))
		fputs("the kernel, or a program that does not say so\n", t->out);
	else if (is_of_crash(core))
		fprintf(t->out, "%s, of the process when it crashed, %s\n", gotext_of(core, "by"),
			!strcmp(gotext_of(core, "mode"), "stream") ?
				"from what the kernel sent" :
				"from its memory");
	else
		fprintf(t->out, "%s, of the live process (%s), stopped for %s\n",
			gotext_of(core, "by"), gotext_of(core, "mode"),
			snap_format_ns(json_get_u64(core, "pause_ns", 0), pause));
}

static void print_signal(const struct infotext *t, const struct json *core)
{
	uint64_t number = json_get_u64(core, "signal", 0);
	if (!number)
		return;
	const char *name = number < 64 ? sigabbrev_np((int)number) : NULL;
	label(t, "Signal");
	fprintf(t->out, "%" PRIu64, number);
	if (name)
		fprintf(t->out, " (SIG%s)", name);
	if (json_get_text(core, "fault_address"))
		fprintf(t->out, " at address %s", gotext_of(core, "fault_address"));
	else if (json_get(core, "sender_pid"))
		fprintf(t->out, ", sent by process %" PRIu64 " of user %" PRIu64,
			json_get_u64(core, "sender_pid", 0), json_get_u64(core, "sender_uid", 0));
	fputc('\n', t->out);
}

static void print_gaps(const struct infotext *t, const struct json *core)
{
	char bytes[16];
	uint64_t gaps = json_get_u64(core, "gaps", 0);
	uint64_t gap_bytes = json_get_u64(core, "gap_bytes", 0);
	uint64_t later = json_get_u64(core, "later_bytes", 0);
	if (later) {
		label(t, "Later");
		fprintf(t->out, "%s of shared memory are from after the instant of the core\n",
			snap_format_bytes(later, bytes));
	}
	if (json_get_text(core, "by")) {
		label(t, "Gaps");
		if (gap_bytes > later)
			fprintf(t->out, "%" PRIu64 ", %s%s\n", gaps,
				snap_format_bytes(gap_bytes - later, bytes),
				json_get_bool(core, "partial", false) ? ", memory is missing" : "");
		else
			fputs("none\n", t->out);
	}
	if (json_get_bool(core, "truncated", false)) {
		label(t, "Truncated");
		fputs("yes, the file ends before its last segment does\n", t->out);
	}
}

static void print_core(struct infotext *t, const struct json *core)
{
	t->has_core = true;
	print_file(t, core);
	print_kind(t);
	print_binaries(t);
	print_process(t, core);
	print_time(t, core);
	print_maker(t, core);
	print_signal(t, core);
	label(t, "Contents");
	fprintf(t->out, "%s, %" PRIu64 " threads, %" PRIu64 " mappings\n",
		gotext_of(core, "machine"), json_get_u64(core, "threads", 0),
		json_get_u64(core, "mappings", 0));
	print_gaps(t, core);
	if (json_get_bool(core, "summary_attached", false)) {
		label(t, "Attached");
		fputs("a summary of goroutines (snapctl goroutines --attached)\n", t->out);
	}
}

static void print_image(const struct infotext *t, const struct json *image)
{
	if (!json_get_bool(image, "program", false))
		return;
	label(t, "Program");
	fprintf(t->out, "%s\n", gotext_of(image, "name"));
}

// ---- Go ------------------------------------------------------------------------------------

static void print_runtime(struct infotext *t, const struct json *runtime)
{
	uint64_t all = json_get_u64(runtime, "goroutine_count", 0);
	uint64_t user = json_get_u64(runtime, "user_goroutine_count", 0);
	t->runtimes++;
	t->findings = t->groups = 0;
	label(t, "Go");
	gotext_build(runtime, t->out);
	fputc('\n', t->out);
	label(t, "Goroutines");
	fprintf(t->out, "%" PRIu64 ", %" PRIu64 " more of the runtime's own\n", user,
		all - MIN(all, user));
	label(t, "");
	gotext_counts(json_get(runtime, "states"), STATES_SHOWN, t->out);
	fputc('\n', t->out);
}

/// The words of a traceback, which are several lines, behind one label.
static void print_crash(const struct infotext *t, const struct json *crash)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *memory = open_memstream(&text, &size);
	if (!memory)
		return;
	gotraceback_crash(crash, memory);
	uint64_t id = json_get_u64(crash, "goroutine", 0);
	if (id)
		fprintf(memory, "in goroutine %" PRIu64 "\n", id);
	if (fclose(memory) != 0)
		return;
	const char *name = "Crash";
	for (char *line = text; *line; name = "") {
		size_t len = strcspn(line, "\n");
		label(t, name);
		fprintf(t->out, "%s%.*s\n", *line == '\t' ? "  " : "",
			(int)len - (*line == '\t'), line + (*line == '\t'));
		line += len + (line[len] == '\n');
	}
}

static void print_finding(struct infotext *t, const struct json *finding)
{
	label(t, t->findings++ ? "" : "Findings");
	fprintf(t->out, "%s\n", gotext_of(finding, "text"));
}

/// The first function that is not the runtime's.
static const char *where(const struct json *group)
{
	const struct json *frames = json_get(group, "frames");
	size_t first = goframe_first(frames, true);
	return first < json_length(frames) ? gotext_of(json_at(frames, first), "function") :
					     "an unknown function";
}

static void print_group(struct infotext *t, const struct json *group)
{
	const struct json *states = json_get(group, "states");
	if (t->groups == INFO_GROUPS || json_get_u64(group, "count", 0) < 2)
		return;
	label(t, t->groups++ ? "" : "Most are in");
	(void)goframe_print_name(where(group), t->out);
	fputs(" (", t->out);
	gotext_counts(states, STATES_SHOWN, t->out);
	fputs(")\n", t->out);
}

void infotext_line(struct infotext *t, const char *kind, const struct json *value)
{
	if (!strcmp(kind, "file"))
		t->file = json_share(value);
	else if (!strcmp(kind, "core"))
		print_core(t, value);
	else if (!strcmp(kind, "image"))
		print_image(t, value);
	else if (!strcmp(kind, "runtime"))
		print_runtime(t, value);
	else if (!strcmp(kind, "crash"))
		print_crash(t, value);
	else if (!strcmp(kind, "finding"))
		print_finding(t, value);
	else if (!strcmp(kind, "group"))
		print_group(t, value);
}

void infotext_end(struct infotext *t, const struct snap_error *err)
{
	if (t->has_core && !t->runtimes) {
		label(t, "Go");
		fputs(err ? "unknown, the analysis failed\n" : "no Go program\n", t->out);
	}
	json_destroy(TAKE_PTR(t->file));
}
