// SPDX-License-Identifier: LGPL-2.1-or-later
#include "notes.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "arch.h"
#include "common/compat.h"
#include "common/fd.h"
#include "common/strbuf.h"
#include "elfcore.h"

enum { PAGE = 4096 };

void note_writer_init(struct note_writer *writer, int fd, uint64_t offset)
{
	writer->fd = fd;
	writer->offset = offset;
	writer->error = 0;
	writer->used = 0;
}

int note_writer_flush(struct note_writer *w)
{
	if (w->fd >= 0 && w->used && !w->error)
		w->error = snap_pwrite_all(w->fd, w->buf, w->used, w->offset - w->used);
	w->used = 0;
	return w->error;
}

static void put(struct note_writer *w, const void *data, size_t len)
{
	const char *p = data;
	while (len) {
		if (w->used == sizeof(w->buf))
			(void)note_writer_flush(w); // kept in w->error
		size_t n = MIN(len, sizeof(w->buf) - w->used);
		memcpy(w->buf + w->used, p, n);
		w->used += n;
		w->offset += n;
		p += n;
		len -= n;
	}
}

static void put_zeros(struct note_writer *w, size_t len)
{
	static const char zeros[256];
	for (; len > sizeof(zeros); len -= sizeof(zeros))
		put(w, zeros, sizeof(zeros));
	put(w, zeros, len);
}

void note_write(struct note_writer *w, const char *owner, uint32_t type, const void *desc,
		size_t stored, size_t size)
{
	Elf64_Nhdr head = { // the same in 32-bit files
		.n_namesz = (uint32_t)strlen(owner) + 1,
		.n_descsz = (uint32_t)size,
		.n_type = type,
	};
	if (size > UINT32_MAX) {
		w->error = w->error ? w->error : -EFBIG;
		return;
	}
	put(w, &head, sizeof(head));
	put(w, owner, head.n_namesz);
	put_zeros(w, ALIGN_UP(head.n_namesz, 4U) - head.n_namesz);
	put(w, desc, stored);
	put_zeros(w, ALIGN_UP(size, (size_t)4) - stored);
}

static bool is64(const struct snapshot *snap)
{
	return snap->process.machine.elf_class == ELFCLASS64;
}

#define SET_TIME(field, us)                                                          \
	do {                                                                         \
		(field).sec = (__typeof__((field).sec))((us) / 1000000);             \
		(field).usec = (__typeof__((field).usec))((us) % 1000000);           \
	} while (0)

// All ids as the process itself sees them, as fs/binfmt_elf.c has them: libthread_db, by which gdb
// finds the threads of C programs, reads them in the memory of the process.
#define FILL_PRSTATUS(head, snap, thread)                                            \
	do {                                                                         \
		(head)->sigpend = (__typeof__((head)->sigpend))(thread)->sigpend;    \
		(head)->sighold = (__typeof__((head)->sighold))(thread)->sighold;    \
		(head)->pid = (thread)->ns_tid;                                      \
		(head)->ppid = (snap)->process.ns_ppid;                              \
		(head)->pgrp = (snap)->process.ns_pgrp;                              \
		(head)->sid = (snap)->process.ns_sid;                                \
		SET_TIME((head)->utime, (thread)->utime_usec);                       \
		SET_TIME((head)->stime, (thread)->stime_usec);                       \
		SET_TIME((head)->cutime, (snap)->process.cutime_usec);               \
		SET_TIME((head)->cstime, (snap)->process.cstime_usec);               \
	} while (0)

static void add_prstatus(const struct snapshot *snap, const struct snap_thread *thread,
			 struct note_writer *w)
{
	// The head, the largest general registers of an architecture, pr_fpvalid, padding.
	char desc[sizeof(struct prstatus64_head) + 512] = { 0 };
	const struct snap_regset *regs = &thread->regsets[0];
	size_t len;
	if (is64(snap)) {
		struct prstatus64_head head = { 0 };
		FILL_PRSTATUS(&head, snap, thread);
		len = sizeof(head);
		memcpy(desc, &head, len);
	} else {
		struct prstatus32_head head = { 0 };
		FILL_PRSTATUS(&head, snap, thread);
		len = sizeof(head);
		memcpy(desc, &head, len);
	}
	size_t size = MIN(regs->size, sizeof(desc) - len - 8);
	int32_t fpvalid = thread->n_regsets > 1;
	memcpy(desc + len, regs->data, MIN((size_t)regs->stored, size));
	len += size;
	memcpy(desc + len, &fpvalid, sizeof(fpvalid));
	len += sizeof(fpvalid);
	note_write(w, "CORE", NT_PRSTATUS, desc, len, ALIGN_UP(len, is64(snap) ? 8UL : 4UL));
}

/// A uid or gid in a member of @size bytes; include/linux/highuid.h.
static uint32_t narrow_id(uint32_t id, size_t size)
{
	enum { OVERFLOW_ID = 65534 };
	return size < sizeof(id) && id > UINT16_MAX ? OVERFLOW_ID : id;
}

#define FILL_PRPSINFO(info, proc)                                                             \
	do {                                                                                  \
		static const char states[] = "RSDTZW"; /* fs/binfmt_elf.c fill_psinfo() */    \
		const char *pos = strchr(states, (proc)->state);                              \
		(info)->state = (char)(pos && *pos ? pos - states : 0);                       \
		(info)->sname = pos && *pos ? *pos : '.';                                     \
		(info)->zomb = (info)->sname == 'Z';                                          \
		(info)->nice = (char)(proc)->nice;                                            \
		(info)->flag = (__typeof__((info)->flag))(proc)->task_flags;                  \
		(info)->uid = (__typeof__((info)->uid))narrow_id((proc)->uid,                   \
								sizeof((info)->uid));   \
		(info)->gid = (__typeof__((info)->gid))narrow_id((proc)->gid,                   \
								sizeof((info)->gid));   \
		(info)->pid = (proc)->ns_pid;                                                 \
		(info)->ppid = (proc)->ns_ppid;                                               \
		(info)->pgrp = (proc)->ns_pgrp;                                               \
		(info)->sid = (proc)->ns_sid;                                                 \
		memcpy((info)->fname, (proc)->comm, sizeof((info)->fname) - 1);               \
		memcpy((info)->psargs, (proc)->psargs, sizeof((info)->psargs));               \
		(info)->psargs[sizeof((info)->psargs) - 1] = '\0';                            \
	} while (0)

static void add_prpsinfo(const struct snapshot *snap, struct note_writer *w)
{
	if (is64(snap)) {
		struct prpsinfo64 info = { 0 };
		FILL_PRPSINFO(&info, &snap->process);
		note_write(w, "CORE", NT_PRPSINFO, &info, sizeof(info), sizeof(info));
		return;
	}
	struct prpsinfo32 info = { 0 };
	FILL_PRPSINFO(&info, &snap->process);
	note_write(w, "CORE", NT_PRPSINFO, &info, sizeof(info), sizeof(info));
}

/// A live process was hit by no signal, and the note says so: signal number 0.
static void add_siginfo(struct note_writer *w)
{
	note_write(w, "CORE", NT_SIGINFO, NULL, 0, SIGINFO_SIZE);
}

static void put_word(const struct snapshot *snap, struct note_writer *w, uint64_t word)
{
	put(w, &word, is64(snap) ? 8 : 4); // little-endian: the low half first
}

/// The mappings that NT_FILE lists.
static bool is_listed(const struct snapshot *snap, const struct snap_mapping *map)
{
	return map->inode && *snap_mapping_name(snap, map);
}

/// NT_FILE, fs/binfmt_elf.c fill_files_note(): offsets count pages.
static void add_files(const struct snapshot *snap, struct note_writer *w)
{
	size_t word = is64(snap) ? 8 : 4, count = 0, names = 0;
	for (size_t i = 0; i < snap->n_mappings; i++) {
		if (!is_listed(snap, &snap->mappings[i]))
			continue;
		count++;
		names += strlen(snap_mapping_name(snap, &snap->mappings[i])) + 1;
	}
	if (!count)
		return;
	size_t size = (2 + 3 * count) * word + names;
	Elf64_Nhdr head = { .n_namesz = 5, .n_descsz = (uint32_t)size, .n_type = NT_FILE };
	put(w, &head, sizeof(head));
	put(w, "CORE\0\0\0", 8);
	put_word(snap, w, count);
	put_word(snap, w, PAGE);
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		if (!is_listed(snap, map))
			continue;
		put_word(snap, w, map->start);
		put_word(snap, w, map->end);
		put_word(snap, w, map->offset / PAGE);
	}
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const char *name = snap_mapping_name(snap, &snap->mappings[i]);
		if (is_listed(snap, &snap->mappings[i]))
			put(w, name, strlen(name) + 1);
	}
	put_zeros(w, ALIGN_UP(size, (size_t)4) - size);
}

static void add_machine(const struct snapshot *snap, struct note_writer *w)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	int r = arch_xsave_layout(&snap->process.machine, &desc);
	if (r >= 0 && desc.len)
		note_write(w, "LINUX", NT_X86_XSAVE_LAYOUT, desc.data, desc.len, desc.len);
	desc.len = 0;
	if (r >= 0)
		r = arch_target_description(&snap->process.machine, &desc);
	if (r >= 0 && desc.len)
		note_write(w, "GDB", NT_GDB_TDESC, desc.data, desc.len, desc.len + 1);
	if (r < 0 && !w->error)
		w->error = r;
}

static void add_regsets(const struct snap_thread *thread, struct note_writer *w)
{
	for (unsigned int i = 1; i < thread->n_regsets; i++) {
		const struct snap_regset *set = &thread->regsets[i];
		note_write(w, set->type == NT_FPREGSET ? "CORE" : "LINUX", set->type, set->data,
			   set->stored, set->size);
	}
}

static void add_process(const struct snapshot *snap, struct note_writer *w)
{
	note_write(w, "CORE", NT_AUXV, snap->process.auxv, snap->process.auxv_size,
		   snap->process.auxv_size);
	add_files(snap, w);
	add_machine(snap, w);
}

void notes_write(const struct snapshot *snap, struct note_writer *w)
{
	if (snap->notes) {
		put(w, snap->notes, snap->notes_size);
		put_zeros(w, ALIGN_UP(snap->notes_size, (size_t)4) - snap->notes_size);
		return;
	}
	// Of a process that was only looked at.
	if (!snap->n_threads) {
		add_prpsinfo(snap, w);
		add_process(snap, w);
	}
	for (size_t i = 0; i < snap->n_threads; i++) {
		const struct snap_thread *thread = &snap->threads[i];
		add_prstatus(snap, thread, w);
		if (i == 0)
			add_prpsinfo(snap, w);
		add_siginfo(w);
		if (i == 0)
			add_process(snap, w);
		add_regsets(thread, w);
	}
}
