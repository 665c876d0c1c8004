/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <elf.h>
#include <libdwarf/dwarf.h>
#include <libdwarf/libdwarf.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: libdwarf, old and new
 *
 * Debian 12 has the last release with dates for versions (20210528), Debian 13 has 0.11.1. Between
 * them the structures by which an object file is handed over were renamed, with their fields.
 */

#ifdef DW_LIBDWARF_VERSION_MAJOR

typedef Dwarf_Obj_Access_Interface_a dwarf_object;
typedef Dwarf_Obj_Access_Methods_a dwarf_methods;
typedef Dwarf_Obj_Access_Section_a dwarf_section;
typedef Dwarf_Unsigned dwarf_index;
typedef Dwarf_Small dwarf_order;

#define DWARF_ORDER DW_END_little

#define DWARF_METHODS(section, order, length, pointer, count, load, bytes)             \
	{ .om_get_section_info = (section), .om_get_byte_order = (order),              \
	  .om_get_length_size = (length),   .om_get_pointer_size = (pointer),          \
	  .om_get_filesize = (bytes),	    .om_get_section_count = (count),           \
	  .om_load_section = (load) }

static inline void dwarf_set_object(dwarf_object *ret, void *data, const dwarf_methods *methods)
{
	*ret = (dwarf_object){ .ai_object = data, .ai_methods = methods };
}

static inline void dwarf_set_section(dwarf_section *ret, const char *name, uint64_t size)
{
	*ret = (dwarf_section){ .as_name = name, .as_type = SHT_PROGBITS, .as_size = size };
}

static inline void dwarf_close_object(Dwarf_Debug dbg)
{
	(void)dwarf_object_finish(dbg); // has nothing to fail at
}

#else

typedef Dwarf_Obj_Access_Interface dwarf_object;
typedef Dwarf_Obj_Access_Methods dwarf_methods;
typedef Dwarf_Obj_Access_Section dwarf_section;
typedef Dwarf_Half dwarf_index;
typedef Dwarf_Endianness dwarf_order;

#define DWARF_ORDER DW_OBJECT_LSB

#define DWARF_METHODS(section, order, length, pointer, count, load, bytes)             \
	{ .get_section_info = (section), .get_byte_order = (order),                    \
	  .get_length_size = (length),	 .get_pointer_size = (pointer),                \
	  .get_section_count = (count),	 .load_section = (load) }

static inline void dwarf_set_object(dwarf_object *ret, void *data, const dwarf_methods *methods)
{
	*ret = (dwarf_object){ .object = data, .methods = methods };
}

static inline void dwarf_set_section(dwarf_section *ret, const char *name, uint64_t size)
{
	*ret = (dwarf_section){ .name = name, .type = SHT_PROGBITS, .size = size };
}

static inline void dwarf_close_object(Dwarf_Debug dbg)
{
	(void)dwarf_object_finish(dbg, NULL); // has nothing to fail at
}

#endif
