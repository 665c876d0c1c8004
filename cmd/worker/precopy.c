// SPDX-License-Identifier: LGPL-2.1-or-later
#include "precopy.h"

#include <pthread.h>

#include "cmd/worker/polite.h"
#include "common/clock.h"
#include "common/fd.h"
#include "dumper/pages.h"
#include "dumper/reserve.h"

enum {
	// A process that writes evenly to all of its memory needs no more; one that has a part it
	// writes to all the time is found out by what does not become less.
	ROUNDS_MAX = 16,
	// So little takes less time to copy than stopping takes.
	LITTLE_BYTES = 256 << 10,
	// This takes longer than a pause should.
	MUCH_BYTES = 16 << 20,
	// A round that leaves more than this part of what the last one had is the last one.
	SHRINK_PERCENT = 85,
	SPILL_MAX_BYTES = 512 << 20,
	LONG_NS = 300 * 1000 * 1000,
};

void precopy_deinit(struct precopy *p)
{
	for (size_t i = LOOKS_MAX; i-- > 0;) { // the later ones lie over the earlier ones
		core_destroy(p->looks[i].core);
		plan_destroy(p->looks[i].plan);
		snapshot_deinit(&p->looks[i].known);
	}
	*p = (struct precopy){ 0 };
}

struct copying {
	struct precopy *precopy;
	struct memsource *source;
	int fd;
	unsigned int threads;
	const struct core_progress *progress;
	bool hurry;
	uint64_t before; ///< that the round before had to copy
	struct snap_error *error;
};

static void *first_main(void *userdata)
{
	struct copying *c = userdata;
	const struct look *look = precopy_look(c->precopy);
	// More than the page cache takes at once waits for the disk anyway.
	bool direct = look->plan->data_bytes > reserve_dirty_room();
	polite_become(POLITE_NICE);
	c->error = core_copy(look->core, c->source, c->fd, NULL, c->threads,
			     direct ? CORE_DIRECT : 0, c->progress);
	c->precopy->left_bytes = core_copied(look->core);
	return NULL;
}

/// These rounds are short, and what is written during one the next has to copy.
static void *rest_main(void *userdata)
{
	struct copying *c = userdata;
	struct precopy *p = c->precopy;
	struct core *core = precopy_look(p)->core;
	polite_become(0);
	for (int round = 1; !c->error && round < ROUNDS_MAX; round++) {
		c->error = core_copy(core, c->source, c->fd, NULL, c->threads, CORE_AGAIN, NULL);
		p->left_bytes = core_copied(core);
		if (p->left_bytes <= LITTLE_BYTES ||
		    p->left_bytes > c->before / 100 * SHRINK_PERCENT)
			break;
		c->before = p->left_bytes;
	}
	return NULL;
}

/// In a thread of its own, since not everybody may become less polite again; with half the CPUs, if
/// there is no hurry.
static struct snap_error *run(struct copying *c, void *(*fn)(void *))
{
	pthread_t thread;
	if (!c->hurry)
		c->threads = (c->threads + 1) / 2;
	int r = pthread_create(&thread, NULL, fn, c);
	if (r)
		return snap_error_errno(SNAP_FAILED, r, "cannot start a thread");
	(void)pthread_join(thread, NULL);
	return c->error;
}

struct snap_error *precopy_first(struct precopy *p, struct memsource *source, int fd,
				 unsigned int threads, const struct core_progress *progress,
				 bool *ret_again)
{
	uint64_t begin = snap_now_ns();
	struct snap_error *err =
		run(&(struct copying){ .precopy = p,
				       .source = source,
				       .fd = fd,
				       .threads = threads,
				       .progress = progress },
		    first_main);
	*ret_again = snap_now_ns() - begin > LONG_NS;
	return err;
}

/// With @hurry, whatever the rounds before have left: that was a while ago.
static struct snap_error *run_rest(struct precopy *p, struct memsource *source, int fd,
				   unsigned int threads, bool hurry)
{
	struct copying c = { .precopy = p,
			     .source = source,
			     .fd = fd,
			     .threads = threads,
			     .hurry = hurry,
			     .before = hurry ? UINT64_MAX : p->left_bytes };
	return run(&c, rest_main);
}

struct snap_error *precopy_rest(struct precopy *p, struct memsource *source, int fd,
				unsigned int threads)
{
	struct snap_error *err = run_rest(p, source, fd, threads, false);
	return err || p->left_bytes <= MUCH_BYTES ? err : precopy_last(p, source, fd, threads);
}

struct snap_error *precopy_last(struct precopy *p, struct memsource *source, int fd,
				unsigned int threads)
{
	// A while with less CPU for the process is better than to stop it for longer.
	return run_rest(p, source, fd, threads, true);
}

size_t precopy_spill_bytes(const struct precopy *p)
{
	// As much again may be written until it stands still, and what is not followed is small.
	uint64_t bytes = ALIGN_UP(2 * p->left_bytes, (uint64_t)SNAP_PAGE) + RESERVE_SPILL_BYTES;
	return (size_t)MIN(bytes, (uint64_t)SPILL_MAX_BYTES);
}
