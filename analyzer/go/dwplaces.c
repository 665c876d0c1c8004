// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwplaces.h"

#include <stdlib.h>

#include "common/cleanup.h"

enum {
	// An argument of a long function has some dozens.
	PLACES_MAX = 1024,
	OPERATIONS_MAX = 64,
};

/// What the stack machine has computed, as far as it is a place on the stack of Go.
struct machine {
	int64_t offset, number;
	bool on_stack;
};

static void put_piece(struct dw_place *place, const struct machine *m, uint64_t bytes)
{
	if (place->n < DW_PIECES_MAX)
		place->pieces[place->n++] = (struct dw_piece){
			.offset = m->offset,
			.bytes = bytes,
			.known = m->on_stack,
		};
}

static void step(struct machine *m, struct dw_place *place, uint8_t operation, uint64_t operand)
{
	switch (operation) {
	case DW_OP_fbreg: // the base is always DW_OP_call_frame_cfa
		*m = (struct machine){ .offset = (int64_t)operand, .on_stack = true };
		break;
	case DW_OP_call_frame_cfa:
		*m = (struct machine){ .on_stack = true };
		break;
	case DW_OP_plus_uconst:
		m->offset = (int64_t)((uint64_t)m->offset + operand);
		break;
	case DW_OP_consts:
		m->number = (int64_t)operand;
		break;
	case DW_OP_plus:
		m->offset = (int64_t)((uint64_t)m->offset + (uint64_t)m->number);
		break;
	case DW_OP_piece:
		put_piece(place, m, operand);
		*m = (struct machine){ .on_stack = false };
		break;
	default:
		m->on_stack = false;
	}
}

static void run(Dwarf_Debug dbg, Dwarf_Locdesc_c location, uint64_t n, struct dw_place *place)
{
	struct machine m = { .on_stack = false };
	uint8_t operation = 0;
	for (uint64_t i = 0; i < n && i < OPERATIONS_MAX; i++) {
		Dwarf_Unsigned operand = 0, second = 0, third = 0, branch = 0;
		Dwarf_Error error = NULL;
		int r = dwarf_get_location_op_value_c(location, i, &operation, &operand, &second,
						      &third, &branch, &error);
		if (r == DW_DLV_ERROR)
			dwarf_dealloc_error(dbg, error);
		if (r != DW_DLV_OK)
			return;
		step(&m, place, operation, operand);
	}
	if (n && operation != DW_OP_piece)
		put_piece(place, &m, UINT64_MAX);
}

static void read_place(Dwarf_Debug dbg, Dwarf_Loc_Head_c head, uint64_t i, bool always,
		       struct dw_places *ret)
{
	Dwarf_Small kind = 0, source = 0;
	Dwarf_Unsigned raw_low = 0, raw_high = 0, n = 0, expression_at = 0, at = 0;
	Dwarf_Addr low = 0, high = 0;
	Dwarf_Bool unresolved = 0;
	Dwarf_Locdesc_c location = NULL;
	Dwarf_Error error = NULL;
	int r = dwarf_get_locdesc_entry_d(head, i, &kind, &raw_low, &raw_high, &unresolved, &low,
					  &high, &n, &location, &source, &expression_at, &at,
					  &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dbg, error);
	if (r != DW_DLV_OK || unresolved || (!always && low >= high))
		return;
	struct dw_place place = { .low = low, .high = high };
	if (always) {
		place.low = 0;
		place.high = UINT64_MAX;
	} else if (kind == DW_LLE_end_of_list || kind == DW_LLE_base_address ||
		   kind == DW_LLE_base_addressx) {
		return;
	}
	run(dbg, location, n, &place);
	ret->list[ret->n++] = place;
}

static void read_places(Dwarf_Debug dbg, Dwarf_Attribute attr, struct dw_places *ret)
{
	Dwarf_Loc_Head_c head = NULL;
	Dwarf_Unsigned n = 0;
	Dwarf_Error error = NULL;
	unsigned int kind = DW_LKIND_unknown;
	int r = dwarf_get_loclist_c(attr, &head, &n, &error);
	if (r == DW_DLV_OK)
		r = dwarf_get_loclist_head_kind(head, &kind, &error);
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dbg, error);
	n = MIN(n, (Dwarf_Unsigned)PLACES_MAX);
	ret->list = r == DW_DLV_OK && n ? calloc(n, sizeof(*ret->list)) : NULL;
	for (Dwarf_Unsigned i = 0; ret->list && i < n; i++)
		read_place(dbg, head, i, kind == DW_LKIND_expression, ret);
	if (head)
		dwarf_close_locations(head);
}

void dw_places_read(Dwarf_Debug dbg, Dwarf_Die die, struct dw_places *ret)
{
	*ret = (struct dw_places){ .n = 0 };
	Dwarf_Attribute attr = dw_die_attribute(dbg, die, DW_AT_location);
	if (attr)
		read_places(dbg, attr, ret);
	dw_attribute_free(attr);
}

void dw_places_deinit(struct dw_places *places)
{
	free(places->list);
	*places = (struct dw_places){ .n = 0 };
}

const struct dw_place *dw_places_at(const struct dw_places *places, uint64_t pc)
{
	for (size_t i = 0; i < places->n; i++)
		if (pc >= places->list[i].low && pc < places->list[i].high)
			return &places->list[i];
	return NULL;
}
