// SPDX-License-Identifier: LGPL-2.1-or-later
#include "take.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cpus.h"
#include "common/fd.h"
#include "dumper/core.h"
#include "dumper/priority.h"
#include "dumper/stream.h"
#include "packed.h"
#include "patience.h"
#include "ptrace/livemem.h"
#include "room.h"
#include "taking.h"

enum {
	CHUNK = 1 << 20,
	// Of a core in memory: headers, and what the process has of files.
	MEMORY_SPARE = 16 << 20,
};

static void open_memory(struct taking *t)
{
	const struct crash *crash = &t->hook->crash;
	pid_t tid;
	t->piddir = crash_open_proc(crash, &tid);
	if (t->piddir < 0) {
		t->why_stream = "the process is gone";
		return;
	}
	struct snap_error *err = livemem_create(tid, t->piddir, &t->mem);
	if (err)
		t->why_stream = "the memory of the process cannot be opened";
	snap_error_destroy(err);
	if (!t->mem || crash->by_pidfd || crash_is_held())
		return;
	t->why_stream = "the process could not be identified";
	livemem_destroy(t->mem);
	t->mem = NULL;
}

static void set_limit(struct taking *t, uint64_t max_bytes)
{
	uint64_t room = room_on_disk(t->fd);
	t->max_bytes = MIN(max_bytes, room);
	t->why_max = max_bytes <= room ? "its limit is" : taking_no_room;
}

/// The address space is mostly more than what the kernel will send.
static uint64_t expected_bytes(const struct taking *t)
{
	return room_expected(t->piddir, t->head->plan->dump_bytes);
}

/// Where the stream stands, for the first copier that reads it; UINT64_MAX for others.
static uint64_t take_stream(const struct taking *t)
{
	bool first = !t->hook->share->stream_taken;
	t->hook->share->stream_taken = true;
	return first ? t->head->bytes.len : UINT64_MAX;
}

static struct snap_error *keep_stacks(struct taking *t)
{
	t->stacks_only = true;
	return plan_keep_stacks(t->head->plan, &t->head->snap);
}

/// Says what is copied first, for a core that may not become whole.
static struct snap_error *set_priorities(struct taking *t)
{
	_cleanup_priorities_ struct priorities priorities = { 0 };
	struct snap_error *err = priorities_find(&t->head->snap, &priorities);
	return err ? err : core_set_priorities(t->core, &priorities);
}

static struct snap_error *copy_live(struct taking *t, uint32_t flags)
{
	return core_copy(t->core, taking_memory(t), t->fd, NULL, cpus_to_copy(), flags, NULL);
}

static struct snap_error *copy_stream(struct taking *t, uint32_t flags)
{
	const struct stream_body body = { .fd = CRASH_STREAM_FD,
					  .position = take_stream(t),
					  .patience_ms = PATIENCE_MS };
	return stream_copy(&body, &t->head->facts, t->core, t->fd, flags, &t->stream_stalled);
}

static struct snap_error *copy_memory(struct taking *t)
{
	uint32_t flags = CORE_KEEP_PARTIAL;
	struct snap_error *err = core_create(&t->head->snap, t->head->plan, 0, &t->core);
	if (!err)
		err = core_set_limit(t->core, t->max_bytes);
	// Registers are what is left when others fill the disk meanwhile.
	if (!err)
		core_reserve_head(t->core, t->fd);
	if (!err && t->mem && t->head->plan->dump_bytes > t->max_bytes) {
		flags |= CORE_SHORT_OF_SPACE;
		err = set_priorities(t);
	}
	if (err)
		return err;
	return t->mem ? copy_live(t, flags) : copy_stream(t, flags);
}

static struct snap_error *copy(struct taking *t, enum action action)
{
	uint64_t begin = snap_now_ns();
	struct snap_error *err = NULL;
	bool wanted = action == ACTION_STACKS;
	if (wanted || (!t->mem && expected_bytes(t) > t->max_bytes))
		err = keep_stacks(t);
	if (!err)
		err = copy_memory(t);
	if (!err)
		err = core_finish(t->core, t->fd, &(struct core_facts){ .defer_writing = true });
	if (wanted && !err && !core_gaps(t->core)->lost_bytes)
		t->why_max = NULL; // nothing is missing that was wanted
	t->copy_ns = snap_now_ns() - begin;
	return err;
}

/// A head that nobody understands: the core is kept as the kernel writes it, up to its limit.
static struct snap_error *copy_as_it_comes(struct taking *t, struct json *result)
{
	const struct strbuf *head = &t->head->bytes;
	_cleanup_free_ char *buf = malloc(CHUNK);
	uint64_t room = t->max_bytes > head->len ? t->max_bytes - head->len : 0;
	int r = buf ? snap_write_all(t->fd, head->data, head->len) : -ENOMEM;
	bool more = take_stream(t) != UINT64_MAX;
	while (r >= 0 && more) {
		ssize_t n = snap_read_within(CRASH_STREAM_FD, buf, CHUNK, PATIENCE_MS);
		if (n == -ETIMEDOUT) {
			json_set_u64(result, "lost_bytes", 1); // at least
			json_set_text(result, "why_short", taking_stalled);
		}
		if (n <= 0)
			break;
		if ((uint64_t)n > room) {
			json_set_u64(result, "lost_bytes", 1); // at least
			taking_note_limit(t, result);
			break;
		}
		room -= (uint64_t)n;
		r = snap_write_all(t->fd, buf, (size_t)n);
	}
	return r < 0 ? snap_error_errno(snap_code_from_errno(-r), -r, "cannot write the core") :
		       NULL;
}

static struct snap_error *take(struct taking *t, const struct answer *answer, struct json *result)
{
	struct snapshot *snap = &t->head->snap;
	set_limit(t, answer->max_bytes);
	if (!t->head->plan) {
		json_set_text(result, "mode", "stream");
		json_set_bool(result, "as_it_came", true);
		return t->head->bytes.len ?
			       copy_as_it_comes(t, result) :
			       snap_error_new(SNAP_FAILED, "the kernel sent no core");
	}
	open_memory(t);
	snap->mode = strdup(t->mem ? "crash" : "stream");
	snap->realtime_ns = t->hook->crash.usec * 1000;
	snap->monotonic_ns = snap_now_ns();
	if (!snap->mode)
		return snap_error_oom();
	(void)folder_write(&t->hook->folder, "auxv", snap->process.auxv, snap->process.auxv_size);
	struct snap_error *err = copy(t, answer->action);
	if (!err)
		taking_describe(t, result);
	return err;
}

/// Is there less in the core than there could be elsewhere?
static bool lacks_room(const struct taking *t)
{
	return t->mem && !t->stacks_only && t->why_max == taking_no_room &&
	       core_gaps(t->core)->lost_bytes && !taking_has_stalled(t);
}

/// Copies all once more. What is in the folder stays as it is.
static struct snap_error *copy_again(struct taking *t, const struct answer *answer)
{
	t->core = NULL;
	t->max_bytes = MIN(answer->max_bytes, answer->memory_bytes);
	t->why_max = answer->max_bytes <= answer->memory_bytes ? "its limit is" :
								 "memory has room for";
	t->fd = memfd_create("procsnap-core", MFD_CLOEXEC);
	return t->fd < 0 ? snap_error_errno(SNAP_FAILED, errno, "no memory can be had") :
			   copy(t, answer->action);
}

/// The core is in the folder, in part. Whatever goes wrong now, it is that.
static void take_whole(const struct taking *part, const struct answer *answer, struct taken *ret)
{
	struct taking whole = *part;
	// Should this be what kills us, the next copier does without.
	part->hook->share->memory_tried = true;
	struct snap_error *err = folder_write_result(&part->hook->folder, ret->result);
	if (!err)
		err = copy_again(&whole, answer);
	whole.copy_ns += part->copy_ns; // it waits for both
	if (!err && core_gaps(whole.core)->lost_bytes < core_gaps(part->core)->lost_bytes) {
		ret->whole = TAKE_FD(whole.fd);
		ret->whole_result = json_new_object();
		taking_describe(&whole, ret->whole_result);
		json_set_bool(ret->whole_result, "in_memory", true);
	}
	if (!part->hook->share->n_avoided)
		core_destroy(whole.core);
	snap_closep(&whole.fd);
	snap_error_destroy(err);
}

uint64_t take_wants_memory(const struct hook *hook)
{
	const struct plan *plan = hook->head.plan;
	pid_t tid;
	if (!plan || hook->share->memory_tried || hook->share->n_avoided)
		return 0;
	_cleanup_close_ int piddir = crash_open_proc(&hook->crash, &tid);
	uint64_t bytes = room_expected(piddir, plan->dump_bytes);
	bytes = MIN(bytes, hook->crash.rlimit);
	if (piddir < 0 || bytes <= room_on_disk(hook->folder.fd))
		return 0;
	bytes += bytes / 16 + MEMORY_SPARE;
	return bytes <= room_in_memory() ? bytes : 0;
}

void taken_deinit(struct taken *taken)
{
	json_destroy(taken->result);
	json_destroy(taken->whole_result);
	snap_closep(&taken->whole);
	*taken = TAKEN_NULL;
}

struct snap_error *take_core(struct hook *hook, const struct answer *answer, struct taken *ret)
{
	struct taking t = { .hook = hook, .head = &hook->head, .piddir = -EBADF, .fd = -EBADF };
	struct snap_error *err = NULL;
	*ret = TAKEN_NULL;
	ret->result = json_new_object();
	t.fd = folder_open_core(&hook->folder);
	if (t.fd < 0)
		err = snap_error_errno(snap_code_from_errno(-t.fd), -t.fd,
				       "cannot make a file in %s/crash", hook->crash.store);
	if (!err)
		err = take(&t, answer, ret->result);
	if (!err)
		err = folder_link_core(&hook->folder, t.fd);
	if (!err && answer->memory_bytes && lacks_room(&t))
		take_whole(&t, answer, ret);
	if (!err && answer->pack && ret->whole < 0 && lacks_room(&t) &&
	    expected_bytes(&t) <= answer->max_bytes)
		pack_whole(&t, answer, ret->result);
	if (!t.hook->share->n_avoided) { // else others may still be at it
		core_destroy(t.core);
		livemem_destroy(t.mem);
		snap_closep(&t.piddir);
	}
	snap_closep(&t.fd);
	if (err)
		json_set_message(ret->result, "error", err->message);
	return err;
}
