// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/snapnote.h"
#include "coreparts.h"

enum {
	PAGE = 4096,
};

/// Adds procsnap's own note; the list of gaps is cut to the room that was left for it.
static int add_snapnote(struct core *c, const struct core_facts *facts)
{
	const struct snapshot *snap = c->snap;
	size_t fixed = sizeof(Elf64_Nhdr) + ALIGN_UP(sizeof(SNAPNOTE_OWNER), (size_t)4) +
		       sizeof(struct snapnote) + snap->n_threads * sizeof(struct snapnote_thread);
	size_t room = (c->note_room - fixed) / sizeof(struct snapnote_gap);
	size_t n = MIN(c->gaps.n, room);
	struct snapnote head = {
		.version = SNAPNOTE_VERSION,
		.header_size = sizeof(head),
		.gap_size = sizeof(struct snapnote_gap),
		.n_gaps = (uint32_t)n,
		.thread_size = sizeof(struct snapnote_thread),
		.n_threads = (uint32_t)snap->n_threads,
		.coredump_filter = facts->coredump_filter,
		.realtime_ns = snap->realtime_ns,
		.monotonic_ns = snap->monotonic_ns,
		.pause_ns = facts->pause_ns,
		.gap_bytes = c->gaps.bytes,
		.predicted_pause_ns = facts->predicted_pause_ns,
	};
	if (c->gaps.lost_bytes)
		head.flags |= SNAPNOTE_PARTIAL;
	if (n < c->gaps.n || c->gaps.dropped)
		head.flags |= SNAPNOTE_GAPS_CUT;
	strncpy(head.mode, snap->mode, sizeof(head.mode) - 1);

	_cleanup_strbuf_ struct strbuf desc = { 0 };
	int r = strbuf_add(&desc, &head, sizeof(head));
	if (r >= 0)
		r = strbuf_add(&desc, c->gaps.list, n * sizeof(*c->gaps.list));
	for (size_t i = 0; r >= 0 && i < snap->n_threads; i++) {
		const struct snap_thread *t = &snap->threads[i];
		struct snapnote_thread entry = {
			.tid = t->tid,
			.ns_tid = t->ns_tid,
			.flags = t->flags & SNAP_THREAD_PARTIAL ? SNAPNOTE_THREAD_PARTIAL : 0,
			.state = (uint8_t)t->state,
		};
		r = strbuf_add(&desc, &entry, sizeof(entry));
	}
	if (r >= 0)
		note_write(&c->notes, SNAPNOTE_OWNER, NT_PROCSNAP_SNAPSHOT, desc.data, desc.len,
			   desc.len);
	return r;
}

static uint32_t segment_flags(const struct snap_mapping *map)
{
	return (map->flags & SNAP_MAP_READ ? PF_R : 0U) |
	       (map->flags & SNAP_MAP_WRITE ? PF_W : 0U) |
	       (map->flags & SNAP_MAP_EXEC ? PF_X : 0U);
}

// The structures of both widths have the same member names, but not the same order.
#define ADD_HEADERS(Ehdr, Phdr, Shdr, c, buf)                                                    \
	do {                                                                                     \
		size_t headers = (c)->plan->n + 1;                                               \
		bool many = headers >= PN_XNUM;                                                  \
		Ehdr ehdr = {                                                                    \
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,                         \
				     (c)->snap->process.machine.elf_class, ELFDATA2LSB,          \
				     EV_CURRENT },                                               \
			.e_type = ET_CORE,                                                       \
			.e_machine = (c)->snap->process.machine.elf_machine,                     \
			.e_version = EV_CURRENT,                                                 \
			.e_phoff = sizeof(Ehdr),                                                 \
			.e_ehsize = sizeof(Ehdr),                                                \
			.e_phentsize = sizeof(Phdr),                                             \
			.e_phnum = many ? PN_XNUM : (uint16_t)headers,                           \
		};                                                                               \
		size_t shoff = sizeof(Ehdr) + headers * sizeof(Phdr);                            \
		if (many) {                                                                      \
			ehdr.e_shoff = (__typeof__(ehdr.e_shoff))shoff;                          \
			ehdr.e_shentsize = sizeof(Shdr);                                         \
			ehdr.e_shnum = 1;                                                        \
		}                                                                                \
		r = strbuf_add((buf), &ehdr, sizeof(ehdr));                                      \
		Phdr phdr = { .p_type = PT_NOTE };                                               \
		phdr.p_offset = (__typeof__(phdr.p_offset))(c)->notes_offset;                    \
		phdr.p_filesz =                                                                  \
			(__typeof__(phdr.p_filesz))((c)->notes.offset - (c)->notes_offset);      \
		phdr.p_align = 4;                                                                \
		if (r >= 0)                                                                      \
			r = strbuf_add((buf), &phdr, sizeof(phdr));                              \
		for (size_t i = 0; r >= 0 && i < (c)->plan->n; i++) {                            \
			const struct plan_segment *seg = &(c)->plan->segments[i];                \
			phdr = (Phdr){ .p_type = PT_LOAD, .p_align = PAGE };                     \
			phdr.p_flags = segment_flags(seg->map);                                  \
			phdr.p_offset = (__typeof__(phdr.p_offset))(c)->offsets[i];              \
			phdr.p_vaddr = (__typeof__(phdr.p_vaddr))seg->start;                     \
			phdr.p_filesz = (__typeof__(phdr.p_filesz))seg->dump_bytes;              \
			phdr.p_memsz =                                                           \
				(__typeof__(phdr.p_memsz))(seg->end - seg->start);               \
			r = strbuf_add((buf), &phdr, sizeof(phdr));                              \
		}                                                                                \
		/* the ELF way to say more than fits: gABI "Number of program headers" */        \
		Shdr shdr = { .sh_type = SHT_NULL, .sh_size = 1 };                               \
		shdr.sh_info = (__typeof__(shdr.sh_info))headers;                                \
		if (r >= 0 && many)                                                              \
			r = strbuf_add((buf), &shdr, sizeof(shdr));                              \
	} while (0)

static int build_headers(const struct core *c, struct strbuf *buf)
{
	int r;
	if (core_is64(c))
		ADD_HEADERS(Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr, c, buf);
	else
		ADD_HEADERS(Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr, c, buf);
	return r;
}

/// Spilled memory that found no room on the disk: a gap. It lies in one segment.
static void on_lost(void *userdata, uint64_t offset, uint64_t len)
{
	struct core *c = userdata;
	for (size_t i = 0; i < c->plan->n; i++) {
		const struct plan_segment *seg = &c->plan->segments[i];
		if (offset < c->offsets[i] || offset >= c->offsets[i] + seg->dump_bytes)
			continue;
		uint64_t addr = seg->start + (offset - c->offsets[i]);
		// Part of it may have been written.
		(void)fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				(off_t)len);
		gaps_add(&c->gaps, addr, addr + len, GAP_ABORTED);
		return;
	}
}

/// Ends what core_copy() left for after the pause.
static struct snap_error *settle(struct core *c, int fd, bool defer_writing)
{
	// Begins the writing, so that what follows here does not have to wait for it later.
	if (!defer_writing)
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	int r = c->reserve ? reserve_flush(c->reserve,
					   c->flags & CORE_KEEP_PARTIAL ? on_lost : NULL, c) :
			     0;
	if (r < 0)
		return core_write_error(-r);
	for (size_t i = 0; r == 0 && i < c->n_stale; i++)
		r = reserve_erase(fd, c->stale[i].start, c->stale[i].end);
	if (r < 0)
		return core_write_error(-r);
	if (ftruncate(fd, (off_t)c->size) < 0)
		return core_write_error(errno);
	r = c->reserve ? reserve_trim(c->reserve) : 0;
	return r < 0 ? core_write_error(-r) : NULL;
}

static struct snap_error *write_headers(const struct core *c, int fd)
{
	_cleanup_strbuf_ struct strbuf head = { 0 };
	if (build_headers(c, &head) < 0)
		return snap_error_oom();
	int r = snap_pwrite_all(fd, head.data, head.len, 0);
	return r < 0 ? core_write_error(-r) : NULL;
}

struct snap_error *core_finish(struct core *c, int fd, const struct core_facts *facts)
{
	struct snap_error *err = settle(c, fd, facts->defer_writing);
	if (err)
		return err;
	gaps_close(&c->gaps);
	note_writer_init(&c->notes, fd, c->notes_offset);
	notes_write(c->snap, &c->notes);
	if (add_snapnote(c, facts) < 0)
		return snap_error_oom();
	int r = note_writer_flush(&c->notes);
	if (r < 0)
		return core_write_error(-r);
	core_give_back_head(c, fd, ALIGN_UP(c->notes.offset, (uint64_t)PAGE));
	return write_headers(c, fd); // last, for without them the file is no core
}
