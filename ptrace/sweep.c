// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sweep.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "common/compat.h"
#include "thunk.h"

enum {
	PAGE = 4096,
	RANGES = 64,
	CAVES_BYTES = THUNK_PLACES * ARCH_THUNK_BYTES,
	CHUNK_BYTES = 64 << 10,
	// What is looked through of one stack, from its top on, and of all of them, which takes
	// some 20 ms. Frames of signals lie near the top, but for handlers that do a lot.
	STACK_MAX = 1 << 20,
	STACKS_MAX = 32 << 20,
};

/// Which of the caves have a thunk, bit N-1 for the Nth from the end. @room is thunk_room().
static unsigned int find_thunks(const struct snapshot *snap, struct memsource *source,
				uint64_t room)
{
	uint8_t code[CAVES_BYTES];
	unsigned int found = 0;
	const struct snap_mapping *vdso = room ? snapshot_mapping_at(snap, room - 1) : NULL;
	if (!vdso || memsource_read(source, vdso, MEM_DATA, room - sizeof(code), code,
				    sizeof(code)) != (ssize_t)sizeof(code))
		return 0;
	for (unsigned int i = 1; i <= THUNK_PLACES; i++)
		if (arch_is_thunk(code + sizeof(code) - (size_t)i * ARCH_THUNK_BYTES))
			found |= 1U << (i - 1);
	return found;
}

bool sweep_finds(const struct snapshot *snap, struct memsource *source)
{
	return find_thunks(snap, source, thunk_room(snap)) != 0;
}

struct search {
	const struct snapshot *snap;
	struct memsource *source;
	uint64_t start, end; ///< of addresses that may not be found
	uint64_t left; ///< bytes that may still be looked through
	uint64_t *words; ///< CHUNK_BYTES
};

static bool is_inside(const struct search *s, uint64_t addr)
{
	return s->start <= addr && addr < s->end;
}

/// Is there no such address in [@start, @end), which has contents?
static bool is_clean(struct search *s, const struct snap_mapping *map, uint64_t start, uint64_t end)
{
	while (start < end) {
		size_t len = (size_t)MIN(end - start, (uint64_t)CHUNK_BYTES);
		ssize_t n = memsource_read(s->source, map, MEM_DATA, start, s->words, len);
		if (n < 8)
			return false;
		for (size_t i = 0; i < (size_t)n / 8; i++)
			if (is_inside(s, s->words[i]))
				return false;
		start += ALIGN_DOWN((uint64_t)n, (uint64_t)8);
	}
	return true;
}

/// Is there none in @map, on the stack that has its top at @sp?
static bool is_clean_stack(struct search *s, const struct snap_mapping *map, uint64_t sp)
{
	uint64_t end = MIN(map->end, ALIGN_UP(sp, (uint64_t)PAGE) + STACK_MAX), used = end - sp;
	if (used > s->left)
		return false;
	s->left -= used;
	for (uint64_t at = ALIGN_DOWN(sp, (uint64_t)PAGE); at < end;) {
		struct mem_range ranges[RANGES];
		int n = memsource_scan(s->source, map, at, end, ranges, RANGES);
		if (n <= 0)
			return false;
		for (int i = 0; i < n; i++) {
			uint64_t from = MAX(ranges[i].start, ALIGN_DOWN(sp, (uint64_t)8));
			if (mem_kind_readable(ranges[i].kind) &&
			    !is_clean(s, map, from, ranges[i].end))
				return false;
			at = ranges[i].end;
		}
	}
	return true;
}

/// Is it sure that the thread, which has stopped, will not come there?
static bool keeps_away(struct search *s, const struct tracee *t)
{
	if (t->state == TRACEE_GONE)
		return true;
	if (t->state != TRACEE_STOPPED || !t->regs_known || arch_regs_compat(&t->regs) ||
	    is_inside(s, arch_pc(&t->regs)))
		return false;
	uint64_t sp = arch_sp(&t->regs);
	const struct snap_mapping *map = snapshot_mapping_at(s->snap, sp);
	return map && is_clean_stack(s, map, sp);
}

bool sweep(const struct snapshot *snap, struct memsource *source, const struct tracee *threads,
	   size_t n)
{
	uint64_t room = thunk_room(snap);
	unsigned int found = find_thunks(snap, source, room);
	if (!found)
		return true;
	_cleanup_free_ uint64_t *words = malloc(CHUNK_BYTES);
	struct search s = { snap, source, room - CAVES_BYTES, room, STACKS_MAX, words };
	pid_t tid = 0;
	for (size_t i = 0; i < n; i++) {
		if (!words || !keeps_away(&s, &threads[i]))
			return false;
		if (threads[i].state == TRACEE_STOPPED)
			tid = threads[i].tid;
	}
	bool clean = tid != 0;
	for (unsigned int i = 1; clean && i <= THUNK_PLACES; i++)
		if (found >> (i - 1) & 1)
			clean = thunk_erase(tid, room - (uint64_t)i * ARCH_THUNK_BYTES);
	return clean;
}
