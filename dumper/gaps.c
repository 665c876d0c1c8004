// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gaps.h"

#include <stdlib.h>

// A process with holes everywhere must not take all memory: 24 MiB of list.
enum { GAPS_MAX = 1 << 20 };

void gaps_init(struct gaps *gaps)
{
	*gaps = (struct gaps){ 0 };
	(void)pthread_mutex_init(&gaps->lock, NULL); // cannot fail without attributes
}

void gaps_deinit(struct gaps *gaps)
{
	free(gaps->list);
	(void)pthread_mutex_destroy(&gaps->lock);
}

void gaps_add(struct gaps *gaps, uint64_t start, uint64_t end, enum gap_reason reason)
{
	(void)pthread_mutex_lock(&gaps->lock);
	gaps->bytes += end - start;
	if (gap_reason_loses(reason))
		gaps->lost_bytes += end - start;
	if (gaps->n) {
		struct snapnote_gap *last = &gaps->list[gaps->n - 1];
		if (last->end == start && last->reason == reason) {
			last->end = end;
			goto out;
		}
	}
	if (gaps->n == gaps->size && gaps->size < GAPS_MAX) {
		size_t size = gaps->size ? gaps->size * 2 : 64;
		struct snapnote_gap *bigger = reallocarray(gaps->list, size, sizeof(*bigger));
		if (bigger) {
			gaps->list = bigger;
			gaps->size = size;
		}
	}
	if (gaps->n == gaps->size)
		gaps->dropped++;
	else
		gaps->list[gaps->n++] =
			(struct snapnote_gap){ .start = start, .end = end, .reason = reason };
out:
	(void)pthread_mutex_unlock(&gaps->lock);
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = ((const struct snapnote_gap *)a)->start;
	uint64_t y = ((const struct snapnote_gap *)b)->start;
	return (x > y) - (x < y);
}

void gaps_close(struct gaps *gaps)
{
	if (!gaps->n)
		return;
	qsort(gaps->list, gaps->n, sizeof(*gaps->list), by_address);
	size_t kept = 1;
	for (size_t i = 1; i < gaps->n; i++) {
		struct snapnote_gap *last = &gaps->list[kept - 1];
		if (last->end == gaps->list[i].start && last->reason == gaps->list[i].reason)
			last->end = gaps->list[i].end;
		else
			gaps->list[kept++] = gaps->list[i];
	}
	gaps->n = kept;
}
