// SPDX-License-Identifier: LGPL-2.1-or-later
#include "finish.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "attach.h"
#include "common/fd.h"
#include "common/opener.h"
#include "common/stacks.h"

// A core of some GiB, with all of its libraries' debug information, takes seconds.
#define STACKS_NS (60ULL * 1000 * 1000 * 1000)

static void warn(struct json *warnings, const char *what, struct snap_error *err)
{
	if (!err)
		return;
	struct snap_error *told = snap_error_wrap(err, "%s", what);
	json_add_message(warnings, told->message);
	snap_error_destroy(told);
}

/// Go programs of 32 bits are not analysed, and no core of 32 bits needs to be told so.
static bool is_wide(int core)
{
	unsigned char ident[EI_NIDENT];
	return snap_pread_full(core, ident, sizeof(ident), 0) != (ssize_t)sizeof(ident) ||
	       ident[EI_CLASS] != ELFCLASS32;
}

static int on_open(void *userdata, const char *name, const char *build_id, bool is_program)
{
	return opener_open(userdata, name, build_id, is_program);
}

static struct snap_error *find_stacks(int core, int file, const char *binaries)
{
	struct opener opener = { .binaries = binaries, .piddir = -EBADF, .wary = true };
	const struct stacks_request request = { .open = on_open,
						.userdata = &opener,
						.deadline_ns = STACKS_NS };
	_cleanup_(json_destroyp) struct json *stacks = NULL;
	struct snap_error *err = stacks_find(core, &request, &stacks);
	const char *text = stacks ? json_text(stacks) : NULL;
	if (err || !text)
		return err ? err : snap_error_oom();
	int r = snap_write_all(file, text, strlen(text));
	return r < 0 ? snap_error_errno(SNAP_FAILED, -r, "cannot write them") : NULL;
}

struct snap_error *finish(const struct delivery *delivery, int stacks, int part, struct json **ret)
{
	_cleanup_repack_ struct repack repack = { .head = -EBADF };
	bool packed = delivery->job->flags & JOB_PACKED;
	struct snap_error *err = packed ? repack_init(&repack, delivery->spool) : NULL;
	if (err)
		return err;
	int head = packed ? repack.head : delivery->spool;
	struct json *result = json_new_object(), *warnings = json_new_array(), *go = NULL;
	const char *binaries = delivery->job->binaries;
	struct stat st = { 0 };
	// The service that crashed runs again, and the machine is its.
	(void)setpriority(PRIO_PROCESS, 0, 10);
	if (!(delivery->job->flags & JOB_NO_SUMMARY)) {
		delivery->phase(delivery->userdata, "analysing", 0);
		if (is_wide(head))
			warn(warnings, "no summary of goroutines is attached",
			     attach_summary(delivery->spool, head, NULL, binaries, &go));
		warn(warnings, "there are no native stacks",
		     find_stacks(packed ? part : delivery->spool, stacks, binaries));
	}
	err = packed ? deliver_packed(delivery, &repack) : deliver(delivery);
	(void)fstat(head, &st);
	json_set_u64(result, "bytes", (uint64_t)st.st_size);
	(void)fstat(delivery->output, &st);
	json_set_u64(result, "bytes_on_disk", (uint64_t)st.st_blocks * 512);
	json_set(result, "warnings", warnings);
	if (go)
		json_set(result, "go", json_share(json_at(json_get(go, "runtimes"), 0)));
	json_destroy(go);
	if (err)
		json_destroy(result);
	else
		*ret = result;
	return err;
}
