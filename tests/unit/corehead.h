/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/strbuf.h"

/**
 * DOC: Cores as the kernel streams them, made by hand
 *
 * corehead_note() and corehead_load() add what is in it, corehead_make() puts it together. Places
 * in structures are written down here once more, from the kernel's headers and not from ours.
 */

enum { COREHEAD_LOADS_MAX = 64, COREHEAD_PAGE = 4096 };

struct corehead {
	bool wide;
	uint16_t machine; ///< 0: x86
	uint16_t phnum; ///< what the ELF header says; 0: the truth
	struct strbuf notes;
	Elf64_Phdr loads[COREHEAD_LOADS_MAX]; ///< p_offset is filled in
	size_t n_loads;
	Elf64_Phdr note; ///< members that are not 0 are taken instead of the truth
};

static inline void corehead_add(struct strbuf *buf, const void *data, size_t len)
{
	if (strbuf_add(buf, data, len) < 0)
		abort();
}

static inline void corehead_put(void *to, uint64_t value, size_t size)
{
	memcpy(to, &value, size); // little-endian, as all that is tested here
}

static inline void corehead_word(const struct corehead *head, struct strbuf *buf, uint64_t value)
{
	corehead_add(buf, &value, head->wide ? 8 : 4);
}

static inline void corehead_note(struct corehead *head, const char *owner, uint32_t type,
				 const void *desc, size_t len)
{
	const Elf64_Nhdr nhdr = { (Elf64_Word)strlen(owner) + 1, (Elf64_Word)len, type };
	corehead_add(&head->notes, &nhdr, sizeof(nhdr));
	corehead_add(&head->notes, owner, nhdr.n_namesz);
	if (strbuf_align(&head->notes, 4) < 0)
		abort();
	corehead_add(&head->notes, desc, len);
	if (strbuf_align(&head->notes, 4) < 0)
		abort();
}

/// NT_PRSTATUS of a thread of x86.
static inline void corehead_thread(struct corehead *head, int tid, int signal, uint64_t pc,
				   uint64_t sp)
{
	char desc[336] = { 0 };
	size_t regs = head->wide ? 112 : 72;
	corehead_put(desc + 12, (uint64_t)signal, 2);
	corehead_put(desc + (head->wide ? 32 : 24), (uint64_t)tid, 4);
	corehead_put(desc + regs + (head->wide ? 16 * 8 : 12 * 4), pc, head->wide ? 8 : 4);
	corehead_put(desc + regs + (head->wide ? 19 * 8 : 15 * 4), sp, head->wide ? 8 : 4);
	corehead_note(head, "CORE", NT_PRSTATUS, desc, head->wide ? 336 : 144);
}

static inline void corehead_siginfo(struct corehead *head, int signal, int code, uint64_t addr)
{
	char desc[128] = { 0 };
	corehead_put(desc, (uint64_t)signal, 4);
	corehead_put(desc + 8, (uint64_t)code, 4);
	corehead_put(desc + (head->wide ? 16 : 12), addr, head->wide ? 8 : 4);
	corehead_note(head, "CORE", NT_SIGINFO, desc, sizeof(desc));
}

static inline void corehead_auxv(struct corehead *head, uint64_t key, uint64_t value)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	corehead_word(head, &desc, AT_PAGESZ);
	corehead_word(head, &desc, COREHEAD_PAGE);
	corehead_word(head, &desc, key);
	corehead_word(head, &desc, value);
	corehead_word(head, &desc, AT_NULL);
	corehead_word(head, &desc, 0);
	corehead_note(head, "CORE", NT_AUXV, desc.data, desc.len);
}

struct corehead_file {
	uint64_t start, end, page_offset;
	const char *name;
};

/// NT_FILE that says it has @count of the @n entries.
static inline void corehead_files(struct corehead *head, const struct corehead_file *files,
				  size_t n, uint64_t count)
{
	_cleanup_strbuf_ struct strbuf desc = { 0 };
	corehead_word(head, &desc, count);
	corehead_word(head, &desc, COREHEAD_PAGE);
	for (size_t i = 0; i < n; i++) {
		corehead_word(head, &desc, files[i].start);
		corehead_word(head, &desc, files[i].end);
		corehead_word(head, &desc, files[i].page_offset);
	}
	for (size_t i = 0; i < n; i++)
		corehead_add(&desc, files[i].name, strlen(files[i].name) + 1);
	corehead_note(head, "CORE", NT_FILE, desc.data, desc.len);
}

/// A mapping of @pages pages, of which the kernel sends @sent.
static inline Elf64_Phdr *corehead_load(struct corehead *head, uint64_t start, uint64_t pages,
					uint64_t sent, uint32_t flags)
{
	if (head->n_loads == COREHEAD_LOADS_MAX)
		abort();
	Elf64_Phdr *phdr = &head->loads[head->n_loads++];
	*phdr = (Elf64_Phdr){ .p_type = PT_LOAD,
			      .p_flags = flags,
			      .p_vaddr = start,
			      .p_memsz = pages * COREHEAD_PAGE,
			      .p_filesz = sent * COREHEAD_PAGE,
			      .p_align = COREHEAD_PAGE };
	return phdr;
}

static inline void corehead_add_phdr(const struct corehead *head, struct strbuf *buf,
				     const Elf64_Phdr *phdr)
{
	const Elf32_Phdr narrow = { .p_type = phdr->p_type,
				    .p_flags = phdr->p_flags,
				    .p_offset = (Elf32_Off)phdr->p_offset,
				    .p_vaddr = (Elf32_Addr)phdr->p_vaddr,
				    .p_filesz = (Elf32_Word)phdr->p_filesz,
				    .p_memsz = (Elf32_Word)phdr->p_memsz,
				    .p_align = (Elf32_Word)phdr->p_align };
	if (head->wide)
		corehead_add(buf, phdr, sizeof(*phdr));
	else
		corehead_add(buf, &narrow, sizeof(narrow));
}

static inline void corehead_add_ehdr(const struct corehead *head, struct strbuf *buf)
{
	Elf64_Ehdr wide = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					 ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_CORE,
			    .e_machine = head->machine ? head->machine : EM_X86_64,
			    .e_version = EV_CURRENT,
			    .e_phoff = sizeof(Elf64_Ehdr),
			    .e_ehsize = sizeof(Elf64_Ehdr),
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = head->phnum ? head->phnum :
						     (Elf64_Half)(head->n_loads + 1) };
	Elf32_Ehdr narrow = { .e_type = ET_CORE,
			      .e_machine = head->machine ? head->machine : EM_386,
			      .e_version = EV_CURRENT,
			      .e_phoff = sizeof(Elf32_Ehdr),
			      .e_ehsize = sizeof(Elf32_Ehdr),
			      .e_phentsize = sizeof(Elf32_Phdr),
			      .e_phnum = wide.e_phnum };
	memcpy(narrow.e_ident, wide.e_ident, sizeof(narrow.e_ident));
	narrow.e_ident[EI_CLASS] = ELFCLASS32;
	if (head->wide)
		corehead_add(buf, &wide, sizeof(wide));
	else
		corehead_add(buf, &narrow, sizeof(narrow));
}

/// Appends the head to @buf, which is empty, and returns where the first segment begins.
static inline uint64_t corehead_make(struct corehead *head, struct strbuf *buf)
{
	uint64_t ehdr = head->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	uint64_t entry = head->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint64_t at = ehdr + (head->n_loads + 1) * entry;
	Elf64_Phdr note = { .p_type = head->note.p_type ? head->note.p_type : PT_NOTE,
			    .p_offset = head->note.p_offset ? head->note.p_offset : at,
			    .p_filesz = head->note.p_filesz ? head->note.p_filesz :
							      head->notes.len };
	uint64_t body = (at + head->notes.len + COREHEAD_PAGE - 1) / COREHEAD_PAGE * COREHEAD_PAGE;
	uint64_t offset = body;
	corehead_add_ehdr(head, buf);
	corehead_add_phdr(head, buf, &note);
	for (size_t i = 0; i < head->n_loads; i++) {
		head->loads[i].p_offset = offset;
		offset += head->loads[i].p_filesz;
		corehead_add_phdr(head, buf, &head->loads[i]);
	}
	corehead_add(buf, head->notes.data, head->notes.len);
	return body;
}
