// SPDX-License-Identifier: LGPL-2.1-or-later
#include "version.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

// src/debug/buildinfo/buildinfo.go
static const char magic[14] = "\xff Go buildinf:";
enum {
	HEADER_BYTES = 32,
	FLAGS_AT = 15,
	FLAG_INLINE = 2, ///< strings follow the header; else it has pointers to them
	ALIGN = 16,
	SENTINEL_BYTES = 16, ///< around modinfo
	// Modules of the largest programs: some thousand lines.
	MODINFO_MAX = 4 << 20,
	PAGE = 4096,
	// It lies at the beginning of the data; more is only looked through for want of it.
	SCAN_MAX_BYTES = 64 << 20,
};

static bool number(const char **p, int *ret)
{
	int v = 0;
	const char *start = *p;
	for (; **p >= '0' && **p <= '9' && v < 100000; ++*p)
		v = v * 10 + (**p - '0');
	*ret = v;
	return *p > start;
}

bool go_version_parse(const char *text, int *ret_minor, int *ret_patch)
{
	const char *p = strstr(text, "go1.");
	int minor, patch = 0;
	if (!p)
		return false;
	p += 4;
	if (!number(&p, &minor))
		return false;
	if (*p == '.') {
		p++;
		(void)number(&p, &patch); // 0 then
	}
	*ret_minor = minor;
	*ret_patch = patch;
	return true;
}

/// A string with its length before it, as a varint; moves @addr behind it.
static char *inline_string(struct memory *mem, uint64_t *addr, size_t max, size_t *ret_len)
{
	uint64_t len = 0;
	for (int shift = 0;; shift += 7) {
		uint8_t byte;
		if (shift > 28 || !memory_u8(mem, (*addr)++, &byte))
			return NULL;
		len |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	if (len > max)
		return NULL;
	char *text = malloc(len + 1);
	if (!text || !memory_read(mem, *addr, text, len)) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	*addr += len;
	*ret_len = len;
	return text;
}

static void take(struct go_runtime *rt, const char *version, const char *modinfo, size_t len)
{
	if (version) {
		strncpy(rt->version, version, sizeof(rt->version) - 1);
		rt->version[sizeof(rt->version) - 1] = '\0';
	}
	if (modinfo && len > 2 * SENTINEL_BYTES && !rt->modinfo)
		rt->modinfo = strndup(modinfo + SENTINEL_BYTES, len - 2 * SENTINEL_BYTES);
}

static bool read_at(struct go_runtime *rt, uint64_t addr)
{
	uint8_t bytes[HEADER_BYTES];
	size_t len = 0, mod_len = 0;
	if (!memory_read(rt->mem, addr, bytes, sizeof(bytes)) ||
	    memcmp(bytes, magic, sizeof(magic)) != 0)
		return false;
	struct span header = span_of(bytes, sizeof(bytes));
	_cleanup_free_ char *version = NULL;
	_cleanup_free_ char *modinfo = NULL;
	if (span_u8(&header, FLAGS_AT) & FLAG_INLINE) {
		addr += HEADER_BYTES;
		version = inline_string(rt->mem, &addr, GO_VERSION_MAX * 4, &len);
		if (version)
			modinfo = inline_string(rt->mem, &addr, MODINFO_MAX, &mod_len);
	} else {
		version = go_copy_string(rt->mem, span_u64(&header, 16), GO_VERSION_MAX * 4, &len);
		modinfo = go_copy_string(rt->mem, span_u64(&header, 24), MODINFO_MAX, &mod_len);
	}
	take(rt, version, modinfo, mod_len);
	return rt->version[0];
}

struct search {
	struct go_runtime *rt;
	uint64_t start, end;
};

static bool scan(struct search *s, uint64_t start, uint64_t end)
{
	uint8_t page[PAGE];
	if (start < end && end - start > SCAN_MAX_BYTES)
		end = start + SCAN_MAX_BYTES;
	// Never beyond the end of all addresses, where the next page would be the first one.
	for (uint64_t at = start; at < end && end - at <= SCAN_MAX_BYTES; at += PAGE) {
		size_t n = memory_read_some(s->rt->mem, at, page, MIN((uint64_t)PAGE, end - at));
		for (size_t i = 0; i + sizeof(magic) <= n; i += ALIGN)
			if (page[i] == 0xff && !memcmp(page + i, magic, sizeof(magic)) &&
			    read_at(s->rt, at + i))
				return true;
	}
	return false;
}

static bool scan_region(void *userdata, const struct mem_region *region)
{
	struct search *s = userdata;
	uint64_t start = MAX(region->start, s->start), end = MIN(region->end, s->end);
	return region->flags & MEM_WRITE && scan(s, ALIGN_UP(start, (uint64_t)ALIGN), end);
}

bool go_version_read(struct go_runtime *rt)
{
	const struct image *image = rt->image;
	const Elf64_Shdr *section = elf_section(&image->elf, ".go.buildinfo");
	if (section && read_at(rt, image->bias + section->sh_addr))
		return true;
	// Without section headers: at the beginning of the first writable segment, or further on.
	struct search s = { rt, image->start, image->end };
	for (size_t i = 0; i < image->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &image->elf.phdrs[i];
		uint64_t start = image->bias + p->p_vaddr;
		if (p->p_type == PT_LOAD && p->p_flags & PF_W &&
		    scan(&s, ALIGN_UP(start, (uint64_t)ALIGN), start + p->p_filesz))
			return true;
	}
	return memory_each(rt->mem, MEM_CORE, image->start, image->end, scan_region, &s);
}
