// SPDX-License-Identifier: LGPL-2.1-or-later
#include "module.h"

#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <string.h>

#include "common/stacks.h"
#include "common/str.h"
#include "text.h"

enum {
	// "Package metadata for executable files"; owners differ, the number does not.
	NT_PACKAGE = 0xcafe1a7e,
	// A page has room for all notes of a program and then some.
	PACKAGE_MAX = 64 << 10,
};

/// The members of the metadata that are strings, of which no more are taken than an answer has.
static struct json *package_of(const struct json *all)
{
	struct json *package = json_new_object();
	size_t n = MIN(json_length(all), (size_t)STACKS_MAX_MEMBERS);
	for (size_t i = 0; i < n; i++) {
		const char *key = json_key_at(all, i);
		if (snap_is_printable(key))
			text_set(package, key, json_get_text(all, key));
	}
	return package;
}

static struct json *parse_package(const char *text, size_t size)
{
	_cleanup_(json_destroyp) struct json *all = NULL;
	size_t len = strnlen(text, size); // padded with NULs
	if (len <= PACKAGE_MAX)
		all = json_parse(text, len);
	return all ? package_of(all) : NULL;
}

static struct json *find_package(Elf *elf)
{
	size_t n = 0, name, desc;
	GElf_Phdr phdr;
	GElf_Nhdr note;
	(void)elf_getphdrnum(elf, &n); // none, then
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, (int)i, &phdr) || phdr.p_type != PT_NOTE)
			continue;
		Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)phdr.p_offset, phdr.p_filesz,
						      phdr.p_align == 8 ? ELF_T_NHDR8 :
									  ELF_T_NHDR);
		for (size_t pos = 0;
		     data && (pos = gelf_getnote(data, pos, &note, &name, &desc)) > 0;) {
			if (note.n_type == NT_PACKAGE && note.n_descsz)
				return parse_package((const char *)data->d_buf + desc,
						     note.n_descsz);
		}
	}
	return NULL;
}

/// The same in the core's own copy of the first page, for files that are gone.
static struct json *find_package_in_core(Elf *core, GElf_Addr start)
{
	size_t n = 0;
	GElf_Phdr phdr;
	(void)elf_getphdrnum(core, &n);
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(core, (int)i, &phdr) || phdr.p_type != PT_LOAD ||
		    phdr.p_vaddr != start || !phdr.p_filesz)
			continue;
		Elf_Data *data = elf_getdata_rawchunk(core, (int64_t)phdr.p_offset, phdr.p_filesz,
						      ELF_T_BYTE);
		Elf *elf = data ? elf_memory(data->d_buf, data->d_size) : NULL;
		struct json *package = elf ? find_package(elf) : NULL;
		(void)elf_end(elf);
		return package;
	}
	return NULL;
}

bool module_is_file(Dwfl_Module *module, Elf *elf)
{
	const unsigned char *want = NULL;
	const void *have = NULL;
	GElf_Addr vaddr;
	int want_size = dwfl_module_build_id(module, &want, &vaddr);
	ssize_t have_size = dwelf_elf_gnu_build_id(elf, &have);
	if (want_size <= 0 || have_size <= 0)
		return want_size <= 0;
	return have_size == want_size && !memcmp(want, have, (size_t)have_size);
}

struct json *module_describe(Dwfl_Module *module, Elf *core, const struct mapped *mapped)
{
	struct json *json = json_new_object(), *package = NULL;
	const char *file = NULL;
	const unsigned char *id = NULL;
	GElf_Addr start = 0, vaddr, bias;
	Elf *elf = dwfl_module_getelf(module, &bias);
	const char *name = dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, &file, NULL);
	int id_size = dwfl_module_build_id(module, &id, &vaddr);
	text_set(json, "name", name);
	if (mapped_at(mapped, start))
		file = mapped_at(mapped, start);
	text_set(json, "path", file);
	if (id_size > 0)
		text_set_hex(json, "build_id", id, (size_t)id_size);
	if (elf)
		package = find_package(elf);
	if (!package)
		package = find_package_in_core(core, start);
	if (package)
		json_set(json, "package", package);
	return json;
}
