// SPDX-License-Identifier: LGPL-2.1-or-later
#include "place.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/span.h"

enum {
	STACK_BYTES = 4096, ///< frames of abort() and of assert() have half of it
	CALLERS = 6, ///< raise, abort and whoever called them
};

/// The mapping of a file that @addr lies in, or NULL.
static const struct snap_mapping *find_file(const struct head *head, uint64_t addr)
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
	return head->snap.mappings[low].inode ? &head->snap.mappings[low] : NULL;
}

static bool is_wide(const struct head *head)
{
	return head->snap.process.machine.elf_class == ELFCLASS64;
}

/// Is it a file of the program itself?
static bool is_program(const struct head *head, const struct snap_mapping *map)
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
		return program && !strcmp(snap_mapping_name(&head->snap, program),
					  snap_mapping_name(&head->snap, map));
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

/**
 * What lies at the stack pointer. Which process that is has not been proven yet; of another one it
 * would be a number without meaning.
 */
static ssize_t read_stack(const struct crash *crash, const struct head *head, uint8_t *buf)
{
	_cleanup_close_ int piddir = pidref_open_proc(&crash->ref);
	_cleanup_close_ int mem =
		piddir < 0 ? -EBADF : openat(piddir, "mem", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return mem < 0 ? -1 : snap_pread_full(mem, buf, STACK_BYTES, head->facts.sp);
}

/// 0: not known.
static uint64_t hash_callers(const struct crash *crash, const struct head *head)
{
	uint8_t stack[STACK_BYTES];
	ssize_t len = read_stack(crash, head, stack);
	struct span span = span_of(stack, len > 0 ? (size_t)len : 0);
	uint64_t width = is_wide(head) ? 8 : 4, hash = 0xcbf29ce484222325;
	size_t n = 0;
	for (uint64_t at = 0; at + width <= span.size && n < CALLERS; at += width) {
		uint64_t addr = width == 8 ? span_u64(&span, at) : span_u32(&span, at);
		const struct snap_mapping *map = find_file(head, addr);
		if (!map || !(map->flags & SNAP_MAP_EXEC))
			continue;
		uint64_t offset = addr - map->start + map->offset;
		const char *name = snap_mapping_name(&head->snap, map);
		hash = add_to_hash(hash, name, strlen(name) + 1);
		hash = add_to_hash(hash, &offset, sizeof(offset));
		n++;
	}
	return n ? hash | 1 : 0;
}

struct json *place_describe(const struct crash *crash, const struct head *head)
{
	struct json *json = json_new_object();
	const struct snap_mapping *map = find_file(head, head->facts.pc);
	bool by_itself = head->facts.si_code <= 0;
	json_set_u64(json, "signal", (uint64_t)head->facts.signal);
	if (map && by_itself && is_program(head, map))
		return json;
	if (map) {
		json_set_text(json, "module", snap_mapping_name(&head->snap, map));
		json_set_u64(json, "offset", head->facts.pc - map->start + map->offset);
	}
	uint64_t callers = map && !by_itself ? 0 : hash_callers(crash, head);
	if (callers)
		json_set_u64(json, "callers", callers);
	return json;
}
