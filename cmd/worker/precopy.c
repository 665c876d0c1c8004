// SPDX-License-Identifier: LGPL-2.1-or-later
#include "precopy.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"
#include "dumper/pages.h"
#include "dumper/reserve.h"

enum {
	// A process that writes evenly to all of its memory needs no more; one that has a part it
	// writes to all the time is found out by what does not become less.
	ROUNDS_MAX = 8,
	// So little takes less time to copy than stopping takes.
	LITTLE_BYTES = 256 << 10,
	// A round that leaves more than this part of what the last one had is the last one.
	SHRINK_PERCENT = 70,
	SPILL_MAX_BYTES = 512 << 20,
	NICE = 10,
	SLICE_NS = 100 * 1000, // the least there is
};

void precopy_deinit(struct precopy *p)
{
	core_destroy(p->core);
	plan_destroy(p->plan);
	snapshot_deinit(&p->known);
	*p = (struct precopy){ 0 };
}

/// struct sched_attr as of Linux 3.14, under a name that cannot clash with newer C libraries.
struct sched_wishes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/**
 * Lets this thread, and those it starts, run when nobody else wants the CPU, or else for short
 * whiles: the process that is copied needs it more. Not SCHED_IDLE, which on a busy machine would
 * mean never.
 */
static void be_polite(void)
{
	struct sched_wishes wishes = { .size = sizeof(wishes),
				       .policy = SCHED_OTHER,
				       .nice = NICE,
				       .runtime = SLICE_NS };
	// Before Linux 6.12 the runtime is ignored.
	(void)syscall(SYS_sched_setattr, 0, &wishes, 0);
}

struct copying {
	struct precopy *precopy;
	struct memsource *source;
	int fd;
	unsigned int threads;
	const struct core_progress *progress;
	struct snap_error *error;
};

/// The first round, of all memory.
static void *first_main(void *userdata)
{
	struct copying *c = userdata;
	// More than the page cache takes at once waits for the disk anyway.
	bool direct = c->precopy->plan->data_bytes > reserve_dirty_room();
	be_polite();
	c->error = core_copy(c->precopy->core, c->source, c->fd, NULL, (c->threads + 1) / 2,
			     direct ? CORE_DIRECT : 0, c->progress);
	c->precopy->left_bytes = core_copied(c->precopy->core);
	return NULL;
}

/// The others. They are short, and what is written during one is what the next has to copy.
static struct snap_error *copy_again(struct precopy *p, const struct copying *c)
{
	for (p->rounds = 1; p->rounds < ROUNDS_MAX; p->rounds++) {
		uint64_t before = p->left_bytes;
		struct snap_error *err = core_copy(p->core, c->source, c->fd, NULL, c->threads,
						   CORE_AGAIN, NULL);
		if (err)
			return err;
		p->left_bytes = core_copied(p->core);
		if (p->left_bytes <= LITTLE_BYTES ||
		    p->left_bytes > before / 100 * SHRINK_PERCENT)
			break;
	}
	return NULL;
}

struct snap_error *precopy_run(struct precopy *p, struct memsource *source, int fd,
			       unsigned int threads, const struct core_progress *progress)
{
	struct copying c = { p, source, fd, threads, progress, NULL };
	pthread_t thread; // of its own, since not everybody may become less polite again
	int r = pthread_create(&thread, NULL, first_main, &c);
	if (r)
		return snap_error_errno(SNAP_FAILED, r, "cannot start a thread");
	(void)pthread_join(thread, NULL);
	return c.error ? c.error : copy_again(p, &c);
}

size_t precopy_spill_bytes(const struct precopy *p)
{
	// As much again may be written until it stands still, and what is not followed is small.
	uint64_t bytes = ALIGN_UP(2 * p->left_bytes, (uint64_t)SNAP_PAGE) + RESERVE_SPILL_BYTES;
	return (size_t)MIN(bytes, (uint64_t)SPILL_MAX_BYTES);
}
