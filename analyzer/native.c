// SPDX-License-Identifier: LGPL-2.1-or-later
#include "native.h"

#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "symbols.h"

enum {
	PAGE = 4096,
	PHDRS_MAX = 64, // linkers make fewer than 20
	// As many different pcs as stacks of ten thousand threads can have, and more.
	PLACES_MAX = 1 << 20,
	WORD = 8,
};

/// A file that is mapped, or the vDSO.
struct object {
	uint64_t start, end;
	struct image *image; // NULL for the vDSO
	const char *name;
	bool loaded, named; // its tables, its symbols
	uint64_t bias;
	struct eh_frame eh;
	uint64_t dynamic, dynamic_bytes;
	struct code {
		uint64_t start, end;
	} code[PHDRS_MAX];
	size_t n_code;
	struct symbols symbols;
};

struct place {
	char *name;
	struct object *object; // NULL for none
	uint64_t start;
};

struct native {
	struct core *core;
	const struct image_opener *opener;
	const struct native_machine *machine;
	struct object *objects; // ascending
	size_t n_objects;
	struct eh_entry *entry; // scratch
	struct map place_at;
	struct place *places;
	size_t n_places, max_places;
};

// ---- objects -------------------------------------------------------------------------------

static int by_start(const void *a, const void *b)
{
	const struct object *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

void native_destroy(struct native *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->n_objects; i++)
		symbols_deinit(&n->objects[i].symbols);
	for (size_t i = 0; i < n->n_places; i++)
		free(n->places[i].name);
	free(n->places);
	free(n->objects);
	free(n->entry);
	map_deinit(&n->place_at);
	free(n);
}

/// Takes what matters from the program headers.
static void take_phdrs(struct object *o, const Elf64_Phdr *phdrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const Elf64_Phdr *p = &phdrs[i];
		uint64_t start = o->bias + p->p_vaddr, end = start + p->p_memsz;
		if (end < start)
			continue;
		if (p->p_type == PT_LOAD && p->p_flags & PF_X && o->n_code < PHDRS_MAX)
			o->code[o->n_code++] = (struct code){ start, end };
		if (p->p_type == PT_GNU_EH_FRAME) {
			o->eh.hdr = start;
			o->eh.hdr_end = end;
		}
		if (p->p_type == PT_DYNAMIC) {
			o->dynamic = start;
			o->dynamic_bytes = p->p_memsz;
		}
	}
}

/// From the first page in memory, where the file is not to be had.
static void load_from_memory(struct native *n, struct object *o)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[PHDRS_MAX];
	if (!memory_read(&n->core->memory, o->start, &ehdr, sizeof(ehdr)) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_phentsize != sizeof(*phdrs))
		return;
	size_t count = MIN((size_t)ehdr.e_phnum, (size_t)PHDRS_MAX);
	if (!memory_read(&n->core->memory, o->start + ehdr.e_phoff, phdrs, count * sizeof(*phdrs)))
		return;
	for (size_t i = 0; i < count; i++)
		if (phdrs[i].p_type == PT_LOAD && phdrs[i].p_offset < PAGE) {
			o->bias = o->start - (phdrs[i].p_vaddr - phdrs[i].p_offset);
			break;
		}
	take_phdrs(o, phdrs, count);
}

/// The vDSO is no file. Its size is in its program headers.
static void add_vdso(struct native *n)
{
	struct object o = { .name = "[vdso]", .loaded = true };
	if (!core_auxv(n->core, AT_SYSINFO_EHDR, &o.start))
		return;
	load_from_memory(n, &o);
	for (size_t i = 0; i < o.n_code; i++)
		o.end = MAX(o.end, o.code[i].end);
	if (o.end > o.start)
		n->objects[n->n_objects++] = o;
}

struct native *native_create(struct core *core, struct images *images,
			     const struct image_opener *opener)
{
	static const struct native_machine *const machines[] = { &native_x86_64, &native_aarch64 };
	_cleanup_(native_destroyp) struct native *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->core = core;
	n->opener = opener;
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i]->elf_machine == core->machine)
			n->machine = machines[i];
	n->entry = malloc(sizeof(*n->entry));
	n->objects = calloc(images->n + 1, sizeof(*n->objects));
	if (!n->entry || !n->objects)
		return NULL;
	for (size_t i = 0; i < images->n; i++) {
		struct image *image = &images->list[i];
		n->objects[n->n_objects++] = (struct object){
			.start = image->start,
			.end = image->end,
			.image = image,
			.name = image->name,
		};
	}
	add_vdso(n);
	qsort(n->objects, n->n_objects, sizeof(*n->objects), by_start);
	return TAKE_PTR(n);
}

/// The file, if there is one that belongs to the process.
static const struct elf_file *file_of(const struct object *o)
{
	const struct image *image = o->image;
	if (!image || (image->state != IMAGE_MATCHES && image->state != IMAGE_UNVERIFIED))
		return NULL;
	return &image->elf;
}

static void load(struct native *n, struct object *o)
{
	if (o->loaded)
		return;
	o->loaded = true;
	if (o->image && image_open(o->image, n->core, n->opener) < 0)
		return; // out of memory: no tables then
	const struct elf_file *elf = file_of(o);
	if (!o->image || !elf) {
		load_from_memory(n, o);
		return;
	}
	o->bias = o->image->bias;
	take_phdrs(o, elf->phdrs, elf->n_phdrs);
	const Elf64_Shdr *section = elf_section(elf, ".eh_frame");
	if (section && section->sh_addr && section->sh_type != SHT_NOBITS) {
		o->eh.start = o->bias + section->sh_addr;
		o->eh.end = o->eh.start + section->sh_size;
	}
}

static struct object *object_at(struct native *n, uint64_t pc)
{
	size_t low = 0, high = n->n_objects;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (n->objects[mid].start <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || pc >= n->objects[low - 1].end)
		return NULL;
	load(n, &n->objects[low - 1]);
	return &n->objects[low - 1];
}

// ---- steps ---------------------------------------------------------------------------------

static bool has_code(void *userdata _unused_, const struct mem_region *region)
{
	return region->flags & MEM_EXEC;
}

static bool is_code(struct native *n, uint64_t pc)
{
	const struct object *o = object_at(n, pc);
	for (size_t i = 0; o && i < o->n_code; i++)
		if (pc >= o->code[i].start && pc < o->code[i].end)
			return true;
	// Of no file, or of one that is not to be had.
	return pc != UINT64_MAX &&
	       memory_each(&n->core->memory, MEM_CORE, pc, pc + 1, has_code, NULL);
}

static bool is_trampoline(struct native *n, uint64_t pc)
{
	uint8_t code[sizeof(n->machine->trampoline)];
	size_t len = n->machine->trampoline_bytes;
	return memory_read(&n->core->memory, pc, code, len) &&
	       !memcmp(code, n->machine->trampoline, len);
}

/// Do calls leave the return address in a register? Then a leaf need not have a frame.
static bool has_link(const struct native *n)
{
	return n->machine->cfi.link < n->machine->cfi.n;
}

/// By the frame pointer, which nothing promises to be one.
static enum native_result follow_pointer(struct native *n, struct native_walk *walk)
{
	const struct cfi_machine *m = &n->machine->cfi;
	uint64_t pair[2], fp = walk->regs.values[m->fp];
	if (!cfi_known(&walk->regs, m->fp) || !fp || fp % WORD)
		return NATIVE_NO_TABLE;
	if (cfi_known(&walk->regs, m->sp) &&
	    (fp < walk->regs.values[m->sp] ||
	     fp - walk->regs.values[m->sp] > NATIVE_FRAME_BYTES_MAX))
		return NATIVE_NO_TABLE;
	if (!memory_read(&n->core->memory, fp, pair, sizeof(pair)) ||
	    (pair[0] && (pair[0] <= fp || pair[0] % WORD)) || !is_code(n, pair[1]) ||
	    !n->machine->after_call(&n->core->memory, pair[1]))
		return NATIVE_NO_TABLE;
	struct cfi_regs caller = { .pc = pair[1] };
	cfi_set(&caller, m->fp, pair[0]);
	if (!has_link(n)) // else the pair may lie anywhere in the frame
		cfi_set(&caller, m->sp, fp + sizeof(pair));
	walk->regs = caller;
	walk->exact = false;
	walk->guessed = true;
	return NATIVE_CALLER;
}

static enum native_result leave_handler(struct native *n, struct native_walk *walk)
{
	const struct cfi_machine *m = &n->machine->cfi;
	struct cfi_regs caller;
	if (!cfi_known(&walk->regs, m->sp))
		return NATIVE_NO_TABLE;
	if (!n->machine->signal_regs(&n->core->memory, walk->regs.values[m->sp], &caller))
		return NATIVE_UNREADABLE;
	if (walk->signals == NATIVE_SIGNALS_MAX)
		return NATIVE_BROKEN;
	walk->regs = caller;
	walk->exact = true;
	walk->guessed = false;
	walk->signals++;
	return NATIVE_CALLER;
}

/// A pointer to no function was called: nothing but the call has happened.
static bool undo_call(struct native *n, struct native_walk *walk)
{
	const struct cfi_machine *m = &n->machine->cfi;
	uint64_t pc, sp = walk->regs.values[m->sp];
	if (!walk->exact || is_code(n, walk->regs.pc) || !cfi_known(&walk->regs, m->sp))
		return false;
	if (has_link(n))
		pc = walk->regs.values[m->link];
	else if (!memory_u64(&n->core->memory, sp, &pc))
		return false;
	if (!is_code(n, pc) || !n->machine->after_call(&n->core->memory, pc))
		return false;
	walk->regs.pc = pc;
	cfi_set(&walk->regs, m->sp, has_link(n) ? sp : sp + WORD);
	walk->exact = false;
	return true;
}

/// By the table of the program: @n->entry is that of the function.
static enum native_result follow_table(struct native *n, struct native_walk *walk, uint64_t at)
{
	const struct cfi_machine *m = &n->machine->cfi;
	struct cfi_regs regs = walk->regs;
	switch (cfi_step(n->entry, m, &n->core->memory, at, &regs)) {
	case CFI_TOP:
		return NATIVE_TOP;
	case CFI_UNREADABLE:
		return NATIVE_UNREADABLE;
	case CFI_UNKNOWN:
		return NATIVE_NO_TABLE;
	case CFI_CALLER:
		break;
	}
	if (!regs.pc)
		return NATIVE_TOP;
	// The stack must be used up. A leaf has none; a handler may have one of its own.
	uint64_t before = walk->regs.values[m->sp], after = regs.values[m->sp];
	bool leaf = has_link(n) && walk->exact && regs.pc != walk->regs.pc;
	if (n->entry->is_signal) {
		if (walk->signals == NATIVE_SIGNALS_MAX)
			return NATIVE_BROKEN;
		walk->signals++;
	} else if (!cfi_known(&regs, m->sp) || (cfi_known(&walk->regs, m->sp) && after <= before &&
						!(leaf && after == before))) {
		return NATIVE_BROKEN;
	}
	walk->regs = regs;
	walk->exact = n->entry->is_signal;
	walk->guessed = false;
	return NATIVE_CALLER;
}

static bool find_entry(struct native *n, uint64_t pc)
{
	struct object *o = object_at(n, pc);
	return o && (o->eh.hdr || o->eh.start) && eh_find(&n->core->memory, &o->eh, pc, n->entry);
}

enum native_result native_step(struct native *native, struct native_walk *walk)
{
	uint64_t pc = walk->regs.pc, at = walk->exact || !pc ? pc : pc - 1;
	enum native_result result = NATIVE_NO_TABLE;
	if (!native->machine)
		return NATIVE_NO_TABLE;
	if (find_entry(native, at))
		result = follow_table(native, walk, at);
	else if (is_trampoline(native, pc))
		result = leave_handler(native, walk);
	else if (undo_call(native, walk))
		result = NATIVE_CALLER;
	return result == NATIVE_NO_TABLE ? follow_pointer(native, walk) : result;
}

// ---- names ---------------------------------------------------------------------------------

static void read_symbols(struct native *n, struct object *o)
{
	o->named = true;
	const struct elf_file *elf = file_of(o);
	if (!elf) {
		if (o->dynamic)
			symbols_read_loaded(&o->symbols, &n->core->memory, o->dynamic,
					    o->dynamic_bytes, o->bias);
		return;
	}
	// A debug package knows more than what was stripped.
	if (!elf_section(elf, ".symtab")) {
		const struct elf_file *debug = image_debug(o->image);
		elf = debug && elf_section(debug, ".symtab") ? debug : elf;
	}
	symbols_read(&o->symbols, elf);
}

/// A place that is not known yet, at index n_places; false when out of memory.
static bool add_place(struct native *n, uint64_t at)
{
	if (n->n_places == PLACES_MAX)
		return false;
	if (n->n_places == n->max_places) {
		size_t max = MAX(n->max_places * 2, (size_t)64);
		struct place *bigger = reallocarray(n->places, max, sizeof(*bigger));
		if (!bigger)
			return false;
		n->places = bigger;
		n->max_places = max;
	}
	if (map_set(&n->place_at, at, (uint32_t)n->n_places) < 0)
		return false;
	struct place *place = &n->places[n->n_places++];
	*place = (struct place){ .object = object_at(n, at) };
	if (find_entry(n, at))
		place->start = n->entry->start;
	struct object *o = place->object;
	if (!o)
		return true;
	if (!o->named)
		read_symbols(n, o);
	uint64_t entry = place->start ? place->start - o->bias : 0, start;
	place->name = symbols_find(&o->symbols, at - o->bias, entry, &start);
	if (place->name)
		place->start = start + o->bias;
	return true;
}

struct native_place native_place(struct native *native, uint64_t pc, bool exact)
{
	uint64_t at = exact || !pc ? pc : pc - 1;
	uint32_t index;
	if (!map_get(&native->place_at, at, &index)) {
		index = (uint32_t)native->n_places;
		if (!add_place(native, at))
			return (struct native_place){ 0 };
	}
	const struct place *place = &native->places[index];
	return (struct native_place){
		.name = place->name,
		.object = place->object ? place->object->name : NULL,
		.start = place->start,
	};
}
