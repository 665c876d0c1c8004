// SPDX-License-Identifier: LGPL-2.1-or-later
#include "share.h"

#include <sys/mman.h>

#include "common/cleanup.h"

struct share *share_create(void)
{
	static struct share unshared;
	void *page = mmap(NULL, sizeof(struct share), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? &unshared : page;
}

bool share_is_reading(const struct share *share)
{
	for (size_t i = 0; i < SHARE_READERS; i++)
		if (share->reading[i])
			return true;
	return false;
}

static void avoid(struct share *share, uint64_t mapping)
{
	size_t i = atomic_fetch_add(&share->n_avoided, 1);
	if (i < SHARE_AVOIDED)
		share->avoided[i] = mapping;
}

void share_avoid(struct share *share)
{
	for (size_t i = 0; i < SHARE_READERS; i++) {
		uint64_t mapping = atomic_exchange(&share->reading[i], 0);
		if (mapping)
			avoid(share, mapping);
	}
}

bool share_avoids(const struct share *share, uint64_t mapping)
{
	size_t n = share->n_avoided;
	// Who makes so many wait does so on purpose.
	if (n > SHARE_AVOIDED)
		return true;
	for (size_t i = 0; i < n; i++)
		if (share->avoided[i] == mapping)
			return true;
	return false;
}

size_t share_begin(struct share *share, uint64_t mapping)
{
	for (size_t i = 0; i < SHARE_READERS; i++) {
		uint_fast64_t nobody = 0;
		if (atomic_compare_exchange_strong(&share->reading[i], &nobody, mapping))
			return i;
	}
	return SHARE_READERS;
}

void share_end(struct share *share, size_t reader)
{
	if (reader < SHARE_READERS)
		share->reading[reader] = 0;
	share->calls++;
}

void share_give_up(struct share *share, size_t reader, uint64_t mapping)
{
	avoid(share, mapping);
	share_end(share, reader);
}
