// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symtab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	// Names of generic functions carry their types; a few KiB were seen.
	STRING_MAX = 1 << 16,
	// A table of pc values belongs to one function: the largest seen had 100 KiB.
	PCVALUE_MAX_BYTES = 4 << 20,
	INLINE_DEPTH_MAX = 512,
	// Functions of the largest programs: half a million.
	FTAB_MAX = 16 << 20,
	MODULES_MAX = 1024, // plugins
	CHUNK = 256,
};

void go_symtab_init(struct go_symtab *tab, struct memory *mem, const struct go_layout *layout,
		    uint8_t quantum)
{
	*tab = (struct go_symtab){ .mem = mem, .layout = layout, .quantum = quantum };
}

void go_symtab_deinit(struct go_symtab *tab)
{
	for (size_t i = 0; i < tab->n_funcs; i++)
		free(tab->funcs[i]);
	for (size_t i = 0; i < tab->n_places; i++)
		free(tab->places[i].lines);
	for (size_t i = 0; i < tab->n_strings; i++)
		free(tab->strings[i]);
	free(tab->funcs);
	free(tab->places);
	free(tab->strings);
	free(tab->modules);
	map_deinit(&tab->funcs_at);
	map_deinit(&tab->places_at);
	map_deinit(&tab->strings_at);
	map_deinit(&tab->deltas_at);
	*tab = (struct go_symtab){ 0 };
}

// ---- modules -------------------------------------------------------------------------------

static uint64_t field(struct memory *mem, const struct go_layout *layout, uint64_t addr,
		      enum go_field f)
{
	uint64_t v = 0;
	if (layout->offset[f] != GO_NONE)
		(void)memory_u64(mem, addr + (uint64_t)layout->offset[f], &v); // 0 fails the checks
	return v;
}

static struct go_slice slice(struct memory *mem, const struct go_layout *layout, uint64_t addr,
			     enum go_field f)
{
	struct go_slice s = { 0 };
	if (layout->offset[f] == GO_NONE)
		return s;
	uint64_t at = addr + (uint64_t)layout->offset[f];
	if (!memory_u64(mem, at, &s.addr) || !memory_u64(mem, at + 8, &s.len))
		return (struct go_slice){ 0 };
	return s;
}

/// The pc where entry @i of the function table begins; the last one is the end.
static bool ftab_pc(struct memory *mem, const struct go_layout *layout, const struct go_module *m,
		    uint64_t i, uint64_t *ret)
{
	uint8_t size = layout->format.functab_entry_bytes;
	if (size == 16)
		return memory_u64(mem, m->ftab.addr + i * 16, ret);
	uint32_t offset;
	if (!memory_u32(mem, m->ftab.addr + i * 8, &offset))
		return false;
	*ret = m->text + offset;
	return true;
}

static bool check_module(struct memory *mem, const struct go_layout *layout,
			 const struct go_module *m)
{
	enum { TEXT_SLACK = 16 }; // the linker may align the end
	uint64_t first, last;
	if (!m->min_pc || m->min_pc >= m->max_pc || m->text > m->min_pc ||
	    m->max_pc > m->etext + TEXT_SLACK || m->ftab.len < 2 || m->ftab.len > FTAB_MAX)
		return false;
	return ftab_pc(mem, layout, m, 0, &first) && first == m->min_pc &&
	       ftab_pc(mem, layout, m, m->ftab.len - 1, &last) && last == m->max_pc;
}

bool go_module_read(struct memory *mem, const struct go_layout *layout, uint64_t addr,
		    struct go_module *ret)
{
#define FIELD(f) field(mem, layout, addr, GO_MODULE_##f)
#define SLICE(f) slice(mem, layout, addr, GO_MODULE_##f)
	struct go_module m = {
		.addr = addr,
		.funcnametab = SLICE(FUNCNAMETAB),
		.cutab = SLICE(CUTAB),
		.filetab = SLICE(FILETAB),
		.pctab = SLICE(PCTAB),
		.pclntable = SLICE(PCLNTABLE),
		.ftab = SLICE(FTAB),
		.min_pc = FIELD(MINPC),
		.max_pc = FIELD(MAXPC),
		.text = FIELD(TEXT),
		.etext = FIELD(ETEXT),
		.noptrdata = FIELD(NOPTRDATA),
		.enoptrdata = FIELD(ENOPTRDATA),
		.data = FIELD(DATA),
		.edata = FIELD(EDATA),
		.bss = FIELD(BSS),
		.ebss = FIELD(EBSS),
		.noptrbss = FIELD(NOPTRBSS),
		.enoptrbss = FIELD(ENOPTRBSS),
		.types = FIELD(TYPES),
		.etypes = FIELD(ETYPES),
		.gofunc = FIELD(GOFUNC),
		.next = FIELD(NEXT),
	};
#undef FIELD
#undef SLICE
	if (!layout->format.cu_table) { // ≤ 1.15: all in one table
		m.pclntab = m.pclntable.addr;
		m.funcnametab = m.pctab = m.pclntable;
	} else {
		m.pclntab = field(mem, layout, addr, GO_MODULE_PC_HEADER);
		m.cutab.len *= 4; // bytes from now on; ≤ 1.25 it is too long, which does no harm
	}
	if (!check_module(mem, layout, &m))
		return false;
	*ret = m;
	return true;
}

int go_symtab_add(struct go_symtab *tab, const struct go_module *module)
{
	struct go_module m = *module;
	for (;;) {
		for (size_t i = 0; i < tab->n_modules; i++)
			if (tab->modules[i].addr == m.addr)
				return 0;
		if (tab->n_modules == MODULES_MAX)
			return 0;
		struct go_module *bigger = reallocarray(tab->modules, tab->n_modules + 1,
							sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		tab->modules = bigger;
		tab->modules[tab->n_modules++] = m;
		if (!m.next || !go_module_read(tab->mem, tab->layout, m.next, &m))
			return 0;
	}
}

// ---- strings -------------------------------------------------------------------------------

static char *read_string(struct memory *mem, uint64_t addr)
{
	char *text = NULL;
	for (size_t len = 0; len < STRING_MAX;) {
		char *bigger = realloc(text, len + CHUNK + 1);
		if (!bigger)
			break;
		text = bigger;
		size_t n = memory_read_some(mem, addr + len, text + len, CHUNK);
		text[len + n] = '\0';
		if (strlen(text + len) < n) {
			char *fit = realloc(text, len + strlen(text + len) + 1);
			return fit ? fit : text;
		}
		if (n < CHUNK)
			break;
		len += n;
	}
	free(text);
	return NULL;
}

/// Takes ownership of @text.
static const char *keep_string(struct go_symtab *tab, uint64_t addr, char *text)
{
	if (text && !(tab->n_strings & (tab->n_strings - 1))) { // grows by doubling
		char **bigger = reallocarray(tab->strings, MAX(tab->n_strings * 2, (size_t)1),
					     sizeof(*bigger));
		if (!bigger) {
			free(text);
			return NULL;
		}
		tab->strings = bigger;
	}
	if (!text)
		return NULL;
	tab->strings[tab->n_strings] = text;
	(void)map_set(&tab->strings_at, addr, (uint32_t)tab->n_strings); // read again otherwise
	tab->n_strings++;
	return text;
}

const char *go_symtab_keep(struct go_symtab *tab, uint64_t addr, const char *text)
{
	uint32_t index;
	if (map_get(&tab->strings_at, addr, &index) && !strcmp(tab->strings[index], text))
		return tab->strings[index];
	return keep_string(tab, addr, strdup(text));
}

const char *go_string_at(struct go_symtab *tab, uint64_t addr)
{
	uint32_t index;
	if (map_get(&tab->strings_at, addr, &index))
		return tab->strings[index];
	return keep_string(tab, addr, read_string(tab->mem, addr));
}

// ---- functions -----------------------------------------------------------------------------

static enum go_role role_of(const char *name)
{
	static const struct {
		const char *name;
		enum go_role role;
	} roles[] = {
		{ "goexit", GO_ROLE_GOEXIT },
		{ "mstart", GO_ROLE_MSTART },
		{ "mcall", GO_ROLE_MCALL },
		{ "morestack", GO_ROLE_MORESTACK },
		{ "rt0_go", GO_ROLE_RT0 },
		{ "systemstack", GO_ROLE_SYSTEMSTACK },
		{ "systemstack_switch", GO_ROLE_SYSTEMSTACK_SWITCH },
		{ "asmcgocall", GO_ROLE_ASMCGOCALL },
		{ "cgocallback", GO_ROLE_CGOCALLBACK },
		{ "cgocallback_gofunc", GO_ROLE_CGOCALLBACK },
		{ "sigpanic", GO_ROLE_SIGPANIC },
		{ "asyncPreempt", GO_ROLE_ASYNC_PREEMPT },
		{ "debugCallV1", GO_ROLE_DEBUG_CALL },
		{ "debugCallV2", GO_ROLE_DEBUG_CALL },
		{ "sigtramp", GO_ROLE_SIGTRAMP },
		{ "gogo", GO_ROLE_GOGO },
		{ "gopanic", GO_ROLE_GOPANIC },
	};
	if (strncmp(name, "runtime.", 8) != 0)
		return GO_ROLE_OTHER;
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (!strcmp(name + 8, roles[i].name))
			return roles[i].role;
	return GO_ROLE_OTHER;
}

/// Before 1.17 functions have no flags; what they would say was a list in the runtime.
static uint8_t old_flags(enum go_role role)
{
	switch (role) {
	case GO_ROLE_GOEXIT:
	case GO_ROLE_MSTART:
	case GO_ROLE_MCALL:
	case GO_ROLE_MORESTACK:
	case GO_ROLE_RT0:
		return GO_FUNC_TOP_FRAME;
	default:
		return 0;
	}
}

static const char *name_of(struct go_symtab *tab, const struct go_module *m, uint32_t offset)
{
	const char *name = offset < m->funcnametab.len ?
				   go_string_at(tab, m->funcnametab.addr + offset) :
				   NULL;
	return name ? name : "?";
}

/// Fills in the function whose struct _func lies at @f->addr.
static bool read_func(struct go_symtab *tab, struct go_func *f)
{
	enum { FUNC_BYTES = 48 };
	const struct go_format *fmt = &tab->layout->format;
	uint8_t bytes[FUNC_BYTES];
	struct span s = span_of(bytes, memory_read_some(tab->mem, f->addr, bytes, sizeof(bytes)));
	f->name = name_of(tab, f->module, span_u32(&s, fmt->func_name));
	f->args = (int32_t)span_u32(&s, fmt->func_args);
	f->pcsp = span_u32(&s, fmt->func_pcsp);
	f->pcfile = span_u32(&s, fmt->func_pcfile);
	f->pcln = span_u32(&s, fmt->func_pcln);
	f->npcdata = span_u32(&s, fmt->func_npcdata);
	f->nfuncdata = span_u8(&s, fmt->func_nfuncdata);
	f->id = span_u8(&s, fmt->func_id);
	f->cu = fmt->cu_table ? span_u32(&s, fmt->func_cu) : 0;
	f->role = role_of(f->name);
	f->flags = fmt->func_flag == GO_FORMAT_NONE ? old_flags(f->role) :
						      span_u8(&s, fmt->func_flag);
	return !s.bad && f->npcdata < 256;
}

static const struct go_module *module_at(const struct go_symtab *tab, uint64_t pc)
{
	for (size_t i = 0; i < tab->n_modules; i++)
		if (pc >= tab->modules[i].min_pc && pc < tab->modules[i].max_pc)
			return &tab->modules[i];
	return NULL;
}

/// The entry of the function table that @pc is in.
static bool search(struct go_symtab *tab, const struct go_module *m, uint64_t pc, uint64_t *ret)
{
	uint64_t low = 0, high = m->ftab.len - 1;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2, at;
		if (!ftab_pc(tab->mem, tab->layout, m, mid, &at))
			return false;
		if (at <= pc)
			low = mid;
		else
			high = mid;
	}
	*ret = low;
	return true;
}

static bool func_of_entry(struct go_symtab *tab, const struct go_module *m, uint64_t i,
			  struct go_func *ret)
{
	struct go_func f = { .module = m };
	uint64_t offset = 0;
	if (tab->layout->format.functab_entry_bytes == 16) {
		if (!memory_u64(tab->mem, m->ftab.addr + i * 16 + 8, &offset))
			return false;
	} else {
		uint32_t o;
		if (!memory_u32(tab->mem, m->ftab.addr + i * 8 + 4, &o))
			return false;
		offset = o;
	}
	if (offset >= m->pclntable.len || !ftab_pc(tab->mem, tab->layout, m, i, &f.entry) ||
	    !ftab_pc(tab->mem, tab->layout, m, i + 1, &f.end))
		return false;
	f.addr = m->pclntable.addr + offset;
	if (!read_func(tab, &f))
		return false;
	*ret = f;
	return true;
}

/// Keeps @f, one object for each function, and remembers that @pc is in it.
static const struct go_func *keep_func(struct go_symtab *tab, const struct go_func *f, uint64_t pc)
{
	uint32_t index;
	if (!map_get(&tab->funcs_at, f->entry, &index)) {
		if (!(tab->n_funcs & (tab->n_funcs - 1))) {
			struct go_func **bigger = reallocarray(tab->funcs,
							       MAX(tab->n_funcs * 2, (size_t)1),
							       sizeof(*bigger));
			if (!bigger)
				return NULL;
			tab->funcs = bigger;
		}
		struct go_func *copy = malloc(sizeof(*copy));
		if (!copy)
			return NULL;
		*copy = *f;
		index = (uint32_t)tab->n_funcs;
		tab->funcs[tab->n_funcs++] = copy;
		(void)map_set(&tab->funcs_at, f->entry, index); // looked up again otherwise
	}
	if (pc != f->entry)
		(void)map_set(&tab->funcs_at, pc, index);
	return tab->funcs[index];
}

const struct go_func *go_func_at(struct go_symtab *tab, uint64_t pc)
{
	uint32_t index;
	if (map_get(&tab->funcs_at, pc, &index))
		return tab->funcs[index];
	const struct go_module *m = module_at(tab, pc);
	struct go_func f;
	uint64_t i;
	if (!m || !search(tab, m, pc, &i) || !func_of_entry(tab, m, i, &f) || pc < f.entry ||
	    pc >= f.end)
		return NULL;
	return keep_func(tab, &f, pc);
}

const struct go_func *go_func_named(struct go_symtab *tab, const char *name)
{
	char text[128];
	size_t len = strlen(name) + 1;
	const struct go_format *fmt = &tab->layout->format;
	for (size_t j = 0; len <= sizeof(text) && j < tab->n_modules; j++) {
		const struct go_module *m = &tab->modules[j];
		for (uint64_t i = 0; i + 1 < m->ftab.len; i++) {
			uint64_t offset = 0;
			uint32_t name_at = 0;
			// Little-endian: the low half of a 64-bit offset comes first.
			(void)memory_read(tab->mem,
					  m->ftab.addr + i * fmt->functab_entry_bytes +
						  fmt->functab_entry_bytes / 2,
					  &offset, fmt->functab_entry_bytes / 2);
			if (offset >= m->pclntable.len ||
			    !memory_u32(tab->mem, m->pclntable.addr + offset + fmt->func_name,
					&name_at) ||
			    name_at >= m->funcnametab.len ||
			    !memory_read(tab->mem, m->funcnametab.addr + name_at, text, len) ||
			    memcmp(text, name, len) != 0)
				continue;
			struct go_func f;
			if (func_of_entry(tab, m, i, &f))
				return keep_func(tab, &f, f.entry);
		}
	}
	return NULL;
}

// ---- tables by pc --------------------------------------------------------------------------

/// Reads bytes one after the other, from a window over the memory.
struct reader {
	struct memory *mem;
	uint64_t addr, end;
	uint8_t window[CHUNK];
	size_t pos, len;
};

static bool next_byte(struct reader *r, uint8_t *ret)
{
	if (r->pos == r->len) {
		size_t want = MIN((uint64_t)CHUNK, r->end - r->addr);
		r->len = memory_read_some(r->mem, r->addr, r->window, want);
		r->addr += r->len;
		r->pos = 0;
		if (!r->len)
			return false;
	}
	*ret = r->window[r->pos++];
	return true;
}

static bool next_varint(struct reader *r, uint32_t *ret)
{
	uint32_t v = 0;
	for (int shift = 0; shift < 32; shift += 7) {
		uint8_t byte;
		if (!next_byte(r, &byte))
			return false;
		v |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/// The value at @pc in the table at @offset of pctab; false when it does not reach so far.
static bool pcvalue(struct go_symtab *tab, const struct go_func *f, uint32_t offset, uint64_t pc,
		    int32_t *ret)
{
	const struct go_slice *t = &f->module->pctab;
	if (!offset || offset >= t->len)
		return false;
	struct reader r = { .mem = tab->mem, .addr = t->addr + offset };
	r.end = r.addr + MIN(t->len - offset, (uint64_t)PCVALUE_MAX_BYTES);
	int64_t value = -1;
	uint64_t at = f->entry;
	for (bool first = true;; first = false) {
		uint32_t delta, bytes;
		if (!next_varint(&r, &delta) || (!delta && !first) || !next_varint(&r, &bytes))
			return false;
		value += delta & 1 ? -(int64_t)(delta >> 1) - 1 : (int64_t)(delta >> 1);
		at += (uint64_t)bytes * tab->quantum;
		if (pc < at)
			break;
	}
	*ret = (int32_t)value;
	return true;
}

bool go_sp_delta(struct go_symtab *tab, const struct go_func *func, uint64_t pc, int32_t *ret)
{
	uint32_t known;
	int32_t value = -1;
	if (!map_get(&tab->deltas_at, pc, &known)) {
		if (!pcvalue(tab, func, func->pcsp, pc, &value))
			value = -1; // no frame is that small
		known = (uint32_t)value;
		(void)map_set(&tab->deltas_at, pc, known); // looked up again otherwise
	}
	if ((int32_t)known < 0)
		return false;
	*ret = (int32_t)known;
	return true;
}

int32_t go_pcdata(struct go_symtab *tab, const struct go_func *func, uint8_t table, uint64_t pc)
{
	uint32_t offset;
	int32_t value;
	if (table == GO_FORMAT_NONE || table >= func->npcdata ||
	    !memory_u32(tab->mem, func->addr + tab->layout->format.func_pcdata + table * 4ULL,
			&offset) ||
	    !pcvalue(tab, func, offset, pc, &value))
		return -1;
	return value;
}

uint64_t go_funcdata(struct go_symtab *tab, const struct go_func *func, uint8_t index)
{
	if (index == GO_FORMAT_NONE || index >= func->nfuncdata)
		return 0;
	uint64_t at = func->addr + tab->layout->format.func_pcdata + func->npcdata * 4ULL;
	if (tab->layout->format.funcdata_offsets) {
		uint32_t offset;
		if (!memory_u32(tab->mem, at + index * 4ULL, &offset) || offset == UINT32_MAX)
			return 0;
		return func->module->gofunc + offset;
	}
	uint64_t addr = 0;
	(void)memory_u64(tab->mem, ALIGN_UP(at, (uint64_t)8) + index * 8ULL, &addr); // 0 then
	return addr;
}

// ---- files and lines -----------------------------------------------------------------------

static const char *file_of(struct go_symtab *tab, const struct go_func *f, int32_t index)
{
	const struct go_module *m = f->module;
	uint32_t offset;
	const char *name = NULL;
	if (index < 0)
		return "?";
	if (!tab->layout->format.cu_table) {
		if ((uint64_t)index < m->filetab.len &&
		    memory_u32(tab->mem, m->filetab.addr + (uint64_t)index * 4, &offset) &&
		    offset < m->pclntable.len)
			name = go_string_at(tab, m->pclntable.addr + offset);
	} else {
		uint64_t at = ((uint64_t)f->cu + (uint64_t)index) * 4;
		if (at + 4 <= m->cutab.len && memory_u32(tab->mem, m->cutab.addr + at, &offset) &&
		    offset < m->filetab.len)
			name = go_string_at(tab, m->filetab.addr + offset);
	}
	return name ? name : "?";
}

static void file_line(struct go_symtab *tab, const struct go_func *f, uint64_t pc,
		      struct go_line *line)
{
	int32_t file = -1;
	line->line = 0;
	line->file = "?";
	if (pcvalue(tab, f, f->pcfile, pc, &file))
		line->file = file_of(tab, f, file);
	if (!pcvalue(tab, f, f->pcln, pc, &line->line))
		line->line = 0;
}

/// One entry of the inline tree.
struct inlined {
	const char *name;
	uint8_t id;
	uint64_t parent_pc;
	int32_t parent, file, line; // ≤ 1.11 only
};

static bool read_inlined(struct go_symtab *tab, const struct go_func *f, uint64_t tree,
			 int32_t index, struct inlined *ret)
{
	const struct go_format *fmt = &tab->layout->format;
	uint8_t bytes[20];
	if (index < 0 || !memory_read(tab->mem, tree + (uint64_t)index * fmt->inl_bytes, bytes,
				      fmt->inl_bytes))
		return false;
	struct span s = span_of(bytes, fmt->inl_bytes);
	*ret = (struct inlined){
		.name = name_of(tab, f->module, span_u32(&s, fmt->inl_name)),
		.id = fmt->inl_id == GO_FORMAT_NONE ? 0 : span_u8(&s, fmt->inl_id),
	};
	if (fmt->inl_parent_pc != GO_FORMAT_NONE) {
		ret->parent_pc = f->entry + span_u32(&s, fmt->inl_parent_pc);
	} else {
		ret->parent = (int16_t)span_u16(&s, fmt->inl_parent);
		ret->file = (int32_t)span_u32(&s, fmt->inl_file);
		ret->line = (int32_t)span_u32(&s, fmt->inl_line);
	}
	return !s.bad;
}

static struct go_line *add_line(struct go_place *place)
{
	struct go_line *bigger = reallocarray(place->lines, place->n + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	place->lines = bigger;
	return &place->lines[place->n++];
}

static struct go_place build_place(struct go_symtab *tab, const struct go_func *f, uint64_t pc)
{
	const struct go_format *fmt = &tab->layout->format;
	struct go_place place = { 0 };
	uint64_t tree = go_funcdata(tab, f, fmt->funcdata_inltree);
	int32_t index = tree ? go_pcdata(tab, f, fmt->pcdata_inltree, pc) : -1;
	struct go_line where = { 0 };
	struct inlined in;
	file_line(tab, f, pc, &where);
	for (int depth = 0; depth < INLINE_DEPTH_MAX && read_inlined(tab, f, tree, index, &in);
	     depth++) {
		struct go_line *line = add_line(&place);
		if (!line)
			return place;
		*line = where;
		line->name = in.name;
		line->inlined = true;
		line->wrapper = fmt->id_wrapper != GO_FORMAT_NONE && in.id == fmt->id_wrapper;
		if (fmt->inl_parent_pc != GO_FORMAT_NONE) {
			pc = in.parent_pc;
			index = go_pcdata(tab, f, fmt->pcdata_inltree, pc);
			file_line(tab, f, pc, &where);
		} else {
			index = in.parent;
			where.file = file_of(tab, f, in.file);
			where.line = in.line;
		}
	}
	struct go_line *line = add_line(&place);
	place.pc = pc;
	if (line) {
		*line = where;
		line->name = f->name;
		line->wrapper = fmt->id_wrapper != GO_FORMAT_NONE && f->id == fmt->id_wrapper;
	}
	return place;
}

struct go_place go_place_at(struct go_symtab *tab, const struct go_func *func, uint64_t pc)
{
	uint32_t index;
	if (map_get(&tab->places_at, pc, &index))
		return tab->places[index];
	if (!(tab->n_places & (tab->n_places - 1))) {
		struct go_place *bigger = reallocarray(tab->places,
						       MAX(tab->n_places * 2, (size_t)1),
						       sizeof(*bigger));
		if (!bigger)
			return (struct go_place){ 0 };
		tab->places = bigger;
	}
	tab->places[tab->n_places] = build_place(tab, func, pc);
	(void)map_set(&tab->places_at, pc, (uint32_t)tab->n_places); // built again otherwise
	return tab->places[tab->n_places++];
}
