// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The whole analysis: of bytes as they are, and of a good core after changes to it.
 */
#include "analyzer/analyze.h"
#include "common/str.h"
#include "gopatch.h"

enum {
	// flags of a program
	EXECUTABLE = 1, ///< there is one
	SECTIONS = 2, ///< with symbols
	SAME = 4, ///< the core is taken for it
	NO_FILES = 8,
	CRASHED = 16, ///< the first thread ended with a signal
	FILTERED = 32,
};

struct run {
	const struct strbuf *file; ///< what the opener hands out; NULL: nothing
};

/// Whatever the core has in it, what we say of it can be shown on a terminal.
static void check(const struct json *json, int depth)
{
	REQUIRE(depth < 16); // or our own parser would not take it
	const char *text = json_text_value(json);
	if (text)
		REQUIRE(snap_is_printable(text));
	const char *first = json_key_at(json, 0);
	for (size_t i = 0; i < json_length(json); i++) {
		const char *key = first ? json_key_at(json, i) : NULL;
		if (key)
			REQUIRE(snap_is_printable(key));
		check(key ? json_get(json, key) : json_at(json, i), depth + 1);
	}
}

static int take_line(void *userdata _unused_, const char *kind, struct json *value)
{
	_cleanup_(json_destroyp) struct json *json = value;
	REQUIRE(json && kind && *kind);
	REQUIRE(json_text(json));
	if (strcmp(kind, "summary") != 0) // that is as it was in the core, and no better
		check(json, 1);
	return 0;
}

static int open_image(void *userdata, const char *name, const struct elf_build_id *id _unused_,
		      bool is_program _unused_)
{
	const struct run *run = userdata;
	REQUIRE(name);
	return run->file ? gocore_memfd(run->file->data, run->file->len) : -ENOENT;
}

static void run_analysis(const void *core, size_t len, const char *request, struct run *run)
{
	const struct image_opener opener = { open_image, run };
	const struct report_sink sink = { take_line, run };
	_cleanup_close_ int fd = gocore_memfd(core, len);
	_cleanup_(json_destroyp) struct json *json = json_parse(request, strlen(request));
	REQUIRE(json);
	struct snap_error *err = analyze(fd, -EBADF, json, &opener, &sink);
	if (err)
		REQUIRE(err->message && err->code == SNAP_FAILED);
	snap_error_destroy(err);
}

static void run_bytes(const uint8_t *data, size_t size)
{
	struct strbuf core = { 0 };
	struct run run = { NULL };
	if (strbuf_add(&core, data, size) == 0)
		run.file = &core;
	run_analysis(data, size, "{\"each\":true,\"system\":true}", &run);
	run_analysis(data, size, "{\"attached\":true}", &run);
	strbuf_deinit(&core);
}

static void run_program(const uint8_t *data, size_t size)
{
	struct patches in = { data, size };
	struct goprogram p;
	_cleanup_strbuf_ struct strbuf core = { 0 }, file = { 0 };
	struct run run = { NULL };
	uint8_t flags = patches_program(&in, &p);
	p.gc.no_files = flags & NO_FILES;
	if (flags & CRASHED)
		p.gc.threads[0].signal = 6;
	gocore_core(&p.gc, &core);
	if (flags & EXECUTABLE) {
		gocore_executable(&p.gc, flags & SECTIONS, &file);
		run.file = flags & SAME ? &core : &file;
	}
	gocore_deinit(&p.gc);
	run_analysis(core.data, core.len,
		     flags & FILTERED ? "{\"state\":\"chan\",\"function\":\"inner\",\"each\":true,"
					"\"label_key\":\"key\",\"min_wait_ns\":1,\"top\":3}" :
					"{\"each\":true,\"system\":true}",
		     &run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] == 0x7f)
		run_bytes(data, size);
	else
		run_program(data, size);
	return 0;
}
