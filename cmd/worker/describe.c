// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/stat.h>
#include <sys/utsname.h>

#include "common/str.h"
#include "describe.h"

enum {
	// As many gaps as a message has room for; the note in the core has more.
	GAPS_SHOWN = 1000,
};

static void describe_process(const struct snapshot *snap, struct json *json)
{
	struct utsname uts;
	json_set_u64(json, "pid", (uint64_t)snap->process.pid);
	json_set_text(json, "comm", snap->process.comm);
	json_set_text(json, "exe", snap->process.exe);
	if (uname(&uts) == 0)
		json_set_text(json, "kernel", uts.release);
	json_set_u64(json, "mappings", snap->n_mappings);
}

static struct json *describe_gaps(const struct gaps *gaps)
{
	struct json *list = json_new_array();
	for (size_t i = 0; i < MIN(gaps->n, (size_t)GAPS_SHOWN); i++) {
		struct json *gap = json_new_object();
		json_set_u64(gap, "start", gaps->list[i].start);
		json_set_u64(gap, "end", gaps->list[i].end);
		json_set_text(gap, "reason", gap_reason_name(gaps->list[i].reason));
		json_add(list, gap);
	}
	return list;
}

static void warn_partial_threads(struct snapshot *snap)
{
	size_t n = 0;
	pid_t first = 0;
	for (size_t i = 0; i < snap->n_threads; i++)
		if (snap->threads[i].flags & SNAP_THREAD_PARTIAL && !n++)
			first = snap->threads[i].tid;
	if (n == 1)
		snapshot_warn(snap,
			      "thread %d is in uninterruptible sleep or vfork: only the registers "
			      "of its system call are known",
			      first);
	else if (n)
		snapshot_warn(snap,
			      "%zu threads (%d and others) are in uninterruptible sleep or vfork: "
			      "only the registers of their system calls are known",
			      n, first);
}

static void warn_gaps(struct snapshot *snap, const struct gaps *gaps)
{
	uint64_t bytes[GAP_REASON_MAX] = { 0 };
	static const char *const texts[GAP_REASON_MAX] = {
		[GAP_UNREADABLE] = "the kernel does not let it be read",
		[GAP_NOT_RESIDENT] = "it is shared memory that is not mapped in right now; reading "
				     "it needs CAP_CHECKPOINT_RESTORE (root)",
		[GAP_ABORTED] = "the dump ended before",
	};
	for (size_t i = 0; i < gaps->n; i++)
		bytes[gaps->list[i].reason] += gaps->list[i].end - gaps->list[i].start;
	for (int i = 1; i < GAP_REASON_MAX; i++) {
		char buf[16];
		if (bytes[i] && i == GAP_LATER)
			snapshot_warn(snap,
				      "%s of shared memory are from after the instant of the core: "
				      "they were read when the process ran again (--mode=copy "
				      "reads them while it stands still)",
				      snap_format_bytes(bytes[i], buf));
		else if (bytes[i] && texts[i])
			snapshot_warn(snap, "%s of memory are missing: %s",
				      snap_format_bytes(bytes[i], buf), texts[i]);
	}
}

struct json *describe_dump(struct snapshot *snap, const struct dump_made *made)
{
	const struct gaps *gaps = core_gaps(made->core);
	struct json *json = json_new_object();
	describe_process(snap, json);
	if (made->plain_uid != UINT64_MAX)
		json_set_u64(json, "plain_uid", made->plain_uid);
	json_set_u64(json, "threads", snap->n_threads);
	json_set_text(json, "mode", snap->mode);
	json_set_u64(json, "realtime_ns", snap->realtime_ns);
	json_set_u64(json, "pause_ns", made->pause_ns);
	json_set_u64(json, "predicted_pause_ns", made->predicted_pause_ns);
	struct stat st = { 0 };
	(void)fstat(made->raw_fd, &st);
	json_set_u64(json, "bytes", (uint64_t)st.st_size);
	(void)fstat(made->final_fd, &st);
	json_set_u64(json, "bytes_on_disk", (uint64_t)st.st_blocks * 512);
	json_set(json, "gaps", describe_gaps(gaps));
	json_set_u64(json, "gap_bytes", gaps->bytes);
	json_set_u64(json, "lost_bytes", gaps->lost_bytes);
	warn_partial_threads(snap);
	warn_gaps(snap, gaps);
	struct json *warnings = json_new_array();
	for (size_t i = 0; i < snap->n_warnings; i++)
		json_add_message(warnings, snap->warnings[i]);
	json_set(json, "warnings", warnings);
	if (made->go)
		json_set(json, "go", json_share(json_at(json_get(made->go, "runtimes"), 0)));
	return json;
}

struct json *describe_plan(const struct snapshot *snap, const struct plan *plan,
			   const struct forecast *forecast, uint64_t threads)
{
	uint64_t head = core_first_offset(snap, threads);
	struct json *json = json_new_object(), *classes = json_new_array();
	describe_process(snap, json);
	for (int i = 0; i < PLAN_CLASS_MAX; i++) {
		const struct plan_total *total = &plan->totals[i];
		if (!total->mappings)
			continue;
		struct json *class = json_new_object();
		json_set_text(class, "class", plan_class_name((enum plan_class)i));
		json_set_bool(class, "dumped", plan_class_dumped((enum plan_class)i));
		json_set_u64(class, "mappings", total->mappings);
		json_set_u64(class, "bytes", total->dump_bytes);
		json_set_u64(class, "data_bytes", total->data_bytes);
		json_add(classes, class);
	}
	json_set(json, "classes", classes);
	json_set_u64(json, "threads", threads);
	json_set_text(json, "mode", strategy_name(forecast->best));
	json_set_u64(json, "pause_ns", forecast->pause_ns[forecast->best]);
	json_set(json, "strategies", forecast_to_json(forecast));
	json_set_u64(json, "bytes", plan->dump_bytes + head);
	json_set_u64(json, "bytes_on_disk", plan->data_bytes + head);
	return json;
}
