// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwsections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "common/compat.h"

enum {
	// The debugging information of Kubernetes and of Docker: 30 to 60 MiB. The analyzer as a
	// whole may use 2 GiB.
	SECTION_MAX_BYTES = 256 << 20,
	// What deflate can make of a byte: zlib.net/zlib_tech.html. More is a lie, and not
	// allocated.
	RATIO_MAX = 1032,
	// And zstd: a block of 128 KiB that is one byte repeated has four (RFC 8878, 3.1.1.2).
	ZSTD_RATIO_MAX = 32 << 10,
	ZDEBUG_HEAD_BYTES = 12, // "ZLIB" and a size in big-endian order
};

static const char *const names[DW_SECTIONS] = {
	[DW_INFO] = ".zdebug_info",	    [DW_ABBREV] = ".zdebug_abbrev",
	[DW_STR] = ".zdebug_str",	    [DW_LINE_STR] = ".zdebug_line_str",
	[DW_ADDR] = ".zdebug_addr",	    [DW_LOC] = ".zdebug_loc",
	[DW_LOCLISTS] = ".zdebug_loclists", [DW_RANGES] = ".zdebug_ranges",
	[DW_RNGLISTS] = ".zdebug_rnglists",
};

static bool read_chdr(const struct elf_file *elf, struct dw_section *s)
{
	Elf64_Chdr head;
	if (source_read(elf->source, s->shdr->sh_offset, &head, sizeof(head)) != sizeof(head) ||
	    (head.ch_type != ELFCOMPRESS_ZLIB && head.ch_type != ELFCOMPRESS_ZSTD))
		return false;
	s->packing = head.ch_type == ELFCOMPRESS_ZLIB ? DW_ZLIB : DW_ZSTD;
	s->size = head.ch_size;
	s->skip = sizeof(head);
	return true;
}

static bool read_zdebug(const struct elf_file *elf, struct dw_section *s)
{
	uint8_t head[ZDEBUG_HEAD_BYTES];
	uint64_t size;
	if (source_read(elf->source, s->shdr->sh_offset, head, sizeof(head)) != sizeof(head) ||
	    memcmp(head, "ZLIB", 4) != 0)
		return false;
	memcpy(&size, head + 4, sizeof(size));
	s->packing = DW_ZLIB;
	s->size = be64toh(size);
	s->skip = sizeof(head);
	return true;
}

/// Finds out how large the section is; false when it cannot be used.
static bool read_head(const struct elf_file *elf, struct dw_section *s, bool zdebug)
{
	const Elf64_Shdr *shdr = s->shdr;
	uint64_t file_size = source_size(elf->source);
	if (shdr->sh_type == SHT_NOBITS || shdr->sh_offset > file_size ||
	    shdr->sh_size > file_size - shdr->sh_offset)
		return false;
	s->size = shdr->sh_size;
	if (zdebug ? !read_zdebug(elf, s) :
		     shdr->sh_flags & SHF_COMPRESSED && !read_chdr(elf, s))
		return false;
	uint64_t ratio = s->packing == DW_ZSTD ? ZSTD_RATIO_MAX : RATIO_MAX;
	return s->size && s->size <= SECTION_MAX_BYTES && s->skip <= shdr->sh_size &&
	       s->size / ratio <= shdr->sh_size;
}

bool dw_sections_init(struct dw_sections *sections, const struct elf_file *elf)
{
	*sections = (struct dw_sections){ .elf = elf };
	for (size_t i = 0; i < DW_SECTIONS; i++) {
		struct dw_section *s = &sections->list[i];
		(void)snprintf(s->name, sizeof(s->name), ".%s", names[i] + 2);
		s->shdr = elf_section(elf, s->name);
		bool zdebug = !s->shdr;
		if (zdebug)
			s->shdr = elf_section(elf, names[i]);
		if (s->shdr && !read_head(elf, s, zdebug)) {
			s->shdr = NULL;
			s->size = 0;
		}
	}
	return sections->list[DW_INFO].shdr && sections->list[DW_ABBREV].shdr;
}

void dw_sections_deinit(struct dw_sections *sections)
{
	for (size_t i = 0; i < DW_SECTIONS; i++)
		free(sections->list[i].data);
	*sections = (struct dw_sections){ 0 };
}

/// NULL unless @size bytes come out, neither more nor fewer.
static uint8_t *inflate_all(const uint8_t *in, size_t in_size, size_t size)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)in_size };
	uint8_t *data = malloc(size + 1);
	if (!data || inflateInit(&z) != Z_OK) {
		free(data);
		return NULL;
	}
	z.next_out = data;
	z.avail_out = (uInt)size;
	int r = inflate(&z, Z_FINISH);
	(void)inflateEnd(&z); // frees
	if (r != Z_STREAM_END || z.avail_out) {
		free(data);
		return NULL;
	}
	data[size] = '\0'; // as elf_copy() does
	return data;
}

/// The same of zstd. What it unpacks to is all that it needs memory for, whatever its window.
static uint8_t *unpack_zstd(const uint8_t *in, size_t in_size, size_t size)
{
	uint8_t *data = malloc(size + 1);
	if (!data)
		return NULL;
	if (ZSTD_decompress(data, size, in, in_size) != size) { // errors are larger than any size
		free(data);
		return NULL;
	}
	data[size] = '\0';
	return data;
}

static uint8_t *load(const struct elf_file *elf, const struct dw_section *s)
{
	size_t size = s->shdr->sh_size;
	if (size > SECTION_MAX_BYTES)
		return NULL;
	uint8_t *bytes = elf_copy(elf, s->shdr->sh_offset, &size);
	if (!bytes || size != s->shdr->sh_size) {
		free(bytes);
		return NULL;
	}
	if (s->packing == DW_PLAIN)
		return bytes;
	uint8_t *data = (s->packing == DW_ZSTD ? unpack_zstd : inflate_all)(
		bytes + s->skip, size - s->skip, s->size);
	free(bytes);
	return data;
}

uint8_t *dw_section_data(struct dw_sections *sections, enum dw_section_index index)
{
	struct dw_section *s = &sections->list[index];
	if (!s->shdr || s->bad)
		return NULL;
	if (!s->data) {
		s->data = load(sections->elf, s);
		s->bad = !s->data;
	}
	return s->data;
}

struct span dw_section_from(struct dw_sections *sections, enum dw_section_index index,
			    uint64_t offset)
{
	const uint8_t *data = dw_section_data(sections, index);
	uint64_t size = data ? sections->list[index].size : 0;
	return offset < size ? span_of(data + offset, (size_t)(size - offset)) : span_of(NULL, 0);
}
