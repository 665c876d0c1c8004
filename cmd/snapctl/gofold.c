// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gofold.h"

#include <inttypes.h>
#include <string.h>

#include "goframe.h"

/// A name, in which nothing may look like the end of it.
static void print_folded(const char *name, FILE *out)
{
	for (const char *p = gotext_safe(name); *p; p++)
		if (*p == ';')
			fputs("\\x3b", out);
		else
			fputc(*p, out);
}

/// Frames from the outermost on, without those of which profiles have none either.
static void print_stack(const struct json *frames, bool system, FILE *out)
{
	const char *semicolon = "";
	for (size_t i = json_length(frames); i-- > 0;) {
		const struct json *f = json_at(frames, i);
		const char *callee = i ? json_get_text(json_at(frames, i - 1), "function") : NULL;
		if (!system && (goframe_is_wrapper(f, callee) || goframe_is_end(f)))
			continue;
		fputs(semicolon, out);
		_cleanup_free_ char *native = goframe_is_native(f) ? goframe_native_name(f) : NULL;
		print_folded(native ? native : gotext_of(f, "function"), out);
		semicolon = ";";
	}
	if (!*semicolon)
		fputs("[no stack]", out);
}

void gofold_group(const struct json *group, bool system, bool states, FILE *out)
{
	const struct json *frames = json_get(group, "frames"), *counts = json_get(group, "states");
	if (!states) {
		print_stack(frames, system, out);
		fprintf(out, " %" PRIu64 "\n", json_get_u64(group, "count", 0));
		return;
	}
	for (size_t i = 0; i < json_length(counts); i++) {
		const char *state = json_key_at(counts, i);
		print_stack(frames, system, out);
		fputs(";[", out);
		print_folded(state, out);
		fprintf(out, "] %" PRIu64 "\n", json_get_u64(counts, state, 0));
	}
}
