// SPDX-License-Identifier: LGPL-2.1-or-later
#include "take.h"

#include <elf.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/str.h"
#include "dumper/core.h"
#include "dumper/stream.h"
#include "ptrace/livemem.h"

enum {
	THREADS_MAX = 8,
	CHUNK = 1 << 20,
};

struct taking {
	struct hook *hook;
	struct head *head; ///< of the hook
	int piddir;
	struct livemem *mem; ///< NULL: the stream is read instead
	const char *why_stream; ///< then
	struct core *core;
	int fd;
	uint64_t copy_ns;
};

static unsigned int count_threads(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int)MIN(CPU_COUNT(&set), (int)THREADS_MAX);
}

/**
 * Does the kernel still hold the process for us, after its memory was opened?
 *
 * Its writing end of the stream is open as long as it has something to write. So if it is, the
 * number meant the process that crashed when its memory was opened. If it is not, then all that is
 * left of the core is in the stream.
 */
static bool still_held(void)
{
	struct pollfd pfd = { .fd = CRASH_STREAM_FD };
	return poll(&pfd, 1, 0) >= 0 && !(pfd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void open_memory(struct taking *t)
{
	const struct crash *crash = &t->hook->crash;
	t->piddir = pidref_open_proc(&crash->ref);
	if (t->piddir < 0) {
		t->why_stream = "the process is gone";
		return;
	}
	struct snap_error *err = livemem_create(crash->ref.pid, t->piddir, &t->mem);
	if (err)
		t->why_stream = "the memory of the process cannot be opened";
	snap_error_destroy(err);
	if (!t->mem || crash->by_pidfd || still_held())
		return;
	t->why_stream = "the process could not be identified";
	livemem_destroy(t->mem);
	t->mem = NULL;
}

static void note_gaps(const struct taking *t, struct json *result)
{
	const struct gaps *gaps = core_gaps(t->core);
	json_set_u64(result, "gap_bytes", gaps->bytes);
	json_set_u64(result, "lost_bytes", gaps->lost_bytes);
}

static void describe(const struct taking *t, struct json *result)
{
	const struct snap_machine *machine = &t->head->snap.process.machine;
	json_set_text(result, "mode", t->head->snap.mode);
	json_set_u64(result, "bits", machine->elf_class == ELFCLASS64 ? 64 : 32);
	json_set_u64(result, "threads", t->head->snap.n_threads);
	json_set_u64(result, "mappings", t->head->snap.n_mappings);
	json_set_u64(result, "signal", (uint64_t)t->head->facts.signal);
	json_set_u64(result, "si_code", (uint64_t)(uint32_t)t->head->facts.si_code);
	json_set_u64(result, "fault_address", t->head->facts.fault_address);
	json_set_u64(result, "pc", t->head->facts.pc);
	json_set_u64(result, "realtime_ns", t->head->snap.realtime_ns);
	json_set_u64(result, "copy_ns", t->copy_ns);
	json_set_u64(result, "bytes", core_size(t->core));
	if (t->why_stream)
		json_set_text(result, "why_stream", t->why_stream);
	note_gaps(t, result);
}

static struct snap_error *copy(struct taking *t)
{
	uint64_t begin = snap_now_ns();
	struct snap_error *err = core_create(&t->head->snap, t->head->plan, 0, &t->core);
	if (!err && t->mem)
		err = core_copy(t->core, livemem_source(t->mem), t->fd, NULL, count_threads(),
				CORE_KEEP_PARTIAL, NULL);
	else if (!err)
		err = stream_copy(CRASH_STREAM_FD, t->head->bytes.len, &t->head->facts, t->core,
				  t->fd, CORE_KEEP_PARTIAL);
	if (!err)
		err = core_finish(t->core, t->fd, &(struct core_facts){ .defer_writing = true });
	t->copy_ns = snap_now_ns() - begin;
	return err;
}

/// A head that nobody understands: the core is kept as the kernel writes it.
static struct snap_error *copy_as_it_comes(struct taking *t)
{
	const struct strbuf *head = &t->head->bytes;
	_cleanup_free_ char *buf = malloc(CHUNK);
	int r = buf ? snap_write_all(t->fd, head->data, head->len) : -ENOMEM;
	while (r >= 0) {
		ssize_t n = read(CRASH_STREAM_FD, buf, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		r = snap_write_all(t->fd, buf, (size_t)n);
	}
	return r < 0 ? snap_error_errno(snap_code_from_errno(-r), -r, "cannot write the core") :
		       NULL;
}

static struct snap_error *take(struct taking *t, struct json *result)
{
	struct snapshot *snap = &t->head->snap;
	if (!t->head->plan) {
		json_set_text(result, "mode", "stream");
		json_set_bool(result, "as_it_came", true);
		return t->head->bytes.len ? copy_as_it_comes(t) :
					    snap_error_new(SNAP_FAILED, "the kernel sent no core");
	}
	open_memory(t);
	snap->mode = strdup(t->mem ? "crash" : "stream");
	snap->realtime_ns = t->hook->crash.usec * 1000;
	snap->monotonic_ns = snap_now_ns();
	if (!snap->mode)
		return snap_error_oom();
	(void)folder_write(&t->hook->folder, "auxv", snap->process.auxv, snap->process.auxv_size);
	struct snap_error *err = copy(t);
	if (!err)
		describe(t, result);
	return err;
}

struct snap_error *take_core(struct hook *hook, enum action action _unused_,
			     struct json **ret_result)
{
	struct taking t = { .hook = hook, .head = &hook->head, .piddir = -EBADF, .fd = -EBADF };
	struct json *result = json_new_object();
	struct snap_error *err = NULL;
	t.fd = folder_open_core(&hook->folder);
	if (t.fd < 0)
		err = snap_error_errno(snap_code_from_errno(-t.fd), -t.fd,
				       "cannot make a file in %s/crash", hook->crash.store);
	if (!err)
		err = take(&t, result);
	if (!err)
		err = folder_link_core(&hook->folder, t.fd);
	core_destroy(t.core);
	livemem_destroy(t.mem);
	snap_closep(&t.piddir);
	snap_closep(&t.fd);
	if (err)
		json_set_message(result, "error", err->message);
	*ret_result = result;
	return err;
}
