/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "test.h"

#include "analyzer/analyze.h"
#include "analyzer/go/runtime.h"
#include "common/json.h"
#include "goprogram.h"

/**
 * DOC: Reading a Go program that does not exist
 *
 * goopen_core() and goopen_runtime() open what gocore.h made, and goopen_analyze() runs the whole
 * analysis and keeps its lines.
 */

struct goopen {
	int fd;
	struct source *source;
	struct core *core;
	struct images images;
	struct go_runtime *rt; ///< NULL: none was found
	struct strbuf file; ///< what the opener hands out; empty: nothing
};

static inline int goopen_opener(void *userdata, const char *name _unused_,
				const struct elf_build_id *id _unused_, bool is_program _unused_)
{
	const struct strbuf *file = userdata;
	return file->len ? gocore_memfd(file->data, file->len) : -ENOENT;
}

static inline void goopen_core(struct goopen *o, struct gocore *gc)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	*o = (struct goopen){ .fd = -EBADF };
	gocore_core(gc, &bytes);
	o->fd = gocore_memfd(bytes.data, bytes.len);
	assert_ok(source_create(o->fd, SOURCE_FILE, &o->source));
	assert_ok(core_open(o->source, NULL, &o->core));
}

/// Without its executable, unless @file was filled before.
static inline void goopen_runtime(struct goopen *o)
{
	const struct image_opener opener = { goopen_opener, &o->file };
	assert_ok(images_init(&o->images, o->core));
	assert_true(o->images.n);
	assert_int_equal(image_open(&o->images.list[0], o->core, &opener), 0);
	assert_ok(go_runtime_find(o->core, &o->images.list[0], &o->rt));
}

static inline void goopen_close(struct goopen *o)
{
	go_runtime_destroy(o->rt);
	images_deinit(&o->images);
	core_close(o->core);
	source_destroy(o->source);
	strbuf_deinit(&o->file);
	if (o->fd >= 0)
		(void)close(o->fd);
}

/// The lines of an analysis: a list for each kind.
struct golines {
	struct json *all; ///< {"group": [...], ...}
	size_t n;
	struct snap_error *err; ///< what it ended with
	struct strbuf file;
};

static inline int golines_add(void *userdata, const char *kind, struct json *value)
{
	struct golines *l = userdata;
	struct json *list = json_get_mutable(l->all, kind);
	if (!list) {
		list = json_new_array();
		json_set(l->all, kind, list);
	}
	json_add(list, value);
	l->n++;
	return json_text(value) ? 0 : -ENOMEM;
}

static inline void golines_run(struct golines *l, int fd, const char *request)
{
	const struct image_opener opener = { goopen_opener, &l->file };
	const struct report_sink sink = { golines_add, l };
	_cleanup_(json_destroyp) struct json *json = json_parse(request, strlen(request));
	assert_non_null(json);
	l->all = json_new_object();
	l->err = analyze(fd, -EBADF, json, &opener, &sink);
}

static inline void goopen_analyze(struct golines *l, struct gocore *gc, const char *request)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	gocore_core(gc, &bytes);
	int fd = gocore_memfd(bytes.data, bytes.len);
	golines_run(l, fd, request);
	(void)close(fd);
}

static inline void golines_deinit(struct golines *l)
{
	json_destroy(l->all);
	snap_error_destroy(l->err);
	strbuf_deinit(&l->file);
	*l = (struct golines){ 0 };
}

static inline size_t golines_count(const struct golines *l, const char *kind)
{
	return json_length(json_get(l->all, kind));
}

static inline const struct json *golines_at(const struct golines *l, const char *kind, size_t i)
{
	const struct json *line = json_at(json_get(l->all, kind), i);
	assert_non_null(line);
	return line;
}

/// The line of the goroutine number @id.
static inline const struct json *golines_goroutine(const struct golines *l, uint64_t id)
{
	const struct json *list = json_get(l->all, "goroutine");
	for (size_t i = 0; i < json_length(list); i++)
		if (json_get_u64(json_at(list, i), "id", 0) == id)
			return json_at(list, i);
	fail_msg("no goroutine %d", (int)id);
	return NULL;
}

/// The functions of a line's frames, as "a b c".
static inline void golines_stack(const struct json *line, struct strbuf *ret)
{
	const struct json *frames = json_get(line, "frames");
	strbuf_deinit(ret);
	for (size_t i = 0; i < json_length(frames); i++)
		assert_int_equal(strbuf_addf(ret, "%s%s", i ? " " : "",
					     json_get_text(json_at(frames, i), "function")),
				 0);
}
