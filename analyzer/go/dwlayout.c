// SPDX-License-Identifier: LGPL-2.1-or-later
#include <string.h>

#include "dwunits.h"

enum {
	FIELD_DEPTH_MAX = 3,
	FIELD_NAME_MAX = 32,
	STRUCT_BYTES_MAX = INT16_MAX, ///< what an offset in a layout can say
};

/// A range of fields of one structure, with their names in the order of enum go_field.
struct structure {
	const char *name;
	const char *const *fields;
	enum go_field first;
	uint8_t n;
};

static const char *const g_fields[] = {
	"stack.lo",  "stack.hi",     "_panic",	    "m",	"sched.sp",  "sched.pc",
	"sched.g",   "sched.lr",     "sched.bp",    "syscallsp", "syscallpc", "atomicstatus",
	"goid",	     "waitsince",    "waitreason",  "lockedm",	"sig",	     "sigcode0",
	"sigcode1",  "sigpc",	     "parentGoid",  "gopc",	"startpc",   "waiting",
	"labels",    "timer",	     "sleepWhen",   "syncGroup", "bubble",   "runningCleanups",
	"", // the size
};

static const char *const m_fields[] = {
	"g0",	    "procid", "gsignal", "curg",    "caughtsig", "p",	    "id",     "throwing",
	"dying",    "incgo",  "isextra", "alllink", "lockedg",	 "vdsoSP",  "vdsoPC",
};

static const char *const p_fields[] = {
	"id",	    "status",	"m",	   "sysmontick.schedwhen", "sysmontick.syscallwhen",
	"runqhead", "runqtail", "runnext",
};

static const char *const sched_fields[] = {
	"lastpoll", "nmidle", "npidle", "nmspinning", "runqsize", "runq.size", "gcwaiting",
};

static const char *const sudog_fields[] = {
	"g", "isSelect", "next", "prev", "elem", "success", "waitlink", "c",
};

static const char *const hchan_fields[] = {
	"qcount", "dataqsiz", "elemsize", "closed", "timer", "recvq.first", "sendq.first",
};

static const char *const panic_fields[] = {
	"arg", "link", "recovered", "aborted", "repanicked", "goexit",
};

static const char *const module_fields[] = {
	"pcHeader", "funcnametab", "cutab",	"filetab",    "pctab",	   "pclntable",	 "ftab",
	"minpc",    "maxpc",	   "text",	"etext",      "noptrdata", "enoptrdata", "data",
	"edata",    "bss",	   "ebss",	"noptrbss",   "enoptrbss", "end",	 "types",
	"etypes",   "gofunc",	   "pluginpath", "modulename", "next",
};

static const char *const timer_fields[] = { "when" };
static const char *const bubble_fields[] = { "id" };

#define STRUCTURE(name, first, fields) { name, fields, first, ARRAY_SIZE(fields) }
static const struct structure structures[] = {
	STRUCTURE("runtime.g", GO_G_STACK_LO, g_fields),
	STRUCTURE("runtime.m", GO_M_G0, m_fields),
	STRUCTURE("runtime.p", GO_P_ID, p_fields),
	STRUCTURE("runtime.schedt", GO_SCHED_LASTPOLL, sched_fields),
	STRUCTURE("runtime.sudog", GO_SUDOG_G, sudog_fields),
	STRUCTURE("runtime.hchan", GO_HCHAN_QCOUNT, hchan_fields),
	STRUCTURE("runtime._panic", GO_PANIC_ARG, panic_fields),
	STRUCTURE("runtime.moduledata", GO_MODULE_PC_HEADER, module_fields),
	STRUCTURE("runtime.timer", GO_TIMER_WHEN, timer_fields),
	STRUCTURE("runtime.synctestBubble", GO_BUBBLE_ID, bubble_fields),
};

_Static_assert(ARRAY_SIZE(g_fields) == GO_M_G0 - GO_G_STACK_LO &&
		       ARRAY_SIZE(m_fields) == GO_P_ID - GO_M_G0 &&
		       ARRAY_SIZE(p_fields) == GO_SCHED_LASTPOLL - GO_P_ID &&
		       ARRAY_SIZE(sched_fields) == GO_SUDOG_G - GO_SCHED_LASTPOLL &&
		       ARRAY_SIZE(sudog_fields) == GO_HCHAN_QCOUNT - GO_SUDOG_G &&
		       ARRAY_SIZE(hchan_fields) == GO_PANIC_ARG - GO_HCHAN_QCOUNT &&
		       ARRAY_SIZE(panic_fields) == GO_MODULE_PC_HEADER - GO_PANIC_ARG &&
		       ARRAY_SIZE(module_fields) == GO_TIMER_WHEN - GO_MODULE_PC_HEADER &&
		       GO_BUBBLE_ID + 1 == GO_FIELD_MAX,
	       "names are in the order of enum go_field");

/// The member called @name of the structure @type; its type may have none.
static bool find_member(struct go_dwarf *dw, Dwarf_Die type, const char *name, uint64_t *ret_offset,
			uint64_t *ret_type)
{
	Dwarf_Debug dbg = go_dwarf_handle(dw);
	Dwarf_Die die = dw_die_child(dbg, type);
	while (die && (dw_die_tag(dbg, die) != DW_TAG_member ||
		       strcmp(dw_die_name(dbg, die), name) != 0))
		die = go_dwarf_next(dw, die);
	if (!die)
		return false;
	bool ok = dw_die_number(dbg, die, DW_AT_data_member_location, ret_offset);
	if (!dw_die_reference(dbg, die, DW_AT_type, ret_type))
		*ret_type = 0;
	dw_die_free(die);
	return ok && *ret_offset <= STRUCT_BYTES_MAX;
}

/// Where "sched.sp" is in @type; false when it has no such field.
static bool find_field(struct go_dwarf *dw, Dwarf_Die type, const char *path, uint64_t *ret)
{
	uint64_t sum = 0, inner = 0;
	Dwarf_Die here = type;
	bool ok = true;
	for (int depth = 0; ok && *path && depth < FIELD_DEPTH_MAX; depth++) {
		char name[FIELD_NAME_MAX] = "";
		uint64_t offset = 0;
		size_t len = strcspn(path, ".");
		memcpy(name, path, MIN(len, sizeof(name) - 1));
		path += len + (path[len] == '.');
		ok = find_member(dw, here, name, &offset, &inner);
		if (here != type)
			dw_die_free(here);
		sum += offset;
		here = ok && *path ? go_dwarf_real_type(dw, inner) : NULL;
		ok = ok && (here || !*path);
	}
	*ret = sum;
	return ok && sum <= STRUCT_BYTES_MAX;
}

static size_t read_structure(struct go_dwarf *dw, const struct structure *s, Dwarf_Die die,
			     struct go_layout *layout)
{
	size_t n = 0;
	uint64_t value;
	for (uint8_t i = 0; i < s->n; i++) {
		bool ok = s->fields[i][0] ? find_field(dw, die, s->fields[i], &value) :
					    dw_die_number(go_dwarf_handle(dw), die,
							  DW_AT_byte_size, &value);
		ok = ok && value <= STRUCT_BYTES_MAX;
		layout->offset[s->first + i] = ok ? (int16_t)value : GO_NONE;
		n += ok;
	}
	return n;
}

static const struct structure *structure_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(structures); i++)
		if (!strcmp(structures[i].name, name))
			return &structures[i];
	return NULL;
}

/// Reads the structures in one unit into @layout; returns how many fields they have.
static size_t read_unit(struct go_dwarf *dw, Dwarf_Die top, struct go_layout *layout, bool *has_g)
{
	Dwarf_Debug dbg = go_dwarf_handle(dw);
	size_t n = 0;
	for (Dwarf_Die die = dw_die_child(dbg, top); die; die = go_dwarf_next(dw, die)) {
		const struct structure *s = dw_die_tag(dbg, die) == DW_TAG_structure_type ?
						    structure_named(dw_die_name(dbg, die)) :
						    NULL;
		size_t fields = s ? read_structure(dw, s, die, layout) : 0;
		*has_g |= fields && s->first == GO_G_STACK_LO;
		n += fields;
	}
	return n;
}

size_t go_dwarf_layout(struct go_dwarf *dw, struct go_layout *layout)
{
	struct go_layout found = *layout;
	size_t n = 0, cursor = 0;
	bool has_g = false;
	Dwarf_Die top;
	while (!has_g && (top = go_dwarf_runtime(dw, &cursor))) {
		n += read_unit(dw, top, &found, &has_g);
		dw_die_free(top);
	}
	if (!has_g)
		return 0;
	*layout = found;
	return n;
}
