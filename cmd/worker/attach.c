// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/analysis.h"
#include "common/fd.h"
#include "common/opener.h"
#include "common/snapnote.h"
#include "common/summary.h"
#include "dumper/attach.h"

enum {
	// As much as somebody reads, and small beside the smallest core of a Go program.
	ATTACHED_MAX_BYTES = 1 << 20,
	// A message between processes has room for this and the rest of the result.
	RESULT_MAX_BYTES = 64 << 10,
	GROUPS_MAX = 200,
};

// Far more than a million goroutines take.
#define DEADLINE_NS (60ULL * 1000 * 1000 * 1000)

struct attaching {
	struct opener opener;
	struct summary summary;
};

static int on_open(void *userdata, const char *name, const char *build_id, bool is_program)
{
	const struct attaching *a = userdata;
	return opener_open(&a->opener, name, build_id, is_program);
}

static int on_line(void *userdata, const char *kind, const struct json *value)
{
	struct attaching *a = userdata;
	return summary_add(&a->summary, kind, value);
}

static int on_replay(void *userdata, const char *kind, const struct json *value)
{
	// Threads and images are for those who read the core.
	return !strcmp(kind, "thread") || !strcmp(kind, "image") || !strcmp(kind, "core") ?
		       0 :
		       summary_add(userdata, kind, value);
}

/// /proc/PID of the process, if it is still there.
static int open_process(const struct pidref *ref)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/%d", ref->pid);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && pidref_verify(ref) < 0)
		snap_closep(&fd);
	return fd >= 0 && pidref_verify(ref) == 0 ? fd : -EBADF;
}

struct snap_error *attach_summary(int core, int to, const struct pidref *ref, const char *binaries,
				  struct json **ret)
{
	_cleanup_(json_destroyp) struct json *request = json_new_object();
	_cleanup_close_ int piddir = ref ? open_process(ref) : -EBADF;
	struct attaching a = { .opener = { .binaries = binaries,
					  .piddir = piddir,
					  .wary = !ref } };
	const struct analysis_callbacks callbacks = { on_open, on_line, &a };
	struct summary small;
	summary_init(&a.summary, ATTACHED_MAX_BYTES);
	json_set_u64(request, "top", GROUPS_MAX);
	const int fds[ANALYSIS_FD_MAX] = { core, -EBADF };
	_cleanup_(analysis_destroyp) struct analysis *analysis = NULL;
	struct snap_error *err = analysis_create(&analysis);
	if (!err)
		err = analysis_run(analysis, fds, request, &callbacks, DEADLINE_NS);
	_cleanup_(json_destroyp) struct json *root = summary_finish(&a.summary);
	const char *text = root ? json_text(root) : NULL;
	if (err || !text)
		return err;
	err = attach_note(to, NT_PROCSNAP_SUMMARY, text, strlen(text));
	if (err)
		return err;
	summary_init(&small, RESULT_MAX_BYTES);
	(void)summary_replay(root, on_replay, &small); // out of memory: there is no short form
	*ret = summary_finish(&small);
	return NULL;
}
