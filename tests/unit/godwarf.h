/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "analyzer/elf.h"
#include "common/compat.h"
#include "common/fd.h"
#include "common/strbuf.h"
#include "gocore.h"

/**
 * DOC: Files with debugging information
 *
 * Puts given sections into an ELF file, as they are or compressed in one of three ways.
 * godwarf_sample() makes the sections of a program with one structure and one function.
 */

enum godwarf_packing {
	GODWARF_PLAIN,
	GODWARF_COMPRESSED, ///< SHF_COMPRESSED
	GODWARF_ZDEBUG,
	GODWARF_ZSTD, ///< SHF_COMPRESSED as well
};

struct godwarf_section {
	const char *name; ///< "debug_info"
	const void *data;
	size_t size;
	enum godwarf_packing packing;
	uint64_t lie; ///< what a compressed section says its size is; 0: the truth
};

enum { GODWARF_SECTIONS_MAX = 16 };

static inline void godwarf_zstd(const struct godwarf_section *s, uint64_t size, struct strbuf *file)
{
	Elf64_Chdr chdr = { .ch_type = ELFCOMPRESS_ZSTD, .ch_size = size, .ch_addralign = 1 };
	size_t packed = ZSTD_compressBound(s->size);
	_cleanup_free_ uint8_t *bytes = malloc(packed);
	GOCORE_CHECK(bytes);
	packed = ZSTD_compress(bytes, packed, s->data, s->size, 1);
	GOCORE_CHECK(!ZSTD_isError(packed));
	gocore_add(file, &chdr, sizeof(chdr));
	gocore_add(file, bytes, packed);
}

static inline void godwarf_pack(const struct godwarf_section *s, struct strbuf *file)
{
	uint64_t size = s->lie ? s->lie : s->size, big = htobe64(size);
	Elf64_Chdr chdr = { .ch_type = ELFCOMPRESS_ZLIB, .ch_size = size, .ch_addralign = 1 };
	uLongf packed = compressBound(s->size);
	if (s->packing == GODWARF_PLAIN) {
		gocore_add(file, s->data, s->size);
		return;
	}
	if (s->packing == GODWARF_ZSTD) {
		godwarf_zstd(s, size, file);
		return;
	}
	_cleanup_free_ uint8_t *bytes = malloc(packed);
	GOCORE_CHECK(bytes && compress(bytes, &packed, s->data, s->size) == Z_OK);
	if (s->packing == GODWARF_COMPRESSED) {
		gocore_add(file, &chdr, sizeof(chdr));
	} else {
		gocore_add(file, "ZLIB", 4);
		gocore_add(file, &big, sizeof(big));
	}
	gocore_add(file, bytes, packed);
}

static inline void godwarf_file(const struct godwarf_section *list, size_t n, struct strbuf *ret)
{
	Elf64_Shdr shdrs[GODWARF_SECTIONS_MAX + 2] = { 0 };
	_cleanup_strbuf_ struct strbuf names = { 0 };
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = (uint16_t)(n + 2),
		.e_shstrndx = (uint16_t)(n + 1),
	};
	GOCORE_CHECK(n <= GODWARF_SECTIONS_MAX);
	gocore_add(ret, &ehdr, sizeof(ehdr));
	gocore_add(&names, "", 1);
	for (size_t i = 0; i < n; i++) {
		Elf64_Shdr *s = &shdrs[i + 1];
		s->sh_name = (uint32_t)names.len;
		s->sh_type = SHT_PROGBITS;
		s->sh_flags = list[i].packing == GODWARF_COMPRESSED ||
					      list[i].packing == GODWARF_ZSTD ?
				      SHF_COMPRESSED :
				      0;
		s->sh_offset = ret->len;
		godwarf_pack(&list[i], ret);
		s->sh_size = ret->len - s->sh_offset;
		gocore_add(&names, list[i].packing == GODWARF_ZDEBUG ? ".z" : ".",
			   list[i].packing == GODWARF_ZDEBUG ? 2 : 1);
		gocore_add(&names, list[i].name, strlen(list[i].name) + 1);
	}
	shdrs[n + 1].sh_type = SHT_STRTAB;
	shdrs[n + 1].sh_offset = ret->len;
	shdrs[n + 1].sh_size = names.len;
	gocore_add(ret, names.data, names.len);
	ehdr.e_shoff = ret->len;
	memcpy(ret->data, &ehdr, sizeof(ehdr));
	gocore_add(ret, shdrs, (n + 2) * sizeof(*shdrs));
}

// ---- a sample ------------------------------------------------------------------------------

enum {
	GODWARF_PC = 0x401000, ///< of main.f
	GODWARF_PC_END = 0x401100,
	GODWARF_GOID = 152, ///< offsets in runtime.g
	GODWARF_SCHED = 56,
	GODWARF_G_BYTES = 440,
};

/// Attributes and forms of the entries, by number: what the compiler of Go 1.24 writes.
static const uint8_t godwarf_abbrev[] = {
	1, 0x11, 1, 0x03, 0x08, 0x13, 0x0b, 0x11, 0x01, 0x55, 0x17, 0, 0, // compile_unit
	2, 0x13, 1, 0x03, 0x08, 0x0b, 0x0f, 0x80, 0x52, 0x0b, 0, 0, // structure_type, go_kind
	3, 0x0d, 0, 0x03, 0x08, 0x38, 0x0f, 0x49, 0x10, 0, 0, // member
	4, 0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x01, 0x40, 0x0a, 0, 0, // subprogram
	5, 0x05, 0, 0x03, 0x08, 0x4b, 0x0c, 0x49, 0x10, 0x02, 0x18, 0, 0, // formal_parameter
	6, 0x24, 0, 0x03, 0x08, 0x3e, 0x0b, 0x0b, 0x0b, 0x80, 0x52, 0x0b, 0, 0, // base_type
	7, 0x05, 0, 0x03, 0x08, 0x4b, 0x0c, 0x49, 0x10, 0x02, 0x17, 0, 0, // with a list
	0,
};

static inline void godwarf_u8(struct strbuf *b, uint8_t v)
{
	gocore_add(b, &v, 1);
}

static inline void godwarf_u32(struct strbuf *b, uint32_t v)
{
	gocore_add(b, &v, 4);
}

static inline void godwarf_u64(struct strbuf *b, uint64_t v)
{
	gocore_add(b, &v, 8);
}

static inline void godwarf_uleb(struct strbuf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		godwarf_u8(b, (uint8_t)(v | 0x80));
	godwarf_u8(b, (uint8_t)v);
}

/// An entry by the number of its kind, with its name.
static inline void godwarf_entry(struct strbuf *b, uint8_t kind, const char *name)
{
	godwarf_u8(b, kind);
	gocore_add(b, name, strlen(name) + 1);
}

static inline void godwarf_member(struct strbuf *b, const char *name, uint64_t at, uint32_t type)
{
	godwarf_entry(b, 3, name);
	godwarf_uleb(b, at);
	godwarf_u32(b, type);
}

struct godwarf_sample {
	struct strbuf info, loc, ranges;
};

static inline uint32_t godwarf_types(struct strbuf *b, uint32_t *ret_string)
{
	uint32_t number = (uint32_t)b->len;
	godwarf_entry(b, 6, "int");
	gocore_add(b, "\x05\x08\x02", 3); // signed, 8 bytes, its kind
	*ret_string = (uint32_t)b->len;
	godwarf_entry(b, 2, "string");
	godwarf_uleb(b, 16);
	godwarf_u8(b, 24);
	godwarf_member(b, "len", 8, number);
	godwarf_u8(b, 0);
	uint32_t gobuf = (uint32_t)b->len;
	godwarf_entry(b, 2, "runtime.gobuf");
	godwarf_uleb(b, 48);
	godwarf_u8(b, 25);
	godwarf_member(b, "sp", 0, number);
	godwarf_member(b, "pc", 8, number);
	godwarf_u8(b, 0);
	godwarf_entry(b, 2, "runtime.g");
	godwarf_uleb(b, GODWARF_G_BYTES);
	godwarf_u8(b, 25);
	godwarf_member(b, "sched", GODWARF_SCHED, gobuf);
	godwarf_member(b, "goid", GODWARF_GOID, number);
	godwarf_u8(b, 0);
	return number;
}

/// main.f(number int, text string, elsewhere int) (~r0 int)
static inline void godwarf_function(struct godwarf_sample *s, uint32_t number, uint32_t string)
{
	struct strbuf *b = &s->info;
	godwarf_entry(b, 4, "main.f");
	godwarf_u64(b, GODWARF_PC);
	godwarf_u64(b, GODWARF_PC_END);
	gocore_add(b, "\x01\x9c", 2); // DW_OP_call_frame_cfa
	godwarf_entry(b, 5, "number");
	godwarf_u8(b, 0);
	godwarf_u32(b, number);
	gocore_add(b, "\x02\x91\x08", 3); // DW_OP_fbreg 8
	godwarf_entry(b, 7, "text");
	godwarf_u8(b, 0);
	godwarf_u32(b, string);
	godwarf_u32(b, (uint32_t)s->loc.len);
	godwarf_entry(b, 5, "elsewhere");
	godwarf_u8(b, 0);
	godwarf_u32(b, number);
	gocore_add(b, "\x01\x50", 2); // DW_OP_reg0
	godwarf_entry(b, 5, "~r0");
	godwarf_u8(b, 1);
	godwarf_u32(b, number);
	godwarf_u8(b, 0); // nowhere
	godwarf_u8(b, 0);
	// The text is in registers for 16 bytes of code, then on the stack, its words apart.
	static const uint8_t late[] = { 0x91, 0x10, 0x93, 8, 0x91, 0x20, 0x93, 8 };
	godwarf_u64(&s->loc, UINT64_MAX);
	godwarf_u64(&s->loc, GODWARF_PC);
	godwarf_u64(&s->loc, 0);
	godwarf_u64(&s->loc, 16);
	gocore_add(&s->loc, "\x06\x00\x50\x93\x08\x53\x93\x08", 8);
	godwarf_u64(&s->loc, 16);
	godwarf_u64(&s->loc, GODWARF_PC_END - GODWARF_PC);
	gocore_add(&s->loc, "\x08\x00", 2);
	gocore_add(&s->loc, late, sizeof(late));
	godwarf_u64(&s->loc, 0);
	godwarf_u64(&s->loc, 0);
}

static inline void godwarf_sample(struct godwarf_sample *s)
{
	uint32_t string, length;
	struct strbuf *b = &s->info;
	*s = (struct godwarf_sample){ 0 };
	godwarf_u32(b, 0);
	gocore_add(b, "\x04\x00\x00\x00\x00\x00\x08", 7); // version 4, abbreviations, bytes
	godwarf_entry(b, 1, "runtime");
	godwarf_u8(b, 0x16); // Go
	godwarf_u64(b, GODWARF_PC);
	godwarf_u32(b, 0);
	uint32_t number = godwarf_types(b, &string);
	godwarf_function(s, number, string);
	godwarf_u8(b, 0);
	length = (uint32_t)b->len - 4;
	memcpy(b->data, &length, 4);
	godwarf_u64(&s->ranges, 0);
	godwarf_u64(&s->ranges, GODWARF_PC_END - GODWARF_PC);
	godwarf_u64(&s->ranges, 0);
	godwarf_u64(&s->ranges, 0);
}

static inline void godwarf_sample_deinit(struct godwarf_sample *s)
{
	strbuf_deinit(&s->info);
	strbuf_deinit(&s->loc);
	strbuf_deinit(&s->ranges);
}
