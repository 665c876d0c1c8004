// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzer/debuglink.h"
#include "common/fd.h"
#include "gopatch.h"

static void check_notes(const uint8_t *block, size_t size)
{
	struct span notes = span_of(block, size);
	struct elf_note note;
	size_t n = 0;
	while (elf_next_note(&notes, &note)) {
		REQUIRE(++n <= size / sizeof(Elf64_Nhdr));
		REQUIRE(note.owner && strlen(note.owner) < size);
		REQUIRE(!note.desc.bad);
		REQUIRE(note.desc.data >= block && note.desc.size <= size);
		REQUIRE(note.desc.data + note.desc.size <= block + size);
	}
	struct elf_build_id id = { 0 };
	elf_find_build_id(span_of(block, size), &id);
	REQUIRE(id.size <= ELF_BUILD_ID_MAX);
}

static void check_file(const struct elf_file *elf, size_t size)
{
	REQUIRE(elf->n_phdrs <= size / sizeof(Elf64_Phdr));
	REQUIRE(elf->n_shdrs <= size / sizeof(Elf64_Shdr));
	for (size_t i = 0; i < elf->n_phdrs; i++) {
		size_t len = (size_t)elf->phdrs[i].p_filesz;
		_cleanup_free_ uint8_t *bytes = elf_copy(elf, elf->phdrs[i].p_offset, &len);
		if (!bytes)
			continue;
		REQUIRE(len <= size && !bytes[len]);
		check_notes(bytes, len);
	}
	for (size_t i = 0; i < elf->n_shdrs; i++) {
		uint32_t at = elf->shdrs[i].sh_name;
		if (at >= elf->names_size)
			continue;
		const Elf64_Shdr *found = elf_section(elf, elf->names + at);
		REQUIRE(found && found <= &elf->shdrs[i]);
	}
	struct elf_build_id id;
	elf_build_id(elf, &id);
	REQUIRE(id.size <= ELF_BUILD_ID_MAX);
	REQUIRE(elf_build_id_equal(&id, &id) == (id.size != 0));
	struct debuglink link;
	if (!debuglink_read(elf, &link))
		return;
	size_t len = strnlen(link.name, sizeof(link.name));
	REQUIRE(len && len < sizeof(link.name) && !strchr(link.name, '/'));
	(void)debuglink_fits(&link, elf->source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(source_destroyp) struct source *src = NULL;
	_cleanup_close_ int fd = gocore_memfd(data, size);
	_cleanup_free_ char *exact = fuzz_text(data, size);
	check_notes((const uint8_t *)exact, size);
	struct snap_error *err = source_create(fd, SOURCE_FILE, &src);
	struct elf_file elf;
	if (!err)
		err = elf_init(&elf, src);
	if (!err) {
		check_file(&elf, size);
		elf_deinit(&elf);
	}
	snap_error_destroy(err);
	return 0;
}
