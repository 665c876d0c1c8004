// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stacks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "analysis.h"
#include "fd.h"
#include "str.h"

// What it does with the time it has: stop by itself before it is stopped.
enum { ENOUGH_OF_TIME_PERCENT = 80 };

struct stacks {
	const struct stacks_request *request;
	uint32_t max_frames, max_threads;
	struct json *root, *threads, *modules; ///< both are owned by root in the end
};

// ---- opening files -------------------------------------------------------------------------

/// The unwinder may be led to ask for any file. What is no program stays here.
static int open_file(void *userdata, const char *name, const char *build_id, bool is_program)
{
	const struct stacks *s = userdata;
	char magic[4];
	if (!s->request->open)
		return -ENOENT;
	int fd = s->request->open(s->request->userdata, name, build_id, is_program);
	if (fd >= 0 && (snap_pread_full(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
			memcmp(magic, "\177ELF", sizeof(magic)) != 0)) {
		snap_closep(&fd);
		return -ENOEXEC;
	}
	return fd;
}

/// A descriptor of its own for the core, with which nothing can be written.
static int reopen(int fd)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

// ---- reading the answer --------------------------------------------------------------------

/// Copies a text, if it can be shown as it is.
static void copy_text(struct json *to, const struct json *from, const char *key)
{
	const char *text = json_get_text(from, key);
	if (text && *text && strlen(text) <= STACKS_MAX_TEXT && snap_is_printable(text))
		json_set_message(to, key, text);
}

/// Copies a number, if there is one.
static void copy_number(struct json *to, const struct json *from, const char *key)
{
	uint64_t value = json_get_u64(from, key, 0);
	if (value || json_get_u64(from, key, 1) == 0)
		json_set_u64(to, key, value);
}

static void copy_true(struct json *to, const struct json *from, const char *key)
{
	if (json_get_bool(from, key, false))
		json_set_bool(to, key, true);
}

static struct json *checked_frame(const struct json *frame)
{
	struct json *copy = json_new_object();
	json_set_u64(copy, "pc", json_get_u64(frame, "pc", 0));
	copy_text(copy, frame, "symbol");
	if (json_get(copy, "symbol"))
		copy_number(copy, frame, "symbol_offset");
	copy_text(copy, frame, "module");
	if (json_get(copy, "module"))
		copy_number(copy, frame, "module_offset");
	copy_true(copy, frame, "signal");
	return copy;
}

static struct json *checked_thread(const struct json *thread, uint32_t max_frames)
{
	struct json *copy = json_new_object(), *list = json_new_array();
	const struct json *frames = json_get(thread, "frames");
	size_t n = MIN(json_is_object(frames) ? 0 : json_length(frames), (size_t)max_frames);
	json_set_u64(copy, "tid", MIN(json_get_u64(thread, "tid", 0), (uint64_t)INT32_MAX));
	for (size_t i = 0; i < n; i++)
		json_add(list, checked_frame(json_at(frames, i)));
	json_set(copy, "frames", list);
	copy_true(copy, thread, "more");
	copy_text(copy, thread, "error");
	return copy;
}

static bool is_hex(const char *text)
{
	return text && *text && strspn(text, "0123456789abcdef") == strlen(text);
}

static struct json *checked_package(const struct json *package)
{
	size_t n = MIN(json_is_object(package) ? json_length(package) : 0,
		       (size_t)STACKS_MAX_MEMBERS);
	struct json *copy = json_new_object();
	for (size_t i = 0; i < n; i++) {
		const char *key = json_key_at(package, i);
		if (key && *key && strlen(key) <= STACKS_MAX_TEXT && snap_is_printable(key))
			copy_text(copy, package, key);
	}
	return copy;
}

static struct json *checked_module(const struct json *module)
{
	struct json *copy = json_new_object();
	copy_text(copy, module, "name");
	copy_text(copy, module, "path");
	if (is_hex(json_get_text(module, "build_id")))
		copy_text(copy, module, "build_id");
	if (json_is_object(json_get(module, "package")))
		json_set(copy, "package", checked_package(json_get(module, "package")));
	return copy;
}

static int take_line(void *userdata, const char *kind, const struct json *value)
{
	struct stacks *s = userdata;
	if (!strcmp(kind, "thread") && json_length(s->threads) < s->max_threads) {
		json_add(s->threads, checked_thread(value, s->max_frames));
	} else if (!strcmp(kind, "module") && json_length(s->modules) < STACKS_MAX_MODULES) {
		json_add(s->modules, checked_module(value));
	} else if (!strcmp(kind, "core")) {
		copy_text(s->root, value, "architecture");
	} else if (!strcmp(kind, "end")) {
		copy_number(s->root, value, "threads_total");
		copy_number(s->root, value, "modules_total");
		copy_text(s->root, value, "incomplete");
	}
	return 0; // newer ones may have more to say
}

// ---- asking --------------------------------------------------------------------------------

static struct snap_error *ask(struct stacks *s, int core_fd)
{
	const struct analysis_callbacks callbacks = { open_file, take_line, s };
	_cleanup_close_ int reopened = reopen(core_fd);
	const int fds[ANALYSIS_FD_MAX] = { reopened >= 0 ? reopened : core_fd, -EBADF };
	_cleanup_(json_destroyp) struct json *request = json_new_object();
	_cleanup_(analysis_destroyp) struct analysis *analysis = NULL;
	json_set_u64(request, "frames", s->max_frames);
	json_set_u64(request, "threads", s->max_threads);
	json_set_u64(request, "time_ns", s->request->deadline_ns / 100 * ENOUGH_OF_TIME_PERCENT);
	struct snap_error *err = analysis_create_unwinder(&analysis);
	return err ? err :
		     analysis_run(analysis, fds, request, &callbacks, s->request->deadline_ns);
}

static uint32_t limit(uint32_t asked, uint32_t usual, uint32_t most)
{
	uint32_t n = asked ? asked : usual;
	return MIN(n, most);
}

struct snap_error *stacks_find(int core_fd, const struct stacks_request *request,
			       struct json **ret)
{
	struct stacks s = {
		.request = request,
		.max_frames = limit(request->frames, STACKS_FRAMES, STACKS_MAX_FRAMES),
		.max_threads = limit(request->threads, STACKS_THREADS, STACKS_MAX_THREADS),
		.root = json_new_object(),
		.threads = json_new_array(),
		.modules = json_new_array(),
	};
	struct snap_error *err = ask(&s, core_fd);
	bool found = json_length(s.threads) || json_length(s.modules);
	if (err && found)
		json_set_message(s.root, "incomplete", err->message);
	json_set(s.root, "threads", s.threads);
	json_set(s.root, "modules", s.modules);
	if (!err || found) {
		snap_error_destroy(err);
		err = json_text(s.root) ? NULL : snap_error_oom();
	}
	if (err)
		json_destroy(s.root);
	else
		*ret = s.root;
	return err;
}
