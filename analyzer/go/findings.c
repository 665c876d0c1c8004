// SPDX-License-Identifier: LGPL-2.1-or-later
#include "findings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "reach.h"
#include "wait.h"

enum {
	CROWD_MIN = 10, // waiters on one object that are worth a word
	CROWDS_SHOWN = 5,
	STUCK_SHOWN = 5,
	LONG_LOCK_MINUTES = 1, // nobody means to hold a lock so long
	LONG_CHANNEL_MINUTES = 10,
	SUSPECTS_MIN = 50,
	BACKLOG_FACTOR = 10, // runnable goroutines for each processor
};

#define MINUTE_NS ((int64_t)60 * 1000 * 1000 * 1000)

struct tally {
	uint64_t user, leaked, runnable, running;
	uint64_t outside; ///< that something else than a goroutine may wake
	uint64_t long_locked, long_channel;
	int64_t longest_lock_ns, longest_channel_ns;
};

static bool is_lock(const char *state)
{
	return !strncmp(state, "sync.Mutex", 10) || !strncmp(state, "sync.RWMutex", 12) ||
	       !strncmp(state, "semacquire", 10);
}

static bool is_channel(const char *state)
{
	return !strncmp(state, "chan ", 5) || !strncmp(state, "select", 6);
}

static void tally_one(struct go_goroutines *gs, const struct go_goroutine *g, struct tally *t)
{
	const char *state = go_goroutine_state(gs, g);
	int64_t wait = go_goroutine_wait_ns(gs, g);
	bool lock = is_lock(state), channel = is_channel(state);
	t->user++;
	t->leaked += g->status == GO_LEAKED;
	t->runnable += g->status == GO_RUNNABLE;
	t->running += g->status == GO_RUNNING;
	// Only other goroutines can wake what waits for channels and locks.
	t->outside += g->status != GO_WAITING || !(lock || channel || !strncmp(state, "sync.", 5));
	if (lock && wait >= LONG_LOCK_MINUTES * MINUTE_NS) {
		t->long_locked++;
		t->longest_lock_ns = MAX(t->longest_lock_ns, wait);
	}
	if (channel && wait >= LONG_CHANNEL_MINUTES * MINUTE_NS) {
		t->long_channel++;
		t->longest_channel_ns = MAX(t->longest_channel_ns, wait);
	}
}

static int put(const struct report_sink *sink, const char *what, const char *certainty,
	       struct strbuf *text, struct json *json)
{
	json_set_text(json, "finding", what);
	json_set_text(json, "certainty", certainty);
	json_set_message(json, "text", text->data);
	return sink->line(sink->userdata, "finding", json);
}

static int report_blocked(const struct tally *t, const struct report_sink *sink)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	if (t->user < 2 || t->outside)
		return 0;
	if (strbuf_addf(&text,
			"all %" PRIu64 " goroutines of the program wait for channels or locks, and "
			"only goroutines can end that: a deadlock, unless a timer or C code does",
			t->user) < 0)
		return -ENOMEM;
	struct json *json = json_new_object();
	json_set_u64(json, "count", t->user);
	return put(sink, "all-blocked", "likely", &text, json);
}

static int report_leaked(const struct tally *t, const struct report_sink *sink)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	if (!t->leaked)
		return 0;
	if (strbuf_addf(&text,
			"%" PRIu64 " goroutines are leaked: the garbage collector found that "
			"nothing can reach what they wait for",
			t->leaked) < 0)
		return -ENOMEM;
	struct json *json = json_new_object();
	json_set_u64(json, "count", t->leaked);
	return put(sink, "leaked", "fact", &text, json);
}

static int report_long(const struct tally *t, const struct report_sink *sink)
{
	int r = 0;
	if (t->long_locked) {
		_cleanup_strbuf_ struct strbuf text = { 0 };
		if (strbuf_addf(&text,
				"%" PRIu64 " goroutines have waited for a lock for about %d "
				"minutes or more, the longest for about %" PRId64,
				t->long_locked, LONG_LOCK_MINUTES,
				t->longest_lock_ns / MINUTE_NS) < 0)
			return -ENOMEM;
		struct json *json = json_new_object();
		json_set_u64(json, "count", t->long_locked);
		json_set_u64(json, "longest_wait_ns", (uint64_t)t->longest_lock_ns);
		r = put(sink, "long-lock-wait", "fact", &text, json);
	}
	if (r == 0 && t->long_channel >= SUSPECTS_MIN) {
		_cleanup_strbuf_ struct strbuf text = { 0 };
		if (strbuf_addf(&text,
				"%" PRIu64 " goroutines have waited for channels for about %d "
				"minutes or more; if they are no pool of idle workers, they may be "
				"leaked",
				t->long_channel, LONG_CHANNEL_MINUTES) < 0)
			return -ENOMEM;
		struct json *json = json_new_object();
		json_set_u64(json, "count", t->long_channel);
		json_set_u64(json, "longest_wait_ns", (uint64_t)t->longest_channel_ns);
		r = put(sink, "leak-suspects", "hint", &text, json);
	}
	return r;
}

static int report_backlog(struct go_goroutines *gs, const struct tally *t,
			  const struct report_sink *sink)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	uint64_t procs = 0;
	if (gs->rt->globals.allp)
		(void)memory_u64(gs->rt->mem, gs->rt->globals.allp + 8, &procs); // 0 then
	if (!procs || t->runnable < procs * BACKLOG_FACTOR)
		return 0;
	if (strbuf_addf(&text,
			"%" PRIu64 " goroutines are ready to run on %" PRIu64
			" processors: the program wants more CPU than it gets",
			t->runnable, procs) < 0)
		return -ENOMEM;
	struct json *json = json_new_object();
	json_set_u64(json, "count", t->runnable);
	json_set_u64(json, "gomaxprocs", procs);
	return put(sink, "runnable-backlog", "fact", &text, json);
}

// ---- what many wait for --------------------------------------------------------------------

static int by_count(const void *a, const void *b)
{
	const struct go_awaited *x = a, *y = b;
	if (x->waiters != y->waiters)
		return x->waiters < y->waiters ? 1 : -1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/// Counts the waiters of each object.
static int count_waiters(struct go_goroutines *gs, struct go_awaited **ret, size_t *ret_n)
{
	struct map seen = { 0 };
	struct go_awaited *list = NULL;
	size_t n = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < gs->n; i++) {
		const struct go_goroutine *g = &gs->list[i];
		uint32_t index;
		if (!g->object || g->flags & GO_G_SYSTEM)
			continue;
		if (list && map_get(&seen, g->object, &index)) {
			list[index].waiters++;
			continue;
		}
		if (!(n & (n - 1))) {
			struct go_awaited *bigger = reallocarray(list, MAX(n * 2, (size_t)1),
								 sizeof(*bigger));
			if (!bigger) {
				r = -ENOMEM;
				break;
			}
			list = bigger;
		}
		list[n] = (struct go_awaited){ .addr = g->object,
					       .waiters = 1,
					       .first = g,
					       .channel = is_channel(go_goroutine_state(gs, g)) };
		r = map_set(&seen, g->object, (uint32_t)n++);
	}
	map_deinit(&seen);
	if (r < 0) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

static int report_crowd(struct go_goroutines *gs, const struct go_awaited *c,
			const struct report_sink *sink)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct go_object objects[GO_OBJECTS_MAX];
	const char *kind = go_wait_objects(gs, c->first, objects) ?
				   go_object_name(objects[0].kind) :
				   "object";
	if (strbuf_addf(&text, "%" PRIu32 " goroutines wait for one %s at 0x%" PRIx64 " (%s)",
			c->waiters, kind, c->addr, go_goroutine_state(gs, c->first)) < 0)
		return -ENOMEM;
	struct json *json = json_new_object();
	json_set_u64(json, "count", c->waiters);
	json_set_text(json, "kind", kind);
	report_address(json, "object", c->addr);
	return put(sink, "many-waiters", "fact", &text, json);
}

/// A channel that nobody was found to have who could use it.
static int report_stuck(struct go_goroutines *gs, const struct go_awaited *c,
			const struct report_sink *sink)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	bool one = c->waiters == 1, other = c->others == 1;
	int r = strbuf_addf(&text, "%" PRIu32 " goroutine%s for the channel at 0x%" PRIx64 " (%s)",
			    c->waiters, one ? " waits" : "s wait", c->addr,
			    go_goroutine_state(gs, c->first));
	if (r == 0 && c->others)
		r = strbuf_addf(&text, ", and %" PRIu32 " more that %s it on %s for something else",
				c->others, other ? "has" : "have",
				other ? "its stack waits" : "their stacks wait");
	if (r == 0)
		r = strbuf_addf(&text, "; no goroutine that can go on was seen to have it, on its "
				       "stack, in a global variable or one pointer further: this "
				       "may be for ever");
	if (r < 0)
		return -ENOMEM;
	struct json *json = json_new_object();
	json_set_u64(json, "count", c->waiters);
	json_set_u64(json, "others", c->others);
	json_set_text(json, "kind", go_object_name(GO_OBJECT_CHANNEL));
	report_address(json, "object", c->addr);
	return put(sink, "stuck-channel", "hint", &text, json);
}

/// Of one goroutine nobody knows that it should be woken: it may wait for a signal, or for its end.
static bool is_stuck(const struct go_awaited *c)
{
	return c->channel && !c->timer && !c->reached && (uint64_t)c->waiters + c->others > 1;
}

/// Looks for channels among the first @n of @list, and sorts that.
static int report_all_stuck(struct go_goroutines *gs, struct go_awaited *list, size_t n,
			    const struct report_sink *sink)
{
	size_t shown = 0;
	int r = go_reach_mark(gs, list, n);
	if (r <= 0)
		return r;
	qsort(list, n, sizeof(*list), by_count);
	r = 0;
	for (size_t i = 0; r == 0 && i < n && shown < STUCK_SHOWN; i++)
		if (is_stuck(&list[i])) {
			r = report_stuck(gs, &list[i], sink);
			shown++;
		}
	return r;
}

/// What many wait for, and unless @all wait, what nobody can end.
static int report_awaited(struct go_goroutines *gs, bool all, const struct report_sink *sink)
{
	_cleanup_free_ struct go_awaited *list = NULL;
	size_t n = 0;
	int r = count_waiters(gs, &list, &n);
	if (r < 0 || !n)
		return r;
	qsort(list, n, sizeof(*list), by_count);
	for (size_t i = 0; r == 0 && i < n && i < CROWDS_SHOWN && list[i].waiters >= CROWD_MIN; i++)
		r = report_crowd(gs, &list[i], sink);
	return r == 0 && !all ? report_all_stuck(gs, list, MIN(n, (size_t)GO_AWAITED_MAX), sink) :
				r;
}

int go_findings_report(struct go_goroutines *gs, const struct report_sink *sink)
{
	struct tally t = { 0 };
	for (size_t i = 0; i < gs->n; i++)
		if (!(gs->list[i].flags & GO_G_SYSTEM))
			tally_one(gs, &gs->list[i], &t);
	int r = report_leaked(&t, sink);
	if (r == 0)
		r = report_blocked(&t, sink);
	if (r == 0)
		r = report_awaited(gs, !t.outside, sink);
	if (r == 0)
		r = report_long(&t, sink);
	return r == 0 ? report_backlog(gs, &t, sink) : r;
}
