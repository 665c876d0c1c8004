// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwarf.h"

#include <stdlib.h>
#include <string.h>

#include "analyzer/expression.h"
#include "analyzer/map.h"
#include "dwarf_compat.h"
#include "dwranges.h"
#include "dwsections.h"
#include "dwunits.h"

enum {
	// Packages of the largest programs: some thousand.
	UNITS_MAX = 1 << 16,
	// Kubernetes has about five million entries; each is looked at once or twice.
	ENTRIES_MAX = 32 << 20,
	TYPEDEFS_MAX = 16,
	ADDRESS_BYTES = 8,
	OFFSET_BYTES = 4,
};

struct unit {
	uint64_t die; ///< offset of its first entry
	uint64_t end; ///< behind its last one
	struct dw_base base;
	bool runtime, indexed;
};

struct go_dwarf {
	struct dw_sections sections;
	dwarf_object object;
	Dwarf_Debug dbg; ///< NULL until somebody asks
	bool tried;
	struct unit *units;
	size_t n_units;
	struct dw_ranges ranges; ///< of their code
	struct map functions; ///< offsets of entries, by pc
	uint64_t entries; ///< and attributes of abbreviations, looked at
};

// ---- what libdwarf asks for ----------------------------------------------------------------

/// Section 0 is empty, as in every ELF file.
static int section_info(void *object, dwarf_index index, dwarf_section *ret, int *error _unused_)
{
	const struct dw_sections *s = object;
	if (index > DW_LIBRARY_SECTIONS)
		return DW_DLV_NO_ENTRY;
	if (index)
		dwarf_set_section(ret, s->list[index - 1].name, s->list[index - 1].size);
	else
		dwarf_set_section(ret, "", 0);
	return DW_DLV_OK;
}

static dwarf_order byte_order(void *object _unused_)
{
	return DWARF_ORDER;
}

static Dwarf_Small offset_bytes(void *object _unused_)
{
	return OFFSET_BYTES;
}

static Dwarf_Small address_bytes(void *object _unused_)
{
	return ADDRESS_BYTES;
}

static Dwarf_Unsigned section_count(void *object _unused_)
{
	return DW_LIBRARY_SECTIONS + 1;
}

_unused_ static Dwarf_Unsigned file_bytes(void *object)
{
	const struct dw_sections *s = object;
	uint64_t sum = 0;
	for (size_t i = 0; i < DW_LIBRARY_SECTIONS; i++)
		sum += s->list[i].size;
	return sum;
}

static int load_section(void *object, dwarf_index index, Dwarf_Small **ret, int *error _unused_)
{
	bool ours = index && index <= DW_LIBRARY_SECTIONS;
	*ret = ours ? dw_section_data(object, (enum dw_section_index)(index - 1)) : NULL;
	return *ret ? DW_DLV_OK : DW_DLV_NO_ENTRY;
}

static const dwarf_methods methods = DWARF_METHODS(section_info, byte_order, offset_bytes,
						   address_bytes, section_count, load_section,
						   file_bytes);

// ---- opening -------------------------------------------------------------------------------

struct go_dwarf *go_dwarf_open(const struct elf_file *elf)
{
	struct go_dwarf *dw = calloc(1, sizeof(*dw));
	if (dw && !dw_sections_init(&dw->sections, elf)) {
		free(dw);
		return NULL;
	}
	return dw;
}

void go_dwarf_close(struct go_dwarf *dw)
{
	if (!dw)
		return;
	if (dw->dbg)
		dwarf_close_object(dw->dbg);
	dw_sections_deinit(&dw->sections);
	map_deinit(&dw->functions);
	dw_ranges_deinit(&dw->ranges);
	free(dw->units);
	free(dw);
}

static bool is_go(Dwarf_Debug dbg, Dwarf_Die die)
{
	uint64_t language;
	return dw_die_tag(dbg, die) == DW_TAG_compile_unit &&
	       dw_die_number(dbg, die, DW_AT_language, &language) && language == DW_LANG_Go;
}

/// The list at @offset of the section that the unit's version has for it.
static struct dw_list list_at(struct go_dwarf *dw, const struct dw_base *base, bool locations,
			      uint64_t offset)
{
	enum { DWARF5 = 5 };
	enum dw_section_index old = locations ? DW_LOC : DW_RANGES;
	enum dw_section_index new = locations ? DW_LOCLISTS : DW_RNGLISTS;
	return (struct dw_list){
		.data = dw_section_from(&dw->sections, base->version < DWARF5 ? old : new, offset),
		.addresses = dw_section_from(&dw->sections, DW_ADDR, 0),
		.base = *base,
		.locations = locations,
	};
}

static void read_ranges(struct go_dwarf *dw, Dwarf_Die die, struct unit *unit)
{
	uint64_t offset;
	unit->base.version = dw_die_version(die);
	(void)dw_die_low_pc(dw->dbg, die, &unit->base.low_pc); // 0 when there is none
	if (!dw_die_reference(dw->dbg, die, DW_AT_addr_base, &unit->base.addresses))
		unit->base.addresses = 0;
	if (!dw_die_reference(dw->dbg, die, DW_AT_ranges, &offset))
		return;
	struct dw_list list = list_at(dw, &unit->base, false, offset);
	(void)dw_ranges_add(&dw->ranges, &list, dw->n_units); // no arguments of some functions
}

/**
 * Do entries with abbreviations from @offset on say where their siblings are?
 *
 * Go's never do. libdwarf, on its way over the children of an entry, follows such words back, and
 * so in circles, without end.
 */
static bool has_siblings(struct go_dwarf *dw, uint64_t offset)
{
	struct span s = dw_section_from(&dw->sections, DW_ABBREV, offset);
	uint64_t at = 0;
	while (!s.bad && at < s.size && span_uleb(&s, &at)) {
		uint64_t attribute, form;
		(void)span_uleb(&s, &at); // tag
		at++; // has children
		do {
			attribute = span_uleb(&s, &at);
			form = span_uleb(&s, &at);
			if (form == DW_FORM_implicit_const)
				(void)span_sleb(&s, &at);
			// Units that share no table have it looked through for each of them.
			if (attribute == DW_AT_sibling || ++dw->entries > ENTRIES_MAX)
				return true;
		} while (!s.bad && (attribute || form));
	}
	return false;
}

static bool add_unit(struct go_dwarf *dw, Dwarf_Die die, uint64_t end)
{
	struct unit unit = { .end = end };
	if (!is_go(dw->dbg, die) || !dw_die_offset(dw->dbg, die, &unit.die))
		return true;
	unit.runtime = !strcmp(dw_die_name(dw->dbg, die), "runtime");
	if (!(dw->n_units & (dw->n_units - 1))) { // grows by doubling
		struct unit *bigger =
			reallocarray(dw->units, MAX(dw->n_units * 2, (size_t)1), sizeof(*bigger));
		if (!bigger)
			return false;
		dw->units = bigger;
	}
	read_ranges(dw, die, &unit);
	dw->units[dw->n_units++] = unit;
	return true;
}

static bool next_unit(struct go_dwarf *dw, uint64_t *ret_abbreviations, uint64_t *ret_end)
{
	Dwarf_Unsigned length, type_offset, next = 0;
	Dwarf_Half version, address_size, length_size, extension_size, type;
	Dwarf_Off abbreviations = 0;
	Dwarf_Sig8 signature;
	Dwarf_Error error = NULL;
	int r = dwarf_next_cu_header_d(dw->dbg, 1, &length, &version, &abbreviations, &address_size,
				       &length_size, &extension_size, &signature, &type_offset,
				       &next, &type, &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dw->dbg, error);
	*ret_abbreviations = abbreviations;
	*ret_end = next;
	return r == DW_DLV_OK;
}

static void list_units(struct go_dwarf *dw)
{
	uint64_t abbreviations, end, last = UINT64_MAX;
	bool walks = true;
	for (size_t i = 0; i < UNITS_MAX && next_unit(dw, &abbreviations, &end); i++) {
		if (abbreviations != last) // Go's units share them
			walks = !has_siblings(dw, abbreviations);
		last = abbreviations;
		Dwarf_Die die = walks ? dw_die_of_unit(dw->dbg) : NULL;
		bool ok = !die || add_unit(dw, die, end);
		dw_die_free(die);
		if (!ok)
			break;
	}
	dw_ranges_sort(&dw->ranges);
}

Dwarf_Debug go_dwarf_handle(struct go_dwarf *dw)
{
	if (dw->tried)
		return dw->dbg;
	dw->tried = true;
	dwarf_set_object(&dw->object, &dw->sections, &methods);
	Dwarf_Error error = NULL;
	int r = dwarf_object_init_b(&dw->object, NULL, NULL, DW_GROUPNUMBER_ANY, &dw->dbg, &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dw->dbg, error);
	if (r != DW_DLV_OK)
		dw->dbg = NULL;
	else
		list_units(dw);
	return dw->dbg;
}

// ---- looking things up ---------------------------------------------------------------------

/// Is the entry at @offset in one of the units? They are in the order of the file.
static bool is_in_unit(const struct go_dwarf *dw, uint64_t offset)
{
	size_t low = 0, high = dw->n_units;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (dw->units[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < dw->n_units && offset >= dw->units[low].die;
}

Dwarf_Die go_dwarf_next(struct go_dwarf *dw, Dwarf_Die die)
{
	uint64_t here = UINT64_MAX, there;
	bool more = ++dw->entries <= ENTRIES_MAX && dw_die_offset(dw->dbg, die, &here) &&
		    is_in_unit(dw, here);
	Dwarf_Die next = more ? dw_die_next(dw->dbg, die) : NULL;
	if (!more)
		dw_die_free(die);
	// Siblings follow one another in the file. What leads back leads in circles.
	if (!next || (dw_die_offset(dw->dbg, next, &there) && there > here))
		return next;
	dw_die_free(next);
	return NULL;
}

Dwarf_Die go_dwarf_runtime(struct go_dwarf *dw, size_t *cursor)
{
	if (!go_dwarf_handle(dw))
		return NULL;
	while (*cursor < dw->n_units) {
		const struct unit *unit = &dw->units[(*cursor)++];
		Dwarf_Die die = unit->runtime ? dw_die_at(dw->dbg, unit->die) : NULL;
		if (die)
			return die;
	}
	return NULL;
}

Dwarf_Die go_dwarf_real_type(struct go_dwarf *dw, uint64_t offset)
{
	Dwarf_Die die = dw_die_at(dw->dbg, offset);
	for (int i = 0; die && i < TYPEDEFS_MAX; i++) {
		bool named = dw_die_tag(dw->dbg, die) == DW_TAG_typedef;
		uint64_t kind;
		// Of interfaces, maps and channels it is the typedef that says what they are.
		if (!named || dw_die_number(dw->dbg, die, DW_AT_GO_KIND, &kind))
			return die;
		bool more = dw_die_reference(dw->dbg, die, DW_AT_type, &offset);
		dw_die_free(die);
		die = more ? dw_die_at(dw->dbg, offset) : NULL;
	}
	dw_die_free(die);
	return NULL;
}

/// Lists where the functions of a unit begin.
static void index_unit(struct go_dwarf *dw, struct unit *unit)
{
	uint64_t pc, offset;
	Dwarf_Die top = dw_die_at(dw->dbg, unit->die);
	unit->indexed = true;
	if (!top)
		return;
	for (Dwarf_Die die = dw_die_child(dw->dbg, top); die; die = go_dwarf_next(dw, die))
		if (dw_die_tag(dw->dbg, die) == DW_TAG_subprogram &&
		    dw_die_low_pc(dw->dbg, die, &pc) && dw_die_offset(dw->dbg, die, &offset) &&
		    offset <= UINT32_MAX)
			(void)map_set(&dw->functions, pc, (uint32_t)offset); // no arguments then
	dw_die_free(top);
}

Dwarf_Die go_dwarf_function(struct go_dwarf *dw, uint64_t pc, struct dw_base *ret_base)
{
	uint32_t offset;
	size_t unit;
	if (!go_dwarf_handle(dw) || !dw_ranges_find(&dw->ranges, pc, &unit))
		return NULL;
	if (!dw->units[unit].indexed)
		index_unit(dw, &dw->units[unit]);
	*ret_base = dw->units[unit].base;
	return map_get(&dw->functions, pc, &offset) ? dw_die_at(dw->dbg, offset) : NULL;
}

void go_dwarf_places(struct go_dwarf *dw, Dwarf_Die die, const struct dw_base *base,
		     struct dw_places *ret)
{
	struct dw_list_entry entry = { .high = UINT64_MAX };
	uint64_t offset;
	*ret = (struct dw_places){ .n = 0 };
	entry.expression = dw_die_bytes(dw->dbg, die, DW_AT_location);
	if (!entry.expression.bad) {
		(void)dw_places_add(ret, &entry); // unknown then
		return;
	}
	if (dw->entries > ENTRIES_MAX || !dw_die_reference(dw->dbg, die, DW_AT_location, &offset))
		return;
	struct dw_list list = list_at(dw, base, true, offset);
	while (dw_list_next(&list, &entry) && dw_places_add(ret, &entry) == 0)
		;
	dw->entries += list.turns;
}
