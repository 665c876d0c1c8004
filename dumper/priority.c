// SPDX-License-Identifier: LGPL-2.1-or-later
#include "priority.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"

enum {
	PAGE = 4096,
	// Below the stack pointer, in use all the same: the red zone of the x86-64 ABI.
	RED_ZONE_BYTES = 128,
	// Some hundred frames of ordinary functions.
	STACK_BYTES = 256 << 10,
	// As large as stacks usually are (ulimit -s). Beyond, it may be no stack at all: coroutines
	// have theirs in the heap.
	DEEP_STACK_BYTES = 8 << 20,
	// Of a goroutine that runs, in the heap of Go: runtime.newstack() doubles from 2 KiB.
	GO_STACK_BYTES = 64 << 10,
	// Around the thread pointer lie thread-local variables and what libthread_db wants to know.
	TLS_BYTES = PAGE,
	DESCRIPTOR_BYTES = 2 * PAGE,
	// Behind it there may be a heap (without randomization brk begins there).
	BSS_BYTES = 16 << 20,
	// What ld.so allocates before there is a malloc(): its list of libraries, thread-local
	// variables of the first thread.
	LOADER_BYTES = 256 << 10,
	// What the loader allocates later comes from malloc(), and is among the first there.
	HEAP_BYTES = 256 << 10,
};

static const uint64_t GO_ARENA_BYTES = 1ULL << 40;

/// Where registers lie in a register set; include/uapi/asm/ptrace.h of the kernel.
struct machine {
	uint16_t elf_machine;
	uint32_t sp; ///< offset in NT_PRSTATUS
	uint32_t tp_type; ///< the note with the thread pointer, or 0
	uint32_t tp; ///< offset in that
	uint64_t go_arena; ///< where the heap of Go begins; runtime/malloc.go mallocinit()
};
static const struct machine machines[] = {
	{ EM_X86_64, 19 * 8, NT_PRSTATUS, 21 * 8, 0xcULL << 36 },
	{ EM_386, 15 * 4, 0, 0, 0 },
	{ EM_AARCH64, 31 * 8, NT_ARM_TLS, 0, 0x4ULL << 36 },
};

struct marks {
	const struct snapshot *snap;
	const struct machine *machine; ///< or NULL
	size_t program; ///< one of its mappings; n_mappings: not known
	// Each range is two events; swept over in order of addresses afterwards.
	struct event {
		uint64_t addr;
		int add; ///< 1 or -1
		enum priority priority;
	} *events;
	size_t n, max;
	bool failed;
};

static void add_event(struct marks *m, uint64_t addr, int add, enum priority priority)
{
	if (m->n == m->max) {
		size_t max = m->max ? m->max * 2 : 256;
		struct event *bigger = reallocarray(m->events, max, sizeof(*bigger));
		if (!bigger) {
			m->failed = true;
			return;
		}
		m->events = bigger;
		m->max = max;
	}
	m->events[m->n++] = (struct event){ addr, add, priority };
}

/// Marks what of [@start, @end) lies in @map, in whole pages.
static void mark(struct marks *m, const struct snap_mapping *map, uint64_t start, uint64_t end,
		 enum priority priority)
{
	start = MAX(ALIGN_DOWN(start, (uint64_t)PAGE), map->start);
	end = MIN(ALIGN_UP(end, (uint64_t)PAGE), map->end);
	if (start >= end)
		return;
	add_event(m, start, 1, priority);
	add_event(m, end, -1, priority);
}

/// The first @bytes of a mapping.
static void mark_first(struct marks *m, const struct snap_mapping *map, uint64_t bytes,
		       enum priority priority)
{
	mark(m, map, map->start, map->start + MIN(bytes, map->end - map->start), priority);
}

static const char *name_of(const struct marks *m, const struct snap_mapping *map)
{
	return snap_mapping_name(m->snap, map);
}

static bool is_file(const struct marks *m, const struct snap_mapping *map)
{
	return map->inode || name_of(m, map)[0] == '/';
}

static bool same_file(const struct marks *m, const struct snap_mapping *a,
		      const struct snap_mapping *b)
{
	return is_file(m, a) && is_file(m, b) && a->inode == b->inode &&
	       a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       !strcmp(name_of(m, a), name_of(m, b));
}

/// Private memory that belongs to no file and can be written to.
static bool is_plain(const struct marks *m, const struct snap_mapping *map)
{
	return !is_file(m, map) && map->flags & SNAP_MAP_WRITE &&
	       !(map->flags & (SNAP_MAP_SHARED | SNAP_MAP_SPECIAL));
}

/// The mapping that @addr lies in; n_mappings: none.
static size_t find_mapping(const struct snapshot *snap, uint64_t addr)
{
	const struct snap_mapping *map = snapshot_mapping_at(snap, addr);
	return map ? (size_t)(map - snap->mappings) : snap->n_mappings;
}

/// A value of the auxiliary vector, in the width of the process; 0: not there.
static uint64_t auxv_value(const struct snap_process *p, uint64_t type)
{
	size_t width = p->machine.elf_class == ELFCLASS64 ? 8 : 4;
	const char *data = p->auxv;
	for (size_t pos = 0; data && pos + 2 * width <= p->auxv_size; pos += 2 * width) {
		uint64_t key = 0, value = 0;
		memcpy(&key, data + pos, width); // little-endian, as all machines of ours
		memcpy(&value, data + pos + width, width);
		if (key == type)
			return value;
	}
	return 0;
}

// -- stacks -------------------------------------------------------------------------------------

static uint64_t read_register(const struct snap_thread *t, uint32_t type, uint32_t offset,
			      size_t width)
{
	uint64_t value = 0;
	for (unsigned int i = 0; i < t->n_regsets; i++)
		if (t->regsets[i].type == type && t->regsets[i].data &&
		    offset + width <= t->regsets[i].stored) {
			memcpy(&value, (const char *)t->regsets[i].data + offset, width);
			return value;
		}
	return 0;
}

static const struct machine *machine_of(const struct snapshot *snap)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i].elf_machine == snap->process.machine.elf_machine)
			return &machines[i];
	return NULL;
}

static bool in_go_heap(const struct marks *m, uint64_t addr)
{
	return m->machine && m->machine->go_arena && addr >= m->machine->go_arena &&
	       addr - m->machine->go_arena < GO_ARENA_BYTES;
}

static void mark_stack(struct marks *m, uint64_t sp)
{
	const struct snapshot *snap = m->snap;
	size_t i = find_mapping(snap, sp);
	if (i == snap->n_mappings)
		return;
	const struct snap_mapping *map = &snap->mappings[i];
	uint64_t start = sp - MIN(sp, (uint64_t)RED_ZONE_BYTES);
	bool go = in_go_heap(m, sp);
	mark(m, map, start, sp + (go ? GO_STACK_BYTES : STACK_BYTES), PRIORITY_STACK);
	if (!go)
		mark(m, map, start, sp + DEEP_STACK_BYTES, PRIORITY_DEEP_STACK);
}

static void mark_descriptor(struct marks *m, uint64_t tp)
{
	size_t i = find_mapping(m->snap, tp);
	if (tp && i < m->snap->n_mappings)
		mark(m, &m->snap->mappings[i], tp - MIN(tp, (uint64_t)TLS_BYTES),
		     tp + DESCRIPTOR_BYTES, PRIORITY_STACK);
}

static void mark_threads(struct marks *m)
{
	const struct machine *machine = m->machine;
	if (!machine)
		return;
	size_t width = m->snap->process.machine.elf_class == ELFCLASS64 ? 8 : 4;
	for (size_t i = 0; i < m->snap->n_threads; i++) {
		const struct snap_thread *t = &m->snap->threads[i];
		mark_stack(m, read_register(t, NT_PRSTATUS, machine->sp, width));
		if (machine->tp_type)
			mark_descriptor(m, read_register(t, machine->tp_type, machine->tp, width));
	}
}

/// Without registers: what has the guard of a stack below, and the stack of the first thread.
static void mark_likely_stacks(struct marks *m)
{
	const struct snapshot *snap = m->snap;
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i], *below = map - 1;
		bool guarded = i && below->end == map->start &&
			       !(below->flags & (SNAP_MAP_READ | SNAP_MAP_WRITE | SNAP_MAP_EXEC));
		if (is_plain(m, map) &&
		    ((guarded && !is_file(m, below)) || !strcmp(name_of(m, map), "[stack]")))
			mark(m, map, map->end - MIN(map->end, (uint64_t)DEEP_STACK_BYTES), map->end,
			     PRIORITY_DEEP_STACK);
	}
}

// -- programs and libraries ---------------------------------------------------------------------

/// What lies between the mappings of one file, or right behind them, is its .bss.
static bool is_bss(const struct marks *m, size_t i)
{
	const struct snap_mapping *map = &m->snap->mappings[i];
	return is_plain(m, map) && map->start == (map - 1)->end &&
	       strcmp(name_of(m, map), "[heap]") != 0;
}

static void mark_beside(struct marks *m, size_t i)
{
	const struct snap_mapping *map = &m->snap->mappings[i];
	if (is_plain(m, map) && map->end - map->start <= LOADER_BYTES)
		mark(m, map, map->start, map->end, PRIORITY_DATA);
}

/// Marks the data of the file mapped from [@first, @end) on, a program or library.
static void mark_image(struct marks *m, size_t first, size_t end)
{
	const struct snapshot *snap = m->snap;
	for (size_t i = first; i < end; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		// Relocated and write-protected again (RELRO) is seen by its pages.
		if (map->flags & SNAP_MAP_WRITE || map->anon_bytes || map->swap_bytes)
			mark(m, map, map->start, map->end, PRIORITY_DATA);
		else if (!map->offset)
			mark_first(m, map, PAGE, PRIORITY_DATA);
	}
	if (end < snap->n_mappings && is_bss(m, end)) {
		mark_first(m, &snap->mappings[end], BSS_BYTES, PRIORITY_DATA);
		end++;
	}
	if (m->program >= first && m->program < end && end < snap->n_mappings &&
	    is_plain(m, &snap->mappings[end]))
		mark_first(m, &snap->mappings[end], HEAP_BYTES, PRIORITY_DATA);
	if (first && snap->mappings[first - 1].end == snap->mappings[first].start)
		mark_beside(m, first - 1);
	if (end < snap->n_mappings && snap->mappings[end - 1].end == snap->mappings[end].start)
		mark_beside(m, end);
}

static void mark_images(struct marks *m)
{
	const struct snapshot *snap = m->snap;
	for (size_t first = 0, end; first < snap->n_mappings; first = end) {
		const struct snap_mapping *map = &snap->mappings[first];
		bool exec = false, header = false;
		for (end = first; end < snap->n_mappings; end++) {
			const struct snap_mapping *next = &snap->mappings[end];
			if (next != map && !same_file(m, map, next) &&
			    // .bss in the middle: a program with segments in an unusual order
			    !(end + 1 < snap->n_mappings && is_file(m, map) &&
			      is_plain(m, next) && next->start == (next - 1)->end &&
			      next->end == (next + 1)->start && same_file(m, map, next + 1)))
				break;
			exec |= (next->flags & SNAP_MAP_EXEC) != 0;
			header |= !next->offset;
		}
		if (is_file(m, map) && exec && header && !(map->flags & SNAP_MAP_SHARED))
			mark_image(m, first, end);
	}
}

/// Mappings of which nothing but themselves has to be known.
static void mark_others(struct marks *m)
{
	const struct snapshot *snap = m->snap;
	uint64_t vdso = auxv_value(&snap->process, AT_SYSINFO_EHDR);
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		if (map->flags & SNAP_MAP_SPECIAL || (vdso >= map->start && vdso < map->end)) {
			mark(m, map, map->start, map->end, PRIORITY_DATA);
			// The loader's first pages are where it found room: beside them, maybe.
			if (i && (map - 1)->end == map->start)
				mark_beside(m, i - 1);
			if (i + 1 < snap->n_mappings && map->end == (map + 1)->start)
				mark_beside(m, i + 1);
		}
		if (is_plain(m, map) && in_go_heap(m, map->start))
			mark(m, map, map->start, map->end, PRIORITY_GO);
	}
}

// -- the list -----------------------------------------------------------------------------------

static int by_addr(const void *a, const void *b)
{
	uint64_t x = ((const struct event *)a)->addr, y = ((const struct event *)b)->addr;
	return (x > y) - (x < y);
}

static enum priority best_of(const int64_t *counts)
{
	int i = 0;
	while (i < PRIORITY_REST && !counts[i])
		i++;
	return (enum priority)i;
}

/// Where ranges overlap, the better priority counts.
static struct snap_error *flatten(struct marks *m, struct priorities *ret)
{
	int64_t counts[PRIORITY_MAX] = { 0 };
	if (m->n)
		qsort(m->events, m->n, sizeof(*m->events), by_addr);
	// Not more ranges than places where one can begin.
	struct priority_range *list = calloc(m->n + 1, sizeof(*list));
	if (!list)
		return snap_error_oom();
	size_t n = 0;
	for (size_t i = 0; i < m->n; i++) {
		counts[m->events[i].priority] += m->events[i].add;
		enum priority best = best_of(counts);
		uint64_t start = m->events[i].addr;
		uint64_t end = i + 1 < m->n ? m->events[i + 1].addr : start;
		if (best == PRIORITY_REST || start == end)
			continue;
		if (n && list[n - 1].end == start && list[n - 1].priority == best)
			list[n - 1].end = end;
		else
			list[n++] = (struct priority_range){ start, end, best };
	}
	*ret = (struct priorities){ list, n };
	return NULL;
}

struct snap_error *priorities_find(const struct snapshot *snap, struct priorities *ret)
{
	struct marks m = { .snap = snap, .machine = machine_of(snap) };
	uint64_t headers = auxv_value(&snap->process, AT_PHDR);
	m.program = headers ? find_mapping(snap, headers) : snap->n_mappings;
	if (snap->n_threads)
		mark_threads(&m);
	else
		mark_likely_stacks(&m);
	mark_images(&m);
	mark_others(&m);
	struct snap_error *err = m.failed ? snap_error_oom() : flatten(&m, ret);
	free(m.events);
	return err;
}

void priorities_deinit(struct priorities *priorities)
{
	free(priorities->list);
	*priorities = (struct priorities){ 0 };
}
