// SPDX-License-Identifier: LGPL-2.1-or-later
#include "order.h"

#include <stdlib.h>

#include "common/fd.h"

struct snap_error *order_by_address(const struct plan *plan, struct order *ret)
{
	struct order_span *spans = calloc(plan->n + 1, sizeof(*spans));
	if (!spans)
		return snap_error_oom();
	size_t n = 0;
	for (size_t i = 0; i < plan->n; i++)
		if (plan->segments[i].dump_bytes)
			spans[n++] = (struct order_span){ i, 0, plan->segments[i].dump_bytes,
							  PRIORITY_REST };
	*ret = (struct order){ spans, n };
	return NULL;
}

struct sorted_span {
	struct order_span span;
	uint64_t whole; ///< of the segment, where that counts
};

static int by_use(const void *a, const void *b)
{
	const struct sorted_span *x = a, *y = b;
	if (x->span.priority != y->span.priority)
		return x->span.priority < y->span.priority ? -1 : 1;
	if (x->whole != y->whole)
		return x->whole < y->whole ? -1 : 1;
	if (x->span.segment != y->span.segment)
		return x->span.segment < y->span.segment ? -1 : 1;
	return (x->span.offset > y->span.offset) - (x->span.offset < y->span.offset);
}

/// Cuts a segment where priorities change. Returns how many spans that gives.
static size_t cut(const struct plan_segment *seg, size_t index, const struct priorities *p,
		  size_t *next, struct sorted_span *spans)
{
	size_t n = 0;
	uint64_t addr = seg->start, end = seg->start + seg->dump_bytes;
	while (*next < p->n && p->list[*next].end <= addr)
		(*next)++;
	for (size_t i = *next; addr < end;) {
		const struct priority_range *range = i < p->n ? &p->list[i] : NULL;
		bool inside = range && range->start <= addr;
		uint64_t to = !range ? end : MIN(end, inside ? range->end : range->start);
		spans[n++] = (struct sorted_span){
			.span = { index, addr - seg->start, to - addr,
				  inside ? range->priority : PRIORITY_REST },
			.whole = inside ? 0 : seg->end - seg->start,
		};
		addr = to;
		i += inside && range->end == to;
	}
	return n;
}

struct snap_error *order_by_use(const struct plan *plan, const struct priorities *priorities,
				struct order *ret)
{
	// Each end of a range, and each end of a segment, begins one span at most.
	size_t max = plan->n + 2 * priorities->n + 1, n = 0, next = 0;
	_cleanup_free_ struct sorted_span *sorted = calloc(max, sizeof(*sorted));
	struct order_span *spans = calloc(max, sizeof(*spans));
	if (!sorted || !spans) {
		free(spans);
		return snap_error_oom();
	}
	for (size_t i = 0; i < plan->n; i++)
		n += cut(&plan->segments[i], i, priorities, &next, sorted + n);
	qsort(sorted, n, sizeof(*sorted), by_use);
	for (size_t i = 0; i < n; i++)
		spans[i] = sorted[i].span;
	*ret = (struct order){ spans, n };
	return NULL;
}

void order_deinit(struct order *order)
{
	free(order->spans);
	*order = (struct order){ 0 };
}
