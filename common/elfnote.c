// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elfnote.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"

enum {
	NT_GO_BUILD_ID = 4, // cmd/internal/buildid/note.go
};

bool elf_next_note(struct span *notes, struct elf_note *ret)
{
	if (notes->bad || notes->size < sizeof(Elf64_Nhdr))
		return false;
	uint32_t name_size = span_u32(notes, 0), desc_size = span_u32(notes, 4);
	uint64_t desc_at = sizeof(Elf64_Nhdr) + ALIGN_UP((uint64_t)name_size, (uint64_t)4);
	uint64_t end = desc_at + ALIGN_UP((uint64_t)desc_size, (uint64_t)4);
	struct span name = span_sub(*notes, sizeof(Elf64_Nhdr), name_size);
	struct elf_note note = { .type = span_u32(notes, 8) };
	note.desc = span_sub(*notes, desc_at, desc_size);
	note.owner = name_size ? span_text(&name, 0) : "";
	if (!note.owner)
		note.owner = "";
	if (note.desc.bad || notes->bad)
		return false;
	// The padding behind the last one may be missing.
	*notes = end < notes->size ? span_sub(*notes, end, notes->size - end) : span_of(NULL, 0);
	*ret = note;
	return true;
}

static void set_build_id(struct span desc, struct elf_build_id *ret)
{
	ret->size = MIN(desc.size, (size_t)ELF_BUILD_ID_MAX);
	memcpy(ret->bytes, desc.data, ret->size);
}

void elf_find_build_id(struct span notes, struct elf_build_id *ret)
{
	struct elf_note note;
	while (elf_next_note(&notes, &note)) {
		if (note.type == NT_GNU_BUILD_ID && !strcmp(note.owner, "GNU")) {
			set_build_id(note.desc, ret);
			ret->gnu = true;
			return;
		}
		if (note.type == NT_GO_BUILD_ID && !strcmp(note.owner, "Go") && !ret->size)
			set_build_id(note.desc, ret);
	}
}

bool elf_build_id_equal(const struct elf_build_id *a, const struct elf_build_id *b)
{
	return a->size && a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

void elf_build_id_format(const struct elf_build_id *id, char ret[static 2 * ELF_BUILD_ID_MAX + 1])
{
	ret[0] = '\0';
	for (size_t i = 0; i < id->size; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", id->bytes[i]);
}
