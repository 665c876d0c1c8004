// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is made of the answers of procsnap-unwind, which has read a hostile core: lines, then the
 * text and the fields of a record.
 *
 *   input: lines as they come through the pipe
 */
#include "fuzz.h"

// The program is not started here, so what takes its answer must be reached from inside. Another
// name, since the library has this already.
#define stacks_find client_stacks_find
#include "common/stacks.c" // NOLINT(bugprone-suspicious-include)

enum { FRAMES = 8, THREADS = 4, DEPTH = 16 };

/// Whatever it says can be shown, and does not end the line it is in.
static void check(const struct json *json, int depth)
{
	REQUIRE(depth < DEPTH);
	const char *text = json_text_value(json);
	if (text)
		REQUIRE(snap_is_printable(text) && strlen(text) <= STACKS_MAX_TEXT);
	for (size_t i = 0; i < json_length(json); i++) {
		const char *key = json_is_object(json) ? json_key_at(json, i) : NULL;
		if (key)
			REQUIRE(snap_is_printable(key));
		check(key ? json_get(json, key) : json_at(json, i), depth + 1);
	}
}

/// Each line is one of ours, and there are as many as there is to say.
static void check_text(const struct json *stacks)
{
	_cleanup_free_ char *text = stacks_text(stacks);
	size_t frames = 0, heads = 0;
	REQUIRE(text);
	for (char *line = text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		REQUIRE(end);
		frames += *line == '#';
		heads += !strncmp(line, "Stack trace of thread ", 22);
		REQUIRE(*line == '#' || *line == '\n' || !strncmp(line, "Module ", 7) ||
			!strncmp(line, "Stack trace of thread ", 22) ||
			!strncmp(line, "ELF object binary architecture: ", 32));
	}
	const struct json *threads = json_get(stacks, "threads");
	REQUIRE(heads == json_length(threads) && heads <= THREADS);
	for (size_t i = 0; i < heads; i++) {
		size_t n = json_length(json_get(json_at(threads, i), "frames"));
		REQUIRE(n <= FRAMES && n <= frames);
		frames -= n;
	}
	REQUIRE(!frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stacks s = { .max_frames = FRAMES,
			    .max_threads = THREADS,
			    .root = json_new_object(),
			    .threads = json_new_array(),
			    .modules = json_new_array() };
	_cleanup_free_ char *text = fuzz_text(data, size);
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		_cleanup_(json_destroyp) struct json *json = json_parse(line, strlen(line));
		const char *kind = json_key_at(json, 0);
		if (kind && json_get(json, kind))
			REQUIRE(take_line(&s, kind, json_get(json, kind)) == 0);
	}
	_cleanup_(json_destroyp) struct json *stacks = s.root;
	json_set(s.root, "threads", s.threads);
	json_set(s.root, "modules", s.modules);
	check(stacks, 0);
	check_text(stacks);
	_cleanup_(json_destroyp) struct json *packages = stacks_packages(stacks);
	REQUIRE(packages);
	check(packages, 0);
	(void)stacks_package_of(stacks, "/usr/bin/app", "name");
	return 0;
}
