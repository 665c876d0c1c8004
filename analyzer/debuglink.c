// SPDX-License-Identifier: LGPL-2.1-or-later
#include "debuglink.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PIECE_BYTES = 64 << 10,
	// Several times the debugging information of Kubernetes, and two seconds of work.
	FILE_MAX_BYTES = 512 << 20,
};

bool debuglink_read(const struct elf_file *elf, struct debuglink *ret)
{
	const Elf64_Shdr *section = elf_section(elf, ".gnu_debuglink");
	char bytes[sizeof(ret->name) + sizeof(uint32_t)] = { 0 };
	uint32_t crc;
	if (!section || section->sh_type == SHT_NOBITS || section->sh_size > sizeof(bytes) ||
	    source_read(elf->source, section->sh_offset, bytes, section->sh_size) !=
		    section->sh_size)
		return false;
	size_t len = strnlen(bytes, section->sh_size);
	// The CRC stands behind the name's NUL, where a multiple of four is.
	size_t at = (len + 4) & ~(size_t)3;
	if (!len || at + sizeof(crc) > section->sh_size || memchr(bytes, '/', len) ||
	    !strcmp(bytes, ".") || !strcmp(bytes, ".."))
		return false;
	memcpy(ret->name, bytes, len + 1);
	memcpy(&crc, bytes + at, sizeof(crc));
	ret->crc = le32toh(crc);
	return true;
}

char *debuglink_place(const struct debuglink *link, const char *program, size_t i)
{
	static const struct {
		const char *before, *behind;
		bool absolute;
	} places[DEBUGLINK_PLACES] = {
		{ "", "./", false },	  { "", "./.debug/", false },
		{ "", "/", true },	  { "", "/.debug/", true },
		{ "/usr/lib/debug", "/", true },
	};
	const char *slash = strrchr(program, '/');
	char *path;
	if (places[i].absolute && (program[0] != '/' || !slash))
		return NULL;
	int dir_len = places[i].absolute ? (int)(slash - program) : 0;
	if (asprintf(&path, "%s%.*s%s%s", places[i].before, dir_len, program, places[i].behind,
		     link->name) < 0)
		return NULL;
	return path;
}

static void make_table(uint32_t table[static 256])
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;
		for (int bit = 0; bit < 8; bit++)
			v = v & 1 ? v >> 1 ^ 0xedb88320 : v >> 1;
		table[i] = v;
	}
}

bool debuglink_fits(const struct debuglink *link, struct source *source)
{
	uint32_t table[256], crc = UINT32_MAX;
	uint64_t size = source_size(source);
	_cleanup_free_ uint8_t *piece = malloc(PIECE_BYTES);
	if (!piece || size > FILE_MAX_BYTES)
		return false;
	make_table(table);
	for (uint64_t at = 0; at < size; at += PIECE_BYTES) {
		size_t want = MIN(size - at, (uint64_t)PIECE_BYTES);
		if (source_read_once(source, at, piece, want) != want)
			return false;
		for (size_t i = 0; i < want; i++)
			crc = table[(crc ^ piece[i]) & 0xff] ^ crc >> 8;
	}
	return ~crc == link->crc;
}
