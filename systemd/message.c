// SPDX-License-Identifier: LGPL-2.1-or-later
#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/json.h"
#include "common/str.h"
#include "common/summary.h"

enum {
	// journalctl shows all of a message, between those of others: enough to see what the
	// program is about. The summary itself has the rest.
	MESSAGE_MAX = 32 << 10,
	GROUPS_MAX = 20,
	FRAMES_MAX = 12,
	FINDINGS_MAX = 10,
	// Nothing that deserves to be read is longer; symbols of generic code are.
	WORD_MAX = 200,
	PANICS_MAX = 4, // panics while panicking
	TEXT_MAX = 500, // of a panic, which may be the text of a whole error
};

struct message {
	struct strbuf *buf;
	size_t limit; ///< of buf->len
	int r; ///< the first error
	size_t findings, groups, left_out; ///< of the runtime; left_out: goroutines
	const struct json *runtime; ///< whose lines come
};

static void add(struct message *m, const char *fmt, ...) _printf_(2, 3);
static void add(struct message *m, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		m->r = -ENOMEM;
	else if (m->r == 0)
		m->r = strbuf_add(m->buf, text, (size_t)n);
	if (n >= 0)
		free(text);
}

/// Adds text from outside, on the same line whatever is in it.
static void add_word(struct message *m, const char *text, size_t len)
{
	_cleanup_free_ char *shown = snap_escape(text, MIN(len, (size_t)WORD_MAX));
	if (!shown)
		m->r = -ENOMEM;
	else
		add(m, "%s%s", shown, len > WORD_MAX ? "..." : "");
}

static void add_text(struct message *m, const struct json *object, const char *key)
{
	const char *text = json_get_text(object, key);
	add_word(m, text ? text : "?", text ? strlen(text) : 1);
}

static void add_name(struct message *m, const char *name, size_t len)
{
	if (!name)
		return;
	add(m, " (");
	add_word(m, name, len);
	add(m, ")");
}

/// What the unwinder says of itself is from outside, too: lines stay lines, all else is escaped.
static void add_stacks(struct message *m, const char *stacks)
{
	size_t limit = m->buf->len + RECORD_STACKS_MAX, left_out = 0;
	for (const char *p = stacks; *p && m->r == 0;) {
		size_t len = strcspn(p, "\n");
		_cleanup_free_ char *line = snap_escape(p, len);
		if (!line)
			m->r = -ENOMEM;
		else if (left_out || m->buf->len + strlen(line) > limit)
			left_out++;
		else
			add(m, "%s\n", line);
		p += len + (p[len] == '\n');
	}
	if (left_out)
		add(m, "... %zu lines are left out\n", left_out);
}

/// The first line is that of systemd-coredump.
static void add_crash_head(struct message *m, const struct record_dump *dump)
{
	const struct record_crash *crash = dump->crash;
	add(m, " dumped core.\n");
	if (dump->partial)
		add(m, "The core is not complete.\n");
	if (crash->suppressed)
		add(m, "%" PRIu64 " more crashes like this one have left no core.\n",
		    crash->suppressed);
	if (crash->stacks && *crash->stacks) {
		add(m, "\n");
		add_stacks(m, crash->stacks);
	}
}

static void add_head(struct message *m, const struct procid *id, const struct record_dump *dump)
{
	char pause[16];
	const struct procid_text *comm = &id->fields[PROCID_COMM];
	add(m, "Process %d", id->pid);
	add_name(m, comm->data, comm->len);
	if (id->ids_known)
		add(m, " of user %u", id->uid);
	if (dump->kind == RECORD_CRASH) {
		add_crash_head(m, dump);
		return;
	}
	add(m, " was dumped while it ran, for user %u", dump->requester.uid);
	if (dump->requester.comm)
		add_name(m, dump->requester.comm, strlen(dump->requester.comm));
	add(m, ". It stood still for %s.", snap_format_ns(dump->pause_ns, pause));
	if (dump->partial)
		add(m, " The core is not complete.");
	add(m, "\n");
}

// ---- what its goroutines did -----------------------------------------------------------------

/// "5 select, 1 running"
static void add_counts(struct message *m, const struct json *counts)
{
	for (size_t i = 0; i < json_length(counts) && i < FRAMES_MAX; i++) {
		const char *key = json_key_at(counts, i);
		add(m, "%s%" PRIu64 " ", i ? ", " : "", json_get_u64(counts, key, 0));
		add_word(m, key, strlen(key));
	}
}

static void add_runtime(struct message *m, const struct json *runtime)
{
	const struct json *build = json_get(runtime, "build");
	uint64_t all = json_get_u64(runtime, "goroutine_count", 0);
	uint64_t user = json_get_u64(runtime, "user_goroutine_count", 0);
	m->findings = m->groups = m->left_out = 0;
	m->runtime = runtime;
	add(m, "\n");
	add_text(m, runtime, "version");
	if (json_get_text(build, "path")) {
		add(m, ", ");
		add_text(m, build, "path");
	}
	add(m,
	    "\n%" PRIu64 " goroutine%s, %" PRIu64 " more of the runtime's own; %" PRIu64
	    " threads, GOMAXPROCS %" PRIu64 "\n",
	    user, user == 1 ? "" : "s", all - MIN(all, user),
	    json_get_u64(runtime, "thread_count", 0), json_get_u64(runtime, "gomaxprocs", 0));
}

static void add_finding(struct message *m, const struct json *finding)
{
	const char *certainty = json_get_text(finding, "certainty");
	if (m->findings++ >= FINDINGS_MAX)
		return;
	add(m, "- %s",
	    !certainty || !strcmp(certainty, "fact") ? "" :
	    !strcmp(certainty, "hint")		     ? "perhaps: " :
						       "likely: ");
	add_text(m, finding, "text");
	add(m, "\n");
}

/// Is it a function of the runtime that programs do not call by its name, such as runtime.gopark?
static bool is_inner(const struct json *frame)
{
	const char *name = json_get_text(frame, "function");
	const char *last = name ? strrchr(name, '.') : NULL;
	if (!last || json_get_bool(frame, "native", false))
		return false;
	if (!strncmp(last, ".runtime_", strlen(".runtime_")) ||
	    !strncmp(name, "internal/runtime/", strlen("internal/runtime/")) ||
	    !strncmp(name, "runtime/internal/", strlen("runtime/internal/")))
		return true;
	return !strncmp(name, "runtime.", strlen("runtime.")) &&
	       !(last[1] >= 'A' && last[1] <= 'Z') && strcmp(name, "runtime.gopanic") != 0;
}

static void add_frame(struct message *m, const struct json *frame)
{
	add(m, "    ");
	if (json_get_text(frame, "function"))
		add_text(m, frame, "function");
	else
		add_text(m, frame, "pc");
	if (json_get_text(frame, "file")) {
		add(m, "  ");
		add_text(m, frame, "file");
		add(m, ":%" PRIu64, json_get_u64(frame, "line", 0));
	}
	add(m, "\n");
}

/// The frames of the program; all of them when there are none but the runtime's.
static void add_stack(struct message *m, const struct json *frames)
{
	size_t n = json_length(frames), inner = 0, shown = 0, more = 0;
	for (size_t i = 0; i < n; i++)
		inner += is_inner(json_at(frames, i));
	for (size_t i = 0; i < n; i++) {
		if (inner < n && is_inner(json_at(frames, i)))
			continue;
		if (shown++ < FRAMES_MAX)
			add_frame(m, json_at(frames, i));
		else
			more++;
	}
	if (more)
		add(m, "    ... %zu frames\n", more);
}

// ---- what it died of ---------------------------------------------------------------------------

/// Text from outside that is not one word, and may be longer.
static void add_saying(struct message *m, const char *before, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	_cleanup_free_ char *shown = snap_escape(text ? text : "", MIN(len, (size_t)TEXT_MAX));
	if (!shown)
		m->r = -ENOMEM;
	else
		add(m, "%s%s%s", before, shown, len > TEXT_MAX ? "..." : "");
}

static void add_panics(struct message *m, const struct json *panics)
{
	bool again = false;
	for (size_t i = 0, shown = 0; i < json_length(panics) && shown < PANICS_MAX; i++) {
		const struct json *panic = json_at(panics, i);
		if (!again && !json_get_bool(panic, "goexit", false)) {
			add_saying(m, "panic: ", json_get_text(panic, "value"));
			add(m, "%s\n",
			    json_get_bool(panic, "recovered", false) ? " [recovered]" : "");
			shown++;
		}
		again = json_get_bool(panic, "repanicked", false); // the next one repeats it
	}
}

static void add_signal(struct message *m, const struct json *crash)
{
	const char *text = json_get_text(crash, "signal_text");
	uint64_t number = json_get_u64(crash, "signal", 0);
	if (!number)
		return;
	if (text)
		add_saying(m, "signal ", text);
	else
		add(m, "signal %" PRIu64, number);
	if (json_get_text(crash, "signal_address"))
		add_saying(m, " at address ", json_get_text(crash, "signal_address"));
	add(m, "\n");
}

static const struct json *group_of(const struct json *runtime, uint64_t goroutine)
{
	const struct json *groups = json_get(runtime, "groups");
	for (size_t i = 0; i < json_length(groups); i++) {
		const struct json *numbers = json_get(json_at(groups, i), "goroutines");
		for (size_t k = 0; k < json_length(numbers); k++)
			if (json_u64_value(json_at(numbers, k), 0) == goroutine)
				return json_at(groups, i);
	}
	return NULL;
}

static void add_crash(struct message *m, const struct json *crash)
{
	uint64_t goroutine = json_get_u64(crash, "goroutine", 0);
	add_panics(m, json_get(crash, "panics"));
	if (json_get_text(crash, "fatal_error")) {
		add_saying(m, "fatal error: ", json_get_text(crash, "fatal_error"));
		add(m, "\n");
	}
	add_signal(m, crash);
	if (!goroutine)
		return;
	add(m, "in goroutine %" PRIu64 "\n", goroutine);
	const struct json *group = group_of(m->runtime, goroutine);
	if (group)
		add_stack(m, json_get(group, "frames"));
}

// ---- all of it ---------------------------------------------------------------------------------

static void add_group(struct message *m, const struct json *group)
{
	uint64_t count = json_get_u64(group, "count", 0);
	if (m->groups == GROUPS_MAX || m->buf->len > m->limit) {
		m->left_out += count;
		return;
	}
	m->groups++;
	add(m, "\n%" PRIu64 " goroutine%s [", count, count == 1 ? "" : "s");
	const struct json *states = json_get(group, "states");
	if (json_length(states) == 1)
		add_word(m, json_key_at(states, 0), strlen(json_key_at(states, 0)));
	else
		add_counts(m, states);
	add(m, "%s]\n", json_get_bool(group, "system", false) ? ", the runtime's own" : "");
	add_stack(m, json_get(group, "frames"));
}

static void end_runtime(struct message *m)
{
	if (m->left_out)
		add(m, "\n%zu more goroutines are in other groups.\n", m->left_out);
	m->left_out = 0;
}

static int add_line(void *userdata, const char *kind, const struct json *value)
{
	struct message *m = userdata;
	if (!strcmp(kind, "runtime")) {
		end_runtime(m);
		add_runtime(m, value);
	} else if (!strcmp(kind, "crash")) {
		add_crash(m, value);
	} else if (!strcmp(kind, "finding")) {
		add_finding(m, value);
	} else if (!strcmp(kind, "group")) {
		add_group(m, value);
	}
	return m->r;
}

int message_format(const struct procid *id, const struct record_dump *dump, struct strbuf *buf)
{
	struct message m = { .buf = buf };
	add_head(&m, id, dump);
	// A group adds up to 12 frames of two words; the limit leaves room for the last one.
	m.limit = buf->len + MESSAGE_MAX - 16 * 1024;
	if (dump->summary && m.r == 0) {
		int r = summary_replay(dump->summary, add_line, &m);
		if (r < 0)
			return r;
		end_runtime(&m);
	}
	while (m.r == 0 && buf->len && buf->data[buf->len - 1] == '\n')
		buf->data[--buf->len] = '\0';
	return m.r;
}
