// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwplaces.h"

#include <errno.h>
#include <libdwarf/dwarf.h>
#include <stdlib.h>

#include "common/cleanup.h"

enum {
	// An argument of a long function has some dozens.
	PLACES_MAX = 1024,
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

/// One operation; false for one that Go's compiler does not use, with operands of unknown size.
static bool step(struct machine *m, struct dw_place *place, uint8_t operation, struct span *code)
{
	if (operation >= DW_OP_reg0 && operation <= DW_OP_reg31) {
		m->on_stack = false;
		return true;
	}
	switch (operation) {
	case DW_OP_fbreg: // the base is always DW_OP_call_frame_cfa
		*m = (struct machine){ .offset = dw_take_signed(code), .on_stack = true };
		return true;
	case DW_OP_call_frame_cfa:
		*m = (struct machine){ .on_stack = true };
		return true;
	case DW_OP_plus_uconst:
		m->offset = (int64_t)((uint64_t)m->offset + dw_take_unsigned(code));
		return true;
	case DW_OP_consts:
		m->number = dw_take_signed(code);
		return true;
	case DW_OP_plus:
		m->offset = (int64_t)((uint64_t)m->offset + (uint64_t)m->number);
		return true;
	case DW_OP_regx:
		(void)dw_take_unsigned(code); // whichever it is
		m->on_stack = false;
		return true;
	case DW_OP_piece:
		put_piece(place, m, dw_take_unsigned(code));
		*m = (struct machine){ .on_stack = false };
		return true;
	default:
		return false;
	}
}

static void run(struct span code, struct dw_place *place)
{
	struct machine m = { .on_stack = false };
	uint8_t operation = 0;
	while (code.size && !code.bad) {
		operation = (uint8_t)dw_take_fixed(&code, 1);
		if (!step(&m, place, operation, &code))
			code.bad = true;
	}
	if (code.bad)
		place->n = 0;
	else if (operation && operation != DW_OP_piece)
		put_piece(place, &m, UINT64_MAX);
}

int dw_places_add(struct dw_places *places, const struct dw_list_entry *entry)
{
	struct dw_place place = { .low = entry->low, .high = entry->high };
	if (places->n == PLACES_MAX)
		return -E2BIG;
	struct dw_place *bigger = reallocarray(places->list, places->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	places->list = bigger;
	run(entry->expression, &place);
	places->list[places->n++] = place;
	return 0;
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
