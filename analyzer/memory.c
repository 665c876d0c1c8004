// SPDX-License-Identifier: LGPL-2.1-or-later
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void memory_deinit(struct memory *mem)
{
	for (int i = 0; i < MEM_LAYER_MAX; i++)
		free(mem->layers[i].regions);
	*mem = (struct memory){ 0 };
}

int memory_add(struct memory *mem, enum mem_layer layer, const struct mem_region *region)
{
	struct mem_list *list = &mem->layers[layer];
	if (region->start >= region->end)
		return 0;
	if (list->n == list->max) {
		size_t max = MAX(list->max * 2, (size_t)64);
		struct mem_region *bigger = reallocarray(list->regions, max, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		list->regions = bigger;
		list->max = max;
	}
	list->regions[list->n++] = *region;
	list->sorted = false;
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct mem_region *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end < y->end) - (x->end > y->end); // the longer one first
}

/// Sorts, and cuts off what overlaps.
static void sort_list(struct mem_list *list)
{
	size_t kept = 0;
	uint64_t end = 0;
	if (list->n > 1)
		qsort(list->regions, list->n, sizeof(*list->regions), by_start);
	for (size_t i = 0; i < list->n; i++) {
		struct mem_region r = list->regions[i];
		if (r.end <= end)
			continue;
		if (r.start < end) {
			r.offset += end - r.start;
			r.start = end;
		}
		end = r.end;
		list->regions[kept++] = r;
	}
	list->n = kept;
	list->last = 0;
	list->sorted = true;
}

/// The index of the first region that ends behind @addr; list->n when there is none.
static size_t find_index(struct mem_list *list, uint64_t addr)
{
	if (!list->sorted)
		sort_list(list);
	size_t low = 0, high = list->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (list->regions[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/// The region that has @addr, or NULL; @ret_next is where the next one begins then.
static const struct mem_region *find(struct mem_list *list, uint64_t addr, uint64_t *ret_next)
{
	if (list->sorted && list->last < list->n) {
		const struct mem_region *r = &list->regions[list->last];
		if (addr >= r->start && addr < r->end)
			return r;
	}
	size_t i = find_index(list, addr);
	if (i < list->n && addr >= list->regions[i].start) {
		list->last = i;
		return &list->regions[i];
	}
	*ret_next = i < list->n ? list->regions[i].start : UINT64_MAX;
	return NULL;
}

bool memory_each(struct memory *mem, enum mem_layer layer, uint64_t start, uint64_t end,
		 bool (*fn)(void *userdata, const struct mem_region *region), void *userdata)
{
	struct mem_list *list = &mem->layers[layer];
	for (size_t i = find_index(list, start); i < list->n && list->regions[i].start < end; i++)
		if (fn(userdata, &list->regions[i]))
			return true;
	return false;
}

static size_t read_some(struct memory *mem, uint64_t addr, void *buf, size_t len,
			size_t (*read)(struct memory *, struct source *, uint64_t, void *, size_t))
{
	size_t done = 0;
	while (done < len) {
		uint64_t limit = UINT64_MAX;
		const struct mem_region *r = find(&mem->layers[MEM_CORE], addr, &limit);
		uint64_t none;
		if (!r)
			r = find(&mem->layers[MEM_FILES], addr, &none);
		if (!r)
			break;
		// A file answers only as far as the core has nothing.
		uint64_t end = MIN(r->end, limit);
		size_t want = MIN(len - done, end - addr);
		size_t n = read(mem, r->source, r->offset + (addr - r->start),
				(uint8_t *)buf + done, want);
		done += n;
		addr += n;
		if (n < want)
			break;
	}
	return done;
}

static size_t read_kept(struct memory *mem _unused_, struct source *source, uint64_t offset,
			void *buf, size_t len)
{
	return source_read(source, offset, buf, len);
}

static size_t read_once(struct memory *mem, struct source *source, uint64_t offset, void *buf,
			size_t len)
{
	uint64_t before = source_bytes_read(source);
	size_t n = source_read_once(source, offset, buf, len);
	mem->once_bytes += source_bytes_read(source) - before;
	return n;
}

size_t memory_read_some(struct memory *mem, uint64_t addr, void *buf, size_t len)
{
	return read_some(mem, addr, buf, len, read_kept);
}

size_t memory_read_once(struct memory *mem, uint64_t addr, void *buf, size_t len)
{
	return read_some(mem, addr, buf, len, read_once);
}

bool memory_read(struct memory *mem, uint64_t addr, void *buf, size_t len)
{
	return memory_read_some(mem, addr, buf, len) == len;
}

bool memory_u8(struct memory *mem, uint64_t addr, uint8_t *ret)
{
	return memory_read(mem, addr, ret, sizeof(*ret));
}

/// The bytes at @addr where they are, if no more than a look is needed to find them.
static const void *at_hand(const struct mem_list *list, uint64_t addr, size_t len)
{
	if (!list->sorted || list->last >= list->n)
		return NULL;
	const struct mem_region *r = &list->regions[list->last];
	return addr >= r->start && addr < r->end && len <= r->end - addr ?
		       source_at_hand(r->source, r->offset + (addr - r->start), len) :
		       NULL;
}

// Both architectures are little-endian, as is the machine that reads (elf.c asserts it).
bool memory_u16(struct memory *mem, uint64_t addr, uint16_t *ret)
{
	return memory_read(mem, addr, ret, sizeof(*ret));
}

bool memory_u32(struct memory *mem, uint64_t addr, uint32_t *ret)
{
	return memory_read(mem, addr, ret, sizeof(*ret));
}

bool memory_u64(struct memory *mem, uint64_t addr, uint64_t *ret)
{
	// Stacks and structures are read word by word: mostly it is where the last one was.
	const void *at = at_hand(&mem->layers[MEM_CORE], addr, sizeof(*ret));
	if (at) {
		memcpy(ret, at, sizeof(*ret));
		return true;
	}
	return memory_read(mem, addr, ret, sizeof(*ret));
}

bool memory_has(struct memory *mem, uint64_t addr)
{
	uint8_t byte;
	return memory_u8(mem, addr, &byte);
}
