// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gotraceback.h"

#include <inttypes.h>
#include <string.h>

#include "goframe.h"

enum { LABELS_SHOWN = 8, LABELS_MINOR = 27 };

// ---- the crash -----------------------------------------------------------------------------

static void print_panic(const struct json *panic, bool first, FILE *out)
{
	bool recovered = json_get_bool(panic, "recovered", false);
	bool again = json_get_bool(panic, "repanicked", false);
	fprintf(out, "%spanic: %s%s\n", first ? "" : "\t", gotext_of(panic, "value"),
		recovered && again ? " [recovered, repanicked]" : recovered ? " [recovered]" : "");
}

/// All but those that only repeat the one before.
static void print_panics(const struct json *panics, FILE *out)
{
	bool first = true, again = false;
	for (size_t i = 0; i < json_length(panics); i++) {
		const struct json *panic = json_at(panics, i);
		if (!again && !json_get_bool(panic, "goexit", false)) {
			print_panic(panic, first, out);
			first = false;
		}
		again = json_get_bool(panic, "repanicked", false);
	}
}

/// In brackets beside a panic or a fatal error; else it is what ended the program.
static void print_signal(const struct json *crash, bool beside, FILE *out)
{
	const char *addr = json_get_text(crash, "signal_address");
	const char *text = json_get_text(crash, "signal_text");
	uint64_t code = json_get_u64(crash, "signal_code", 0);
	char number[32];
	(void)snprintf(number, sizeof(number), "signal %" PRIu64,
		       json_get_u64(crash, "signal", 0));
	if (beside)
		fprintf(out, "[signal %s code=0x%" PRIx64 " addr=%s pc=%s]\n",
			text ? gotext_safe(text) : number, code, addr ? gotext_safe(addr) : "0x0",
			gotext_of(crash, "signal_pc"));
	else
		fprintf(out, "%s\nPC=%s sigcode=%" PRId64 "%s%s\n",
			text ? gotext_safe(text) : number, gotext_of(crash, "signal_pc"),
			(int64_t)code, addr ? " addr=" : "", addr ? gotext_safe(addr) : "");
}

void gotraceback_crash(const struct json *crash, FILE *out)
{
	const struct json *panics = json_get(crash, "panics");
	const char *fatal = json_get_text(crash, "fatal_error");
	const struct json *before = json_get(crash, "before");
	print_panics(panics, out);
	for (size_t i = 0; i < json_length(before); i++)
		fprintf(out, "%s\n", gotext_safe(json_text_value(json_at(before, i))));
	if (fatal)
		fprintf(out, "fatal error: %s\n", gotext_safe(fatal));
	if (json_get_u64(crash, "signal", 0))
		print_signal(crash, fatal || json_length(panics), out);
}

// ---- goroutines ----------------------------------------------------------------------------

/// Bare when it is a plain word, else quoted: the rule of the runtime.
static void print_label(const char *text, FILE *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789./_";
	if (!text[strspn(text, plain)]) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++)
		fprintf(out, *text == '"' ? "\\%c" : "%c", *text);
	fputc('"', out);
}

void gotraceback_labels(const struct json *labels, FILE *out)
{
	fputc('{', out);
	for (size_t i = 0; i < json_length(labels) && i < LABELS_SHOWN; i++) {
		const char *key = json_key_at(labels, i);
		fputs(i ? ", " : "", out);
		print_label(gotext_safe(key), out);
		fputs(": ", out);
		print_label(gotext_of(labels, key), out);
	}
	fputs(json_length(labels) > LABELS_SHOWN ? ", ...}" : "}", out);
}

static void print_frame(const struct json *frame, bool system, FILE *out)
{
	uint64_t offset = json_get_u64(frame, "offset", 0);
	bool inlined = json_get_bool(frame, "inlined", false);
	const char *args = json_get_text(frame, "args");
	(void)goframe_print_name(gotext_of(frame, "function"), out);
	fprintf(out, "(%s)\n\t", inlined ? "..." : args ? gotext_safe(args) : "");
	goframe_print_place(frame, out);
	if (!inlined && offset)
		fprintf(out, " +0x%" PRIx64, offset);
	if (!inlined && system)
		fprintf(out, " fp=%s sp=%s pc=%s", gotext_of(frame, "fp"), gotext_of(frame, "sp"),
			gotext_of(frame, "pc"));
	fputc('\n', out);
}

static void print_frames(const struct json *frames, bool system, FILE *out)
{
	const char *callee = NULL;
	bool first = true;
	for (size_t i = 0; i < json_length(frames); i++) {
		const struct json *frame = json_at(frames, i);
		// The runtime prints none unless the program helps it (SetCgoTraceback), and those
		// who read tracebacks know no function without a line.
		if (goframe_is_native(frame))
			continue;
		const char *name = gotext_of(frame, "function");
		bool wrapper = goframe_is_wrapper(frame, callee);
		callee = name;
		if (!system && (wrapper || !goframe_is_shown(name, first)))
			continue;
		print_frame(frame, system, out);
		first = false;
	}
}

static void print_creator(const struct json *creator, bool system, FILE *out)
{
	const char *name = json_get_text(creator, "function");
	uint64_t parent = json_get_u64(creator, "goroutine", 0);
	uint64_t offset = json_get_u64(creator, "offset", 0);
	if (!name || (!system && !goframe_is_shown(name, false)))
		return;
	fputs("created by ", out);
	(void)goframe_print_name(name, out);
	if (parent)
		fprintf(out, " in goroutine %" PRIu64, parent);
	fputs("\n\t", out);
	goframe_print_place(creator, out);
	if (offset)
		fprintf(out, " +0x%" PRIx64, offset);
	fputc('\n', out);
}

bool gotraceback_has_labels(const struct json *runtime)
{
	return json_get_u64(runtime, "layout_minor", 0) >= LABELS_MINOR;
}

static void print_header(const struct json *goroutine, bool labels, FILE *out)
{
	const uint64_t minute_ns = 60ULL * 1000000000;
	uint64_t minutes = json_get_u64(goroutine, "wait_ns", 0) / minute_ns;
	uint64_t bubble = json_get_u64(goroutine, "bubble", 0);
	fprintf(out, "goroutine %" PRIu64 " [%s", json_get_u64(goroutine, "id", 0),
		gotext_of(goroutine, "state"));
	if (json_get_bool(goroutine, "scan", false))
		fputs(" (scan)", out);
	if (!strcmp(gotext_of(goroutine, "status"), "leaked"))
		fputs(" (leaked)", out);
	if (json_get_bool(goroutine, "durable", false))
		fputs(" (durable)", out);
	if (minutes)
		fprintf(out, ", %" PRIu64 " minutes", minutes);
	if (json_get_bool(goroutine, "locked_to_thread", false))
		fputs(", locked to thread", out);
	if (bubble)
		fprintf(out, ", synctest bubble %" PRIu64, bubble);
	fputs("]", out);
	if (labels && json_get(goroutine, "labels")) {
		fputc(' ', out);
		gotraceback_labels(json_get(goroutine, "labels"), out);
	}
	fputs(":\n", out);
}

void gotraceback_goroutine(const struct json *goroutine, unsigned int flags, FILE *out)
{
	bool system = flags & GOTRACEBACK_SYSTEM;
	const char *end = json_get_text(goroutine, "stack_end");
	const struct json *frames = json_get(goroutine, "frames");
	print_header(goroutine, flags & GOTRACEBACK_LABELS, out);
	print_frames(frames, system, out);
	if (end && strcmp(end, "complete") != 0 && !json_length(frames))
		fprintf(out, "\tstack unavailable: %s\n", gotext_safe(end));
	else if (end && !strcmp(end, "too-deep"))
		fputs("...additional frames elided...\n", out);
	print_creator(json_get(goroutine, "created_by"), system, out);
	fputc('\n', out);
}
