// SPDX-License-Identifier: LGPL-2.1-or-later
#include "packed.h"

#include <errno.h>

#include "common/clock.h"
#include "common/cpus.h"
#include "common/fd.h"
#include "dumper/pack.h"
#include "room.h"

enum {
	LEVEL = 1, // a process waits
	THREADS_MAX = 4, // each takes memory
};

static struct snap_error *pack(struct taking *t, uint64_t max_bytes)
{
	uint64_t begin = snap_now_ns();
	unsigned int threads = MIN(cpus_to_copy(), (unsigned int)THREADS_MAX);
	uint64_t room = room_for_packed(t->fd);
	struct snap_error *err = core_create_packed(&t->head->snap, t->head->plan, &t->core);
	if (!err)
		err = core_set_limit(t->core, max_bytes);
	if (!err) {
		const struct packing packing = {
			.source = taking_memory(t),
			.out = t->fd,
			.level = LEVEL,
			.threads = threads,
			.max_bytes = room ? room : 1, // 0: any
			.keep_free_bytes = ROOM_RECORDS_BYTES,
			.facts = &(struct core_facts){ .defer_writing = true },
		};
		err = core_pack(t->core, &packing);
	}
	t->copy_ns += snap_now_ns() - begin; // it waits for both
	return err;
}

/// Gives it its name, when all that is said of it is there.
static struct snap_error *keep(const struct taking *t)
{
	struct json *result = json_new_object();
	taking_describe(t, result);
	json_set_bool(result, "packed", true);
	struct snap_error *err = folder_keep_packed(&t->hook->folder, t->fd, result);
	json_destroy(result);
	return err;
}

void pack_whole(const struct taking *part, const struct answer *answer, const struct json *result)
{
	struct hook *hook = part->hook;
	struct taking whole = *part;
	if (hook->share->pack_tried)
		return;
	// Should this be what kills us, the next copier does without.
	hook->share->pack_tried = true;
	whole.core = NULL;
	whole.why_max = NULL;
	whole.fd = folder_open_packed(&hook->folder);
	struct snap_error *err =
		whole.fd < 0 ? snap_error_errno(SNAP_FAILED, -whole.fd, "cannot make a file") :
			       folder_write_result(&hook->folder, result);
	if (!err)
		err = pack(&whole, answer->max_bytes);
	if (!err && core_gaps(whole.core)->lost_bytes < core_gaps(part->core)->lost_bytes)
		err = keep(&whole);
	folder_drop_unfinished(&hook->folder);
	if (!hook->share->n_avoided) // else others may still be at it
		core_destroy(whole.core);
	snap_closep(&whole.fd);
	snap_error_destroy(err);
}
