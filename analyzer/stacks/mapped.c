// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mapped.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

// As analyzer/core.h.
enum { FILES_MAX = 1 << 20 };

/// A reader of words as the core has them, which stops at the end.
struct words {
	const uint8_t *p, *end;
	size_t size; ///< of a word: 4 or 8
	bool big_endian;
};

static bool take_word(struct words *w, uint64_t *ret)
{
	uint64_t value = 0;
	if ((size_t)(w->end - w->p) < w->size)
		return false;
	for (size_t i = 0; i < w->size; i++)
		value = value << 8 | w->p[w->big_endian ? i : w->size - 1 - i];
	w->p += w->size;
	*ret = value;
	return true;
}

/// NT_FILE: how many, the unit of offsets, start, end and offset of each, then the names.
static int read_files(struct mapped *mapped, struct words w)
{
	uint64_t n, unit, offset;
	if (mapped->files || !take_word(&w, &n) || !take_word(&w, &unit) || n > FILES_MAX ||
	    n > (size_t)(w.end - w.p) / (3 * w.size))
		return 0;
	mapped->files = calloc(n ? n : 1, sizeof(*mapped->files));
	if (!mapped->files)
		return -ENOMEM;
	const char *name = (const char *)w.p + n * 3 * w.size;
	for (; mapped->n < n; mapped->n++) {
		struct mapped_file *file = &mapped->files[mapped->n];
		const char *nul = memchr(name, '\0', (size_t)((const char *)w.end - name));
		if (!nul || !take_word(&w, &file->start) || !take_word(&w, &file->end) ||
		    !take_word(&w, &offset))
			break;
		file->name = name;
		name = nul + 1;
	}
	return 0;
}

static uint64_t find_auxv(struct words w, uint64_t type)
{
	for (uint64_t key, value; take_word(&w, &key) && take_word(&w, &value);)
		if (key == type)
			return value;
	return 0;
}

static int read_notes(struct mapped *mapped, Elf *core, const GElf_Phdr *phdr)
{
	const char *ident = elf_getident(core, NULL);
	struct words w = { .size = gelf_getclass(core) == ELFCLASS32 ? 4 : 8,
			   .big_endian = ident && ident[EI_DATA] == ELFDATA2MSB };
	Elf_Data *notes = elf_getdata_rawchunk(core, (int64_t)phdr->p_offset, phdr->p_filesz,
					       phdr->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	uint64_t entry = 0;
	GElf_Nhdr note;
	int r = 0;
	size_t name, desc;
	for (size_t pos = 0; r == 0 && notes &&
			     (pos = gelf_getnote(notes, pos, &note, &name, &desc)) > 0;) {
		w.p = (const uint8_t *)notes->d_buf + desc;
		w.end = w.p + note.n_descsz;
		if (note.n_type == NT_AUXV)
			entry = find_auxv(w, AT_PHDR);
		else if (note.n_type == NT_FILE)
			r = read_files(mapped, w);
	}
	if (entry)
		mapped->program = mapped_at(mapped, entry);
	return r;
}

int mapped_init(struct mapped *mapped, Elf *core)
{
	size_t n = 0;
	int r = 0;
	*mapped = (struct mapped){ 0 };
	(void)elf_getphdrnum(core, &n); // none, then
	for (size_t i = 0; r == 0 && i < n; i++) {
		GElf_Phdr phdr;
		if (gelf_getphdr(core, (int)i, &phdr) && phdr.p_type == PT_NOTE)
			r = read_notes(mapped, core, &phdr);
	}
	return r;
}

void mapped_deinit(struct mapped *mapped)
{
	free(mapped->files);
	*mapped = (struct mapped){ 0 };
}

const char *mapped_at(const struct mapped *mapped, uint64_t addr)
{
	for (size_t i = 0; i < mapped->n; i++)
		if (mapped->files[i].start <= addr && addr < mapped->files[i].end)
			return mapped->files[i].name;
	return NULL;
}
