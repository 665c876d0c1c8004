// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyze.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/analysis.h"
#include "common/str.h"
#include "go/runtime.h"
#include "go/traceback.h"

enum {
	IDS_MAX = 1000,
	PRPSINFO_FNAME = 40,
	PRPSINFO_PSARGS = 56,
	PRPSINFO_BYTES = 136,
	SIGINFO_CODE = 8,
	SIGINFO_ADDR = 16, // or the sender: process and user, 4 bytes each
};

// ---- the core ------------------------------------------------------------------------------

static void set_prpsinfo(struct json *json, struct span info)
{
	char text[81];
	if (info.size < PRPSINFO_BYTES)
		return;
	memcpy(text, info.data + PRPSINFO_FNAME, 16);
	text[16] = '\0';
	json_set_text(json, "comm", text);
	memcpy(text, info.data + PRPSINFO_PSARGS, 80);
	text[80] = '\0';
	json_set_text(json, "args", text);
}

static void set_snapnote(struct json *json, const struct core *core)
{
	const struct snapnote *note = &core->note;
	json_set_text(json, "mode", note->mode);
	json_set_u64(json, "realtime_ns", note->realtime_ns);
	json_set_u64(json, "monotonic_ns", note->monotonic_ns);
	json_set_u64(json, "pause_ns", note->pause_ns);
	if (note->predicted_pause_ns)
		json_set_u64(json, "predicted_pause_ns", note->predicted_pause_ns);
	json_set_u64(json, "gaps", note->n_gaps);
	json_set_u64(json, "gap_bytes", note->gap_bytes);
	if (core->later_bytes)
		json_set_u64(json, "later_bytes", core->later_bytes);
	json_set_bool(json, "partial", note->flags & SNAPNOTE_PARTIAL);
}

static uint64_t count_segments(const struct core *core)
{
	uint64_t n = 0;
	for (size_t i = 0; i < core->elf.n_phdrs; i++)
		n += core->elf.phdrs[i].p_type == PT_LOAD;
	return n;
}

/// Has the kernel put an address into the siginfo?
static bool is_fault(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
	       signal == SIGTRAP;
}

/// Where the signal came from: an address for those of the processor, a process for those that were
/// sent (sigaction(2); timers and the like have neither).
static void set_cause(struct json *json, struct span *info, int signal)
{
	if (info->size < SIGINFO_ADDR + 8)
		return;
	int code = (int)span_u32(info, SIGINFO_CODE);
	if (code > 0 && is_fault(signal))
		report_address(json, "fault_address", span_u64(info, SIGINFO_ADDR));
	if (code != SI_USER && code != SI_QUEUE && code != SI_TKILL)
		return;
	json_set_u64(json, "sender_pid", span_u32(info, SIGINFO_ADDR));
	json_set_u64(json, "sender_uid", span_u32(info, SIGINFO_ADDR + 4));
}

static int report_core(const struct core *core, const struct report_sink *sink)
{
	struct json *json = json_new_object();
	json_set_u64(json, "pid", (uint64_t)MAX(core_pid(core), 0));
	set_prpsinfo(json, core->prpsinfo);
	json_set_text(json, "machine", core->machine == EM_X86_64 ? "x86_64" : "aarch64");
	json_set_text(json, "by", core->note.version ? "procsnap" : NULL);
	if (core->note.version)
		set_snapnote(json, core);
	json_set_u64(json, "threads", core->n_threads);
	json_set_u64(json, "mappings", count_segments(core));
	json_set_u64(json, "bytes", source_size(core->elf.source));
	json_set_bool(json, "truncated", core->truncated);
	json_set_bool(json, "summary_attached", core->attached.size != 0);
	if (core->n_threads && core->threads[0].cursig) {
		struct span info = core->threads[0].siginfo;
		json_set_u64(json, "signal", core->threads[0].cursig);
		set_cause(json, &info, core->threads[0].cursig);
	}
	return sink->line(sink->userdata, "core", json);
}

/// Is it the mapping of a segment with code?
static bool is_code(const struct image *image, const struct core_mapped *mapped)
{
	for (size_t i = 0; i < image->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &image->elf.phdrs[i];
		uint64_t start = image->bias + p->p_vaddr;
		if (p->p_type == PT_LOAD && p->p_flags & PF_X && start < mapped->end &&
		    start + p->p_memsz > mapped->start)
			return true;
	}
	return false;
}

static int report_image(const struct image *image, const struct report_sink *sink)
{
	struct json *json = json_new_object();
	_cleanup_free_ char *id = analysis_to_hex(image->id.bytes, image->id.size);
	json_set_text(json, "name", image->name);
	json_set_text(json, "file", image_state_name(image->state));
	json_set_message(json, "build_id", image->id.size ? id : NULL);
	json_set_bool(json, "program", image->is_program);
	for (size_t i = 0; i < image->n_mapped; i++)
		if (is_code(image, &image->mapped[i])) {
			report_address(json, "start", image->mapped[i].start);
			report_address(json, "end", image->mapped[i].end);
			report_address(json, "offset", image->mapped[i].offset);
			break;
		}
	return sink->line(sink->userdata, "image", json);
}

// ---- the request ---------------------------------------------------------------------------

static void read_filter(const struct json *request, uint64_t ids[static IDS_MAX],
			struct report_filter *ret)
{
	const struct json *list = json_get(request, "ids");
	uint64_t min_wait_ns = json_get_u64(request, "min_wait_ns", 0);
	*ret = (struct report_filter){
		.system = json_get_bool(request, "system", false),
		.each = json_get_bool(request, "each", false),
		.values = json_get_bool(request, "values", false),
		.traceback = json_get_bool(request, "traceback", false),
		.state = json_get_text(request, "state"),
		.function = json_get_text(request, "function"),
		.label_key = json_get_text(request, "label_key"),
		.label_value = json_get_text(request, "label_value"),
		.min_wait_ns = (int64_t)(min_wait_ns > INT64_MAX ? INT64_MAX : min_wait_ns),
		.top = json_get_u64(request, "top", 0),
		.ids = ids,
	};
	for (size_t i = 0; i < json_length(list) && i < IDS_MAX; i++) {
		const char *text = json_text_value(json_at(list, i));
		if (text && snap_parse_u64(text, &ids[ret->n_ids]) == 0)
			ret->n_ids++;
	}
}

// ---- Go ------------------------------------------------------------------------------------

/// Is @rt's first module part of a runtime that was found before, as those of plugins are?
static bool is_known(struct go_runtime *const *list, size_t n, const struct go_runtime *rt)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < list[i]->symtab.n_modules; j++)
			if (list[i]->symtab.modules[j].addr == rt->symtab.modules[0].addr)
				return true;
	return false;
}

/// Tells where the word of GOTRACEBACK is, or why that is not known.
static struct snap_error *report_traceback(struct go_runtime *rt, const struct report_sink *sink)
{
	struct go_traceback traceback;
	const char *why;
	struct json *json = json_new_object();
	json_set_text(json, "image", rt->image->name);
	json_set_text(json, "version", rt->version);
	if (go_traceback_find(rt, &traceback, &why)) {
		report_address(json, "address", traceback.addr);
		json_set_u64(json, "value", traceback.value);
		json_set_bool(json, "symbol", traceback.has_symbol);
	} else {
		json_set_message(json, "refused", why);
	}
	return sink->line(sink->userdata, "traceback", json) < 0 ?
		       snap_error_new(SNAP_FAILED, "cannot report what was found") :
		       NULL;
}

static struct snap_error *analyze_runtime(struct go_runtime *rt,
					  const struct report_filter *filter,
					  const struct report_sink *sink)
{
	struct go_goroutines gs;
	if (filter->traceback)
		return report_traceback(rt, sink);
	struct snap_error *err = go_goroutines_read(rt, &gs);
	if (err)
		return snap_error_wrap(err, "%s", rt->version[0] ? rt->version : "Go");
	err = go_report(&gs, filter, sink);
	go_goroutines_deinit(&gs);
	return err;
}

static int warn(const struct report_sink *sink, const char *text)
{
	struct json *json = json_new_object();
	json_set_message(json, "text", text);
	return sink->line(sink->userdata, "warning", json);
}

/// Looks for Go in each image, opens files on the way, and reports what is found.
static struct snap_error *analyze_images(struct core *core, struct images *images,
					 struct native *native,
					 const struct report_filter *filter,
					 const struct image_opener *opener,
					 const struct report_sink *sink)
{
	_cleanup_free_ struct go_runtime **list = calloc(images->n + 1, sizeof(*list));
	size_t n = 0;
	struct snap_error *err = NULL;
	if (!list)
		return snap_error_oom();
	for (size_t i = 0; !err && i < images->n; i++) {
		struct image *image = &images->list[i];
		struct go_runtime *rt = NULL;
		if (image_open(image, core, opener) < 0)
			err = snap_error_oom();
		if (!err)
			err = go_runtime_find(core, image, &rt);
		if (!err && (rt || image->is_program) && report_image(image, sink) < 0)
			err = snap_error_new(SNAP_FAILED, "cannot report what was found");
		if (rt && is_known(list, n, rt))
			go_runtime_destroy(TAKE_PTR(rt));
		if (!rt)
			continue;
		list[n++] = rt;
		rt->native = native;
		if (err)
			continue;
		// A runtime that cannot be read is said, and does not hide the others.
		struct snap_error *bad = analyze_runtime(rt, filter, sink);
		if (bad && warn(sink, bad->message) < 0)
			err = snap_error_new(SNAP_FAILED, "cannot report what was found");
		snap_error_destroy(bad);
	}
	for (size_t i = 0; i < n; i++)
		go_runtime_destroy(list[i]);
	return err;
}

/// What was attached to the core, as it is.
static struct snap_error *report_attached(const struct core *core, const struct report_sink *sink)
{
	struct json *summary = core->attached.size ? json_parse((const char *)core->attached.data,
								core->attached.size) :
						     NULL;
	if (!summary)
		return snap_error_new(SNAP_FAILED, "no summary of goroutines is attached to it");
	return sink->line(sink->userdata, "summary", summary) < 0 ?
		       snap_error_new(SNAP_FAILED, "cannot report what was found") :
		       NULL;
}

struct snap_error *analyze(int fd, int memory_fd, const struct json *request,
			   const struct image_opener *opener,
			   const struct report_sink *sink)
{
	_cleanup_(source_destroyp) struct source *source = NULL, *memory = NULL;
	_cleanup_(core_closep) struct core *core = NULL;
	_cleanup_(native_destroyp) struct native *native = NULL;
	struct images images = { 0 };
	struct report_filter filter;
	uint64_t ids[IDS_MAX];
	struct snap_error *err = source_create(fd, SOURCE_FILE, &source);
	read_filter(request, ids, &filter);
	if (!err && memory_fd >= 0)
		err = source_create(memory_fd, SOURCE_MEMORY, &memory);
	if (!err)
		err = core_open(source, memory, &core);
	if (!err && json_get_bool(request, "attached", false))
		return report_attached(core, sink);
	if (!err && report_core(core, sink) < 0)
		err = snap_error_new(SNAP_FAILED, "cannot report what was found");
	if (!err && !json_get_bool(request, "core_only", false)) {
		err = images_init(&images, core);
		if (!err)
			native = native_create(core, &images, opener);
		if (!err && !native)
			err = snap_error_oom();
		if (!err)
			err = analyze_images(core, &images, native, &filter, opener, sink);
	}
	native_destroy(TAKE_PTR(native)); // before what it has borrowed
	images_deinit(&images);
	return err;
}
