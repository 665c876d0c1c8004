// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gotext.h"

#include <inttypes.h>
#include <string.h>

#include "common/str.h"

enum { LABELS_SHOWN = 8 };

static const char *text(const struct json *json, const char *key)
{
	const char *value = json_get_text(json, key);
	return value ? value : "?";
}

/// A wait that the runtime began to count at some garbage collection after it began.
static const char *format_wait(uint64_t ns, char buf[static 32])
{
	uint64_t s = ns / 1000000000;
	if (s < 60)
		(void)snprintf(buf, 32, "%" PRIu64 " s", s);
	else if (s < 3600)
		(void)snprintf(buf, 32, "%" PRIu64 " min", s / 60);
	else
		(void)snprintf(buf, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	return buf;
}

// ---- the program ---------------------------------------------------------------------------

static void print_counts(const struct json *states, FILE *out)
{
	const char *comma = "";
	for (size_t i = 0; i < json_length(states); i++) {
		const char *key = json_key_at(states, i);
		fprintf(out, "%s%" PRIu64 " %s", comma, json_get_u64(states, key, 0), key);
		comma = ", ";
	}
}

void gotext_runtime(const struct json *runtime, FILE *out)
{
	uint64_t all = json_get_u64(runtime, "goroutine_count", 0);
	uint64_t user = json_get_u64(runtime, "user_goroutine_count", 0);
	const struct json *build = json_get(runtime, "build");
	const char *version = json_get_text(runtime, "version");
	fprintf(out, "%s: %s", text(runtime, "image"), version ? version : "Go of unknown version");
	if (json_get_text(build, "path"))
		fprintf(out, ", %s", json_get_text(build, "path"));
	fprintf(out,
		"\n%" PRIu64 " goroutine%s and %" PRIu64 " of the runtime's own, %" PRIu64
		" threads, GOMAXPROCS %" PRIu64 "\n",
		user, user == 1 ? "" : "s", all - user, json_get_u64(runtime, "thread_count", 0),
		json_get_u64(runtime, "gomaxprocs", 0));
	if (json_get_bool(runtime, "newer_than_known", false))
		fprintf(out, "This version of Go is newer than procsnap knows; what follows passed "
			     "its checks.\n");
	uint64_t lost = json_get_u64(runtime, "not_in_core", 0);
	if (lost)
		fprintf(out, "%" PRIu64 " goroutines are not in the core.\n", lost);
	uint64_t damaged = json_get_u64(runtime, "damaged", 0);
	if (damaged)
		fprintf(out, "%" PRIu64 " entries of the list are no goroutines.\n", damaged);
	fputs("States: ", out);
	print_counts(json_get(runtime, "states"), out);
	fputs("\n\n", out);
}

static void print_panic(const struct json *panic, bool first, FILE *out)
{
	fprintf(out, "%spanic: %s%s\n", first ? "" : "\t", text(panic, "value"),
		json_get_bool(panic, "recovered", false) ? " [recovered]" : "");
}

void gotext_crash(const struct json *crash, FILE *out)
{
	const struct json *panics = json_get(crash, "panics");
	const char *fatal = json_get_text(crash, "fatal_error");
	for (size_t i = 0; i < json_length(panics); i++)
		if (!json_get_bool(json_at(panics, i), "goexit", false))
			print_panic(json_at(panics, i), i == 0, out);
	if (fatal)
		fprintf(out, "fatal error: %s\n", fatal);
	if (json_get_u64(crash, "signal", 0))
		fprintf(out, "[signal %s code=0x%" PRIx64 " addr=%s pc=%s]\n",
			text(crash, "signal_text"), json_get_u64(crash, "signal_code", 0),
			json_get_text(crash, "signal_address") ?
				json_get_text(crash, "signal_address") :
				"0x0",
			text(crash, "signal_pc"));
	if (json_get_text(crash, "goroutine"))
		fprintf(out, "in goroutine %s\n", json_get_text(crash, "goroutine"));
	fputc('\n', out);
}

void gotext_finding(const struct json *finding, FILE *out)
{
	fprintf(out, "%s: %s.\n\n", text(finding, "certainty"), text(finding, "text"));
}

// ---- which frames --------------------------------------------------------------------------

/// Has the runtime exported it, as an exported name begins with a capital letter?
static bool is_exported(const char *name)
{
	return name[8] >= 'A' && name[8] <= 'Z';
}

/// The rule of the runtime's tracebacks, src/runtime/traceback.go showfuncinfo().
static bool is_shown(const char *name, bool first)
{
	if (!strcmp(name, "runtime.gopanic") && !first)
		return true;
	return strchr(name, '.') && (strncmp(name, "runtime.", 8) != 0 || is_exported(name));
}

/// Panics and traps call even wrappers in a way that is worth showing.
static bool wrapper_matters(const char *callee)
{
	return callee && (!strcmp(callee, "runtime.gopanic") ||
			  !strcmp(callee, "runtime.sigpanic") ||
			  !strcmp(callee, "runtime.panicwrap"));
}

/// The name as the runtime prints it.
static void print_name(const char *name, FILE *out)
{
	const char *open = strchr(name, '['), *close = strrchr(name, ']');
	if (!strcmp(name, "runtime.gopanic"))
		fputs("panic", out);
	else if (open && close && close > open)
		fprintf(out, "%.*s[...]%s", (int)(open - name), name, close + 1);
	else
		fputs(name, out);
}

static void print_frame(const struct json *frame, bool system, FILE *out)
{
	uint64_t offset = json_get_u64(frame, "offset", 0);
	bool inlined = json_get_bool(frame, "inlined", false);
	const char *args = json_get_text(frame, "args");
	print_name(text(frame, "function"), out);
	fprintf(out, "(%s)\n\t%s:%" PRIu64, inlined ? "..." : args ? args : "",
		text(frame, "file"), json_get_u64(frame, "line", 0));
	if (!inlined && offset)
		fprintf(out, " +0x%" PRIx64, offset);
	if (!inlined && system)
		fprintf(out, " fp=%s sp=%s pc=%s", text(frame, "fp"), text(frame, "sp"),
			text(frame, "pc"));
	fputc('\n', out);
}

static void print_frames(const struct json *frames, bool system, FILE *out)
{
	const char *callee = NULL;
	bool first = true;
	for (size_t i = 0; i < json_length(frames); i++) {
		const struct json *frame = json_at(frames, i);
		const char *name = text(frame, "function");
		bool wrapper = json_get_bool(frame, "wrapper", false) && !wrapper_matters(callee);
		callee = name;
		if (!system && (wrapper || !is_shown(name, first)))
			continue;
		print_frame(frame, system, out);
		first = false;
	}
}

static void print_labels(const struct json *labels, FILE *out)
{
	fputc('{', out);
	for (size_t i = 0; i < json_length(labels) && i < LABELS_SHOWN; i++) {
		const char *key = json_key_at(labels, i);
		fprintf(out, "%s%s: %s", i ? ", " : "", key, text(labels, key));
	}
	fputs(json_length(labels) > LABELS_SHOWN ? ", ...}" : "}", out);
}

// ---- one by one ----------------------------------------------------------------------------

static void print_creator(const struct json *creator, bool system, FILE *out)
{
	const char *name = json_get_text(creator, "function");
	uint64_t parent = json_get_u64(creator, "goroutine", 0);
	uint64_t offset = json_get_u64(creator, "offset", 0);
	if (!name || (!system && !is_shown(name, false)))
		return;
	fputs("created by ", out);
	print_name(name, out);
	if (parent)
		fprintf(out, " in goroutine %" PRIu64, parent);
	fprintf(out, "\n\t%s:%" PRIu64, text(creator, "file"), json_get_u64(creator, "line", 0));
	if (offset)
		fprintf(out, " +0x%" PRIx64, offset);
	fputc('\n', out);
}

void gotext_goroutine(const struct json *goroutine, bool system, FILE *out)
{
	enum { MINUTE_S = 60 };
	uint64_t minutes = json_get_u64(goroutine, "wait_ns", 0) / 1000000000 / MINUTE_S;
	uint64_t bubble = json_get_u64(goroutine, "bubble", 0);
	const char *end = json_get_text(goroutine, "stack_end");
	fprintf(out, "goroutine %" PRIu64 " [%s", json_get_u64(goroutine, "id", 0),
		text(goroutine, "state"));
	if (json_get_bool(goroutine, "scan", false))
		fputs(" (scan)", out);
	if (!strcmp(text(goroutine, "status"), "leaked"))
		fputs(" (leaked)", out);
	if (minutes)
		fprintf(out, ", %" PRIu64 " minutes", minutes);
	if (json_get_bool(goroutine, "locked_to_thread", false))
		fputs(", locked to thread", out);
	if (bubble)
		fprintf(out, ", synctest bubble %" PRIu64, bubble);
	fputs("]", out);
	if (json_get(goroutine, "labels")) {
		fputc(' ', out);
		print_labels(json_get(goroutine, "labels"), out);
	}
	fputs(":\n", out);
	print_frames(json_get(goroutine, "frames"), system, out);
	if (end && strcmp(end, "complete") != 0 && !json_length(json_get(goroutine, "frames")))
		fprintf(out, "\tstack unavailable: %s\n", end);
	else if (end && !strcmp(end, "too-deep"))
		fputs("...additional frames elided...\n", out);
	print_creator(json_get(goroutine, "created_by"), system, out);
	fputc('\n', out);
}

// ---- in groups -----------------------------------------------------------------------------

static void print_waits(const struct json *group, FILE *out)
{
	char a[32], b[32];
	uint64_t shortest = json_get_u64(group, "shortest_wait_ns", 0);
	uint64_t longest = json_get_u64(group, "longest_wait_ns", 0);
	if (!json_get(group, "longest_wait_ns"))
		return;
	format_wait(shortest, a);
	format_wait(longest, b);
	if (!strcmp(a, b))
		fprintf(out, ", at least %s", b);
	else
		fprintf(out, ", at least %s to %s", a, b);
}

static void print_ids(const struct json *group, FILE *out)
{
	const struct json *ids = json_get(group, "goroutines");
	uint64_t count = json_get_u64(group, "count", 0);
	fputs("    goroutines ", out);
	for (size_t i = 0; i < json_length(ids); i++)
		fprintf(out, "%s%s", i ? ", " : "", json_text_value(json_at(ids, i)));
	fputs(count > json_length(ids) ? ", ...\n" : "\n", out);
}

void gotext_group(const struct json *group, FILE *out)
{
	uint64_t count = json_get_u64(group, "count", 0);
	const struct json *frames = json_get(group, "frames"), *labels = json_get(group, "labels");
	const struct json *creator = json_get(group, "created_by");
	const char *end = json_get_text(group, "stack_end");
	fprintf(out, "%" PRIu64 " goroutine%s [", count, count == 1 ? "" : "s");
	if (json_length(json_get(group, "states")) == 1)
		fputs(json_key_at(json_get(group, "states"), 0), out);
	else
		print_counts(json_get(group, "states"), out);
	print_waits(group, out);
	fputs(json_get_bool(group, "system", false) ? "], the runtime's own" : "]", out);
	if (labels) {
		fputc(' ', out);
		print_labels(labels, out);
	}
	fputc('\n', out);
	print_ids(group, out);
	for (size_t i = 0; i < json_length(frames); i++) {
		const struct json *f = json_at(frames, i);
		fputs("        ", out);
		print_name(text(f, "function"), out);
		fprintf(out, "  %s:%" PRIu64 "%s\n", text(f, "file"), json_get_u64(f, "line", 0),
			json_get_bool(f, "signal", false) ? "  <- signal" : "");
	}
	if (end && strcmp(end, "complete") != 0)
		fprintf(out, "        (the stack ends here: %s)\n", end);
	if (creator) {
		fputs("    created by ", out);
		print_name(text(creator, "function"), out);
		fprintf(out, "  %s:%" PRIu64 "\n", text(creator, "file"),
			json_get_u64(creator, "line", 0));
	}
	fputc('\n', out);
}
