// SPDX-License-Identifier: LGPL-2.1-or-later
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "crash.h"
#include "dwparams.h"
#include "findings.h"
#include "groups.h"
#include "values.h"
#include "wait.h"

void report_address(struct json *object, const char *key, uint64_t addr)
{
	char text[24];
	if (!addr)
		return;
	(void)snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	json_set_message(object, key, text);
}

/// A line for the sink; the first failure is kept.
struct report {
	struct go_goroutines *gs;
	const struct report_filter *filter;
	const struct report_sink *sink;
	struct go_params *params; ///< NULL: values are not wanted, or the program tells none
	int error;
};

static void put(struct report *r, const char *kind, struct json *value)
{
	if (r->error)
		json_destroy(value);
	else
		r->error = r->sink->line(r->sink->userdata, kind, value);
}

// ---- frames --------------------------------------------------------------------------------

static struct json *line_json(const struct go_line *line)
{
	struct json *json = json_new_object();
	json_set_text(json, "function", line->name);
	json_set_text(json, "file", line->file);
	json_set_u64(json, "line", (uint64_t)MAX(line->line, 0));
	if (line->inlined)
		json_set_bool(json, "inlined", true);
	if (line->wrapper)
		json_set_bool(json, "wrapper", true);
	return json;
}

/// Names and values of the arguments of a frame, if the program has them.
static void add_arguments(struct report *r, struct json *json, const struct go_frame *f)
{
	size_t n;
	const struct go_param *list = go_params_of(r->params, f->func, &n);
	if (!list)
		return;
	struct json *array = json_new_array();
	for (size_t i = 0; i < n; i++) {
		_cleanup_strbuf_ struct strbuf value = { 0 };
		struct json *one = json_new_object();
		json_set_text(one, "name", list[i].name);
		json_set_text(one, "type", list[i].type);
		if (go_param_text(r->params, &list[i], f, &value) == 0)
			json_set_message(one, "value", value.data);
		json_add(array, one);
	}
	json_set(json, "arguments", array);
}

/// A frame of C: the function if it is known, and the file that it is in.
static void add_native(struct report *r, struct json *list, const struct go_frame *f, bool details)
{
	struct json *json = json_new_object();
	struct native_place place = { 0 };
	if (r->gs->rt->native)
		place = native_place(r->gs->rt->native, f->pc, f->flags & GO_FRAME_TRAP);
	if (place.name) {
		json_set_text(json, "function", place.name);
		json_set_u64(json, "offset", f->pc - place.start);
	}
	if (place.object)
		json_set_text(json, "object", place.object);
	report_address(json, "pc", f->pc);
	json_set_bool(json, "native", true);
	if (f->flags & GO_FRAME_GUESSED)
		json_set_bool(json, "guessed", true);
	if (f->flags & GO_FRAME_SIGNAL)
		json_set_bool(json, "signal", true);
	if (f->gap)
		json_set_text(json, "gap", go_gap_name(f->gap));
	if (details)
		report_address(json, "sp", f->sp);
	json_add(list, json);
}

/// The lines of one physical frame; with @details its addresses and arguments.
static void add_frame(struct report *r, struct json *list, const struct go_frame *f, bool details)
{
	if (f->flags & GO_FRAME_NATIVE) {
		add_native(r, list, f, details);
		return;
	}
	struct go_place place = go_place_at(&r->gs->rt->symtab, f->func, go_frame_sym_pc(f));
	for (uint32_t i = 0; i < place.n; i++) {
		struct json *json = line_json(&place.lines[i]);
		report_address(json, "pc", f->pc);
		if (f->gap && i + 1 == place.n)
			json_set_text(json, "gap", go_gap_name(f->gap));
		if (!place.lines[i].inlined) {
			json_set_u64(json, "offset", f->pc - f->func->entry);
			if (f->flags & GO_FRAME_SYSTEM)
				json_set_bool(json, "system_stack", true);
			if (f->flags & GO_FRAME_SIGNAL)
				json_set_bool(json, "signal", true);
		}
		if (details && !place.lines[i].inlined) {
			_cleanup_strbuf_ struct strbuf args = { 0 };
			report_address(json, "sp", f->sp);
			report_address(json, "fp", f->fp);
			if (go_args_text(r->gs->rt, f, &args) == 0)
				json_set_text(json, "args", args.len ? args.data : "");
			if (r->params)
				add_arguments(r, json, f);
		}
		json_add(list, json);
	}
}

/// The frames of a class of stacks, of which only the pcs are known.
static struct json *class_frames(struct report *r, const struct go_stack_class *c)
{
	struct json *list = json_new_array();
	for (uint32_t i = 0; i < c->n; i++) {
		struct go_frame f = go_frame_of_pc(r->gs, r->gs->pcs[c->first + i]);
		if (f.func || f.flags & GO_FRAME_NATIVE)
			add_frame(r, list, &f, false);
	}
	return list;
}

static struct json *stack_frames(struct report *r, const struct go_stack *stack)
{
	struct json *list = json_new_array();
	for (size_t i = 0; i < stack->n; i++)
		add_frame(r, list, &stack->frames[i], true);
	return list;
}

/// Where the go statement is, by the pc after it.
static struct json *creator_json(struct report *r, uint64_t pc, uint64_t parent)
{
	const struct go_func *f = pc ? go_func_at(&r->gs->rt->symtab, pc) : NULL;
	if (!f)
		return NULL;
	struct go_place place = go_place_at(&r->gs->rt->symtab, f, pc > f->entry ? pc - 1 : pc);
	if (!place.n)
		return NULL;
	// The runtime names the function, with the line of what was inlined into it.
	struct go_line line = place.lines[0];
	line.name = f->name;
	line.inlined = line.wrapper = false;
	struct json *json = line_json(&line);
	json_set_u64(json, "offset", pc - f->entry);
	report_address(json, "pc", pc);
	if (parent)
		json_set_u64(json, "goroutine", parent);
	return json;
}

static void set_creator(struct report *r, struct json *json, uint64_t pc, uint64_t parent)
{
	struct json *creator = creator_json(r, pc, parent);
	if (creator)
		json_set(json, "created_by", creator);
}

static struct json *labels_json(const struct go_labels *labels)
{
	struct json *json = json_new_object();
	for (size_t i = 0; i < labels->n; i++) {
		_cleanup_free_ char *key = snap_escape(labels->list[i].key,
						       strlen(labels->list[i].key));
		json_set_text(json, key ? key : "?", labels->list[i].value);
	}
	return json;
}

// ---- the runtime ---------------------------------------------------------------------------

/// The lines of modinfo that matter: the program's path, its module, and the settings of the build.
static struct json *build_json(const char *modinfo)
{
	struct json *json = json_new_object(), *settings = json_new_object();
	uint64_t deps = 0;
	for (const char *p = modinfo; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t len = strcspn(p, "\n");
		_cleanup_free_ char *line = strndup(p, len);
		char *value = line ? strchr(line, '\t') : NULL;
		if (!value)
			continue;
		*value++ = '\0';
		if (!strcmp(line, "path")) {
			json_set_text(json, "path", value);
		} else if (!strcmp(line, "mod")) {
			value[strcspn(value, "\t")] = '\0';
			json_set_text(json, "module", value);
			char *version = value + strlen(value) + 1;
			if (version < line + len) {
				version[strcspn(version, "\t")] = '\0';
				json_set_text(json, "module_version", version);
			}
		} else if (!strcmp(line, "dep")) {
			deps++;
		} else if (!strcmp(line, "build") && strchr(value, '=')) {
			char *equals = strchr(value, '=');
			*equals = '\0';
			_cleanup_free_ char *key = snap_escape(value, strlen(value));
			if (key)
				json_set_text(settings, key, equals + 1);
		}
	}
	json_set_u64(json, "dependencies", deps);
	json_set(json, "settings", settings);
	return json;
}

static void count_states(struct report *r, struct json *runtime)
{
	struct go_goroutines *gs = r->gs;
	struct state_counts states = { .n = 0 };
	uint64_t user = 0;
	for (size_t i = 0; i < gs->n; i++) {
		const struct go_goroutine *g = &gs->list[i];
		user += !(g->flags & GO_G_SYSTEM);
		state_counts_add(&states, go_goroutine_state(gs, g));
	}
	json_set_u64(runtime, "goroutine_count", gs->n);
	json_set_u64(runtime, "user_goroutine_count", user);
	json_set(runtime, "states", state_counts_json(&states));
}

static const char *gc_phase(struct go_runtime *rt)
{
	static const char *const names[] = { "off", "mark", "mark termination" };
	uint32_t phase;
	if (!rt->globals.gcphase || !memory_u32(rt->mem, rt->globals.gcphase, &phase) ||
	    phase >= ARRAY_SIZE(names))
		return NULL;
	return names[phase];
}

static void report_runtime(struct report *r)
{
	struct go_goroutines *gs = r->gs;
	struct go_runtime *rt = gs->rt;
	struct json *json = json_new_object();
	uint64_t procs = 0;
	json_set_text(json, "image", rt->image->name);
	json_set_text(json, "version", rt->version[0] ? rt->version : NULL);
	json_set_u64(json, "layout_minor", (uint64_t)rt->layout.minor);
	if (rt->layout_read)
		json_set_bool(json, "layout_from_debug_info", true);
	if (rt->newer)
		json_set_bool(json, "newer_than_known", true);
	if (rt->modinfo)
		json_set(json, "build", build_json(rt->modinfo));
	if (rt->globals.allp && memory_u64(rt->mem, rt->globals.allp + 8, &procs))
		json_set_u64(json, "gomaxprocs", procs);
	json_set_u64(json, "thread_count", gs->n_threads);
	json_set_u64(json, "modules", rt->symtab.n_modules);
	json_set_text(json, "gc_phase", gc_phase(rt));
	json_set_bool(json, "clock_exact", gs->now_exact);
	count_states(r, json);
	if (gs->damaged)
		json_set_u64(json, "damaged", gs->damaged);
	if (gs->unread)
		json_set_u64(json, "not_in_core", gs->unread);
	if (gs->dropped)
		json_set_u64(json, "beyond_limit", gs->dropped);
	put(r, "runtime", json);
}

static void report_thread(struct report *r, const struct go_thread *t, struct go_stack *stack)
{
	struct go_runtime *rt = r->gs->rt;
	struct json *json = json_new_object();
	json_set_u64(json, "m", (uint64_t)t->id);
	if (t->tid)
		json_set_u64(json, "tid", (uint64_t)t->tid);
	if (t->p)
		json_set_u64(json, "p", go_u32(rt, t->p, GO_P_ID));
	if (t->curg)
		json_set_u64(json, "goroutine", go_u64(rt, t->curg, GO_G_GOID));
	if (t->lockedg)
		json_set_u64(json, "locked_goroutine", go_u64(rt, t->lockedg, GO_G_GOID));
	if (t->in_cgo)
		json_set_bool(json, "in_cgo", true);
	if (!t->has_regs) {
		json_set_text(json, "stack_end", go_stop_name(GO_STOP_NO_REGISTERS));
	} else if (go_walk_thread(rt, t->addr, &t->regs, stack) == 0) {
		report_address(json, "pc", t->regs.pc);
		json_set(json, "frames", stack_frames(r, stack));
		json_set_text(json, "stack_end", go_stop_name(stack->stop));
	}
	put(r, "thread", json);
}

static void report_threads(struct report *r)
{
	struct go_stack stack = { 0 };
	for (size_t i = 0; i < r->gs->n_threads && !r->error; i++)
		report_thread(r, &r->gs->threads[i], &stack);
	go_stack_deinit(&stack);
}

/// Each line as an element.
static struct json *lines_json(const char *text)
{
	struct json *list = json_new_array();
	for (size_t n; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		_cleanup_free_ char *line = strndup(text, n);
		_cleanup_free_ char *escaped = line ? snap_escape(line, n) : NULL;
		json_add_message(list, escaped ? escaped : "");
	}
	return list;
}

static void report_crash(struct report *r)
{
	struct go_crash crash;
	if (!go_crash_read(r->gs, &crash))
		return;
	struct json *json = json_new_object(), *panics = json_new_array();
	if (crash.goroutine)
		json_set_u64(json, "goroutine", go_u64(r->gs->rt, crash.goroutine, GO_G_GOID));
	for (size_t i = 0; i < crash.n_panics; i++) {
		struct json *panic = json_new_object();
		json_set_text(panic, "value", crash.panics[i].value);
		json_set_text(panic, "type", crash.panics[i].type);
		json_set_bool(panic, "recovered", crash.panics[i].recovered);
		if (crash.panics[i].repanicked)
			json_set_bool(panic, "repanicked", true);
		if (crash.panics[i].goexit)
			json_set_bool(panic, "goexit", true);
		json_add(panics, panic);
	}
	json_set(json, "panics", panics);
	json_set_text(json, "fatal_error", crash.fatal);
	if (crash.before)
		json_set(json, "before", lines_json(crash.before));
	if (crash.signal) {
		const char *text = go_signal_text(crash.signal);
		json_set_u64(json, "signal", crash.signal);
		json_set_text(json, "signal_text", text);
		json_set_u64(json, "signal_code", crash.signal_code);
		report_address(json, "signal_address", crash.signal_addr);
		report_address(json, "signal_pc", crash.signal_pc);
	}
	put(r, "crash", json);
	go_crash_deinit(&crash);
}

// ---- groups and goroutines -----------------------------------------------------------------

static void report_group(struct report *r, const struct go_group *group)
{
	struct go_goroutines *gs = r->gs;
	const struct go_stack_class *c = &gs->stacks[group->stack];
	struct json *json = json_new_object(), *ids = json_new_array();
	json_set_u64(json, "count", group->count);
	json_set(json, "states", state_counts_json(&group->states));
	if (group->known_waits) {
		json_set_u64(json, "shortest_wait_ns", (uint64_t)group->min_wait_ns);
		json_set_u64(json, "longest_wait_ns", (uint64_t)group->max_wait_ns);
	}
	json_set_u64(json, "unknown_waits", group->count - group->known_waits);
	for (size_t i = 0; i < group->n_ids; i++) {
		json_add_u64(ids, group->ids[i]);
	}
	json_set(json, "goroutines", ids);
	if (group->system)
		json_set_bool(json, "system", true);
	if (group->labels.n)
		json_set(json, "labels", labels_json(&group->labels));
	bool main = group->n_ids && group->ids[0] == 1; // which the runtime made itself
	set_creator(r, json, main ? 0 : c->created_at, 0);
	json_set(json, "frames", class_frames(r, c));
	json_set_text(json, "stack_end", go_stop_name(c->stop));
	put(r, "group", json);
}

static void report_groups(struct report *r)
{
	struct go_groups groups;
	if (go_groups_build(r->gs, r->filter, &groups) < 0) {
		r->error = -ENOMEM;
		return;
	}
	uint64_t top = r->filter->top ? r->filter->top : UINT64_MAX;
	for (size_t i = 0; i < groups.n && i < top && !r->error; i++)
		report_group(r, &groups.list[i]);
	go_groups_deinit(&groups);
}

static void add_objects(struct report *r, struct json *json, const struct go_goroutine *g)
{
	struct go_object objects[GO_OBJECTS_MAX];
	size_t n = go_wait_objects(r->gs, g, objects);
	if (!n)
		return;
	struct json *list = json_new_array();
	for (size_t i = 0; i < n; i++) {
		struct json *o = json_new_object();
		json_set_text(o, "kind", go_object_name(objects[i].kind));
		report_address(o, "address", objects[i].addr);
		if (objects[i].kind == GO_OBJECT_CHANNEL) {
			json_set_text(o, "operation", objects[i].sending ? "send" : "receive");
			json_set_u64(o, "length", objects[i].length);
			json_set_u64(o, "capacity", objects[i].capacity);
			json_set_u64(o, "receivers", objects[i].receivers);
			json_set_u64(o, "senders", objects[i].senders);
			json_set_bool(o, "closed", objects[i].closed);
		}
		json_add(list, o);
	}
	json_set(json, "blocked_on", list);
}

static void add_thread_of(struct report *r, struct json *json, const struct go_goroutine *g)
{
	struct go_runtime *rt = r->gs->rt;
	uint64_t m = go_u64(rt, g->addr, GO_G_M), locked = go_u64(rt, g->addr, GO_G_LOCKEDM);
	const struct go_thread *t = go_thread_of(r->gs, m ? m : locked);
	if (locked)
		json_set_bool(json, "locked_to_thread", true);
	if (m && t)
		json_set_u64(json, "m", (uint64_t)t->id);
	if (t && t->tid)
		json_set_u64(json, "tid", (uint64_t)t->tid);
}

static uint64_t bubble_id(struct go_runtime *rt, const struct go_goroutine *g)
{
	uint64_t bubble = go_u64(rt, g->addr, GO_G_BUBBLE);
	return bubble ? go_u64(rt, bubble, GO_BUBBLE_ID) : 0;
}

/// Waits that only goroutines of the same synctest bubble can end, src/runtime/runtime2.go. Where
/// the state has it in its name, it need not be said again.
static bool is_durable(const char *state)
{
	static const char *const states[] = {
		"chan receive (nil chan)",
		"chan send (nil chan)",
		"select (no cases)",
		"sleep",
		"sync.Cond.Wait",
		"coroutine",
		"synctest.Run",
		"synctest.Wait",
	};
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (!strcmp(state, states[i]))
			return true;
	return false;
}

static void report_goroutine(struct report *r, const struct go_goroutine *g,
			     struct go_stack *stack)
{
	struct go_goroutines *gs = r->gs;
	struct go_runtime *rt = gs->rt;
	struct json *json = json_new_object();
	struct go_labels labels;
	int64_t wait = go_goroutine_wait_ns(gs, g);
	uint64_t wake = go_wake_time(gs, g), bubble = bubble_id(rt, g);
	json_set_u64(json, "id", g->id);
	report_address(json, "g", g->addr);
	json_set_text(json, "status", go_status_name(g->status));
	json_set_text(json, "state", go_goroutine_state(gs, g));
	if (wait >= 0)
		json_set_u64(json, "wait_ns", (uint64_t)wait);
	if (wake && gs->now)
		json_set_u64(json, "wakes_in_ns", wake > gs->now ? wake - gs->now : 0);
	if (g->flags & GO_G_SCAN)
		json_set_bool(json, "scan", true);
	if (g->flags & GO_G_SYSTEM)
		json_set_bool(json, "system", true);
	if (bubble)
		json_set_u64(json, "bubble", bubble);
	if (bubble && is_durable(go_goroutine_state(gs, g)))
		json_set_bool(json, "durable", true);
	add_thread_of(r, json, g);
	go_labels_read(rt, g->labels, &labels);
	if (labels.n)
		json_set(json, "labels", labels_json(&labels));
	go_labels_deinit(&labels);
	add_objects(r, json, g);
	set_creator(r, json, g->id == 1 ? 0 : go_u64(rt, g->addr, GO_G_GOPC),
		    go_u64(rt, g->addr, GO_G_PARENT_GOID));
	const struct go_func *entry = go_func_at(&rt->symtab, go_u64(rt, g->addr, GO_G_STARTPC));
	if (entry)
		json_set_text(json, "entry", entry->name);
	if (go_goroutine_walk(gs, g, stack) == 0) {
		json_set(json, "frames", stack_frames(r, stack));
		json_set_text(json, "stack_end", go_stop_name(stack->stop));
	}
	put(r, "goroutine", json);
}

static void report_each(struct report *r)
{
	struct go_stack stack = { 0 };
	for (size_t i = 0; i < r->gs->n && !r->error; i++)
		if (go_filter_accepts(r->gs, r->filter, &r->gs->list[i]))
			report_goroutine(r, &r->gs->list[i], &stack);
	go_stack_deinit(&stack);
}

struct snap_error *go_report(struct go_goroutines *gs, const struct report_filter *filter,
			     const struct report_sink *sink)
{
	struct report r = { .gs = gs, .filter = filter, .sink = sink };
	report_runtime(&r);
	report_crash(&r);
	report_threads(&r);
	if (!r.error)
		r.error = go_findings_report(gs, sink);
	report_groups(&r);
	if (filter->each && filter->values && go_runtime_dwarf(gs->rt))
		r.params = go_params_create(gs->rt, gs->rt->dwarf);
	if (filter->each)
		report_each(&r);
	go_params_destroy(r.params);
	return r.error ? snap_error_errno(SNAP_FAILED, -r.error, "cannot report what was found") :
			 NULL;
}
