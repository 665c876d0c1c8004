// SPDX-License-Identifier: LGPL-2.1-or-later
#include "frame.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>

#include "text.h"

struct symbol {
	const char *name; ///< borrowed from the module
	Dwarf_Addr start; ///< 0 when unknown
};

/// The name by which the linker knows a function, else that of the source.
static const char *name_of(Dwarf_Die *die)
{
	static const unsigned int linkage[] = { DW_AT_MIPS_linkage_name, DW_AT_linkage_name };
	for (size_t i = 0; i < ARRAY_SIZE(linkage); i++) {
		Dwarf_Attribute mem;
		const char *name =
			dwarf_formstring(dwarf_attr_integrate(die, linkage[i], &mem));
		if (name)
			return name;
	}
	return dwarf_diename(die);
}

static bool is_function(Dwarf_Die *die)
{
	int tag = dwarf_tag(die);
	return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
	       tag == DW_TAG_entry_point;
}

/// The innermost function at @addr of which there is debugging information, inlined or not.
static struct symbol find_in_dwarf(Dwfl_Module *module, Dwarf_Addr addr)
{
	struct symbol found = { 0 };
	Dwarf_Addr bias = 0;
	Dwarf_Die *cu = dwfl_module_addrdie(module, addr, &bias);
	_cleanup_free_ Dwarf_Die *scopes = NULL;
	int n = cu ? dwarf_getscopes(cu, addr - bias, &scopes) : 0;
	for (int i = 0; i < n && !found.name; i++) {
		if (!is_function(&scopes[i]))
			continue;
		found.name = name_of(&scopes[i]);
		if (dwarf_entrypc(&scopes[i], &found.start) == 0)
			found.start += bias;
		else
			found.start = 0;
	}
	return found;
}

static struct symbol find_in_table(Dwfl_Module *module, Dwarf_Addr addr)
{
	GElf_Off offset = 0;
	GElf_Sym sym;
	struct symbol found = { 0 };
	found.name = dwfl_module_addrinfo(module, addr, &offset, &sym, NULL, NULL, NULL);
	found.start = addr - offset;
	return found;
}

static void describe_place(struct json *json, Dwfl_Module *module, Dwarf_Addr pc, Dwarf_Addr addr)
{
	Dwarf_Addr start = 0;
	const char *name = dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, NULL, NULL);
	struct symbol symbol = find_in_dwarf(module, addr);
	if (!symbol.name)
		symbol = find_in_table(module, addr);
	text_set(json, "symbol", symbol.name);
	if (symbol.name && symbol.start && symbol.start <= pc)
		json_set_u64(json, "symbol_offset", pc - symbol.start);
	text_set(json, "module", name);
	json_set_u64(json, "module_offset", pc - start);
}

struct json *frame_describe(Dwfl *dwfl, Dwarf_Addr pc, bool activation)
{
	struct json *json = json_new_object();
	// The call before a return address may be the last instruction of its function.
	Dwarf_Addr addr = pc - (activation ? 0 : 1);
	Dwfl_Module *module = dwfl_addrmodule(dwfl, addr);
	json_set_u64(json, "pc", pc);
	if (module)
		describe_place(json, module, pc, addr);
	return json;
}
