// SPDX-License-Identifier: LGPL-2.1-or-later
#include "groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void state_counts_add(struct state_counts *states, const char *state)
{
	size_t i = 0;
	while (i < states->n && strcmp(states->list[i].state, state) != 0)
		i++;
	if (i == GO_STATES_MAX) {
		i = GO_STATES_MAX - 1;
		state = "other";
	}
	if (i == states->n)
		states->n++;
	states->list[i].state = state;
	states->list[i].count++;
}

static int by_count(const void *a, const void *b)
{
	const struct state_count *x = a, *y = b;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->state, y->state);
}

struct json *state_counts_json(const struct state_counts *states)
{
	struct state_counts sorted = *states;
	struct json *json = json_new_object();
	qsort(sorted.list, sorted.n, sizeof(sorted.list[0]), by_count);
	for (size_t i = 0; i < sorted.n; i++)
		json_set_u64(json, sorted.list[i].state, sorted.list[i].count);
	return json;
}

// ---- filters -------------------------------------------------------------------------------

static bool has_function(struct go_goroutines *gs, const struct go_stack_class *c,
			 const char *part)
{
	for (uint32_t i = 0; i < c->n; i++) {
		struct go_frame f = go_frame_of_pc(gs, gs->pcs[c->first + i]);
		if (f.flags & GO_FRAME_NATIVE && gs->rt->native) {
			struct native_place at = native_place(gs->rt->native, f.pc,
							      f.flags & GO_FRAME_TRAP);
			if (at.name && strstr(at.name, part))
				return true;
		}
		if (!f.func)
			continue;
		struct go_place place = go_place_at(&gs->rt->symtab, f.func, go_frame_sym_pc(&f));
		for (uint32_t j = 0; j < place.n; j++)
			if (strstr(place.lines[j].name, part))
				return true;
	}
	return false;
}

static bool has_label(struct go_goroutines *gs, uint64_t addr, const char *key, const char *value)
{
	struct go_labels labels;
	bool found = false;
	go_labels_read(gs->rt, addr, &labels);
	for (size_t i = 0; i < labels.n; i++)
		found |= !strcmp(labels.list[i].key, key) &&
			 (!value || !strcmp(labels.list[i].value, value));
	go_labels_deinit(&labels);
	return found;
}

static bool has_id(const struct report_filter *filter, uint64_t id)
{
	for (size_t i = 0; i < filter->n_ids; i++)
		if (filter->ids[i] == id)
			return true;
	return false;
}

bool go_filter_accepts(struct go_goroutines *gs, const struct report_filter *filter,
		       const struct go_goroutine *g)
{
	if (filter->n_ids && !has_id(filter, g->id))
		return false;
	if (!filter->system && g->flags & GO_G_SYSTEM && !filter->n_ids)
		return false;
	if (filter->state && !strstr(go_goroutine_state(gs, g), filter->state) &&
	    strcmp(go_status_name(g->status), filter->state) != 0)
		return false;
	if (filter->min_wait_ns && go_goroutine_wait_ns(gs, g) < filter->min_wait_ns)
		return false;
	if (filter->label_key && !has_label(gs, g->labels, filter->label_key, filter->label_value))
		return false;
	return !filter->function || has_function(gs, &gs->stacks[g->stack], filter->function);
}

// ---- groups --------------------------------------------------------------------------------

/// Leaves the labels that @addr has as well.
static void intersect_labels(struct go_goroutines *gs, struct go_group *group, uint64_t addr)
{
	struct go_labels other;
	size_t kept = 0;
	go_labels_read(gs->rt, addr, &other);
	for (size_t i = 0; i < group->labels.n; i++) {
		struct go_label *l = &group->labels.list[i];
		bool common = false;
		for (size_t j = 0; j < other.n; j++)
			common |= !strcmp(l->key, other.list[j].key) &&
				  !strcmp(l->value, other.list[j].value);
		if (common) {
			group->labels.list[kept++] = *l;
		} else {
			free(l->key);
			free(l->value);
		}
	}
	group->labels.n = kept;
	go_labels_deinit(&other);
}

static void add_to_group(struct go_goroutines *gs, struct go_group *group,
			 const struct go_goroutine *g)
{
	int64_t wait = go_goroutine_wait_ns(gs, g);
	if (wait >= 0) {
		if (!group->known_waits || wait < group->min_wait_ns)
			group->min_wait_ns = wait;
		if (!group->known_waits || wait > group->max_wait_ns)
			group->max_wait_ns = wait;
		group->known_waits++;
	}
	if (!group->count) {
		go_labels_read(gs->rt, g->labels, &group->labels);
		group->labels_at = g->labels;
		group->system = true;
	} else if (group->labels.n && g->labels != group->labels_at) {
		// Reading those of a hundred thousand would take longer than all the rest.
		if (group->count < GO_LABELS_COMPARED)
			intersect_labels(gs, group, g->labels);
		else
			go_labels_deinit(&group->labels);
	}
	group->system &= (g->flags & GO_G_SYSTEM) != 0;
	state_counts_add(&group->states, go_goroutine_state(gs, g));
	if (group->n_ids < GO_GROUP_IDS)
		group->ids[group->n_ids++] = g->id;
	group->count++;
}

static int by_size(const void *a, const void *b)
{
	const struct go_group *x = a, *y = b;
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

int go_groups_build(struct go_goroutines *gs, const struct report_filter *filter,
		    struct go_groups *ret)
{
	struct go_groups groups = { 0 };
	// A group needs 2 KiB, a class of stacks 40 bytes: only for classes that are accepted.
	_cleanup_free_ uint32_t *index = calloc(gs->n_stacks + 1, sizeof(*index));
	if (!index)
		return -ENOMEM;
	for (size_t i = 0; i < gs->n; i++) {
		const struct go_goroutine *g = &gs->list[i];
		if (!go_filter_accepts(gs, filter, g))
			continue;
		if (!index[g->stack]) {
			if (!(groups.n & (groups.n - 1))) {
				struct go_group *bigger =
					reallocarray(groups.list, MAX(groups.n * 2, (size_t)1),
						     sizeof(*bigger));
				if (!bigger) {
					go_groups_deinit(&groups);
					return -ENOMEM;
				}
				groups.list = bigger;
			}
			groups.list[groups.n] = (struct go_group){ .stack = g->stack };
			index[g->stack] = (uint32_t)++groups.n;
		}
		add_to_group(gs, &groups.list[index[g->stack] - 1], g);
	}
	if (groups.n)
		qsort(groups.list, groups.n, sizeof(*groups.list), by_size);
	*ret = groups;
	return 0;
}

void go_groups_deinit(struct go_groups *groups)
{
	for (size_t i = 0; i < groups->n; i++)
		go_labels_deinit(&groups->list[i].labels);
	free(groups->list);
	*groups = (struct go_groups){ 0 };
}
