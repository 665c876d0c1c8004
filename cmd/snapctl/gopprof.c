// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gopprof.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/str.h"
#include "goframe.h"
#include "output.h"

enum {
	LABELS_MAX = 64, // 10 are many
	INLINED_MAX = 256, // the compiler inlines far fewer into one function
	BUILD_ID_DIGITS_MAX = 64, // SHA-1 has 40; what Go calls a build ID has 166
	FRAMES_MAX = 1 << 15, // twice what the analyzer walks
};

static const char FILE_NAME[] = "goroutines.pb";

static uint64_t address(const struct json *json, const char *key)
{
	uint64_t value = 0;
	const char *text = json_get_text(json, key);
	if (text)
		(void)snap_parse_u64(text, &value); // 0 then
	return value;
}

struct snap_error *gopprof_begin(struct gopprof *g, const char *name, bool system)
{
	_cleanup_free_ char *comment = NULL, *escaped = snap_escape(name, strlen(name));
	*g = (struct gopprof){ .profile = pprof_create("goroutine"), .system = system };
	if (!g->profile || !escaped)
		return snap_error_oom();
	if (asprintf(&comment, "goroutines of '%s', by snapctl %s", escaped,
		     PROCSNAP_VERSION) < 0) {
		comment = NULL;
		return snap_error_oom();
	}
	pprof_comment(g->profile, comment);
	return NULL;
}

void gopprof_deinit(struct gopprof *g)
{
	pprof_destroy(TAKE_PTR(g->profile));
}

// ---- samples -------------------------------------------------------------------------------

/// A frame of C, which may be in another file than the program.
static uint64_t add_native(struct gopprof *g, const struct json *f)
{
	uint64_t pc = address(f, "pc"), offset = json_get_u64(f, "offset", 0);
	_cleanup_free_ char *name = goframe_native_name(f);
	const char *object = json_get_text(f, "object");
	if (!name)
		return 0;
	const struct pprof_line line = {
		pprof_function(g->profile, name, object ? gotext_safe(object) : ""), 0
	};
	return pprof_location(g->profile, offset ? pc - 1 : pc,
			      pc >= g->start && pc < g->end ? g->mapping : 0, &line, 1);
}

/// A frame with what was inlined into it: frames [@first, *next). 0 for one that is left out.
static uint64_t add_location(struct gopprof *g, const struct json *frames, size_t first,
			     size_t *next)
{
	struct pprof_line lines[INLINED_MAX];
	const struct json *f = NULL;
	const char *callee = first ? gotext_of(json_at(frames, first - 1), "function") : NULL;
	size_t n = 0, i = first;
	bool inlined = true;
	if (goframe_is_native(json_at(frames, first))) {
		*next = first + 1;
		return add_native(g, json_at(frames, first));
	}
	for (; inlined && i < json_length(frames); i++) {
		f = json_at(frames, i);
		inlined = json_get_bool(f, "inlined", false);
		const char *name = gotext_of(f, "function");
		bool left_out = !g->system && (goframe_is_wrapper(f, callee) || goframe_is_end(f));
		callee = name;
		if (left_out || n == INLINED_MAX)
			continue;
		lines[n++] = (struct pprof_line){
			pprof_function(g->profile, name, gotext_of(f, "file")),
			json_get_u64(f, "line", 0),
		};
	}
	*next = i;
	// As in all profiles: the address of the call, not that after it.
	uint64_t pc = address(f, "pc"), offset = json_get_u64(f, "offset", 0);
	return n ? pprof_location(g->profile, offset ? pc - 1 : pc, g->mapping, lines, n) : 0;
}

static size_t read_labels(const struct json *group, struct pprof_label ret[static LABELS_MAX])
{
	const struct json *labels = json_get(group, "labels");
	size_t n = 0;
	for (size_t i = 0; i < json_length(labels) && n < LABELS_MAX - 1; i++) {
		const char *key = json_key_at(labels, i);
		ret[n++] = (struct pprof_label){ gotext_safe(key), gotext_of(labels, key) };
	}
	return n;
}

static bool has_key(const struct pprof_label *labels, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(labels[i].key, key))
			return true;
	return false;
}

static int add_group(struct gopprof *g, const struct json *group)
{
	const struct json *frames = json_get(group, "frames"), *states = json_get(group, "states");
	size_t max = MIN(json_length(frames), (size_t)FRAMES_MAX), n = 0;
	_cleanup_free_ uint64_t *locations = calloc(max + 1, sizeof(*locations));
	struct pprof_label labels[LABELS_MAX];
	size_t n_labels = read_labels(group, labels);
	if (!locations)
		return -ENOMEM;
	for (size_t i = 0; i < max;) {
		uint64_t location = add_location(g, frames, i, &i);
		if (location)
			locations[n++] = location;
	}
	// The program may have a label of that name itself.
	bool own = has_key(labels, n_labels, "state");
	for (size_t i = 0; i < json_length(states); i++) {
		const char *state = json_key_at(states, i);
		labels[n_labels] = (struct pprof_label){ "state", gotext_safe(state) };
		pprof_sample(g->profile, locations, n, json_get_u64(states, state, 0), labels,
			     n_labels + !own);
	}
	g->goroutines += json_get_u64(group, "count", 0);
	g->groups++;
	return 0;
}

// ---- lines ---------------------------------------------------------------------------------

static void add_image(struct gopprof *g, const struct json *image)
{
	// Programs that Go alone has linked may have only its own ID, which pprof does not know.
	const char *id = json_get_text(image, "build_id");
	if (id && strlen(id) > BUILD_ID_DIGITS_MAX)
		id = NULL;
	const struct pprof_mapping mapping = {
		.start = address(image, "start"),
		.limit = address(image, "end"),
		.offset = address(image, "offset"),
		.file = json_get_text(image, "name"),
		.build_id = id,
	};
	g->mapping = pprof_mapping(g->profile, &mapping);
	g->start = mapping.start;
	g->end = mapping.limit;
}

static void add_runtime(struct gopprof *g, const struct json *runtime)
{
	const char *version = json_get_text(runtime, "version");
	const struct json *build = json_get(runtime, "build");
	_cleanup_free_ char *text = NULL;
	if (asprintf(&text, "%s%s%s%s%s", version ? version : "Go of unknown version",
		     json_get(build, "path") ? ", " : "",
		     json_get(build, "path") ? gotext_of(build, "path") : "",
		     json_get_text(build, "module_version") ? " " : "",
		     json_get_text(build, "module_version") ? gotext_of(build, "module_version") :
							      "") < 0)
		text = NULL;
	else
		pprof_comment(g->profile, text);
}

int gopprof_line(struct gopprof *g, const char *kind, const struct json *value)
{
	if (!strcmp(kind, "core"))
		pprof_time(g->profile, json_get_u64(value, "realtime_ns", 0));
	else if (!strcmp(kind, "image"))
		add_image(g, value);
	else if (!strcmp(kind, "runtime"))
		add_runtime(g, value);
	else if (!strcmp(kind, "warning"))
		pprof_comment(g->profile, json_get_text(value, "text"));
	else if (!strcmp(kind, "group"))
		return add_group(g, value);
	return 0;
}

// ---- the file ------------------------------------------------------------------------------

static struct snap_error *write_stdout(const void *data, size_t len)
{
	if (isatty(STDOUT_FILENO))
		return snap_error_new(SNAP_USAGE,
				      "a profile is not for a terminal; redirect the output or use "
				      "--pprof=FILE");
	int r = snap_write_all(STDOUT_FILENO, data, len);
	return r < 0 ? snap_error_errno(snap_code_from_errno(-r), -r, "cannot write the profile") :
		       NULL;
}

struct snap_error *gopprof_write(struct gopprof *g, const char *spec, char **ret_path)
{
	struct output out = { .dirfd = -EBADF, .fd = -EBADF, .spool = -EBADF };
	const void *data;
	size_t len;
	int r = pprof_finish(g->profile, &data, &len);
	if (r < 0)
		return snap_error_errno(SNAP_FAILED, -r, "cannot make the profile");
	if (!strcmp(spec, "-"))
		return write_stdout(data, len);
	struct snap_error *err = output_open(spec, FILE_NAME, OUTPUT_REPLACE, &out);
	if (err)
		return err;
	r = snap_write_all(out.fd, data, len);
	if (r == 0 && fsync(out.fd) < 0 && errno != EINVAL)
		r = -errno;
	if (r < 0)
		err = snap_error_errno(snap_code_from_errno(-r), -r, "cannot write '%s'", spec);
	else
		err = output_publish(&out);
	if (!err)
		*ret_path = output_path(&out);
	output_close(&out);
	return err;
}
