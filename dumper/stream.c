// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stream.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/span.h"
#include "elfcore.h"

enum {
	PAGE = 4096,
	CHUNK = 1 << 20,
	// What 16 000 mappings of files with the longest paths have; the rest stay without.
	NAMES_MAX = 64 << 20,
	GATE_BIT = 63, ///< of addresses in the kernel's half
};

/// The sizes and places that differ between the widths.
struct width {
	bool wide;
	size_t ehdr, phdr, word;
};

static bool get_width(struct span head, struct width *ret)
{
	uint8_t ident[EI_NIDENT];
	if (!span_get(&head, 0, ident, sizeof(ident)) || memcmp(ident, ELFMAG, SELFMAG) != 0 ||
	    ident[EI_DATA] != ELFDATA2LSB ||
	    (ident[EI_CLASS] != ELFCLASS64 && ident[EI_CLASS] != ELFCLASS32) ||
	    span_u16(&head, offsetof(Elf64_Ehdr, e_type)) != ET_CORE)
		return false;
	bool wide = ident[EI_CLASS] == ELFCLASS64;
	*ret = (struct width){
		.wide = wide,
		.ehdr = wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr),
		.phdr = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr),
		.word = wide ? 8 : 4,
	};
	return true;
}

static uint64_t get_word(const struct width *w, struct span *span, uint64_t offset)
{
	return w->wide ? span_u64(span, offset) : span_u32(span, offset);
}

static void get_phdr(const struct width *w, struct span *head, size_t i, Elf64_Phdr *ret)
{
	uint64_t at = w->ehdr + i * w->phdr;
	*ret = (Elf64_Phdr){ 0 };
	if (w->wide) {
		(void)span_get(head, at, ret, sizeof(*ret)); // marked when it is not there
		return;
	}
	Elf32_Phdr narrow;
	(void)span_get(head, at, &narrow, sizeof(narrow));
	ret->p_type = narrow.p_type;
	ret->p_flags = narrow.p_flags;
	ret->p_offset = narrow.p_offset;
	ret->p_vaddr = narrow.p_vaddr;
	ret->p_filesz = narrow.p_filesz;
	ret->p_memsz = narrow.p_memsz;
}

// ---- reading the head ----------------------------------------------------------------------

/// Waits for bytes, or for the end.
static int wait_for(int fd, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = snap_now_ns(), left = now < deadline_ns ? deadline_ns - now : 0;
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int n = poll(&pfd, 1, (int)MIN(left / 1000000, (uint64_t)INT_MAX));
		if (n)
			return n < 0 && errno != EINTR ? -errno : 0;
		if (left < 1000000)
			return -ETIMEDOUT;
	}
}

static int read_until(int fd, uint64_t deadline_ns, struct strbuf *buf, size_t end)
{
	if (end > STREAM_HEAD_MAX)
		return -EFBIG;
	while (buf->len < end) {
		size_t want = MIN(end - buf->len, (size_t)CHUNK);
		int r = strbuf_reserve(buf, want);
		if (r >= 0)
			r = wait_for(fd, deadline_ns);
		if (r < 0)
			return r;
		ssize_t n = read(fd, buf->data + buf->len, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
	}
	return 0;
}

int stream_read_head(int fd, uint64_t deadline_ns, struct strbuf *ret)
{
	struct width w;
	int r = read_until(fd, deadline_ns, ret, sizeof(Elf64_Ehdr));
	if (r < 0)
		return r;
	if (!get_width(span_of(ret->data, ret->len), &w))
		return -EBADMSG;
	r = read_until(fd, deadline_ns, ret, w.ehdr + w.phdr);
	if (r < 0)
		return r;
	// The kernel's first segment is that of the notes, and lies behind all program headers: so
	// it says where they end, also when there are more than e_phnum can tell.
	Elf64_Phdr notes;
	struct span head = span_of(ret->data, ret->len);
	get_phdr(&w, &head, 0, &notes);
	if (notes.p_type != PT_NOTE || notes.p_offset < w.ehdr + w.phdr ||
	    notes.p_offset > STREAM_HEAD_MAX || notes.p_filesz > STREAM_HEAD_MAX)
		return notes.p_type == PT_NOTE ? -EFBIG : -EBADMSG;
	return read_until(fd, deadline_ns, ret, notes.p_offset + notes.p_filesz);
}

// ---- notes ---------------------------------------------------------------------------------

struct parse {
	struct width w;
	struct span head, notes, files;
	struct snapshot *snap;
	struct stream_facts *facts;
	size_t threads_room;
};

static int add_thread(struct parse *p, struct span desc)
{
	struct snapshot *snap = p->snap;
	if (snap->n_threads == p->threads_room) {
		size_t room = MAX(p->threads_room * 2, (size_t)64);
		struct snap_thread *bigger = reallocarray(snap->threads, room, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		snap->threads = bigger;
		p->threads_room = room;
	}
	uint64_t pid_at = p->w.wide ? offsetof(struct prstatus64_head, pid) :
				      offsetof(struct prstatus32_head, pid);
	size_t head = p->w.wide ? sizeof(struct prstatus64_head) : sizeof(struct prstatus32_head);
	pid_t tid = (pid_t)span_u32(&desc, pid_at);
	if (!snap->n_threads) {
		p->facts->signal =
			(int16_t)span_u16(&desc, offsetof(struct prstatus64_head, cursig));
		arch_get_pc_sp(&snap->process.machine, span_sub(desc, head, desc.size - head),
			       &p->facts->pc, &p->facts->sp);
	}
	size_t start = MIN(head, desc.size);
	uint32_t size = (uint32_t)(desc.size - start);
	snap->threads[snap->n_threads++] = (struct snap_thread){
		.tid = tid,
		.ns_tid = tid,
		.state = '?',
		.n_regsets = 1,
		.regsets = { { NT_PRSTATUS, size, size, desc.data + start } },
	};
	return 0;
}

static bool has_address(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
	       signal == SIGTRAP;
}

static int add_note(struct parse *p, uint32_t type, struct span desc)
{
	struct snap_process *proc = &p->snap->process;
	switch (type) {
	case NT_PRSTATUS:
		return add_thread(p, desc);
	case NT_SIGINFO: // include/uapi/asm-generic/siginfo.h: signo, errno, code
		if (p->facts->si_code || p->facts->fault_address || p->snap->n_threads > 1)
			return 0;
		p->facts->si_code = (int)span_u32(&desc, 8);
		if (p->facts->si_code > 0 && has_address((int)span_u32(&desc, 0)))
			p->facts->fault_address = get_word(&p->w, &desc, p->w.wide ? 16 : 12);
		return 0;
	case NT_AUXV:
		if (proc->auxv || !desc.size)
			return 0;
		proc->auxv = malloc(desc.size);
		if (!proc->auxv)
			return -ENOMEM;
		memcpy(proc->auxv, desc.data, desc.size);
		proc->auxv_size = desc.size;
		return 0;
	case NT_FILE:
		if (!p->files.data)
			p->files = desc;
		return 0;
	case NT_PRPSINFO: {
		size_t at = p->w.wide ? offsetof(struct prpsinfo64, fname) :
					offsetof(struct prpsinfo32, fname);
		char comm[17] = "", args[81] = "";
		if (span_get(&desc, at, comm, 16) && span_get(&desc, at + 16, args, 80)) {
			memcpy(proc->comm, comm, sizeof(comm));
			memcpy(proc->psargs, args, sizeof(args));
		}
		return 0;
	}
	default:
		return 0;
	}
}

/// Those of the kernel have owners CORE and LINUX; types do not collide between the two.
static int walk_notes(struct parse *p)
{
	uint64_t pos = 0;
	while (pos + sizeof(Elf64_Nhdr) <= p->notes.size) {
		uint64_t namesz = span_u32(&p->notes, pos), descsz = span_u32(&p->notes, pos + 4);
		uint32_t type = span_u32(&p->notes, pos + 8);
		uint64_t desc_at = pos + sizeof(Elf64_Nhdr) + ALIGN_UP(namesz, (uint64_t)4);
		struct span desc = span_sub(p->notes, desc_at, descsz);
		if (desc.bad)
			return -EBADMSG;
		int r = add_note(p, type, desc);
		if (r < 0)
			return r;
		pos = desc_at + ALIGN_UP(descsz, (uint64_t)4);
	}
	return 0;
}

// ---- mappings ------------------------------------------------------------------------------

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);
	return len >= n && !strcmp(text + len - n, end);
}

static int name_mapping(struct parse *p, uint64_t start, uint64_t page_offset, const char *name)
{
	struct snapshot *snap = p->snap;
	struct snap_mapping *map = snapshot_mapping_at(snap, start);
	if (!map || map->start != start || map->inode || snap->names.len > NAMES_MAX)
		return 0;
	map->name = (uint32_t)snap->names.len;
	map->offset = page_offset * PAGE;
	// The kernel's core does not tell the inode; that there is one is what matters.
	map->inode = 1;
	if (ends_with(name, " (deleted)"))
		map->flags |= SNAP_MAP_UNLINKED;
	// hugetlb_file_setup(): memory without a file that anybody could read.
	if (!strcmp(name, "/anon_hugepage (deleted)"))
		map->flags |= SNAP_MAP_HUGETLB | SNAP_MAP_ANON_HUGETLB;
	return strbuf_add(&snap->names, name, strlen(name) + 1);
}

/// NT_FILE, fs/binfmt_elf.c fill_files_note(): count, page size, triples, then the names.
static int name_mappings(struct parse *p)
{
	const struct width *w = &p->w;
	struct span *files = &p->files;
	uint64_t count = get_word(w, files, 0);
	if (strbuf_add(&p->snap->names, "", 1) < 0)
		return -ENOMEM;
	if (count > files->size / (3 * w->word))
		return 0; // too long for the kernel to write it, or made up
	uint64_t name_at = (2 + 3 * count) * w->word;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (2 + 3 * i) * w->word;
		const char *name = span_text(files, name_at);
		if (!name)
			return 0;
		int r = name_mapping(p, get_word(w, files, at),
				     get_word(w, files, at + 2 * w->word), name);
		if (r < 0)
			return r;
		name_at += strlen(name) + 1;
	}
	return 0;
}

/// Of a file that the process has not changed the kernel sends its first page, or nothing.
static void mark_changed(const struct parse *p, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct snap_mapping *map = &p->snap->mappings[i];
		if (map->inode && plan->segments[i].stream_bytes > PAGE)
			map->anon_bytes = plan->segments[i].stream_bytes;
	}
}

/// [vdso] has no name in NT_FILE; the auxiliary vector tells where it is.
static void mark_vdso(struct parse *p)
{
	struct span auxv = span_of(p->snap->process.auxv, p->snap->process.auxv_size);
	for (uint64_t at = 0; at + 2 * p->w.word <= auxv.size; at += 2 * p->w.word) {
		if (get_word(&p->w, &auxv, at) != AT_SYSINFO_EHDR)
			continue;
		struct snap_mapping *map =
			snapshot_mapping_at(p->snap, get_word(&p->w, &auxv, at + p->w.word));
		if (map && !map->inode)
			map->flags |= SNAP_MAP_SPECIAL;
	}
}

static struct snap_error *senseless(pid_t pid, const char *what)
{
	return snap_error_new(SNAP_FAILED, "the core that the kernel sends of process %d %s", pid,
			      what);
}

/// Segments are mappings, and what the kernel would dump of them is the plan.
static struct snap_error *add_segments(struct parse *p, size_t n, struct plan *plan)
{
	struct snapshot *snap = p->snap;
	snap->mappings = calloc(n + 1, sizeof(*snap->mappings));
	plan->segments = calloc(n + 1, sizeof(*plan->segments));
	if (!snap->mappings || !plan->segments)
		return snap_error_oom();
	uint64_t last = 0;
	for (size_t i = 0; i < n; i++) {
		Elf64_Phdr phdr;
		get_phdr(&p->w, &p->head, i + 1, &phdr);
		uint64_t end = phdr.p_vaddr + phdr.p_memsz;
		if (phdr.p_type != PT_LOAD || phdr.p_vaddr % PAGE || phdr.p_memsz % PAGE ||
		    phdr.p_filesz % PAGE || phdr.p_filesz > phdr.p_memsz || end < phdr.p_vaddr ||
		    phdr.p_vaddr < last)
			return senseless(snap->process.pid, "has segments that cannot be");
		last = end;
		if (!i)
			p->facts->body_offset = phdr.p_offset;
		snap->mappings[i] = (struct snap_mapping){
			.start = phdr.p_vaddr,
			.end = end,
			.flags = (phdr.p_flags & PF_R ? SNAP_MAP_READ : 0U) |
				 (phdr.p_flags & PF_W ? SNAP_MAP_WRITE : 0U) |
				 (phdr.p_flags & PF_X ? SNAP_MAP_EXEC : 0U),
		};
		plan->segments[i].map = &snap->mappings[i];
		plan->segments[i].start = phdr.p_vaddr;
		plan->segments[i].end = end;
		plan->segments[i].stream_bytes = phdr.p_filesz;
		// [vsyscall]: nobody but the kernel can read it, and it is the same everywhere.
		plan->segments[i].dump_bytes = phdr.p_vaddr >> GATE_BIT ? 0 : phdr.p_filesz;
	}
	snap->n_mappings = plan->n = n;
	return NULL;
}

struct snap_error *stream_parse(const struct strbuf *head, pid_t pid, struct snapshot *snap,
				struct plan **ret_plan, struct stream_facts *ret_facts)
{
	_cleanup_(plan_destroyp) struct plan *plan = calloc(1, sizeof(*plan));
	struct parse p = { .head = span_of(head->data, head->len),
			   .snap = snap,
			   .facts = ret_facts };
	*ret_facts = (struct stream_facts){ 0 };
	if (!plan)
		return snap_error_oom();
	if (!get_width(p.head, &p.w))
		return senseless(pid, "is not an ELF core");
	snap->process.pid = pid;
	snap->process.machine = (struct snap_machine){
		.elf_machine = span_u16(&p.head, offsetof(Elf64_Ehdr, e_machine)),
		.elf_class = p.w.wide ? ELFCLASS64 : ELFCLASS32,
	};
	Elf64_Phdr notes;
	get_phdr(&p.w, &p.head, 0, &notes);
	snap->notes = p.head.data; // from here on: whose registers are whose
	p.notes = span_sub(p.head, notes.p_offset, notes.p_filesz);
	if (p.notes.bad || notes.p_type != PT_NOTE || notes.p_offset < p.w.ehdr + p.w.phdr)
		return senseless(pid, "has no notes");
	struct snap_error *err = add_segments(&p, (notes.p_offset - p.w.ehdr) / p.w.phdr - 1, plan);
	if (err)
		return err;
	int r = walk_notes(&p);
	if (r >= 0)
		r = name_mappings(&p);
	if (r == -ENOMEM)
		return snap_error_oom();
	if (r < 0 || !snap->n_threads)
		return senseless(pid, "has notes that cannot be");
	mark_vdso(&p);
	mark_changed(&p, plan);
	snap->notes = p.notes.data;
	snap->notes_size = p.notes.size;
	plan_from_kernel(plan);
	*ret_plan = TAKE_PTR(plan);
	return NULL;
}

// ---- the body ------------------------------------------------------------------------------

/// Reads @len bytes, or fewer at the end of the stream. An error of reading is an end too, and so
/// is what takes too long.
static size_t read_some(const struct stream_body *body, char *buf, size_t len, bool *ret_stalled)
{
	size_t pos = 0;
	while (pos < len) {
		ssize_t n = snap_read_within(body->fd, buf + pos, len - pos, body->patience_ms);
		*ret_stalled |= n == -ETIMEDOUT;
		if (n <= 0)
			break;
		pos += (size_t)n;
	}
	return pos;
}

static bool skip(const struct stream_body *body, char *buf, uint64_t len, bool *ret_stalled)
{
	while (len) {
		size_t n = read_some(body, buf, MIN(len, (uint64_t)CHUNK), ret_stalled);
		if (!n)
			return false;
		len -= n;
	}
	return true;
}

struct snap_error *stream_copy(const struct stream_body *body, const struct stream_facts *facts,
			       struct core *core, int fd, uint32_t flags, bool *ret_stalled)
{
	_cleanup_free_ char *buf = aligned_alloc(PAGE, CHUNK);
	*ret_stalled = false;
	if (!buf)
		return snap_error_oom();
	bool more = facts->body_offset >= body->position &&
		    skip(body, buf, facts->body_offset - body->position, ret_stalled);
	const struct plan *plan = core_plan(core);
	size_t end = plan->n;
	while (end && !plan->segments[end - 1].dump_bytes)
		end--; // what nobody wants need not be waited for
	for (size_t i = 0; i < end; i++) {
		const struct plan_segment *seg = &plan->segments[i];
		uint64_t done = 0, bytes = seg->stream_bytes;
		while (more && done < bytes) {
			size_t want = MIN(bytes - done, (uint64_t)CHUNK);
			size_t n = read_some(body, buf, want, ret_stalled);
			more = n == want;
			n = ALIGN_DOWN(n, (size_t)PAGE);
			size_t keep = done < seg->dump_bytes ?
					      MIN(n, (size_t)(seg->dump_bytes - done)) :
					      0;
			struct snap_error *err = core_put(core, fd, i, done, buf, keep, flags);
			if (err)
				return err;
			if (core_aborted(core)) {
				more = false;
				break;
			}
			done += n;
		}
		if (done < seg->dump_bytes)
			core_miss(core, i, done);
	}
	return NULL;
}
