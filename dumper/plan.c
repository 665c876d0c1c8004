// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plan.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "priority.h"

enum { PAGE = 4096 };

static const char *const class_names[PLAN_CLASS_MAX] = {
	[PLAN_ANON_PRIVATE] = "private anonymous",
	[PLAN_ANON_SHARED] = "shared memory",
	[PLAN_FILE_PRIVATE] = "private file",
	[PLAN_FILE_SHARED] = "shared file",
	[PLAN_HUGETLB] = "huge page files",
	[PLAN_ELF_HEADER] = "ELF headers",
	[PLAN_SPECIAL] = "kernel pages",
	[PLAN_BY_KERNEL] = "dumped by the kernel",
	[PLAN_NOT_TOUCHED] = "never touched",
	[PLAN_FILTERED] = "left out by the filter",
	[PLAN_DONTDUMP] = "left out by MADV_DONTDUMP",
	[PLAN_DEVICE] = "device memory",
	[PLAN_LEFT_OUT] = "not needed for stacks",
};

const char *plan_class_name(enum plan_class class)
{
	return class < PLAN_CLASS_MAX ? class_names[class] : "?";
}

/// Reads the start of a mapping if that can be done without changing anything.
static size_t read_start(struct memsource *source, const struct snap_mapping *map, void *buf,
			 size_t len)
{
	struct mem_range range;
	int n = memsource_scan(source, map, map->start, map->start + PAGE, &range, 1);
	if (n < 1 || !mem_kind_readable(range.kind))
		return 0;
	ssize_t got = memsource_read(source, map, range.kind, map->start, buf, len);
	return got < 0 ? 0 : (size_t)got;
}

static bool starts_with_elf(struct memsource *source, const struct snap_mapping *map)
{
	char magic[SELFMAG];
	return read_start(source, map, magic, sizeof(magic)) == sizeof(magic) &&
	       !memcmp(magic, ELFMAG, SELFMAG);
}

static bool is_device(const struct snap_mapping *map)
{
	return map->flags & (SNAP_MAP_IO | SNAP_MAP_PFN);
}

/// Two mappings of one file.
static bool same_file(const struct snap_mapping *a, const struct snap_mapping *b)
{
	return a->inode == b->inode && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

/// What an earlier plan says of the same mapping; PLAN_CLASS_MAX: nothing.
static enum plan_class class_before(const struct plan *before, const struct snap_mapping *map)
{
	size_t low = 0, high = before ? before->n : 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (before->segments[mid].start < map->start)
			low = mid + 1;
		else
			high = mid;
	}
	if (!before || low == before->n)
		return PLAN_CLASS_MAX;
	const struct plan_segment *seg = &before->segments[low];
	return seg->start == map->start && seg->map->end == map->end &&
			       seg->map->offset == map->offset && seg->map->flags == map->flags &&
			       same_file(seg->map, map) ?
		       seg->class :
		       PLAN_CLASS_MAX;
}

/// The part of the rules that does not depend on the filter; PLAN_CLASS_MAX: it does.
static enum plan_class classify_fixed(struct memsource *source, const struct snap_mapping *map,
				      uint32_t flags, const struct plan *before)
{
	char byte;
	enum plan_class was = class_before(before, map);
	if (was == PLAN_SPECIAL || (was == PLAN_DEVICE && map->flags & SNAP_MAP_SPECIAL))
		return was;
	if (map->flags & SNAP_MAP_SPECIAL)
		// [vvar] is device memory, and [vsyscall] can be unreadable.
		return !is_device(map) && read_start(source, map, &byte, 1) ? PLAN_SPECIAL :
									      PLAN_DEVICE;
	if (map->flags & SNAP_MAP_DONTDUMP && !(flags & PLAN_ALL))
		return PLAN_DONTDUMP;
	if (is_device(map))
		return PLAN_DEVICE;
	return PLAN_CLASS_MAX;
}

static enum plan_class classify_shared(const struct snap_mapping *map, uint32_t filter)
{
	if (map->flags & SNAP_MAP_UNLINKED)
		return filter & FILTER_ANON_SHARED ? PLAN_ANON_SHARED : PLAN_FILTERED;
	return filter & FILTER_FILE_SHARED ? PLAN_FILE_SHARED : PLAN_FILTERED;
}

static enum plan_class classify(struct memsource *source, const struct snap_mapping *map,
				uint32_t filter, uint32_t flags,
				const struct plan *before)
{
	enum plan_class fixed = classify_fixed(source, map, flags, before);
	if (fixed != PLAN_CLASS_MAX)
		return fixed;
	bool shared = map->flags & SNAP_MAP_SHARED;
	if (map->flags & SNAP_MAP_HUGETLB) {
		uint32_t bit = shared ? FILTER_HUGETLB_SHARED : FILTER_HUGETLB_PRIVATE;
		return filter & bit ? PLAN_HUGETLB : PLAN_FILTERED;
	}
	if (shared)
		return classify_shared(map, filter);
	bool written = map->anon_bytes || map->swap_bytes;
	if (written && filter & FILTER_ANON_PRIVATE)
		return map->inode ? PLAN_FILE_PRIVATE : PLAN_ANON_PRIVATE;
	if (!map->inode)
		return written ? PLAN_FILTERED : PLAN_NOT_TOUCHED;
	if (filter & FILTER_FILE_PRIVATE)
		return PLAN_FILE_PRIVATE;
	enum plan_class was = class_before(before, map);
	if (was == PLAN_ELF_HEADER || was == PLAN_FILTERED)
		return was;
	if (filter & FILTER_ELF_HEADERS && !map->offset && map->flags & SNAP_MAP_READ &&
	    starts_with_elf(source, map))
		return PLAN_ELF_HEADER;
	return PLAN_FILTERED;
}

/**
 * Adds the file mappings of programs and libraries: files of which some part is mapped executable.
 * The parts of a library lie side by side, so only neighbours are looked at.
 */
static void add_binaries(struct plan *plan)
{
	for (size_t i = 0; i < plan->n;) {
		const struct snap_mapping *first = plan->segments[i].map;
		size_t end = i + 1;
		bool exec = first->flags & SNAP_MAP_EXEC;
		while (end < plan->n && first->inode &&
		       same_file(first, plan->segments[end].map)) {
			exec |= (plan->segments[end].map->flags & SNAP_MAP_EXEC) != 0;
			end++;
		}
		for (size_t j = i; exec && first->inode && j < end; j++) {
			struct plan_segment *seg = &plan->segments[j];
			if (seg->class == PLAN_ELF_HEADER ||
			    (seg->class == PLAN_FILTERED && !(seg->map->flags & SNAP_MAP_SHARED)))
				seg->class = PLAN_FILE_PRIVATE;
		}
		i = end;
	}
}

/// In memory or in swap, also when the process itself has it in no page table.
static uint64_t held_bytes(const struct snap_mapping *map)
{
	uint64_t held = map->rss_bytes + map->swap_bytes;
	return map->flags & (SNAP_MAP_SHARED | SNAP_MAP_HUGETLB) ? MAX(held, map->file_bytes) :
								   held;
}

static uint64_t data_bytes(const struct plan_segment *seg)
{
	if (seg->class == PLAN_FILE_PRIVATE)
		return seg->dump_bytes; // what is not resident comes from the file
	return MIN(held_bytes(seg->map), seg->dump_bytes);
}

static void add_up(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct plan_segment *seg = &plan->segments[i];
		bool dumped = plan_class_dumped(seg->class);
		uint64_t whole = seg->end - seg->start;
		seg->dump_bytes = !dumped			       ? 0 :
				  seg->class == PLAN_ELF_HEADER ? PAGE :
								  whole;
		struct plan_total *total = &plan->totals[seg->class];
		total->mappings++;
		total->dump_bytes += dumped ? seg->dump_bytes : whole;
		total->data_bytes += dumped ? data_bytes(seg) :
					     MIN(seg->map->rss_bytes + seg->map->swap_bytes, whole);
		if (dumped) {
			plan->dump_bytes += seg->dump_bytes;
			plan->data_bytes += data_bytes(seg);
		}
	}
}

/// Files that can be read without the process.
static bool can_be_later(const struct plan_segment *seg)
{
	return (seg->class == PLAN_ANON_SHARED || seg->class == PLAN_FILE_SHARED) &&
	       seg->map->flags & SNAP_MAP_SHARED && !(seg->map->flags & SNAP_MAP_HUGETLB);
}

void plan_postpone(struct plan *plan, uint64_t max_bytes)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < plan->n; i++)
		if (can_be_later(&plan->segments[i]) && !plan->segments[i].later)
			bytes += data_bytes(&plan->segments[i]);
	for (size_t n = 0; bytes > max_bytes && n < PLAN_LATER_MAX; n++) {
		struct plan_segment *largest = NULL;
		for (size_t i = 0; i < plan->n; i++) {
			struct plan_segment *seg = &plan->segments[i];
			if (can_be_later(seg) && !seg->later &&
			    (!largest || data_bytes(seg) > data_bytes(largest)))
				largest = seg;
		}
		if (!largest) // there is one, or there would be no bytes
			return;
		largest->later = true;
		plan->later_bytes += data_bytes(largest);
		bytes -= data_bytes(largest);
	}
}

void plan_unpostpone(struct plan *plan, size_t i)
{
	struct plan_segment *seg = &plan->segments[i];
	if (seg->later)
		plan->later_bytes -= data_bytes(seg);
	seg->later = false;
}

void plan_postpone_nothing(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		plan_unpostpone(plan, i);
}

/// Adds a part of the mapping that the last segment belongs to, or makes that one longer.
static void add_part(struct plan *plan, size_t *n, const struct plan_segment *whole, uint64_t end,
		     enum plan_class class)
{
	struct plan_segment *last = *n ? &plan->segments[*n - 1] : NULL;
	bool same_map = last && last->map == whole->map;
	if (same_map && last->class == class)
		last->end = end;
	else
		plan->segments[(*n)++] =
			(struct plan_segment){ .map = whole->map,
					       .class = class,
					       .start = same_map ? last->end : whole->start,
					       .end = end };
}

/// Cuts what is dumped into what stacks need, and the rest.
static struct snap_error *cut_stacks(struct plan *plan, const struct priorities *priorities)
{
	size_t old_n = plan->n, n = 0, next = 0;
	_cleanup_free_ struct plan_segment *old = TAKE_PTR(plan->segments);
	plan->segments = calloc(old_n + 2 * priorities->n + 1, sizeof(*old));
	if (!plan->segments)
		return snap_error_oom();
	for (size_t i = 0; i < old_n; i++) {
		const struct plan_segment *seg = &old[i];
		bool whole = !plan_class_dumped(seg->class) || seg->class == PLAN_ELF_HEADER ||
			     seg->class == PLAN_SPECIAL;
		while (next < priorities->n && priorities->list[next].end <= seg->start)
			next++;
		uint64_t addr = whole ? seg->end : seg->start;
		for (size_t j = next; addr < seg->end && j < priorities->n; j++) {
			const struct priority_range *range = &priorities->list[j];
			if (range->start >= seg->end)
				break;
			if (range->priority > PRIORITY_DEEP_STACK)
				continue;
			if (range->start > addr)
				add_part(plan, &n, seg, range->start, PLAN_LEFT_OUT);
			addr = MIN(range->end, seg->end);
			add_part(plan, &n, seg, addr, seg->class);
		}
		if (addr < seg->end)
			add_part(plan, &n, seg, seg->end, PLAN_LEFT_OUT);
		else if (whole)
			add_part(plan, &n, seg, seg->end, seg->class);
	}
	plan->n = n;
	return NULL;
}

static struct snap_error *cut_to_stacks(struct plan *plan, const struct snapshot *snap)
{
	_cleanup_priorities_ struct priorities priorities = { 0 };
	struct snap_error *err = priorities_find(snap, &priorities);
	return err ? err : cut_stacks(plan, &priorities);
}

struct snap_error *plan_create(const struct snapshot *snap, struct memsource *source,
			       uint32_t filter, uint32_t flags, struct plan **ret)
{
	return plan_create_again(snap, source, filter, flags, NULL, ret);
}

struct snap_error *plan_create_again(const struct snapshot *snap, struct memsource *source,
				     uint32_t filter, uint32_t flags, const struct plan *before,
				     struct plan **ret)
{
	_cleanup_(plan_destroyp) struct plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return snap_error_oom();
	plan->n = snap->n_mappings;
	plan->segments = calloc(plan->n, sizeof(*plan->segments));
	if (!plan->segments)
		return snap_error_oom();
	if (flags & PLAN_ALL)
		filter = FILTER_MASK;
	for (size_t i = 0; i < plan->n; i++) {
		struct plan_segment *seg = &plan->segments[i];
		seg->map = &snap->mappings[i];
		seg->start = seg->map->start;
		seg->end = seg->map->end;
		seg->class = classify(source, seg->map, filter, flags, before);
	}
	if (flags & PLAN_WITH_BINARIES)
		add_binaries(plan);
	struct snap_error *err = flags & PLAN_STACKS ? cut_to_stacks(plan, snap) : NULL;
	if (err)
		return err;
	add_up(plan);
	*ret = TAKE_PTR(plan);
	return NULL;
}

/// The first end of a segment of @plan, from @next on, that lies in @seg behind @from; or its end.
static uint64_t next_cut(const struct plan *plan, size_t *next, const struct plan_segment *seg,
			 uint64_t from)
{
	while (*next < plan->n) {
		const struct plan_segment *b = &plan->segments[*next];
		if (b->start > from)
			return MIN(b->start, seg->end);
		if (b->end > from)
			return MIN(b->end, seg->end);
		(*next)++;
	}
	return seg->end;
}

struct snap_error *plan_cut_along(struct plan *plan, const struct plan *before)
{
	struct plan_segment *cut = calloc(plan->n + 2 * before->n + 1, sizeof(*cut));
	if (!cut)
		return snap_error_oom();
	size_t n = 0, next = 0;
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_segment *seg = &plan->segments[i];
		// Only what is dumped whole; the rest has no contents, or those of one page.
		bool whole = seg->dump_bytes == seg->end - seg->start;
		for (uint64_t from = seg->start; from < seg->end;) {
			uint64_t to = whole ? next_cut(before, &next, seg, from) : seg->end;
			cut[n] = *seg;
			cut[n].start = from;
			cut[n].end = to;
			if (whole)
				cut[n].dump_bytes = to - from;
			n++;
			from = to;
		}
	}
	free(plan->segments);
	plan->segments = cut;
	plan->n = n;
	return NULL;
}

void plan_from_kernel(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct plan_segment *seg = &plan->segments[i];
		seg->class = seg->dump_bytes ? PLAN_BY_KERNEL : PLAN_FILTERED;
		struct plan_total *total = &plan->totals[seg->class];
		total->mappings++;
		total->dump_bytes += seg->dump_bytes;
		plan->dump_bytes += seg->dump_bytes;
	}
}

/// What the kernel sends of each part of a mapping, of which it sends the beginning; nothing else
/// is dumped.
static void share_stream(struct plan *plan, const uint64_t *sent)
{
	const struct snap_mapping *map = NULL;
	size_t n = 0;
	for (size_t i = 0; i < plan->n; i++) {
		struct plan_segment *seg = &plan->segments[i];
		n += map && map != seg->map;
		map = seg->map;
		uint64_t before = seg->start - map->start;
		uint64_t rest = sent[n] > before ? sent[n] - before : 0;
		seg->stream_bytes = MIN(rest, seg->end - seg->start);
		if (seg->dump_bytes > seg->stream_bytes) {
			plan->dump_bytes -= seg->dump_bytes - seg->stream_bytes;
			seg->dump_bytes = seg->stream_bytes;
		}
	}
}

struct snap_error *plan_keep_stacks(struct plan *plan, const struct snapshot *snap)
{
	_cleanup_free_ uint64_t *sent = calloc(plan->n + 1, sizeof(*sent));
	if (!sent)
		return snap_error_oom();
	for (size_t i = 0; i < plan->n; i++) {
		struct plan_segment *seg = &plan->segments[i];
		sent[i] = seg->stream_bytes;
		// The kernel sends the first page of a mapping, or all of it.
		if (seg->dump_bytes == PAGE && seg->end - seg->start > PAGE)
			seg->class = PLAN_ELF_HEADER;
		else if (seg->dump_bytes && seg->map->flags & SNAP_MAP_SPECIAL)
			seg->class = PLAN_SPECIAL;
	}
	struct snap_error *err = cut_to_stacks(plan, snap);
	if (err)
		return err;
	memset(plan->totals, 0, sizeof(plan->totals));
	plan->dump_bytes = plan->data_bytes = 0;
	add_up(plan);
	share_stream(plan, sent);
	return NULL;
}

void plan_destroy(struct plan *plan)
{
	if (!plan)
		return;
	free(plan->segments);
	free(plan);
}
