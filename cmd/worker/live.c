// SPDX-License-Identifier: LGPL-2.1-or-later
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "common/analysis.h"
#include "common/fd.h"
#include "common/opener.h"
#include "common/strbuf.h"
#include "dumper/core.h"

enum { BUFFER_BYTES = 256 << 10 };

struct live {
	struct opener opener;
	const struct snapshot *snap;
	struct memsource *source; ///< NULL: the process runs
	struct strbuf buf;
	int lines_fd;
};

static int on_open(void *userdata, const char *name, const char *build_id, bool is_program)
{
	const struct live *l = userdata;
	return opener_open(&l->opener, name, build_id, is_program);
}

static int flush_lines(struct live *l)
{
	int r = snap_write_all(l->lines_fd, l->buf.data, l->buf.len);
	l->buf.len = 0;
	return r;
}

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	struct live *l = userdata;
	struct mem_range range;
	const char *text = json_text(value);
	if (!text || strbuf_addf(&l->buf, "{\"%s\":%s}\n", kind, text) < 0)
		return -ENOMEM;
	if (!l->source)
		return l->buf.len < BUFFER_BYTES ? 0 : flush_lines(l);
	// Tells whoever watches that we are not stuck; only the analyzer reads memory.
	const struct snap_mapping *map = &l->snap->mappings[0];
	(void)memsource_scan(l->source, map, map->start, map->start + 4096, &range, 1);
	return l->buf.len < BUFFER_BYTES ? 0 : flush_lines(l);
}

struct snap_error *live_write_head(const struct snapshot *snap, struct memsource *source,
				   int fd)
{
	struct plan *plan;
	struct core *core = NULL;
	struct snap_error *err = plan_create(snap, source, snap->process.coredump_filter, 0, &plan);
	if (err)
		return err;
	err = core_create(snap, plan, 0, &core);
	if (!err)
		err = core_finish(core, fd, &(struct core_facts){ 0 });
	core_destroy(core);
	plan_destroy(plan);
	return err;
}

static int open_memory(pid_t pid)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static struct snap_error *analyze_stopped(struct live *l, const struct job *job, pid_t pid,
					  struct analysis *analysis)
{
	const struct analysis_callbacks callbacks = { on_open, on_line, l };
	_cleanup_close_ int head = memfd_create("procsnap-head", MFD_CLOEXEC);
	_cleanup_close_ int memory = open_memory(pid);
	if (head < 0 || memory < 0)
		return snap_error_errno(SNAP_FAILED, head < 0 ? errno : -memory,
					"cannot read the memory of process %d", pid);
	struct snap_error *err = live_write_head(l->snap, l->source, head);
	const int fds[ANALYSIS_FD_MAX] = { head, memory };
	return err ? err : analysis_run(analysis, fds, job->analysis, &callbacks,
					job->max_pause_ns);
}

static int open_piddir(const struct pidref *ref)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", ref->pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/// Keeps the last lines, and says in @ret what was done.
static struct snap_error *conclude(struct live *l, uint64_t pause_ns, struct json **ret)
{
	if (flush_lines(l) < 0)
		return snap_error_new(SNAP_FAILED, "cannot keep what was found");
	*ret = json_new_object();
	json_set_u64(*ret, "pid", (uint64_t)l->snap->process.pid);
	json_set_text(*ret, "comm", l->snap->process.comm);
	json_set_text(*ret, "mode", l->snap->mode);
	json_set_u64(*ret, "pause_ns", pause_ns);
	return NULL;
}

struct snap_error *live_analyze_core(const struct job *job, const struct pidref *ref,
				     const struct snapshot *snap, int core_fd, int lines_fd,
				     uint64_t pause_ns, struct json **ret)
{
	_cleanup_close_ int piddir = open_piddir(ref);
	struct live l = { .opener = { .piddir = piddir, .exe = job->exe },
			  .snap = snap,
			  .lines_fd = lines_fd };
	const struct analysis_callbacks callbacks = { on_open, on_line, &l };
	const int fds[ANALYSIS_FD_MAX] = { core_fd, -EBADF };
	_cleanup_(analysis_destroyp) struct analysis *analysis = NULL;
	struct snap_error *err = analysis_create(&analysis);
	if (!err)
		err = analysis_run(analysis, fds, job->analysis, &callbacks, 0);
	if (!err)
		err = conclude(&l, pause_ns, ret);
	strbuf_deinit(&l.buf);
	return err;
}

struct snap_error *live_analyze(const struct job *job, const struct pidref *ref,
				struct capture *capture, int lines_fd, struct json **ret)
{
	struct snapshot snap = { 0 };
	_cleanup_close_ int piddir = open_piddir(ref);
	struct live l = { .opener = { .piddir = piddir, .exe = job->exe },
			  .snap = &snap,
			  .lines_fd = lines_fd };
	_cleanup_(analysis_destroyp) struct analysis *analysis = NULL;
	uint64_t pause_ns = 0;
	// Started before the process is stopped, since that takes longer than most of the rest.
	struct snap_error *err = analysis_create(&analysis);
	if (!err)
		err = analysis_await_ready(analysis);
	if (!err)
		err = capture_take(capture, &snap, &l.source);
	if (!err) {
		err = analyze_stopped(&l, job, ref->pid, analysis);
		struct snap_error *late = capture_release(capture, &pause_ns);
		if (late) { // the reason why the analysis could not go on
			snap_error_destroy(err);
			err = late;
		}
	}
	if (!err)
		err = conclude(&l, pause_ns, ret);
	strbuf_deinit(&l.buf);
	snapshot_deinit(&snap);
	return err;
}
