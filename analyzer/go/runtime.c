// SPDX-License-Identifier: LGPL-2.1-or-later
#include "runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "globals.h"
#include "version.h"

enum {
	PAGE = 4096,
	// Data of the largest programs: some hundred MiB would be a heap, not data.
	DATA_MAX_BYTES = 256 << 20,
	TEXT_MAX_BYTES = 512 << 20,
	// A program has one; each costs a look through its data.
	TABLES_MAX = 32,
};

uint64_t go_u64(struct go_runtime *rt, uint64_t addr, enum go_field field)
{
	uint64_t v = 0;
	if (rt->layout.offset[field] != GO_NONE)
		(void)memory_u64(rt->mem, addr + (uint64_t)rt->layout.offset[field], &v); // 0 then
	return v;
}

uint32_t go_u32(struct go_runtime *rt, uint64_t addr, enum go_field field)
{
	uint32_t v = 0;
	if (rt->layout.offset[field] != GO_NONE)
		(void)memory_u32(rt->mem, addr + (uint64_t)rt->layout.offset[field], &v);
	return v;
}

uint8_t go_u8(struct go_runtime *rt, uint64_t addr, enum go_field field)
{
	uint8_t v = 0;
	if (rt->layout.offset[field] != GO_NONE)
		(void)memory_u8(rt->mem, addr + (uint64_t)rt->layout.offset[field], &v);
	return v;
}

bool go_is_g(struct go_runtime *rt, uint64_t addr)
{
	enum { STATUS_MAX = 11, SCAN = 0x1000 };
	uint32_t status;
	if (!addr || addr & 7 || rt->layout.offset[GO_G_ATOMICSTATUS] == GO_NONE ||
	    !memory_u32(rt->mem, addr + (uint64_t)rt->layout.offset[GO_G_ATOMICSTATUS], &status))
		return false;
	uint64_t lo = go_u64(rt, addr, GO_G_STACK_LO), hi = go_u64(rt, addr, GO_G_STACK_HI);
	uint64_t self = go_u64(rt, addr, GO_G_SCHED_G);
	// A g that never ran, or whose stack was freed, has none.
	return (status & ~(uint32_t)SCAN) <= STATUS_MAX && lo <= hi && (lo == 0) == (hi == 0) &&
	       (!self || self == addr);
}

bool go_is_m(struct go_runtime *rt, uint64_t addr)
{
	uint64_t g0 = addr && !(addr & 7) ? go_u64(rt, addr, GO_M_G0) : 0;
	return g0 && go_is_g(rt, g0) && go_u64(rt, g0, GO_G_M) == addr;
}

char *go_copy_string(struct memory *mem, uint64_t addr, size_t max, size_t *ret_len)
{
	uint64_t data, len;
	if (!addr || !memory_u64(mem, addr, &data) || !memory_u64(mem, addr + 8, &len) ||
	    len > max)
		return NULL;
	char *text = malloc(len + 1);
	if (!text || !memory_read(mem, data, text, len)) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	*ret_len = len;
	return text;
}

// ---- the table of functions ----------------------------------------------------------------

/// Does a header of pclntab begin with these 8 bytes? The oldest version that makes such, or 0.
static int pclntab_era(const uint8_t *p, uint8_t quantum)
{
	static const struct {
		uint8_t low;
		int minor;
	} eras[] = { { 0xfb, 11 }, { 0xfa, 16 }, { 0xf0, 18 }, { 0xf1, 20 } };
	if (p[1] != 0xff || p[2] != 0xff || p[3] != 0xff || p[4] || p[5] || p[6] != quantum ||
	    p[7] != 8)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(eras); i++)
		if (p[0] == eras[i].low)
			return eras[i].minor;
	return 0;
}

/// Looks for something word by word in a range; @fn is called with the address and the word.
struct word_search {
	struct go_runtime *rt;
	uint64_t start, end; ///< the image
	uint32_t flags; ///< regions that have all of them
	uint64_t word; ///< 0: a header of pclntab
	bool (*fn)(struct go_runtime *rt, uint64_t addr);
};

static bool scan_words(struct word_search *s, uint64_t start, uint64_t end)
{
	uint8_t page[PAGE];
	uint64_t limit = end > start ? end - start + 8 : 0;
	// The next page of the last one is the first one of all.
	for (uint64_t at = start & ~7ULL; at < end && end - at <= limit; at += PAGE) {
		size_t n = memory_read_some(s->rt->mem, at, page, MIN((uint64_t)PAGE, end - at));
		for (size_t i = 0; i + 8 <= n; i += 8) {
			bool hit = s->word ? !memcmp(page + i, &s->word, 8) :
					     pclntab_era(page + i, s->rt->arch->quantum) != 0;
			if (hit && s->fn(s->rt, at + i))
				return true;
		}
	}
	return false;
}

static bool scan_region(void *userdata, const struct mem_region *region)
{
	struct word_search *s = userdata;
	uint64_t start = MAX(region->start, s->start), end = MIN(region->end, s->end);
	end = MIN(end, start + TEXT_MAX_BYTES);
	return (region->flags & s->flags) == s->flags && scan_words(s, start, end);
}

/// Looks through the writable data of the image.
static bool scan_data(struct go_runtime *rt, uint64_t word,
		      bool (*fn)(struct go_runtime *rt, uint64_t addr))
{
	const struct image *image = rt->image;
	struct word_search s = { rt, image->start, image->end, MEM_WRITE, word, fn };
	bool any = false;
	for (size_t i = 0; i < image->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &image->elf.phdrs[i];
		uint64_t start = image->bias + p->p_vaddr;
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_W))
			continue;
		any = true;
		if (scan_words(&s, start, start + MIN(p->p_filesz, (uint64_t)DATA_MAX_BYTES)))
			return true;
	}
	return !any && memory_each(rt->mem, MEM_CORE, image->start, image->end, scan_region, &s);
}

/// The layout that the version says, or else the one that the format of the table allows.
static bool try_layout(struct go_runtime *rt, int minor, uint64_t addr)
{
	struct go_module m;
	struct go_layout layout;
	if (!go_layout_init(&layout, minor, rt->patch))
		return false;
	if (rt->layout_read && !(go_runtime_dwarf(rt) && go_dwarf_layout(rt->dwarf, &layout)))
		rt->layout_read = false; // the table has to do
	if (!go_module_read(rt->mem, &layout, addr, &m))
		return false;
	rt->layout = layout;
	rt->minor = minor;
	go_symtab_init(&rt->symtab, rt->mem, &rt->layout, rt->arch->quantum);
	return go_symtab_add(&rt->symtab, &m) == 0;
}

static bool try_module(struct go_runtime *rt, uint64_t addr)
{
	if (rt->symtab.n_modules)
		return true;
	if (rt->minor)
		return try_layout(rt, rt->minor, addr);
	// No version: the newest layout that fits, as moduledata differs between most.
	for (int minor = GO_MINOR_MAX; minor >= GO_MINOR_MIN; minor--)
		if (try_layout(rt, minor, addr))
			return true;
	return false;
}

/// Finds the moduledata that has this table of functions as its first field.
static bool try_pclntab(struct go_runtime *rt, uint64_t addr)
{
	uint8_t head[8];
	if (++rt->tables_tried > TABLES_MAX)
		return true; // enough: this is no program
	if (!memory_read(rt->mem, addr, head, sizeof(head)) ||
	    !pclntab_era(head, rt->arch->quantum))
		return false;
	const Elf64_Shdr *section = elf_section(&rt->image->elf, ".go.module"); // ≥ 1.26
	if (section && try_module(rt, rt->image->bias + section->sh_addr))
		return true;
	return scan_data(rt, addr, try_module);
}

static bool find_module(struct go_runtime *rt)
{
	static const char *const sections[] = { ".gopclntab", ".data.rel.ro.gopclntab" };
	const struct image *image = rt->image;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const Elf64_Shdr *s = elf_section(&image->elf, sections[i]);
		if (s && try_pclntab(rt, image->bias + s->sh_addr))
			return true;
	}
	if (elf_section(&image->elf, ".text") && !rt->version[0])
		return false; // a program with sections and none of Go's: not Go
	struct word_search s = { rt, image->start, image->end, MEM_READ, 0, try_pclntab };
	bool any = false;
	for (size_t i = 0; i < image->elf.n_phdrs; i++) {
		const Elf64_Phdr *p = &image->elf.phdrs[i];
		uint64_t start = image->bias + p->p_vaddr;
		if (p->p_type != PT_LOAD)
			continue;
		any = true;
		if (scan_words(&s, start, start + MIN(p->p_filesz, (uint64_t)TEXT_MAX_BYTES)))
			return true;
	}
	return !any && memory_each(rt->mem, MEM_CORE, image->start, image->end, scan_region, &s);
}

/// Data files are mapped as well, and may be larger than all memory: only programs are searched.
static bool may_be_program(struct core *core, const struct image *image)
{
	char magic[SELFMAG];
	if (image->elf.source || image->is_program)
		return true;
	return memory_read(&core->memory, image->start, magic, sizeof(magic)) &&
	       !memcmp(magic, ELFMAG, SELFMAG);
}

struct go_dwarf *go_runtime_dwarf(struct go_runtime *rt)
{
	const struct elf_file *elf = rt->dwarf ? NULL : image_debug(rt->image);
	if (elf)
		rt->dwarf = go_dwarf_open(elf);
	return rt->dwarf;
}

/// Has everything been found that every Go program has?
static bool find_all(struct go_runtime *rt)
{
	if (!find_module(rt) || !rt->symtab.n_modules)
		return false;
	go_globals_find(rt);
	return rt->globals.allgs && rt->globals.allm && rt->globals.allp;
}

/**
 * Debugging information is preferred to our table where that may be wrong: of a version that it
 * does not have, of a runtime built with experiments ("go1.27.4-X:staticlockranking"), and when
 * what it leads to is not what it should be. Otherwise it is not even looked for, since large
 * programs have a lot of it.
 */
static bool find_runtime(struct go_runtime *rt)
{
	rt->layout_read = rt->newer || !rt->minor || strstr(rt->version, "X:");
	if (find_all(rt))
		return true;
	if (rt->layout_read || !rt->version[0] || !go_runtime_dwarf(rt))
		return rt->symtab.n_modules;
	go_symtab_deinit(&rt->symtab);
	rt->globals = (struct go_globals){ 0 };
	rt->layout_read = true;
	(void)find_all(rt); // what there is, is good
	return rt->symtab.n_modules;
}

struct snap_error *go_runtime_find(struct core *core, struct image *image,
				   struct go_runtime **ret)
{
	*ret = NULL;
	if (!may_be_program(core, image))
		return NULL;
	_cleanup_(go_runtime_destroyp) struct go_runtime *rt = calloc(1, sizeof(*rt));
	if (!rt)
		return snap_error_oom();
	rt->core = core;
	rt->mem = &core->memory;
	rt->image = image;
	rt->arch = go_arch_of(core->machine);
	if (!rt->arch)
		return NULL;
	if (go_version_read(rt) && !go_version_parse(rt->version, &rt->minor, &rt->patch))
		rt->minor = 0;
	rt->newer = rt->minor > GO_MINOR_MAX;
	if (!find_runtime(rt))
		return NULL;
	*ret = TAKE_PTR(rt);
	return NULL;
}

void go_runtime_destroy(struct go_runtime *rt)
{
	if (!rt)
		return;
	go_symtab_deinit(&rt->symtab);
	go_dwarf_close(rt->dwarf);
	free(rt->modinfo);
	free(rt);
}
