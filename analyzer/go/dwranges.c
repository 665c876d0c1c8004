// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwranges.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"

enum {
	// The largest programs have some ten thousand.
	RANGES_MAX = 1 << 20,
};

int dw_ranges_add(struct dw_ranges *ranges, struct dw_list *list, size_t unit)
{
	struct dw_list_entry e;
	while (dw_list_next(list, &e)) {
		if (ranges->n == RANGES_MAX)
			return -E2BIG;
		if (ranges->n == ranges->max) {
			size_t max = MAX(ranges->max * 2, (size_t)64);
			struct dw_range *bigger = reallocarray(ranges->list, max, sizeof(*bigger));
			if (!bigger)
				return -ENOMEM;
			ranges->list = bigger;
			ranges->max = max;
		}
		ranges->list[ranges->n++] = (struct dw_range){ e.low, e.high, unit };
	}
	return 0;
}

static int by_low(const void *a, const void *b)
{
	const struct dw_range *x = a, *y = b;
	return (x->low > y->low) - (x->low < y->low);
}

void dw_ranges_sort(struct dw_ranges *ranges)
{
	if (ranges->n)
		qsort(ranges->list, ranges->n, sizeof(*ranges->list), by_low);
}

void dw_ranges_deinit(struct dw_ranges *ranges)
{
	free(ranges->list);
	*ranges = (struct dw_ranges){ .n = 0 };
}

bool dw_ranges_find(const struct dw_ranges *ranges, uint64_t pc, size_t *ret_unit)
{
	size_t low = 0, high = ranges->n;
	while (low < high) { // the last one that begins at or before it
		size_t mid = low + (high - low) / 2;
		if (ranges->list[mid].low <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || pc >= ranges->list[low - 1].high)
		return false;
	*ret_unit = ranges->list[low - 1].unit;
	return true;
}
