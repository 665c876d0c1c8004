// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rest.h"

#include <pthread.h>

#include "cmd/worker/polite.h"
#include "common/cpus.h"
#include "dumper/reserve.h"

struct copying {
	const struct rest *rest;
	struct memsource *source;
	uint32_t flags; ///< in addition
	struct snap_error *error;
};

static void *copy_main(void *userdata)
{
	struct copying *c = userdata;
	const struct rest *r = c->rest;
	// More than the page cache takes at once waits for the disk anyway.
	bool direct = core_plan(r->core)->data_bytes > reserve_dirty_room();
	polite_become(POLITE_NICE);
	c->error = core_copy(r->core, c->source, r->fd, r->reserve, (cpus_to_copy() + 1) / 2,
			     r->flags | c->flags | CORE_UNHURRIED | (direct ? CORE_DIRECT : 0U),
			     r->progress);
	return NULL;
}

/// In a thread of its own, since not everybody may become less polite again.
static struct snap_error *copy_from(const struct rest *rest, struct memsource *source,
				    uint32_t flags)
{
	pthread_t thread;
	struct copying c = { .rest = rest, .source = source, .flags = flags };
	int r = pthread_create(&thread, NULL, copy_main, &c);
	if (r)
		return snap_error_errno(SNAP_FAILED, r, "cannot start a thread");
	(void)pthread_join(thread, NULL);
	return c.error;
}

static struct snap_error *copy(const struct rest *rest)
{
	struct memsource *source;
	struct snap_error *err = capture_rest(rest->capture, &source);
	return err || !source ? err : copy_from(rest, source, 0);
}

struct snap_error *rest_copy_postponed(const struct rest *rest)
{
	struct memsource *source = capture_postponed(rest->capture);
	return source ? copy_from(rest, source, CORE_LATER) : NULL;
}

struct snap_error *rest_copy(const struct rest *rest, struct snap_error *before)
{
	struct snap_error *err = before ? before : copy(rest);
	struct snap_error *ended = capture_end_rest(rest->capture, rest->snap);
	if (!ended)
		return err;
	if (!err && rest->flags & CORE_KEEP_PARTIAL) {
		snapshot_warn(rest->snap, "%s", ended->message);
		snap_error_destroy(ended);
		return NULL;
	}
	// The reason why it could not be copied.
	if (before) {
		snap_error_destroy(ended);
		return before;
	}
	snap_error_destroy(err);
	return ended;
}
