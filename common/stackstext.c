// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What systemd-coredump 257 says of the stacks of a core, in its own words: programs read it.
 */
#include <inttypes.h>
#include <string.h>

#include "stacks.h"
#include "strbuf.h"

static const char *or_else(const char *text, const char *fallback)
{
	return text ? text : fallback;
}

static const char *module_name(const struct json *module)
{
	return or_else(json_get_text(module, "name"), "(unnamed)");
}

/// The package of a module; NULL when another before it has the same name.
static const struct json *first_package(const struct json *modules, size_t index)
{
	const struct json *module = json_at(modules, index);
	for (size_t i = 0; i < index; i++)
		if (json_get(json_at(modules, i), "package") &&
		    !strcmp(module_name(json_at(modules, i)), module_name(module)))
			return NULL;
	return json_get(module, "package");
}

static int add_package(struct strbuf *buf, const struct json *module, const struct json *package)
{
	const char *name = json_get_text(package, "name");
	const char *version = json_get_text(package, "version");
	const char *architecture = json_get_text(package, "architecture");
	const char *build_id = json_get_text(module, "build_id");
	int r = strbuf_addf(buf, "Module %s", module_name(module));
	if (r == 0 && name)
		r = strbuf_addf(buf, " from %s %s%s%s%s%s",
				or_else(json_get_text(package, "type"), "package"), name,
				version ? "-" : "", or_else(version, ""), architecture ? "." : "",
				or_else(architecture, ""));
	if (r == 0 && build_id && !(name && version))
		r = strbuf_addf(buf, ", build-id=%s", build_id);
	return r == 0 ? strbuf_add(buf, "\n", 1) : r;
}

static int add_module(struct strbuf *buf, const struct json *modules, size_t index)
{
	const struct json *module = json_at(modules, index);
	const struct json *package = first_package(modules, index);
	int r = 0;
	if (!json_get(module, "build_id"))
		r = strbuf_addf(buf, "Module %s without build-id.\n", module_name(module));
	return r == 0 && package ? add_package(buf, module, package) : r;
}

static int add_thread(struct strbuf *buf, const struct json *thread)
{
	const struct json *frames = json_get(thread, "frames");
	int r = strbuf_addf(buf, "Stack trace of thread %" PRIu64 ":\n",
			    json_get_u64(thread, "tid", 0));
	for (size_t i = 0; r == 0 && i < json_length(frames); i++) {
		const struct json *frame = json_at(frames, i);
		r = strbuf_addf(buf, "#%-2zu 0x%016" PRIx64 " %s (%s + 0x%" PRIx64 ")\n", i,
				json_get_u64(frame, "pc", 0),
				or_else(json_get_text(frame, "symbol"), "n/a"),
				or_else(json_get_text(frame, "module"), "n/a"),
				json_get_u64(frame, "module_offset", 0));
	}
	return r;
}

char *stacks_text(const struct json *stacks)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	const struct json *modules = json_get(stacks, "modules");
	const struct json *threads = json_get(stacks, "threads");
	const char *architecture = json_get_text(stacks, "architecture");
	int r = strbuf_reserve(&buf, 1);
	for (size_t i = 0; r == 0 && i < json_length(modules); i++)
		r = add_module(&buf, modules, i);
	for (size_t i = 0; r == 0 && i < json_length(threads); i++) {
		r = i ? strbuf_add(&buf, "\n", 1) : 0;
		if (r == 0)
			r = add_thread(&buf, json_at(threads, i));
	}
	if (r == 0 && architecture)
		r = strbuf_addf(&buf, "ELF object binary architecture: %s\n", architecture);
	return r == 0 ? TAKE_PTR(buf.data) : NULL;
}

struct json *stacks_packages(const struct json *stacks)
{
	_cleanup_(json_destroyp) struct json *all = json_new_object();
	const struct json *modules = json_get(stacks, "modules");
	json_set_message(all, "elfType", "coredump");
	if (json_get(stacks, "architecture"))
		json_set_shared(all, "elfArchitecture", json_get(stacks, "architecture"));
	for (size_t i = 0; i < json_length(modules); i++) {
		const struct json *package = first_package(modules, i);
		if (!package)
			continue;
		struct json *entry = json_new_object();
		for (size_t j = 0; j < json_length(package); j++)
			json_set_shared(entry, json_key_at(package, j),
					json_get(package, json_key_at(package, j)));
		if (json_get(json_at(modules, i), "build_id"))
			json_set_shared(entry, "buildId",
					json_get(json_at(modules, i), "build_id"));
		json_set(all, module_name(json_at(modules, i)), entry);
	}
	return json_text(all) ? TAKE_PTR(all) : NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

const char *stacks_package_of(const struct json *stacks, const char *exe, const char *member)
{
	const struct json *modules = json_get(stacks, "modules");
	for (size_t i = 0; i < json_length(modules); i++) {
		const char *name = base_name(module_name(json_at(modules, i)));
		const char *text = strcmp(name, base_name(exe)) ?
					   NULL :
					   json_get_text(first_package(modules, i), member);
		if (text)
			return text;
	}
	return NULL;
}
