// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goframe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

const char *gotext_safe(const char *text)
{
	return text && snap_is_printable(text) ? text : "?";
}

const char *gotext_of(const struct json *json, const char *key)
{
	return gotext_safe(json_get_text(json, key));
}

static bool is_capital(char c)
{
	return c >= 'A' && c <= 'Z';
}

/// Has the runtime exported it? Then its name, and that of its type, begin with a capital letter.
static bool is_exported(const char *function)
{
	const char *name = function + strlen("runtime."), *last = strrchr(name, '.');
	if (!last)
		return is_capital(name[0]);
	return is_capital(last[1]) && is_capital(name[strspn(name, "(*")]);
}

bool goframe_is_shown(const char *function, bool first)
{
	// src/runtime/traceback.go, showfuncinfo()
	if (!strcmp(function, "runtime.gopanic") && !first)
		return true;
	// Nothing else would tell that these run a finalizer.
	if (!strcmp(function, "runtime.runFinalizers") || !strcmp(function, "runtime.runCleanups"))
		return true;
	return strchr(function, '.') && (!starts(function, "runtime.") || is_exported(function));
}

bool goframe_is_wrapper(const struct json *frame, const char *callee)
{
	// Panics and traps call even wrappers in a way that is worth showing.
	return json_get_bool(frame, "wrapper", false) &&
	       !(callee &&
		 (!strcmp(callee, "runtime.gopanic") || !strcmp(callee, "runtime.sigpanic") ||
		  !strcmp(callee, "runtime.panicwrap")));
}

bool goframe_is_end(const struct json *frame)
{
	return !strcmp(gotext_of(frame, "function"), "runtime.goexit");
}

/// Is it a function of the runtime that programs do not call by its name?
static bool is_inner(const char *function)
{
	const char *dot = strrchr(function, '.');
	if (starts(function, "runtime."))
		return !is_exported(function);
	// Parts of the runtime that others have linked to: sync.runtime_SemacquireMutex.
	return starts(function, "internal/runtime/") || starts(function, "runtime/internal/") ||
	       (dot && starts(dot, ".runtime_"));
}

/// Is it what someone who reads the stack of a crash must see?
static bool is_alarming(const struct json *frame)
{
	static const char *const names[] = {
		"runtime.gopanic",  "runtime.goPanic", "runtime.panic",
		"runtime.sigpanic", "runtime.throw",   "runtime.fatal",
	};
	if (json_get_bool(frame, "signal", false))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (starts(gotext_of(frame, "function"), names[i]))
			return true;
	return false;
}

/// Does it only put the goroutine aside?
static bool is_switch(const char *function)
{
	static const char *const names[] = {
		"runtime.gopark",	"runtime.goparkunlock",	 "runtime.mcall",
		"runtime.asyncPreempt", "runtime.asyncPreempt2", "runtime.gosched_m",
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(function, names[i]))
			return true;
	return false;
}

size_t goframe_first(const struct json *frames, bool waiting)
{
	size_t n = json_length(frames), outer = 0, switches = 0;
	while (outer < n && is_inner(gotext_of(json_at(frames, outer), "function")))
		outer++;
	while (switches < n && is_switch(gotext_of(json_at(frames, switches), "function")))
		switches++;
	// A goroutine of the runtime's own has nothing else.
	size_t first = waiting && outer < n ? outer : switches;
	for (size_t i = 0; i < first; i++)
		if (is_alarming(json_at(frames, i)))
			return i;
	return first < n ? first : 0;
}

int goframe_print_name(const char *function, FILE *out)
{
	const char *open = strchr(function, '['), *close = strrchr(function, ']');
	const char *name = !strcmp(function, "runtime.gopanic") ? "panic" : function;
	bool generic = open && close && close > open;
	int head = generic ? (int)(open - function) : (int)strlen(name);
	if (out)
		fprintf(out, "%.*s%s%s", head, name, generic ? "[...]" : "",
			generic ? close + 1 : "");
	return generic ? head + 5 + (int)strlen(close + 1) : head;
}

bool goframe_is_native(const struct json *frame)
{
	return json_get_bool(frame, "native", false);
}

/// The last part of the path of a native frame's file; NULL when it has none.
static const char *object_name(const struct json *frame)
{
	const char *path = json_get_text(frame, "object");
	if (!path)
		return NULL;
	path = gotext_safe(path);
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

char *goframe_native_name(const struct json *frame)
{
	const char *name = json_get_text(frame, "function"), *object = object_name(frame);
	char *text;
	if (name)
		return strdup(gotext_safe(name));
	return asprintf(&text, "[%s]", object ? object : "unknown") < 0 ? NULL : text;
}

int goframe_print_function(const struct json *frame, FILE *out)
{
	const char *name = json_get_text(frame, "function");
	_cleanup_free_ char *text = NULL;
	int n;
	if (!goframe_is_native(frame))
		return goframe_print_name(gotext_safe(name), out);
	if (name)
		n = asprintf(&text, "%s+0x%" PRIx64, gotext_safe(name),
			     json_get_u64(frame, "offset", 0));
	else
		n = asprintf(&text, "%s", gotext_of(frame, "pc"));
	if (n < 0) {
		text = NULL;
		return 0;
	}
	if (out)
		fputs(text, out);
	return n;
}

void goframe_print_place(const struct json *frame, FILE *out)
{
	if (goframe_is_native(frame)) {
		const char *object = object_name(frame);
		fputs(object ? object : "(no file)", out);
		return;
	}
	fprintf(out, "%s:%" PRIu64, gotext_of(frame, "file"), json_get_u64(frame, "line", 0));
}
