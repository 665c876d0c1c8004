// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gojson.h"

#include <errno.h>
#include <string.h>

#include "common/job.h"

/// Lists of a runtime: the kind of line, and the key of the list.
static const struct {
	const char *kind, *key;
	bool brief;
} lists[] = {
	{ "thread", "threads", false },
	{ "finding", "findings", true },
	{ "group", "groups", false },
	{ "goroutine", "goroutines", false },
};

void gojson_begin(struct gojson *j, FILE *out, bool brief)
{
	*j = (struct gojson){
		.out = out,
		.brief = brief,
		.images = json_new_array(),
		.warnings = json_new_array(),
		.list = -1,
	};
}

static void open_object(struct gojson *j)
{
	fputs(j->begun ? "," : "{", j->out);
	j->begun = true;
}

static void close_list(struct gojson *j)
{
	if (j->list >= 0)
		fputc(']', j->out);
	j->list = -1;
}

/// Readers need not ask which lists there are: the others are empty.
static void close_runtime(struct gojson *j)
{
	close_list(j);
	for (size_t i = 0; j->in_runtime && i < ARRAY_SIZE(lists); i++)
		if (!(j->lists & 1U << i) && (lists[i].brief || !j->brief))
			fprintf(j->out, ",\"%s\":[]", lists[i].key);
	if (j->in_runtime)
		fputc('}', j->out);
	j->in_runtime = false;
	j->lists = 0;
}

static void open_runtime(struct gojson *j, const char *text)
{
	close_runtime(j);
	if (!j->any_runtime) {
		open_object(j);
		fputs("\"runtimes\":[", j->out);
	} else {
		fputc(',', j->out);
	}
	// Without the brace at its end, which comes behind the lists.
	fprintf(j->out, "%.*s", (int)strlen(text) - 1, text);
	j->any_runtime = j->in_runtime = true;
}

static void add_to_list(struct gojson *j, size_t list, const char *text)
{
	if (j->list != (int)list) {
		close_list(j);
		// Lines of one kind follow each other; a second list of that name would be lost.
		if (j->lists & 1U << list)
			return;
		fprintf(j->out, ",\"%s\":[%s", lists[list].key, text);
		j->list = (int)list;
		j->lists |= 1U << list;
	} else {
		fprintf(j->out, ",%s", text);
	}
}

int gojson_line(struct gojson *j, const char *kind, const struct json *value)
{
	const char *text = json_text(value);
	if (!text)
		return -ENOMEM;
	if (!strcmp(kind, "image")) {
		json_add(j->images, json_share(value));
	} else if (!strcmp(kind, "warning")) {
		json_add(j->warnings, json_share(value));
	} else if (!strcmp(kind, "core") || !strcmp(kind, "file")) {
		if (j->in_runtime || (j->has_core && !strcmp(kind, "core")))
			return 0;
		j->has_core |= !strcmp(kind, "core");
		open_object(j);
		fprintf(j->out, "\"%s\":%s", kind, text);
	} else if (!strcmp(kind, "runtime")) {
		open_runtime(j, text);
	} else if (!strcmp(kind, "crash") && j->in_runtime) {
		close_list(j);
		fprintf(j->out, ",\"crash\":%s", text);
	}
	for (size_t i = 0; j->in_runtime && i < ARRAY_SIZE(lists); i++)
		if (!strcmp(kind, lists[i].kind) && (lists[i].brief || !j->brief))
			add_to_list(j, i, text);
	return 0;
}

static void print_member(struct gojson *j, const char *key, const struct json *value)
{
	const char *text = json_text(value);
	open_object(j);
	fprintf(j->out, "\"%s\":%s", key, text ? text : "null");
}

void gojson_end(struct gojson *j, const struct snap_error *err)
{
	close_runtime(j);
	if (j->any_runtime) {
		fputc(']', j->out);
	} else {
		open_object(j);
		fputs("\"runtimes\":[]", j->out);
	}
	print_member(j, "images", j->images);
	print_member(j, "warnings", j->warnings);
	if (err) {
		_cleanup_(json_destroyp) struct json *json = job_error_to_json(err);
		print_member(j, "error", json_get(json, "error"));
	}
	fputs("}\n", j->out);
	json_destroy(TAKE_PTR(j->images));
	json_destroy(TAKE_PTR(j->warnings));
}
