// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elfid.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fd.h"
#include "str.h"

enum {
	SEGMENTS_MAX = 128, // programs have some ten
	// As much as analyzer/elf.c looks at.
	NOTES_MAX = 64 << 10,
	DYNAMIC_MAX = 64 << 10,
};

struct segment {
	uint32_t type;
	uint64_t offset, addr, file_bytes;
};

struct reader {
	int fd;
	bool wide; ///< 64 bits
	struct segment segments[SEGMENTS_MAX];
	size_t n;
};

/// Where fields are in headers of 64 bits and of 32: elf(5).
static uint64_t field(struct span *span, bool wide, uint64_t at64, uint64_t at32)
{
	return wide ? span_u64(span, at64) : span_u32(span, at32);
}

/// Up to @max bytes at @offset, owned by the caller, with their number; NULL for none.
static uint8_t *read_part(const struct reader *r, uint64_t offset, uint64_t size, size_t max,
			  struct span *ret)
{
	size_t len = (size_t)MIN(size, (uint64_t)max);
	uint8_t *bytes = len && offset < INT64_MAX ? malloc(len) : NULL;
	ssize_t n = bytes ? snap_pread_full(r->fd, bytes, len, offset) : -1;
	*ret = span_of(bytes, n > 0 ? (size_t)n : 0);
	return bytes;
}

static int read_header(struct reader *r)
{
	uint8_t bytes[sizeof(Elf64_Ehdr)];
	ssize_t n = snap_pread_full(r->fd, bytes, sizeof(bytes), 0);
	if (n < 0)
		return (int)n;
	struct span header = span_of(bytes, (size_t)n), table;
	if (n < (ssize_t)sizeof(Elf32_Ehdr) || memcmp(bytes, ELFMAG, SELFMAG) != 0 ||
	    bytes[EI_DATA] != ELFDATA2LSB ||
	    (bytes[EI_CLASS] != ELFCLASS64 && bytes[EI_CLASS] != ELFCLASS32))
		return -EBADMSG;
	r->wide = bytes[EI_CLASS] == ELFCLASS64;
	uint64_t offset = field(&header, r->wide, 32, 28);
	size_t size = span_u16(&header, r->wide ? 54 : 42);
	size_t count = span_u16(&header, r->wide ? 56 : 44);
	if (header.bad || size != (r->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return header.bad ? -EBADMSG : 0;
	_cleanup_free_ uint8_t *headers =
		read_part(r, offset, size * count, size * SEGMENTS_MAX, &table);
	for (size_t at = 0; at + size <= table.size; at += size) {
		struct span one = span_sub(table, at, size);
		r->segments[r->n++] = (struct segment){
			.type = span_u32(&one, 0),
			.offset = field(&one, r->wide, 8, 4),
			.addr = field(&one, r->wide, 16, 8),
			.file_bytes = field(&one, r->wide, 32, 16),
		};
	}
	return 0;
}

static void find_build_id(const struct reader *r, struct elf_build_id *ret)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct segment *s = &r->segments[i];
		struct elf_build_id found = { 0 };
		struct span notes;
		if (s->type != PT_NOTE)
			continue;
		_cleanup_free_ uint8_t *bytes =
			read_part(r, s->offset, s->file_bytes, NOTES_MAX, &notes);
		elf_find_build_id(notes, &found);
		if (found.size && (!ret->size || found.size < ret->size)) // GNU's is the shorter
			*ret = found;
	}
}

/// Where the byte at @addr is in the file; UINT64_MAX: it is not in it.
static uint64_t offset_of(const struct reader *r, uint64_t addr)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct segment *s = &r->segments[i];
		uint64_t offset;
		if (s->type == PT_LOAD && addr >= s->addr && addr - s->addr < s->file_bytes &&
		    !__builtin_add_overflow(s->offset, addr - s->addr, &offset))
			return offset;
	}
	return UINT64_MAX;
}

static void read_name(const struct reader *r, uint64_t addr, char ret[static ELFID_NAME_MAX + 1])
{
	struct span span;
	uint64_t offset = offset_of(r, addr);
	if (offset == UINT64_MAX)
		return;
	_cleanup_free_ uint8_t *bytes =
		read_part(r, offset, ELFID_NAME_MAX + 1, ELFID_NAME_MAX + 1, &span);
	const char *name = span_text(&span, 0);
	if (!name || !*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ||
	    !snap_is_printable(name))
		return;
	memcpy(ret, name, strlen(name) + 1);
}

static void find_soname(const struct reader *r, char ret[static ELFID_NAME_MAX + 1])
{
	const struct segment *dynamic = NULL;
	struct span span;
	for (size_t i = 0; i < r->n && !dynamic; i++)
		if (r->segments[i].type == PT_DYNAMIC)
			dynamic = &r->segments[i];
	if (!dynamic)
		return;
	_cleanup_free_ uint8_t *bytes =
		read_part(r, dynamic->offset, dynamic->file_bytes, DYNAMIC_MAX, &span);
	uint64_t width = r->wide ? 8 : 4, strings = 0, name = 0;
	bool known = false;
	for (uint64_t at = 0; at + 2 * width <= span.size; at += 2 * width) {
		uint64_t tag = field(&span, r->wide, at, at);
		uint64_t value = field(&span, r->wide, at + width, at + width);
		if (tag == DT_NULL)
			break;
		if (tag == DT_STRTAB)
			strings = value;
		if (tag == DT_SONAME) {
			name = value;
			known = true;
		}
	}
	if (known && strings && !__builtin_add_overflow(strings, name, &name))
		read_name(r, name, ret);
}

int elfid_is_elf(int fd)
{
	char magic[SELFMAG];
	ssize_t n = snap_pread_full(fd, magic, sizeof(magic), 0);
	if (n < 0)
		return (int)n;
	return n == (ssize_t)sizeof(magic) && !memcmp(magic, ELFMAG, SELFMAG);
}

int elfid_read(int fd, struct elfid *ret)
{
	struct reader r = { .fd = fd };
	struct elfid id = { 0 };
	int e = read_header(&r);
	if (e < 0)
		return e;
	find_build_id(&r, &id.build_id);
	find_soname(&r, id.soname);
	*ret = id;
	return 0;
}
