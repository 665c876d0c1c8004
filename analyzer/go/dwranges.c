// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwranges.h"

#include <stdlib.h>

#include "common/cleanup.h"

enum {
	// The largest programs have some ten thousand.
	RANGES_MAX = 1 << 20,
	DWARF5 = 5,
};

static void add(struct dw_ranges *r, uint64_t low, uint64_t high, size_t unit)
{
	if (low >= high || r->n >= RANGES_MAX)
		return;
	if (r->n == r->max) {
		size_t max = MAX(r->max * 2, (size_t)64);
		struct dw_range *bigger = reallocarray(r->list, max, sizeof(*bigger));
		if (!bigger)
			return; // the arguments of a function less
		r->list = bigger;
		r->max = max;
	}
	r->list[r->n++] = (struct dw_range){ low, high, unit };
}

/// .debug_ranges
static void read_old(Dwarf_Debug dbg, Dwarf_Die die, uint64_t offset, size_t unit,
		     struct dw_ranges *ret)
{
	Dwarf_Ranges *list = NULL;
	Dwarf_Signed n = 0;
	Dwarf_Unsigned bytes = 0;
	Dwarf_Off real = 0;
	Dwarf_Error error = NULL;
	uint64_t base = 0;
	(void)dw_die_low_pc(dbg, die, &base); // 0 then
	int r = dwarf_get_ranges_b(dbg, offset, die, &real, &list, &n, &bytes, &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dbg, error);
	if (r != DW_DLV_OK)
		return;
	for (Dwarf_Signed i = 0; i < n; i++) {
		if (list[i].dwr_type == DW_RANGES_ADDRESS_SELECTION)
			base = list[i].dwr_addr2;
		else if (list[i].dwr_type == DW_RANGES_ENTRY)
			add(ret, base + list[i].dwr_addr1, base + list[i].dwr_addr2, unit);
	}
	ret->seen += (uint64_t)n;
	dwarf_close_ranges(dbg, list, n);
}

static bool is_range(unsigned int kind)
{
	return kind == DW_RLE_offset_pair || kind == DW_RLE_startx_endx ||
	       kind == DW_RLE_startx_length || kind == DW_RLE_start_end ||
	       kind == DW_RLE_start_length;
}

static void read_entry(Dwarf_Debug dbg, Dwarf_Rnglists_Head head, uint64_t i, size_t unit,
		       struct dw_ranges *ret)
{
	unsigned int length = 0, kind = 0;
	Dwarf_Unsigned raw[2] = { 0 }, low = 0, high = 0;
	Dwarf_Bool unresolved = 0;
	Dwarf_Error error = NULL;
	int r = dwarf_get_rnglists_entry_fields_a(head, i, &length, &kind, &raw[0], &raw[1],
						  &unresolved, &low, &high, &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dbg, error);
	if (r == DW_DLV_OK && !unresolved && is_range(kind))
		add(ret, low, high, unit);
}

/// .debug_rnglists
static void read_new(Dwarf_Debug dbg, Dwarf_Attribute attr, uint64_t offset, size_t unit,
		     struct dw_ranges *ret)
{
	Dwarf_Rnglists_Head head = NULL;
	Dwarf_Unsigned n = 0, at = 0;
	Dwarf_Half form = 0;
	Dwarf_Error error = NULL;
	int r = dwarf_whatform(attr, &form, &error);
	if (r == DW_DLV_OK)
		r = dwarf_rnglists_get_rle_head(attr, form, offset, &head, &n, &at, &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dbg, error);
	if (r != DW_DLV_OK)
		return;
	for (Dwarf_Unsigned i = 0; i < n && i < RANGES_MAX; i++)
		read_entry(dbg, head, i, unit, ret);
	ret->seen += n;
	dwarf_dealloc_rnglists_head(head);
}

/// The number in DW_AT_ranges, which is an offset or an index.
static bool read_offset(Dwarf_Debug dbg, Dwarf_Attribute attr, uint64_t *ret)
{
	Dwarf_Off offset = 0;
	Dwarf_Error error = NULL;
	int r = dwarf_global_formref(attr, &offset, &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dbg, error);
	*ret = offset;
	return r == DW_DLV_OK;
}

void dw_ranges_read(Dwarf_Debug dbg, Dwarf_Die die, size_t unit, struct dw_ranges *ret)
{
	Dwarf_Half version = 0, offset_bytes = 0;
	uint64_t offset;
	// A file with more is none that a linker made.
	Dwarf_Attribute attr = ret->seen < RANGES_MAX ? dw_die_attribute(dbg, die, DW_AT_ranges) :
							NULL;
	if (!attr)
		return;
	bool ok = (dw_die_number(dbg, die, DW_AT_ranges, &offset) ||
		   read_offset(dbg, attr, &offset)) &&
		  dwarf_get_version_of_die(die, &version, &offset_bytes) == DW_DLV_OK;
	if (ok && version >= DWARF5)
		read_new(dbg, attr, offset, unit, ret);
	else if (ok)
		read_old(dbg, die, offset, unit, ret);
	dw_attribute_free(attr);
}

static int by_low(const void *a, const void *b)
{
	const struct dw_range *x = a, *y = b;
	return (x->low > y->low) - (x->low < y->low);
}

void dw_ranges_sort(struct dw_ranges *ranges)
{
	if (ranges->n)
		qsort(ranges->list, ranges->n, sizeof(*ranges->list), by_low);
}

void dw_ranges_deinit(struct dw_ranges *ranges)
{
	free(ranges->list);
	*ranges = (struct dw_ranges){ .n = 0 };
}

bool dw_ranges_find(const struct dw_ranges *ranges, uint64_t pc, size_t *ret_unit)
{
	size_t low = 0, high = ranges->n;
	while (low < high) { // the last one that begins at or before it
		size_t mid = low + (high - low) / 2;
		if (ranges->list[mid].low <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || pc >= ranges->list[low - 1].high)
		return false;
	*ret_unit = ranges->list[low - 1].unit;
	return true;
}
