// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wait.h"

#include <stdlib.h>
#include <string.h>

enum { SUDOG_TRACEABLE = 26 }; // since then elem and c are {pointer or nil, address}

const char *go_object_name(enum go_object_kind kind)
{
	static const char *const names[] = {
		[GO_OBJECT_NONE] = "none",
		[GO_OBJECT_CHANNEL] = "channel",
		[GO_OBJECT_SEMAPHORE] = "semaphore",
		[GO_OBJECT_COND] = "condition",
	};
	return kind < ARRAY_SIZE(names) ? names[kind] : "?";
}

static uint64_t sudog_pointer(struct go_runtime *rt, uint64_t sudog, enum go_field field)
{
	uint64_t v = 0, at = sudog + (uint64_t)rt->layout.offset[field];
	(void)memory_u64(rt->mem, rt->layout.minor >= SUDOG_TRACEABLE ? at + 8 : at, &v); // 0 then
	return v;
}

/// What the reason says that it waits for; the sudogs of both kinds look alike.
static enum go_object_kind kind_of(struct go_goroutines *gs, const struct go_goroutine *g)
{
	if (g->status != GO_WAITING && g->status != GO_LEAKED)
		return GO_OBJECT_NONE;
	const char *state = go_goroutine_state(gs, g);
	if (!strncmp(state, "chan ", 5) || !strncmp(state, "select", 6))
		return GO_OBJECT_CHANNEL;
	if (!strncmp(state, "sync.Cond", 9))
		return GO_OBJECT_COND;
	if (!strncmp(state, "sync.", 5) || !strncmp(state, "semacquire", 10))
		return GO_OBJECT_SEMAPHORE;
	return GO_OBJECT_NONE;
}

/// The address that a sudog of this kind waits on.
static uint64_t sudog_object(struct go_runtime *rt, uint64_t sudog, enum go_object_kind kind)
{
	return sudog_pointer(rt, sudog, kind == GO_OBJECT_CHANNEL ? GO_SUDOG_C : GO_SUDOG_ELEM);
}

static uint64_t first_sudog(struct go_runtime *rt, const struct go_goroutine *g)
{
	uint64_t sudog = go_u64(rt, g->addr, GO_G_WAITING);
	// It must name the goroutine that it is for.
	return sudog && go_u64(rt, sudog, GO_SUDOG_G) == g->addr ? sudog : 0;
}

// ---- semaphores, ≤ 1.25 --------------------------------------------------------------------

enum {
	TREE_DEPTH_MAX = 256, // treaps of a million waiters are some 50 deep
	WAITERS_MAX = 10 << 20,
};

/// False when its goroutine is known already: each waits for one semaphore, so this is a circle.
static bool note_waiter(struct go_goroutines *gs, uint64_t sudog, uint64_t semaphore)
{
	uint64_t g = go_u64(gs->rt, sudog, GO_SUDOG_G);
	size_t n = gs->n_semaphores;
	uint32_t known;
	if (map_get(&gs->semaphore_of, g, &known))
		return false;
	if (!n || gs->semaphores[n - 1] != semaphore) {
		if (!(n & (n - 1))) {
			uint64_t *bigger = reallocarray(gs->semaphores, MAX(n * 2, (size_t)1),
							sizeof(*bigger));
			if (!bigger)
				return false;
			gs->semaphores = bigger;
		}
		gs->semaphores[gs->n_semaphores++] = semaphore;
	}
	return map_set(&gs->semaphore_of, g, (uint32_t)gs->n_semaphores - 1) == 0;
}

/// One tree: nodes are semaphores, each with a list of those that wait for it.
static void read_tree(struct go_goroutines *gs, uint64_t root, size_t *budget)
{
	struct go_runtime *rt = gs->rt;
	uint64_t stack[TREE_DEPTH_MAX];
	size_t depth = 0;
	stack[depth++] = root;
	while (depth && *budget) {
		uint64_t node = stack[--depth];
		uint64_t semaphore = sudog_pointer(rt, node, GO_SUDOG_ELEM);
		uint64_t left = go_u64(rt, node, GO_SUDOG_PREV);
		uint64_t right = go_u64(rt, node, GO_SUDOG_NEXT);
		bool circle = false;
		for (uint64_t s = node; s && *budget && !circle;
		     s = go_u64(rt, s, GO_SUDOG_WAITLINK)) {
			circle = !note_waiter(gs, s, semaphore);
			--*budget;
		}
		if (circle)
			continue;
		if (left && depth < TREE_DEPTH_MAX)
			stack[depth++] = left;
		if (right && depth < TREE_DEPTH_MAX)
			stack[depth++] = right;
	}
}

void go_wait_prepare(struct go_goroutines *gs)
{
	struct go_runtime *rt = gs->rt;
	size_t budget = WAITERS_MAX;
	if (rt->layout.minor >= SUDOG_TRACEABLE || !rt->globals.semtable)
		return;
	for (uint64_t i = 0; i < GO_SEMTABLE_ROOTS; i++) {
		uint64_t tree = 0;
		(void)memory_u64(rt->mem,
				 rt->globals.semtable + i * rt->arch->cache_line_bytes +
					 GO_SEMROOT_TREE,
				 &tree); // an empty one then
		if (tree)
			read_tree(gs, tree, &budget);
	}
}

/// What @g waits for according to the table; 0 when it is not in it.
static uint64_t semaphore_of(struct go_goroutines *gs, const struct go_goroutine *g)
{
	uint32_t index;
	return map_get(&gs->semaphore_of, g->addr, &index) ? gs->semaphores[index] : 0;
}

// ---- objects -------------------------------------------------------------------------------

uint64_t go_wait_object(struct go_goroutines *gs, const struct go_goroutine *g)
{
	enum go_object_kind kind = kind_of(gs, g);
	uint64_t sudog = kind == GO_OBJECT_NONE ? 0 : first_sudog(gs->rt, g);
	if (!sudog && kind == GO_OBJECT_SEMAPHORE)
		return semaphore_of(gs, g);
	if (!sudog || (kind == GO_OBJECT_CHANNEL && go_u64(gs->rt, sudog, GO_SUDOG_WAITLINK)))
		return 0;
	return sudog_object(gs->rt, sudog, kind);
}

static uint32_t count_queue(struct go_runtime *rt, uint64_t chan, enum go_field first)
{
	uint32_t n = 0;
	for (uint64_t s = go_u64(rt, chan, first); s && n < GO_QUEUE_MAX; n++)
		s = go_u64(rt, s, GO_SUDOG_NEXT);
	return n;
}

/// Counted once for each channel, since a hundred thousand may stand in one queue.
static struct go_queues queues_of(struct go_goroutines *gs, uint64_t chan)
{
	uint32_t index;
	if (map_get(&gs->channel_at, chan, &index))
		return gs->channels[index];
	struct go_queues q = { .receivers = count_queue(gs->rt, chan, GO_HCHAN_RECVQ_FIRST),
			       .senders = count_queue(gs->rt, chan, GO_HCHAN_SENDQ_FIRST) };
	size_t n = gs->n_channels;
	if (!(n & (n - 1))) {
		struct go_queues *bigger = reallocarray(gs->channels, MAX(n * 2, (size_t)1),
							sizeof(*bigger));
		if (!bigger)
			return q;
		gs->channels = bigger;
	}
	gs->channels[gs->n_channels++] = q;
	(void)map_set(&gs->channel_at, chan, (uint32_t)n); // counted again otherwise
	return q;
}

/// Of a select: is @sudog among the first ones in the channel's queue of senders?
static bool is_sender(struct go_runtime *rt, uint64_t chan, uint64_t sudog)
{
	enum { LOOKED_AT = 100 };
	uint64_t s = go_u64(rt, chan, GO_HCHAN_SENDQ_FIRST);
	for (int n = 0; s && n < LOOKED_AT; n++) {
		if (s == sudog)
			return true;
		s = go_u64(rt, s, GO_SUDOG_NEXT);
	}
	return false;
}

static void read_channel(struct go_goroutines *gs, const struct go_goroutine *g, uint64_t sudog,
			 struct go_object *object)
{
	struct go_runtime *rt = gs->rt;
	const char *state = go_goroutine_state(gs, g);
	struct go_queues queues = queues_of(gs, object->addr);
	object->length = go_u64(rt, object->addr, GO_HCHAN_QCOUNT);
	object->capacity = go_u64(rt, object->addr, GO_HCHAN_DATAQSIZ);
	object->closed = go_u32(rt, object->addr, GO_HCHAN_CLOSED) != 0;
	object->receivers = queues.receivers;
	object->senders = queues.senders;
	object->sending = !strncmp(state, "chan send", 9) ||
			  (!strncmp(state, "select", 6) && is_sender(rt, object->addr, sudog));
}

size_t go_wait_objects(struct go_goroutines *gs, const struct go_goroutine *g,
		       struct go_object ret[static GO_OBJECTS_MAX])
{
	struct go_runtime *rt = gs->rt;
	enum go_object_kind kind = kind_of(gs, g);
	uint64_t sudog = kind == GO_OBJECT_NONE ? 0 : first_sudog(rt, g);
	size_t n = 0;
	uint64_t semaphore = !sudog && kind == GO_OBJECT_SEMAPHORE ? semaphore_of(gs, g) : 0;
	if (semaphore)
		ret[n++] = (struct go_object){ .kind = kind, .addr = semaphore };
	while (sudog && n < GO_OBJECTS_MAX && go_u64(rt, sudog, GO_SUDOG_G) == g->addr) {
		struct go_object *object = &ret[n++];
		*object = (struct go_object){ .kind = kind };
		object->addr = sudog_object(rt, sudog, kind);
		if (kind != GO_OBJECT_CHANNEL)
			break;
		read_channel(gs, g, sudog, object);
		sudog = go_u64(rt, sudog, GO_SUDOG_WAITLINK);
	}
	return n;
}

uint64_t go_wake_time(struct go_goroutines *gs, const struct go_goroutine *g)
{
	struct go_runtime *rt = gs->rt;
	if (g->status != GO_WAITING || strcmp(go_goroutine_state(gs, g), "sleep") != 0)
		return 0;
	uint64_t when = go_u64(rt, g->addr, GO_G_SLEEP_WHEN); // ≥ 1.23
	if (when)
		return when;
	uint64_t timer = go_u64(rt, g->addr, GO_G_TIMER);
	return timer ? go_u64(rt, timer, GO_TIMER_WHEN) : 0;
}
