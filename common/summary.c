// SPDX-License-Identifier: LGPL-2.1-or-later
#include "summary.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"

/// Kinds of lines and the lists they make; those of a runtime are in it, in this order.
static const struct {
	const char *kind, *list; ///< list is NULL for a single value
	bool of_runtime;
} kinds[] = {
	{ "image", "images", false },	   { "warning", "warnings", false },
	{ "runtime", "runtimes", false },  { "crash", NULL, true },
	{ "thread", "threads", true },	   { "finding", "findings", true },
	{ "group", "groups", true },	   { "goroutine", "goroutines", true },
};

const char *summary_list(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].kind, kind))
			return kinds[i].list;
	return NULL;
}

static bool of_runtime(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].kind, kind))
			return kinds[i].of_runtime;
	return false;
}

/// A copy of a runtime without what is listed in it.
static struct json *bare_runtime(const struct json *runtime)
{
	struct json *copy = json_new_object();
	for (size_t i = 0; i < json_length(runtime); i++) {
		const char *key = json_key_at(runtime, i);
		bool listed = false;
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			listed |= kinds[k].of_runtime &&
				  !strcmp(key, kinds[k].list ? kinds[k].list : kinds[k].kind);
		if (!listed)
			json_set_shared(copy, key, json_get(runtime, key));
	}
	return copy;
}

void summary_init(struct summary *summary, size_t max_bytes)
{
	*summary = (struct summary){ .root = json_new_object(), .max_bytes = max_bytes };
}

int summary_add(struct summary *summary, const char *kind, const struct json *value)
{
	const char *list = summary_list(kind), *text = json_text(value);
	struct json *into = of_runtime(kind) ? summary->runtime : summary->root;
	if (!text)
		return -ENOMEM;
	if (!json_is_object(value))
		return -EBADMSG;
	summary->bytes += strlen(text) + strlen(kind);
	if (summary->bytes > summary->max_bytes || !into) {
		summary->cut = true;
		return 0;
	}
	if (!list) {
		json_set(into, kind, json_share(value));
		return 0;
	}
	struct json *array = json_get_mutable(into, list);
	if (!array) {
		array = json_new_array();
		json_set(into, list, array);
	}
	struct json *added = strcmp(kind, "runtime") != 0 ? json_share(value) :
							     bare_runtime(value);
	json_add(array, added);
	if (!strcmp(kind, "runtime"))
		summary->runtime = added; // owned by the array from now on
	return 0;
}

struct json *summary_finish(struct summary *summary)
{
	struct json *root = TAKE_PTR(summary->root);
	if (summary->cut)
		json_set_bool(root, "cut", true);
	if (json_length(json_get(root, "runtimes")))
		return root;
	json_destroy(root);
	return NULL;
}

static int replay_kind(const struct json *from, size_t kind,
		       int (*fn)(void *userdata, const char *kind, const struct json *value),
		       void *userdata)
{
	const struct json *value = json_get(from, kinds[kind].list ? kinds[kind].list :
								     kinds[kind].kind);
	int r = 0;
	if (!value)
		return 0;
	if (!kinds[kind].list)
		return fn(userdata, kinds[kind].kind, value);
	for (size_t i = 0; r >= 0 && i < json_length(value); i++)
		r = fn(userdata, kinds[kind].kind, json_at(value, i));
	return r;
}

/// Each runtime, followed by what is in it.
static int replay_runtimes(const struct json *runtimes,
			   int (*fn)(void *userdata, const char *kind, const struct json *value),
			   void *userdata)
{
	int r = 0;
	for (size_t i = 0; r >= 0 && i < json_length(runtimes); i++) {
		r = fn(userdata, "runtime", json_at(runtimes, i));
		for (size_t k = 0; r >= 0 && k < ARRAY_SIZE(kinds); k++)
			if (kinds[k].of_runtime)
				r = replay_kind(json_at(runtimes, i), k, fn, userdata);
	}
	return r;
}

int summary_replay(const struct json *root,
		   int (*fn)(void *userdata, const char *kind, const struct json *value),
		   void *userdata)
{
	int r = 0;
	if (json_get(root, "core"))
		r = fn(userdata, "core", json_get(root, "core"));
	for (size_t k = 0; r >= 0 && k < ARRAY_SIZE(kinds); k++)
		if (!kinds[k].of_runtime && strcmp(kinds[k].kind, "runtime") != 0)
			r = replay_kind(root, k, fn, userdata);
	return r < 0 ? r : replay_runtimes(json_get(root, "runtimes"), fn, userdata);
}

struct json *summary_of_go(const struct json *go)
{
	if (!json_is_object(go))
		return NULL;
	struct json *root = json_new_object(), *runtimes = json_new_array();
	json_add(runtimes, json_share(go));
	json_set(root, "runtimes", runtimes);
	return root;
}
