// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwlists.h"

enum {
	DWARF5 = 5,
	ADDRESS_BYTES = 8,
};

// DW_LLE_*; DW_RLE_* lack the default, so from there on they are less by one
enum {
	END,
	BASE_INDEX,
	INDEX_INDEX,
	INDEX_LENGTH,
	OFFSETS,
	DEFAULT,
	BASE,
	START_END,
	START_LENGTH,
};

struct span dw_take_part(struct span *span, uint64_t size)
{
	struct span part = span_sub(*span, 0, size);
	if (part.bad) {
		*span = (struct span){ .bad = true };
		return part;
	}
	span->data += size;
	span->size -= (size_t)size;
	return part;
}

uint64_t dw_take_fixed(struct span *span, uint8_t bytes)
{
	uint64_t v = 0;
	struct span part = dw_take_part(span, bytes);
	if (!part.bad)
		(void)span_get(&part, 0, &v, bytes); // which has just been checked
	return le64toh(v);
}

/// Also says how many bits there were, for the sign.
static uint64_t take_leb(struct span *span, unsigned int *ret_bits)
{
	uint64_t v = 0;
	for (*ret_bits = 0; *ret_bits < 64; *ret_bits += 7) {
		uint8_t byte = (uint8_t)dw_take_fixed(span, 1);
		v |= (uint64_t)(byte & 0x7f) << *ret_bits;
		if (!(byte & 0x80)) {
			*ret_bits += 7;
			return v;
		}
	}
	*span = (struct span){ .bad = true };
	return 0;
}

uint64_t dw_take_unsigned(struct span *span)
{
	unsigned int bits;
	return take_leb(span, &bits);
}

int64_t dw_take_signed(struct span *span)
{
	unsigned int bits;
	uint64_t v = take_leb(span, &bits);
	if (bits < 64 && v >> (bits - 1))
		v |= UINT64_MAX << bits;
	return (int64_t)v;
}

static uint64_t address(struct dw_list *list, uint64_t index)
{
	uint64_t at = list->base.addresses + index * ADDRESS_BYTES;
	if (index >= list->addresses.size)
		list->data.bad = true;
	return span_u64(&list->addresses, at);
}

/// True for an entry, false for the end or a new base.
static bool next_old(struct dw_list *list, struct dw_list_entry *ret)
{
	uint64_t low = dw_take_fixed(&list->data, 8), high = dw_take_fixed(&list->data, 8);
	if (!low && !high) {
		list->data = (struct span){ .bad = true };
		return false;
	}
	if (low == UINT64_MAX) {
		list->base.low_pc = high;
		return false;
	}
	ret->low = list->base.low_pc + low;
	ret->high = list->base.low_pc + high;
	if (list->locations)
		ret->expression = dw_take_part(&list->data, dw_take_fixed(&list->data, 2));
	return true;
}

static bool next_new(struct dw_list *list, struct dw_list_entry *ret)
{
	struct span *data = &list->data;
	uint8_t kind = (uint8_t)dw_take_fixed(data, 1);
	if (!list->locations && kind >= DEFAULT)
		kind++;
	switch (kind) {
	case BASE_INDEX:
		list->base.low_pc = address(list, dw_take_unsigned(data));
		return false;
	case BASE:
		list->base.low_pc = dw_take_fixed(data, ADDRESS_BYTES);
		return false;
	case INDEX_INDEX:
		ret->low = address(list, dw_take_unsigned(data));
		ret->high = address(list, dw_take_unsigned(data));
		break;
	case INDEX_LENGTH:
		ret->low = address(list, dw_take_unsigned(data));
		ret->high = ret->low + dw_take_unsigned(data);
		break;
	case OFFSETS:
		ret->low = list->base.low_pc + dw_take_unsigned(data);
		ret->high = list->base.low_pc + dw_take_unsigned(data);
		break;
	case DEFAULT:
		*ret = (struct dw_list_entry){ .high = UINT64_MAX };
		break;
	case START_END:
		ret->low = dw_take_fixed(data, ADDRESS_BYTES);
		ret->high = dw_take_fixed(data, ADDRESS_BYTES);
		break;
	case START_LENGTH:
		ret->low = dw_take_fixed(data, ADDRESS_BYTES);
		ret->high = ret->low + dw_take_unsigned(data);
		break;
	default: // the end, too
		*data = (struct span){ .bad = true };
		return false;
	}
	if (list->locations)
		ret->expression = dw_take_part(data, dw_take_unsigned(data));
	return true;
}

bool dw_list_next(struct dw_list *list, struct dw_list_entry *ret)
{
	while (!list->data.bad && list->data.size && list->turns++ < DW_LIST_MAX) {
		*ret = (struct dw_list_entry){ .low = 0 };
		if (list->base.version >= DWARF5 ? next_new(list, ret) : next_old(list, ret))
			return !list->data.bad && !list->addresses.bad && !ret->expression.bad;
	}
	return false;
}
