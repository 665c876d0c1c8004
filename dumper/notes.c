// SPDX-License-Identifier: LGPL-2.1-or-later
#include "notes.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "arch.h"
#include "common/compat.h"
#include "elfcore.h"

enum { PAGE = 4096 };

int notes_add(struct strbuf *buf, const char *owner, uint32_t type, const void *desc, size_t len)
{
	Elf64_Nhdr head = { // the same in 32-bit files
		.n_namesz = (uint32_t)strlen(owner) + 1,
		.n_descsz = (uint32_t)len,
		.n_type = type,
	};
	if (len > UINT32_MAX)
		return -ENOMEM;
	int r = strbuf_add(buf, &head, sizeof(head));
	if (r >= 0)
		r = strbuf_add(buf, owner, head.n_namesz);
	if (r >= 0)
		r = strbuf_align(buf, 4);
	if (r >= 0)
		r = strbuf_add(buf, desc, len);
	return r < 0 ? r : strbuf_align(buf, 4);
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

#define FILL_PRSTATUS(head, snap, thread)                                            \
	do {                                                                         \
		(head)->sigpend = (__typeof__((head)->sigpend))(thread)->sigpend;    \
		(head)->sighold = (__typeof__((head)->sighold))(thread)->sighold;    \
		(head)->pid = (thread)->tid;                                         \
		(head)->ppid = (snap)->process.ppid;                                 \
		(head)->pgrp = (snap)->process.pgrp;                                 \
		(head)->sid = (snap)->process.sid;                                   \
		SET_TIME((head)->utime, (thread)->utime_usec);                       \
		SET_TIME((head)->stime, (thread)->stime_usec);                       \
		SET_TIME((head)->cutime, (snap)->process.cutime_usec);               \
		SET_TIME((head)->cstime, (snap)->process.cstime_usec);               \
	} while (0)

static int add_prstatus(const struct snapshot *snap, const struct snap_thread *thread,
			struct strbuf *buf)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	const struct snap_regset *regs = &thread->regsets[0];
	int r;
	if (is64(snap)) {
		struct prstatus64_head head = { 0 };
		FILL_PRSTATUS(&head, snap, thread);
		r = strbuf_add(&desc, &head, sizeof(head));
	} else {
		struct prstatus32_head head = { 0 };
		FILL_PRSTATUS(&head, snap, thread);
		r = strbuf_add(&desc, &head, sizeof(head));
	}
	int32_t fpvalid = thread->n_regsets > 1;
	if (r >= 0)
		r = strbuf_add(&desc, regs->data, regs->size);
	if (r >= 0)
		r = strbuf_add(&desc, &fpvalid, sizeof(fpvalid));
	if (r >= 0)
		r = strbuf_align(&desc, is64(snap) ? 8 : 4);
	return r < 0 ? r : notes_add(buf, "CORE", NT_PRSTATUS, desc.data, desc.len);
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
		(info)->uid = (__typeof__((info)->uid))(proc)->uid;                           \
		(info)->gid = (__typeof__((info)->gid))(proc)->gid;                           \
		(info)->pid = (proc)->pid;                                                    \
		(info)->ppid = (proc)->ppid;                                                  \
		(info)->pgrp = (proc)->pgrp;                                                  \
		(info)->sid = (proc)->sid;                                                    \
		memcpy((info)->fname, (proc)->comm, sizeof((info)->fname) - 1);               \
		memcpy((info)->psargs, (proc)->psargs, sizeof((info)->psargs));               \
		(info)->psargs[sizeof((info)->psargs) - 1] = '\0';                            \
	} while (0)

static int add_prpsinfo(const struct snapshot *snap, struct strbuf *buf)
{
	if (is64(snap)) {
		struct prpsinfo64 info = { 0 };
		FILL_PRPSINFO(&info, &snap->process);
		return notes_add(buf, "CORE", NT_PRPSINFO, &info, sizeof(info));
	}
	struct prpsinfo32 info = { 0 };
	FILL_PRPSINFO(&info, &snap->process);
	return notes_add(buf, "CORE", NT_PRPSINFO, &info, sizeof(info));
}

/// A live process was hit by no signal, and the note says so: signal number 0.
static int add_siginfo(struct strbuf *buf)
{
	static const char none[SIGINFO_SIZE];
	return notes_add(buf, "CORE", NT_SIGINFO, none, sizeof(none));
}

static int add_word(const struct snapshot *snap, struct strbuf *buf, uint64_t word)
{
	uint32_t narrow = (uint32_t)word;
	return is64(snap) ? strbuf_add(buf, &word, sizeof(word)) :
			    strbuf_add(buf, &narrow, sizeof(narrow));
}

/// NT_FILE, fs/binfmt_elf.c fill_files_note(): offsets count pages.
static int add_files(const struct snapshot *snap, struct strbuf *buf)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 }, names = { 0 };
	uint64_t count = 0;
	int r = add_word(snap, &desc, 0);
	if (r >= 0)
		r = add_word(snap, &desc, PAGE);
	for (size_t i = 0; r >= 0 && i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		const char *name = snap_mapping_name(snap, map);
		if (!map->inode || !*name)
			continue;
		count++;
		r = add_word(snap, &desc, map->start);
		if (r >= 0)
			r = add_word(snap, &desc, map->end);
		if (r >= 0)
			r = add_word(snap, &desc, map->offset / PAGE);
		if (r >= 0)
			r = strbuf_add(&names, name, strlen(name) + 1);
	}
	if (r < 0 || !count)
		return r;
	memcpy(desc.data, &count, is64(snap) ? 8 : 4);
	r = strbuf_add(&desc, names.data, names.len);
	return r < 0 ? r : notes_add(buf, "CORE", NT_FILE, desc.data, desc.len);
}

static int add_machine(const struct snapshot *snap, struct strbuf *buf)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	int r = arch_xsave_layout(&snap->process.machine, &desc);
	if (r >= 0 && desc.len)
		r = notes_add(buf, "LINUX", NT_X86_XSAVE_LAYOUT, desc.data, desc.len);
	desc.len = 0;
	if (r >= 0)
		r = arch_target_description(&snap->process.machine, &desc);
	if (r >= 0 && desc.len)
		r = notes_add(buf, "GDB", NT_GDB_TDESC, desc.data, desc.len + 1);
	return r;
}

static int add_regsets(const struct snap_thread *thread, struct strbuf *buf)
{
	int r = 0;
	for (unsigned int i = 1; r >= 0 && i < thread->n_regsets; i++) {
		const struct snap_regset *set = &thread->regsets[i];
		r = notes_add(buf, set->type == NT_FPREGSET ? "CORE" : "LINUX", set->type,
			      set->data, set->size);
	}
	return r;
}

static int build(const struct snapshot *snap, struct strbuf *buf)
{
	int r = 0;
	for (size_t i = 0; r >= 0 && i < snap->n_threads; i++) {
		const struct snap_thread *thread = &snap->threads[i];
		r = add_prstatus(snap, thread, buf);
		if (r >= 0 && i == 0)
			r = add_prpsinfo(snap, buf);
		if (r >= 0)
			r = add_siginfo(buf);
		if (r >= 0 && i == 0)
			r = notes_add(buf, "CORE", NT_AUXV, snap->process.auxv,
				      snap->process.auxv_size);
		if (r >= 0 && i == 0)
			r = add_files(snap, buf);
		if (r >= 0 && i == 0)
			r = add_machine(snap, buf);
		if (r >= 0)
			r = add_regsets(thread, buf);
	}
	return r;
}

struct snap_error *notes_build(const struct snapshot *snap, struct strbuf *buf)
{
	return build(snap, buf) < 0 ? snap_error_oom() : NULL;
}
