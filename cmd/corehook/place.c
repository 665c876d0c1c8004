// SPDX-License-Identifier: LGPL-2.1-or-later
#include "place.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/span.h"
#include "patience.h"

enum {
	STACK_BYTES = 4096, ///< frames of abort() and of assert() have half of it
	CALLERS = 3,
};

/// The mapping that @addr lies in, or NULL.
static const struct snap_mapping *find_mapping(const struct head *head, uint64_t addr)
{
	size_t low = 0, high = head->snap.n_mappings;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (head->snap.mappings[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == head->snap.n_mappings || head->snap.mappings[low].start > addr)
		return NULL;
	return &head->snap.mappings[low];
}

/// The same, if it is of a file.
static const struct snap_mapping *find_file(const struct head *head, uint64_t addr)
{
	const struct snap_mapping *map = find_mapping(head, addr);
	return map && map->inode ? map : NULL;
}

static bool same_file(const struct head *head, const struct snap_mapping *a,
		      const struct snap_mapping *b)
{
	return a && b &&
	       !strcmp(snap_mapping_name(&head->snap, a), snap_mapping_name(&head->snap, b));
}

static bool is_wide(const struct head *head)
{
	return head->snap.process.machine.elf_class == ELFCLASS64;
}

bool place_is_program(const struct head *head, const struct snap_mapping *map)
{
	const struct snap_process *p = &head->snap.process;
	struct span auxv = span_of(p->auxv, p->auxv_size);
	uint64_t width = is_wide(head) ? 8 : 4;
	for (uint64_t at = 0; at + 2 * width <= auxv.size; at += 2 * width) {
		uint64_t key = width == 8 ? span_u64(&auxv, at) : span_u32(&auxv, at);
		if (key != AT_PHDR)
			continue;
		const struct snap_mapping *program =
			find_file(head, width == 8 ? span_u64(&auxv, at + width) :
						     span_u32(&auxv, at + width));
		return same_file(head, program, map);
	}
	return false;
}

/// FNV-1a
static uint64_t add_to_hash(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

struct peek {
	struct errand errand;
	int mem;
	uint64_t addr;
	size_t len;
	ssize_t result;
	uint8_t bytes[STACK_BYTES];
};

static void peek_run(struct errand *errand)
{
	struct peek *p = (struct peek *)errand;
	p->result = snap_pread_full(p->mem, p->bytes, p->len, p->addr);
}

static void peek_destroy(struct errand *errand)
{
	struct peek *p = (struct peek *)errand;
	snap_closep(&p->mem);
	free(p);
}

/**
 * What lies at the stack pointer. Which process that is has not been proven yet; of another one it
 * would be a number without meaning.
 */
static ssize_t read_stack(const struct crash *crash, const struct head *head, uint8_t *buf)
{
	_cleanup_close_ int piddir = pidref_open_proc(&crash->ref);
	_cleanup_close_ int mem =
		piddir < 0 ? -EBADF : openat(piddir, "mem", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	const struct snap_mapping *map = find_mapping(head, head->facts.sp);
	struct peek *p = mem < 0 || !map ? NULL : malloc(sizeof(*p));
	if (!p)
		return -1;
	uint64_t above = map->end - head->facts.sp;
	p->errand = (struct errand){ .run = peek_run, .destroy = peek_destroy };
	p->mem = TAKE_FD(mem);
	p->addr = head->facts.sp;
	p->len = (size_t)MIN((uint64_t)STACK_BYTES, above);
	if (!patience_run(&p->errand, PATIENCE_MS))
		return -1;
	ssize_t n = p->result;
	if (n > 0)
		memcpy(buf, p->bytes, (size_t)n);
	peek_destroy(&p->errand);
	return n;
}

/// A number for the callers that are not in the file of @place, which may be NULL; 0: not known.
static uint64_t hash_callers(const struct crash *crash, const struct head *head,
			     const struct snap_mapping *place)
{
	uint8_t stack[STACK_BYTES];
	ssize_t len = read_stack(crash, head, stack);
	struct span span = span_of(stack, len > 0 ? (size_t)len : 0);
	uint64_t width = is_wide(head) ? 8 : 4, hash = 0xcbf29ce484222325;
	size_t n = 0;
	for (uint64_t at = 0; at + width <= span.size && n < CALLERS; at += width) {
		uint64_t addr = width == 8 ? span_u64(&span, at) : span_u32(&span, at);
		const struct snap_mapping *map = find_file(head, addr);
		if (!map || !(map->flags & SNAP_MAP_EXEC) || same_file(head, map, place))
			continue;
		uint64_t offset = addr - map->start + map->offset;
		const char *name = snap_mapping_name(&head->snap, map);
		hash = add_to_hash(hash, name, strlen(name) + 1);
		hash = add_to_hash(hash, &offset, sizeof(offset));
		n++;
	}
	return n ? hash >> 16 | 1 : 0; // as many digits as any reader of JSON keeps
}

struct json *place_describe(const struct crash *crash, const struct head *head)
{
	struct json *json = json_new_object();
	const struct snap_mapping *map = find_file(head, head->facts.pc);
	bool by_itself = head->facts.si_code <= 0;
	json_set_u64(json, "signal", (uint64_t)head->facts.signal);
	bool tells = map && !by_itself;
	uint64_t callers = tells || (map && place_is_program(head, map)) ?
				   0 :
				   hash_callers(crash, head, map);
	if (!tells && !callers)
		return json;
	if (map) {
		json_set_text(json, "module", snap_mapping_name(&head->snap, map));
		json_set_u64(json, "offset", head->facts.pc - map->start + map->offset);
	}
	if (callers)
		json_set_u64(json, "callers", callers);
	return json;
}
