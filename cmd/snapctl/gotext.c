// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gotext.h"

#include <inttypes.h>
#include <string.h>

#include "common/str.h"
#include "goframe.h"
#include "gotraceback.h"
#include "when.h"

enum {
	STATES_SHOWN = 10,
	// What is between them is a recursion in all likelihood.
	FRAMES_TOP = 40,
	FRAMES_BOTTOM = 20,
	NAME_COLUMN_MAX = 50,
	REVISION_DIGITS = 12,
};

// ---- the program ---------------------------------------------------------------------------

void gotext_counts(const struct json *counts, size_t max, FILE *out)
{
	uint64_t others = 0;
	for (size_t i = 0; i < json_length(counts); i++) {
		const char *key = json_key_at(counts, i);
		uint64_t n = json_get_u64(counts, key, 0);
		if (i >= max && json_length(counts) > max + 1)
			others += n;
		else
			fprintf(out, "%s%" PRIu64 " %s", i ? ", " : "", n, gotext_safe(key));
	}
	if (others)
		fprintf(out, ", %" PRIu64 " in other states", others);
}

void gotext_build(const struct json *runtime, FILE *out)
{
	const struct json *build = json_get(runtime, "build");
	const struct json *settings = json_get(build, "settings");
	const char *version = json_get_text(runtime, "version");
	const char *module = json_get_text(build, "module"), *path = json_get_text(build, "path");
	const char *revision = json_get_text(settings, "vcs.revision");
	const char *modified = json_get_text(settings, "vcs.modified");
	fputs(version ? gotext_safe(version) : "Go of unknown version", out);
	if (path)
		fprintf(out, ", %s", gotext_safe(path));
	if (module && (!path || strncmp(path, module, strlen(module)) != 0))
		fprintf(out, ", module %s", gotext_safe(module));
	if (json_get_text(build, "module_version"))
		fprintf(out, " %s", gotext_of(build, "module_version"));
	if (revision)
		fprintf(out, ", revision %.*s", REVISION_DIGITS, gotext_safe(revision));
	if (modified && !strcmp(modified, "true"))
		fputs(", modified", out);
}

static void print_core(const struct json *core, FILE *out)
{
	char when[64], pause[16];
	uint64_t ns = json_get_u64(core, "realtime_ns", 0);
	fprintf(out, "Process %" PRIu64, json_get_u64(core, "pid", 0));
	if (json_get_text(core, "comm"))
		fprintf(out, " ('%s')", gotext_of(core, "comm"));
	if (ns)
		fprintf(out, " at %s", when_format(ns, when));
	if (json_get_u64(core, "pause_ns", 0))
		fprintf(out, ", stopped for %s",
			snap_format_ns(json_get_u64(core, "pause_ns", 0), pause));
	fputc('\n', out);
}

static void print_doubts(const struct json *runtime, FILE *out)
{
	uint64_t lost = json_get_u64(runtime, "not_in_core", 0);
	uint64_t damaged = json_get_u64(runtime, "damaged", 0);
	uint64_t beyond = json_get_u64(runtime, "beyond_limit", 0);
	if (json_get_bool(runtime, "newer_than_known", false))
		fputs("This version of Go is newer than procsnap knows; what follows passed its "
		      "checks.\n",
		      out);
	if (lost)
		fprintf(out, "%" PRIu64 " goroutines are not in the core.\n", lost);
	if (damaged)
		fprintf(out, "%" PRIu64 " entries of the list are no goroutines.\n", damaged);
	if (beyond)
		fprintf(out, "%" PRIu64 " goroutines beyond the limit were not looked at.\n",
			beyond);
}

static void print_runtime(struct gotext *t, const struct json *runtime)
{
	uint64_t all = json_get_u64(runtime, "goroutine_count", 0);
	const char *phase = json_get_text(runtime, "gc_phase");
	const char *image = json_get_text(runtime, "image");
	if (image && *image)
		fprintf(t->out, "%s: ", gotext_safe(image));
	gotext_build(runtime, t->out);
	fputc('\n', t->out);
	print_core(t->core, t->out);
	fprintf(t->out,
		"%" PRIu64 " goroutine%s, %" PRIu64 " more of the runtime's own; %" PRIu64
		" threads, GOMAXPROCS %" PRIu64 "%s%s\n",
		t->user, t->user == 1 ? "" : "s", all - MIN(all, t->user),
		json_get_u64(runtime, "thread_count", 0), json_get_u64(runtime, "gomaxprocs", 0),
		!phase		      ? "" :
		!strcmp(phase, "off") ? ", GC not running" :
					", GC in phase ",
		phase && strcmp(phase, "off") != 0 ? gotext_safe(phase) : "");
	fprintf(t->out, "States of all %" PRIu64 ": ", all);
	gotext_counts(json_get(runtime, "states"), STATES_SHOWN, t->out);
	fputc('\n', t->out);
	print_doubts(runtime, t->out);
	fputc('\n', t->out);
}

// ---- stacks --------------------------------------------------------------------------------

/// Says that frames of C are missing behind a frame, and why.
static void print_gap(const char *gap, FILE *out)
{
	static const char *const texts[][2] = {
		{ "no-unwind-info", "nothing tells how to unwind them" },
		{ "not-in-core", "their stack is not in the core" },
		{ "broken", "their stack is damaged" },
		{ "too-deep", "there are too many" },
		{ "other-stack", "they are on a stack of their own" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!strcmp(texts[i][0], gap))
			gap = texts[i][1];
	fprintf(out, "    (C functions are missing here: %s)\n", gotext_safe(gap));
}

/// Goes through the frames of a summary. With @out NULL it only finds out how wide the names are.
static int each_frame(const struct gotext *t, const struct json *frames, bool waiting, int width,
		      FILE *out)
{
	size_t n = json_length(frames), first = t->system ? 0 : goframe_first(frames, waiting);
	size_t shown = 0, last = n > FRAMES_BOTTOM ? n - FRAMES_BOTTOM : 0;
	const char *callee = first ? gotext_of(json_at(frames, first - 1), "function") : NULL;
	int widest = 0;
	for (size_t i = first; i < n; i++) {
		const struct json *f = json_at(frames, i);
		const char *name = gotext_of(f, "function"), *gap = json_get_text(f, "gap");
		bool wrapper = goframe_is_wrapper(f, callee);
		callee = name;
		if (!t->system &&
		    (wrapper || (shown && !goframe_is_shown(name, false) &&
				 !goframe_is_native(f) && !json_get_bool(f, "signal", false)))) {
			if (gap && out)
				print_gap(gap, out);
			continue;
		}
		if (++shown > FRAMES_TOP && i < last) {
			if (out)
				fprintf(out, "    ... %zu frames\n", last - i);
			i = last - 1;
			continue;
		}
		widest = MAX(widest, goframe_print_function(f, NULL));
		if (!out)
			continue;
		fputs("    ", out);
		int len = goframe_print_function(f, out);
		fprintf(out, "%*s  ", MAX(width - len, 0), "");
		goframe_print_place(f, out);
		fputs(json_get_bool(f, "signal", false) ? "  <- signal\n" : "\n", out);
		if (gap)
			print_gap(gap, out);
	}
	return widest;
}

static const char *end_text(const char *end)
{
	static const char *const texts[][2] = {
		{ "foreign-caller", "above is C, or other code that is not Go" },
		{ "stack-switch", "it goes on on another stack" },
		{ "not-in-core", "the rest is not in the core" },
		{ "broken", "the rest is damaged" },
		{ "too-deep", "the rest is too deep" },
		{ "being-copied", "the runtime was just moving this stack" },
		{ "no-registers", "it runs, and the registers of its thread are not known" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!strcmp(texts[i][0], end))
			return texts[i][1];
	return gotext_safe(end);
}

static void print_stack(const struct gotext *t, const struct json *object, bool waiting)
{
	const struct json *frames = json_get(object, "frames");
	const struct json *creator = json_get(object, "created_by");
	const char *end = json_get_text(object, "stack_end");
	int width = MIN(each_frame(t, frames, waiting, 0, NULL), (int)NAME_COLUMN_MAX);
	(void)each_frame(t, frames, waiting, width, t->out);
	if (end && strcmp(end, "complete") != 0)
		fprintf(t->out, "    (%s)\n", end_text(end));
	if (!creator || (!t->system && !goframe_is_shown(gotext_of(creator, "function"), false)))
		return;
	fputs("    created by ", t->out);
	(void)goframe_print_name(gotext_of(creator, "function"), t->out);
	fputs("  ", t->out);
	goframe_print_place(creator, t->out);
	fputc('\n', t->out);
}

// ---- the crash and what looks wrong --------------------------------------------------------

static void print_crash(struct gotext *t, const struct json *crash)
{
	gotraceback_crash(crash, t->out);
	t->crashed = json_get_u64(crash, "goroutine", 0);
	if (t->crashed)
		fprintf(t->out, "in goroutine %" PRIu64 "\n", t->crashed);
	else if (json_get(crash, "goroutine"))
		fputs("on the runtime's own stack of a thread (goroutine 0)\n", t->out);
	if (json_get(crash, "frames"))
		print_stack(t, crash, false);
	fputc('\n', t->out);
}

static void print_finding(struct gotext *t, const struct json *finding)
{
	const char *certainty = gotext_of(finding, "certainty");
	if (!t->in_findings)
		fputs("Findings:\n", t->out);
	t->in_findings = true;
	fprintf(t->out, "  - %s%s.\n",
		!strcmp(certainty, "fact") ? "" :
		!strcmp(certainty, "hint") ? "perhaps: " :
					     "likely: ",
		gotext_of(finding, "text"));
}

// ---- groups --------------------------------------------------------------------------------

/// Is each of them in a state that a wait reason describes?
static bool all_wait(const struct json *states)
{
	static const char *const others[] = { "idle", "runnable", "running", "syscall",
					      "copystack", "preempted", "other" };
	for (size_t i = 0; i < json_length(states); i++)
		for (size_t j = 0; j < ARRAY_SIZE(others); j++)
			if (!strcmp(json_key_at(states, i), others[j]))
				return false;
	return true;
}

static void print_waits(struct gotext *t, const struct json *group, bool waiting)
{
	char a[32], b[32];
	uint64_t count = json_get_u64(group, "count", 0);
	uint64_t unknown = json_get_u64(group, "unknown_waits", 0);
	t->unknown_waits |= waiting && unknown;
	if (!json_get(group, "longest_wait_ns"))
		return;
	t->known_waits = true;
	fputs(", ", t->out);
	if (unknown)
		fprintf(t->out, "%" PRIu64 " of them for ", count - MIN(count, unknown));
	(void)when_span(json_get_u64(group, "shortest_wait_ns", 0), a);
	(void)when_span(json_get_u64(group, "longest_wait_ns", 0), b);
	if (strcmp(a, b) != 0)
		fprintf(t->out, "about %s to %s", a, b);
	else
		fprintf(t->out, "about %s", b);
}

/// "7-9, 12, ...": they are in the order in which they were found.
static void print_ids(const struct gotext *t, const struct json *group)
{
	FILE *out = t->out;
	bool crashed = false;
	const struct json *ids = json_get(group, "goroutines");
	uint64_t count = json_get_u64(group, "count", 0);
	size_t n = json_length(ids);
	fputs(count == 1 ? "    goroutine " : "    goroutines ", out);
	for (size_t i = 0, end; i < n; i = end) {
		uint64_t first = json_u64_value(json_at(ids, i), 0), last = first;
		for (end = i + 1; end < n; end++, last++)
			if (json_u64_value(json_at(ids, end), 0) != last + 1)
				break;
		fprintf(out, "%s%" PRIu64, i ? ", " : "", first);
		if (last != first)
			fprintf(out, "%s%" PRIu64, last == first + 1 ? ", " : "-", last);
		crashed |= t->crashed && first <= t->crashed && t->crashed <= last;
	}
	fputs(count > n ? ", ..." : "", out);
	if (crashed)
		fprintf(out, "  <- goroutine %" PRIu64 " crashed", t->crashed);
	fputc('\n', out);
}

static void print_group(struct gotext *t, const struct json *group)
{
	uint64_t count = json_get_u64(group, "count", 0);
	const struct json *states = json_get(group, "states"), *labels = json_get(group, "labels");
	bool waiting = all_wait(states);
	if (t->in_findings)
		fputc('\n', t->out);
	t->in_findings = false;
	t->shown += count;
	fprintf(t->out, "%" PRIu64 " goroutine%s [", count, count == 1 ? "" : "s");
	if (json_length(states) == 1)
		fputs(gotext_safe(json_key_at(states, 0)), t->out);
	else
		gotext_counts(states, STATES_SHOWN, t->out);
	print_waits(t, group, waiting);
	fputs(json_get_bool(group, "system", false) ? "], the runtime's own" : "]", t->out);
	if (labels) {
		fputc(' ', t->out);
		gotraceback_labels(labels, t->out);
	}
	fputc('\n', t->out);
	print_ids(t, group);
	print_stack(t, group, waiting);
	fputc('\n', t->out);
}

// ---- all of it -----------------------------------------------------------------------------

static void end_runtime(struct gotext *t)
{
	if (!t->in_runtime)
		return;
	if (t->in_findings)
		fputc('\n', t->out);
	if (t->shown < t->user && !t->filtered)
		fprintf(t->out, "%" PRIu64 " more goroutines are in smaller groups.\n",
			t->user - t->shown);
	if (!t->shown && t->filtered)
		fputs("No goroutine is like that.\n", t->out);
	// src/runtime/mgcmark.go takes the time of the collection before, work.tstart.
	if (t->known_waits)
		fputs("Times are Go's own: from the garbage collection before the one that first "
		      "found the goroutine\nblocked. It may have been blocked for one interval "
		      "between collections less.\n",
		      t->out);
	if (t->unknown_waits)
		fputs("Where no time is shown, no garbage collection has found it blocked yet.\n",
		      t->out);
	if (t->known_waits && t->no_clock)
		fputs("The core does not tell when it was made, so the times may be too short.\n",
		      t->out);
	t->in_runtime = t->in_findings = t->known_waits = t->unknown_waits = false;
}

static void begin_runtime(struct gotext *t, const struct json *runtime)
{
	if (t->in_runtime)
		fputc('\n', t->out);
	end_runtime(t);
	t->in_runtime = true;
	t->shown = t->crashed = 0;
	t->user = json_get_u64(runtime, "user_goroutine_count", 0);
	t->no_clock = !json_get_bool(runtime, "clock_exact", false);
	print_runtime(t, runtime);
}

void gotext_line(struct gotext *t, const char *kind, const struct json *value)
{
	if (!strcmp(kind, "core") && !t->core)
		t->core = json_share(value);
	else if (!strcmp(kind, "runtime"))
		begin_runtime(t, value);
	else if (!strcmp(kind, "crash"))
		print_crash(t, value);
	else if (!strcmp(kind, "finding"))
		print_finding(t, value);
	else if (!strcmp(kind, "group"))
		print_group(t, value);
}

void gotext_end(struct gotext *t)
{
	end_runtime(t);
	json_destroy(TAKE_PTR(t->core));
}
