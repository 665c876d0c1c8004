// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elf.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "headers are read as they are in the file");

static bool read_exactly(struct source *source, uint64_t offset, void *buf, size_t len)
{
	return source_read(source, offset, buf, len) == len;
}

uint8_t *elf_copy(const struct elf_file *elf, uint64_t offset, size_t *size)
{
	uint64_t end = source_size(elf->source);
	if (offset >= end || !*size)
		return NULL;
	size_t want = MIN(*size, end - offset);
	uint8_t *copy = malloc(want + 1);
	if (!copy)
		return NULL;
	*size = source_read(elf->source, offset, copy, want);
	copy[*size] = '\0';
	return copy;
}

/// Reads a table of @n entries as far as the file goes; returns how many.
static size_t read_table(struct elf_file *elf, uint64_t offset, size_t n, size_t entry, void **ret)
{
	uint64_t end = source_size(elf->source);
	if (offset >= end)
		return 0;
	n = MIN(n, (end - offset) / entry);
	if (!n)
		return 0;
	*ret = malloc(n * entry);
	if (!*ret)
		return 0;
	return source_read(elf->source, offset, *ret, n * entry) / entry;
}

static void read_sections(struct elf_file *elf)
{
	size_t n = elf->ehdr.e_shnum;
	if (!elf->ehdr.e_shoff || elf->ehdr.e_shentsize != sizeof(Elf64_Shdr))
		return;
	n = MIN(n, (size_t)ELF_MAX_SECTIONS);
	void *table = NULL;
	elf->n_shdrs = read_table(elf, elf->ehdr.e_shoff, n, sizeof(Elf64_Shdr), &table);
	elf->shdrs = table;
	if (elf->ehdr.e_shstrndx >= elf->n_shdrs)
		return;
	const Elf64_Shdr *strings = &elf->shdrs[elf->ehdr.e_shstrndx];
	elf->names_size = MIN(strings->sh_size, (uint64_t)1 << 20);
	elf->names = (char *)elf_copy(elf, strings->sh_offset, &elf->names_size);
	if (!elf->names)
		elf->names_size = 0;
}

/// The number of program headers, which may not fit where it belongs: gABI, PN_XNUM.
static size_t count_segments(const struct elf_file *elf)
{
	Elf64_Shdr first;
	if (elf->ehdr.e_phnum != PN_XNUM || !elf->ehdr.e_shoff)
		return elf->ehdr.e_phnum;
	if (!read_exactly(elf->source, elf->ehdr.e_shoff, &first, sizeof(first)))
		return elf->ehdr.e_phnum;
	return first.sh_info;
}

struct snap_error *elf_init(struct elf_file *elf, struct source *source)
{
	struct elf_file e = { .source = source };
	if (!read_exactly(source, 0, &e.ehdr, sizeof(e.ehdr)) ||
	    memcmp(e.ehdr.e_ident, ELFMAG, SELFMAG) != 0)
		return snap_error_new(SNAP_FAILED, "it is no ELF file");
	if (e.ehdr.e_ident[EI_CLASS] != ELFCLASS64 || e.ehdr.e_ident[EI_DATA] != ELFDATA2LSB)
		return snap_error_new(SNAP_FAILED,
				      "only 64-bit little-endian ELF files are understood");
	size_t n = count_segments(&e);
	if (e.ehdr.e_phentsize == sizeof(Elf64_Phdr)) {
		void *table = NULL;
		e.n_phdrs = read_table(&e, e.ehdr.e_phoff, MIN(n, (size_t)ELF_MAX_SEGMENTS),
				       sizeof(Elf64_Phdr), &table);
		e.phdrs = table;
	}
	if (e.ehdr.e_type != ET_CORE)
		read_sections(&e);
	*elf = e;
	return NULL;
}

void elf_deinit(struct elf_file *elf)
{
	free(elf->phdrs);
	free(elf->shdrs);
	free(elf->names);
	*elf = (struct elf_file){ 0 };
}

const Elf64_Shdr *elf_section(const struct elf_file *elf, const char *name)
{
	for (size_t i = 0; i < elf->n_shdrs; i++) {
		uint32_t at = elf->shdrs[i].sh_name;
		if (at < elf->names_size && !strcmp(elf->names + at, name))
			return &elf->shdrs[i];
	}
	return NULL;
}

void elf_build_id(const struct elf_file *elf, struct elf_build_id *ret)
{
	enum { NOTES_MAX = 1 << 16 };
	*ret = (struct elf_build_id){ 0 };
	for (size_t i = 0; i < elf->n_phdrs; i++) {
		const Elf64_Phdr *p = &elf->phdrs[i];
		if (p->p_type != PT_NOTE)
			continue;
		size_t size = MIN(p->p_filesz, (uint64_t)NOTES_MAX);
		_cleanup_free_ uint8_t *notes = elf_copy(elf, p->p_offset, &size);
		struct elf_build_id found = { 0 };
		if (notes)
			elf_find_build_id(span_of(notes, size), &found);
		if (found.size && (!ret->size || found.size < ret->size)) // GNU's is the shorter
			*ret = found;
	}
}
