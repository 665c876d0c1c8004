// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwdie.h"

/// True when a function of libdwarf has found something; frees the error that it may have left.
static bool found(Dwarf_Debug dbg, int r, Dwarf_Error error)
{
	if (r == DW_DLV_ERROR)
		dwarf_dealloc_error(dbg, error);
	return r == DW_DLV_OK;
}

Dwarf_Die dw_die_at(Dwarf_Debug dbg, uint64_t offset)
{
	Dwarf_Die die = NULL;
	Dwarf_Error error = NULL;
	int r = dwarf_offdie_b(dbg, offset, 1, &die, &error);
	return found(dbg, r, error) ? die : NULL;
}

Dwarf_Die dw_die_child(Dwarf_Debug dbg, Dwarf_Die die)
{
	Dwarf_Die child = NULL;
	Dwarf_Error error = NULL;
	int r = dwarf_child(die, &child, &error);
	return found(dbg, r, error) ? child : NULL;
}

Dwarf_Die dw_die_next(Dwarf_Debug dbg, Dwarf_Die die)
{
	Dwarf_Die next = NULL;
	Dwarf_Error error = NULL;
	int r = dwarf_siblingof_b(dbg, die, 1, &next, &error);
	bool ok = found(dbg, r, error);
	dw_die_free(die);
	return ok ? next : NULL;
}

Dwarf_Die dw_die_of_unit(Dwarf_Debug dbg)
{
	Dwarf_Die die = NULL;
	Dwarf_Error error = NULL;
	int r = dwarf_siblingof_b(dbg, NULL, 1, &die, &error);
	return found(dbg, r, error) ? die : NULL;
}

void dw_die_free(Dwarf_Die die)
{
	if (die)
		dwarf_dealloc_die(die);
}

uint16_t dw_die_tag(Dwarf_Debug dbg, Dwarf_Die die)
{
	Dwarf_Half tag = 0;
	Dwarf_Error error = NULL;
	int r = dwarf_tag(die, &tag, &error);
	return found(dbg, r, error) ? tag : 0;
}

const char *dw_die_name(Dwarf_Debug dbg, Dwarf_Die die)
{
	char *name = NULL;
	Dwarf_Error error = NULL;
	int r = dwarf_diename(die, &name, &error);
	return found(dbg, r, error) && name ? name : "";
}

bool dw_die_offset(Dwarf_Debug dbg, Dwarf_Die die, uint64_t *ret)
{
	Dwarf_Off offset = 0;
	Dwarf_Error error = NULL;
	int r = dwarf_dieoffset(die, &offset, &error);
	*ret = offset;
	return found(dbg, r, error);
}

bool dw_die_low_pc(Dwarf_Debug dbg, Dwarf_Die die, uint64_t *ret)
{
	Dwarf_Addr pc = 0;
	Dwarf_Error error = NULL;
	int r = dwarf_lowpc(die, &pc, &error);
	*ret = pc;
	return found(dbg, r, error);
}

static Dwarf_Attribute get_attribute(Dwarf_Debug dbg, Dwarf_Die die, uint16_t attribute)
{
	Dwarf_Attribute attr = NULL;
	Dwarf_Error error = NULL;
	int r = dwarf_attr(die, attribute, &attr, &error);
	return found(dbg, r, error) ? attr : NULL;
}

static void free_attribute(Dwarf_Attribute attr)
{
	if (attr)
		dwarf_dealloc_attribute(attr);
}

/// Reads what flags, unsigned and signed numbers are made of; false for anything else.
static bool read_number(Dwarf_Debug dbg, Dwarf_Attribute attr, uint64_t *ret)
{
	Dwarf_Error error = NULL;
	Dwarf_Unsigned number = 0;
	Dwarf_Signed negative = 0;
	Dwarf_Bool flag = 0;
	int r = dwarf_formudata(attr, &number, &error);
	if (found(dbg, r, error)) {
		*ret = number;
		return true;
	}
	r = dwarf_formsdata(attr, &negative, &error);
	if (found(dbg, r, error)) {
		*ret = (uint64_t)negative;
		return true;
	}
	r = dwarf_formflag(attr, &flag, &error);
	*ret = (uint64_t)flag;
	return found(dbg, r, error);
}

bool dw_die_number(Dwarf_Debug dbg, Dwarf_Die die, uint16_t attribute, uint64_t *ret)
{
	Dwarf_Attribute attr = get_attribute(dbg, die, attribute);
	bool ok = attr && read_number(dbg, attr, ret);
	free_attribute(attr);
	return ok;
}

bool dw_die_reference(Dwarf_Debug dbg, Dwarf_Die die, uint16_t attribute, uint64_t *ret)
{
	Dwarf_Attribute attr = get_attribute(dbg, die, attribute);
	Dwarf_Off offset = 0;
	Dwarf_Error error = NULL;
	int r = attr ? dwarf_global_formref(attr, &offset, &error) : DW_DLV_NO_ENTRY;
	free_attribute(attr);
	*ret = offset;
	return found(dbg, r, error);
}

struct span dw_die_bytes(Dwarf_Debug dbg, Dwarf_Die die, uint16_t attribute)
{
	struct span bytes = { .bad = true };
	Dwarf_Attribute attr = get_attribute(dbg, die, attribute);
	Dwarf_Unsigned size = 0;
	Dwarf_Ptr data = NULL;
	Dwarf_Block *block = NULL;
	Dwarf_Error error = NULL;
	if (!attr)
		return bytes;
	int r = dwarf_formexprloc(attr, &size, &data, &error);
	if (found(dbg, r, error)) {
		bytes = span_of(data, size);
	} else {
		r = dwarf_formblock(attr, &block, &error);
		if (found(dbg, r, error)) {
			bytes = span_of(block->bl_data, block->bl_len);
			dwarf_dealloc(dbg, block, DW_DLA_BLOCK); // the bytes are not its own
		}
	}
	free_attribute(attr);
	return bytes;
}

uint16_t dw_die_version(Dwarf_Die die)
{
	Dwarf_Half version = 0, offset_bytes = 0;
	return dwarf_get_version_of_die(die, &version, &offset_bytes) == DW_DLV_OK ? version : 0;
}
