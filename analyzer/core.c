// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core.h"

#include <stdlib.h>
#include <string.h>

enum {
	PAGE = 4096,
	// struct elf_prstatus of 64-bit machines, include/linux/elfcore.h
	PRSTATUS_CURSIG = 12,
	PRSTATUS_PID = 32,
	PRSTATUS_REGS = 112,
	PRPSINFO_PID = 24,
	NT_ARM_TLS_TYPE = 0x401,
};

static bool add_block(struct core *core, uint8_t *block)
{
	uint8_t **bigger = reallocarray(core->note_blocks, core->n_note_blocks + 1,
					sizeof(*bigger));
	if (!bigger)
		return false;
	core->note_blocks = bigger;
	core->note_blocks[core->n_note_blocks++] = block;
	return true;
}

static void add_thread(struct core *core, struct span desc)
{
	if (core->n_threads == CORE_MAX_THREADS || desc.size < PRSTATUS_REGS)
		return;
	// Grows by doubling: full at powers of two.
	if (!(core->n_threads & (core->n_threads - 1))) {
		size_t max = MAX(core->n_threads * 2, (size_t)1);
		struct core_thread *bigger = reallocarray(core->threads, max, sizeof(*bigger));
		if (!bigger)
			return;
		core->threads = bigger;
	}
	struct core_thread *t = &core->threads[core->n_threads++];
	*t = (struct core_thread){
		.tid = (int32_t)span_u32(&desc, PRSTATUS_PID),
		.cursig = span_u16(&desc, PRSTATUS_CURSIG),
		.regs = span_sub(desc, PRSTATUS_REGS, desc.size - PRSTATUS_REGS),
	};
	t->ns_tid = t->tid;
}

static void read_mapped(struct core *core, struct span desc)
{
	uint64_t n = span_u64(&desc, 0), page = span_u64(&desc, 8);
	if (core->mapped || n > CORE_MAX_FILES || n > desc.size / 24)
		return;
	core->mapped = calloc(MAX(n, (uint64_t)1), sizeof(*core->mapped));
	if (!core->mapped)
		return;
	uint64_t names = 16 + n * 24;
	for (uint64_t i = 0; i < n; i++) {
		const char *name = span_text(&desc, names);
		if (!name)
			break;
		names += strlen(name) + 1;
		struct core_mapped m = {
			.start = span_u64(&desc, 16 + i * 24),
			.end = span_u64(&desc, 24 + i * 24),
			.offset = span_u64(&desc, 32 + i * 24) * page,
			.name = name,
		};
		if (m.start < m.end)
			core->mapped[core->n_mapped++] = m;
	}
}

/// NT_PRSTATUS has the numbers inside the process; the threads of our note tell those outside.
static void read_note_threads(struct core *core, struct span list, uint32_t entry_size)
{
	if (entry_size < sizeof(struct snapnote_thread))
		return;
	size_t n = MIN(list.size / entry_size, core->n_threads);
	for (size_t i = 0; i < n; i++) {
		struct snapnote_thread e;
		if (!span_get(&list, i * entry_size, &e, sizeof(e)) ||
		    e.ns_tid != core->threads[i].ns_tid)
			return;
		core->threads[i].tid = e.tid;
		core->threads[i].partial = e.flags & SNAPNOTE_THREAD_PARTIAL;
	}
}

/// Adds the gap at @offset of the list.
static void add_gap(struct core *core, struct span *list, uint64_t offset)
{
	struct snapnote_gap *gap = &core->gaps[core->n_gaps];
	if (!span_get(list, offset, gap, sizeof(*gap)))
		return;
	if (gap->reason == GAP_LATER)
		core->later_bytes += gap->end > gap->start ? gap->end - gap->start : 0;
	else
		core->n_gaps++;
}

static void read_snapnote(struct core *core, struct span desc)
{
	struct snapnote note = { 0 };
	if (core->note.version) // of two, the first one counts
		return;
	if (!span_get(&desc, 0, &note, SNAPNOTE_HEADER_MIN) || !note.version ||
	    note.header_size < SNAPNOTE_HEADER_MIN ||
	    note.gap_size < sizeof(struct snapnote_gap))
		return;
	if (!span_get(&desc, 0, &note, MIN(note.header_size, (uint32_t)sizeof(note))))
		return;
	note.mode[sizeof(note.mode) - 1] = '\0';
	struct span gaps = span_sub(desc, note.header_size, (uint64_t)note.n_gaps * note.gap_size);
	if (gaps.bad)
		return;
	core->note = note;
	core->gaps = calloc(MAX(note.n_gaps, 1U), sizeof(*core->gaps));
	for (uint32_t i = 0; core->gaps && i < note.n_gaps; i++)
		add_gap(core, &gaps, (uint64_t)i * note.gap_size);
	uint64_t threads = note.header_size + (uint64_t)gaps.size;
	struct span list = span_sub(desc, threads, (uint64_t)note.n_threads * note.thread_size);
	if (!list.bad)
		read_note_threads(core, list, note.thread_size);
}

static void read_note(struct core *core, const struct elf_note *note)
{
	struct core_thread *last = core->n_threads ? &core->threads[core->n_threads - 1] : NULL;
	if (!strcmp(note->owner, SNAPNOTE_OWNER)) {
		if (note->type == NT_PROCSNAP_SNAPSHOT)
			read_snapnote(core, note->desc);
		else if (note->type == NT_PROCSNAP_SUMMARY)
			core->attached = note->desc;
		return;
	}
	switch (note->type) {
	case NT_PRSTATUS:
		add_thread(core, note->desc);
		break;
	case NT_PRPSINFO:
		core->prpsinfo = note->desc;
		break;
	case NT_AUXV:
		core->auxv = note->desc;
		break;
	case NT_FILE:
		read_mapped(core, note->desc);
		break;
	case NT_SIGINFO:
		if (last && !last->siginfo.data)
			last->siginfo = note->desc;
		break;
	case NT_ARM_TLS_TYPE:
		if (last)
			last->tls = note->desc;
		break;
	default:
		break;
	}
}

static struct snap_error *read_notes(struct core *core)
{
	for (size_t i = 0; i < core->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &core->elf.phdrs[i];
		size_t size = MIN(p->p_filesz, (uint64_t)ELF_MAX_NOTE_BYTES);
		if (p->p_type != PT_NOTE || !size)
			continue;
		uint8_t *block = elf_copy(&core->elf, p->p_offset, &size);
		if (!block)
			continue;
		if (!add_block(core, block)) {
			free(block);
			return snap_error_oom();
		}
		struct span notes = span_of(block, size);
		struct elf_note note;
		while (elf_next_note(&notes, &note))
			read_note(core, &note);
	}
	return NULL;
}

/// Adds [@start, @end) of a segment but for the gaps in it, which are ascending.
static int add_segment(struct core *core, const struct mem_region *region, size_t *gap)
{
	struct mem_region r = *region;
	while (*gap < core->n_gaps && core->gaps[*gap].end <= r.start)
		++*gap;
	for (size_t i = *gap; i < core->n_gaps && core->gaps[i].start < r.end; i++) {
		struct mem_region before = r;
		before.end = MAX(core->gaps[i].start, r.start);
		if (memory_add(&core->memory, MEM_CORE, &before) < 0)
			return -1;
		uint64_t next = MIN(core->gaps[i].end, r.end);
		if (next < r.start)
			break; // not ascending after all
		r.offset += next - r.start;
		r.start = next;
	}
	return memory_add(&core->memory, MEM_CORE, &r);
}

static struct snap_error *read_segments(struct core *core)
{
	uint64_t size = source_size(core->elf.source);
	size_t gap = 0;
	uint64_t last = 0;
	for (size_t i = 0; i < core->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &core->elf.phdrs[i];
		if (p->p_type != PT_LOAD || !p->p_filesz)
			continue;
		uint64_t bytes = p->p_filesz;
		if (p->p_offset >= size || bytes > size - p->p_offset) {
			core->truncated = true;
			bytes = p->p_offset >= size ? 0 : size - p->p_offset;
		}
		if (bytes > UINT64_MAX - p->p_vaddr)
			continue;
		if (p->p_vaddr < last)
			gap = 0;
		last = p->p_vaddr;
		struct mem_region r = {
			.start = p->p_vaddr,
			.end = p->p_vaddr + bytes,
			.offset = p->p_offset,
			.source = core->elf.source,
			.flags = (p->p_flags & PF_R ? MEM_READ : 0U) |
				 (p->p_flags & PF_W ? MEM_WRITE : 0U) |
				 (p->p_flags & PF_X ? MEM_EXEC : 0U),
		};
		if (add_segment(core, &r, &gap) < 0)
			return snap_error_oom();
	}
	return NULL;
}

/// The segments only say where memory is; its bytes are those of the process.
static struct snap_error *map_process(struct core *core, struct source *memory)
{
	for (size_t i = 0; i < core->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &core->elf.phdrs[i];
		if (p->p_type != PT_LOAD || p->p_memsz > UINT64_MAX - p->p_vaddr)
			continue;
		struct mem_region r = {
			.start = p->p_vaddr,
			.end = p->p_vaddr + p->p_memsz,
			.offset = p->p_vaddr,
			.source = memory,
			.flags = (p->p_flags & PF_R ? MEM_READ : 0U) |
				 (p->p_flags & PF_W ? MEM_WRITE : 0U) |
				 (p->p_flags & PF_X ? MEM_EXEC : 0U),
		};
		if (memory_add(&core->memory, MEM_CORE, &r) < 0)
			return snap_error_oom();
	}
	return NULL;
}

struct snap_error *core_open(struct source *source, struct source *memory, struct core **ret)
{
	_cleanup_(core_closep) struct core *core = calloc(1, sizeof(*core));
	if (!core)
		return snap_error_oom();
	struct snap_error *err = elf_init(&core->elf, source);
	if (err)
		return err;
	core->machine = core->elf.ehdr.e_machine;
	if (core->elf.ehdr.e_type != ET_CORE)
		return snap_error_new(SNAP_FAILED, "it is an ELF file, but no core");
	if (core->machine != EM_X86_64 && core->machine != EM_AARCH64)
		return snap_error_new(SNAP_FAILED,
				      "it is the core of another machine than x86-64 and aarch64");
	err = read_notes(core);
	if (!err)
		err = memory ? map_process(core, memory) : read_segments(core);
	if (err)
		return err;
	*ret = TAKE_PTR(core);
	return NULL;
}

void core_close(struct core *core)
{
	if (!core)
		return;
	for (size_t i = 0; i < core->n_note_blocks; i++)
		free(core->note_blocks[i]);
	free(core->note_blocks);
	free(core->threads);
	free(core->mapped);
	free(core->gaps);
	memory_deinit(&core->memory);
	elf_deinit(&core->elf);
	free(core);
}

bool core_auxv(const struct core *core, uint64_t type, uint64_t *ret)
{
	struct span auxv = core->auxv;
	for (uint64_t i = 0; i + 16 <= auxv.size; i += 16) {
		if (span_u64(&auxv, i) != type)
			continue;
		*ret = span_u64(&auxv, i + 8);
		return true;
	}
	return false;
}

int32_t core_pid(const struct core *core)
{
	struct span info = core->prpsinfo;
	if (info.size < PRPSINFO_PID + 4)
		return core->n_threads ? core->threads[0].tid : 0;
	int32_t pid = (int32_t)span_u32(&info, PRPSINFO_PID);
	for (size_t i = 0; i < core->n_threads; i++)
		if (core->threads[i].ns_tid == pid)
			return core->threads[i].tid;
	return pid;
}
