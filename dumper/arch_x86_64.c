// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arch.h"

#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

// Bits of XCR0; Intel SDM volume 1, 13.1.
enum {
	XFEATURE_AVX = 1U << 2,
	XFEATURE_AVX512 = 7U << 5, // opmask, ZMM_Hi256, Hi16_ZMM
	XFEATURE_PKRU = 1U << 9,
	XFEATURE_FIRST_EXTENDED = 2,
	CPUID_XSTATE = 0xd,
};

/// arch/x86/include/uapi/asm/elf.h
struct x86_xfeat_component {
	uint32_t type, size, offset, flags;
};

int arch_xsave_layout(const struct snap_machine *machine, struct strbuf *buf)
{
	for (uint32_t i = XFEATURE_FIRST_EXTENDED; i < 63; i++) {
		uint32_t eax, ebx, ecx, edx;
		if (!(machine->xfeatures & 1ULL << i) ||
		    !__get_cpuid_count(CPUID_XSTATE, i, &eax, &ebx, &ecx, &edx) || !eax)
			continue;
		struct x86_xfeat_component part = { .type = i, .size = eax, .offset = ebx };
		int r = strbuf_add(buf, &part, sizeof(part));
		if (r < 0)
			return r;
	}
	return 0;
}

void arch_get_pc_sp(const struct snap_machine *machine, struct span regs, uint64_t *ret_pc,
		    uint64_t *ret_sp)
{
	// Places in struct user_regs_struct and user_regs_struct32, arch/x86/include/asm/user*.h.
	enum { RIP = 16, RSP = 19, EIP = 12, ESP = 15 };
	uint64_t pc, sp;
	if (machine->elf_machine == EM_X86_64 && machine->elf_class == ELFCLASS64) {
		pc = span_u64(&regs, RIP * 8UL);
		sp = span_u64(&regs, RSP * 8UL);
	} else if (machine->elf_machine == EM_386) {
		pc = span_u32(&regs, EIP * 4UL);
		sp = span_u32(&regs, ESP * 4UL);
	} else {
		return;
	}
	if (!regs.bad) {
		*ret_pc = pc;
		*ret_sp = sp;
	}
}

/*
 * The target description. gdb fixes the names of features and registers and their order (gdb
 * manual, "i386 Features"); the types are gdb's own or built here. It is written by tables: a run
 * of registers with one type and a numbered name is one row.
 */

struct reg_row {
	const char *format; ///< "xmm%u", or a name without %u
	unsigned int first, count;
	unsigned int bits;
	const char *type;
	const char *group; ///< or NULL
};

static int add_rows(struct strbuf *buf, const char *feature, const char *types,
		    const struct reg_row *rows, size_t n)
{
	int r = strbuf_addf(buf, "<feature name=\"org.gnu.gdb.i386.%s\">\n%s", feature, types);
	for (size_t i = 0; i < n; i++) {
		for (unsigned int j = 0; r >= 0 && j < rows[i].count; j++) {
			char name[32];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			(void)snprintf(name, sizeof(name), rows[i].format, rows[i].first + j);
#pragma GCC diagnostic pop
			r = strbuf_addf(buf, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"", name,
					rows[i].bits, rows[i].type);
			if (r >= 0 && rows[i].group)
				r = strbuf_addf(buf, " group=\"%s\"", rows[i].group);
			if (r >= 0)
				r = strbuf_addf(buf, "/>\n");
		}
	}
	return r < 0 ? r : strbuf_addf(buf, "</feature>\n");
}
#define ADD_ROWS(buf, feature, types, rows) add_rows(buf, feature, types, rows, ARRAY_SIZE(rows))

static const char flags_type[] =
	"<flags id=\"i386_eflags\" size=\"4\">"
	"<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/>"
	"<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
	"<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
	"<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
	"<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
	"<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
	"<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
	"<field name=\"VIF\" start=\"19\" end=\"19\"/><field name=\"VIP\" start=\"20\" end=\"20\"/>"
	"<field name=\"ID\" start=\"21\" end=\"21\"/></flags>\n";

static const char vec128_types[] =
	"<vector id=\"v8bf16\" type=\"bfloat16\" count=\"8\"/>"
	"<vector id=\"v8h\" type=\"ieee_half\" count=\"8\"/>"
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
	"<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
	"<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v8_bfloat16\" type=\"v8bf16\"/>"
	"<field name=\"v8_half\" type=\"v8h\"/>"
	"<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
	"<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
	"<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
	"<field name=\"uint128\" type=\"uint128\"/></union>\n";

static const char v2ui128_type[] = "<vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>\n";

static const struct reg_row pkeys[] = { { "pkru", 0, 1, 32, "uint32", NULL } };

static const char mxcsr_type[] =
	"<flags id=\"i386_mxcsr\" size=\"4\">"
	"<field name=\"IE\" start=\"0\" end=\"0\"/><field name=\"DE\" start=\"1\" end=\"1\"/>"
	"<field name=\"ZE\" start=\"2\" end=\"2\"/><field name=\"OE\" start=\"3\" end=\"3\"/>"
	"<field name=\"UE\" start=\"4\" end=\"4\"/><field name=\"PE\" start=\"5\" end=\"5\"/>"
	"<field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"IM\" start=\"7\" end=\"7\"/>"
	"<field name=\"DM\" start=\"8\" end=\"8\"/><field name=\"ZM\" start=\"9\" end=\"9\"/>"
	"<field name=\"OM\" start=\"10\" end=\"10\"/><field name=\"UM\" start=\"11\" end=\"11\"/>"
	"<field name=\"PM\" start=\"12\" end=\"12\"/><field name=\"FZ\" start=\"15\" end=\"15\"/>"
	"</flags>\n";

#define SEGMENTS_AND_X87                                                                     \
	{ "cs", 0, 1, 32, "int32", NULL }, { "ss", 0, 1, 32, "int32", NULL },                \
		{ "ds", 0, 1, 32, "int32", NULL }, { "es", 0, 1, 32, "int32", NULL },        \
		{ "fs", 0, 1, 32, "int32", NULL }, { "gs", 0, 1, 32, "int32", NULL },        \
		{ "st%u", 0, 8, 80, "i387_ext", NULL },                                      \
		{ "fctrl", 0, 1, 32, "int", "float" }, { "fstat", 0, 1, 32, "int", "float" }, \
		{ "ftag", 0, 1, 32, "int", "float" }, { "fiseg", 0, 1, 32, "int", "float" }, \
		{ "fioff", 0, 1, 32, "int", "float" }, { "foseg", 0, 1, 32, "int", "float" }, \
	{                                                                                    \
		"fooff", 0, 1, 32, "int", "float"                                            \
	}                                                                                    \
	, { "fop", 0, 1, 32, "int", "float" }

static int add_features64(uint64_t xfeatures, struct strbuf *buf)
{
	static const struct reg_row core[] = {
		{ "rax", 0, 1, 64, "int64", NULL },	 { "rbx", 0, 1, 64, "int64", NULL },
		{ "rcx", 0, 1, 64, "int64", NULL },	 { "rdx", 0, 1, 64, "int64", NULL },
		{ "rsi", 0, 1, 64, "int64", NULL },	 { "rdi", 0, 1, 64, "int64", NULL },
		{ "rbp", 0, 1, 64, "data_ptr", NULL },	 { "rsp", 0, 1, 64, "data_ptr", NULL },
		{ "r%u", 8, 8, 64, "int64", NULL },	 { "rip", 0, 1, 64, "code_ptr", NULL },
		{ "eflags", 0, 1, 32, "i386_eflags", NULL }, SEGMENTS_AND_X87,
	};
	static const struct reg_row sse[] = { { "xmm%u", 0, 16, 128, "vec128", NULL },
					      { "mxcsr", 0, 1, 32, "i386_mxcsr", "vector" } };
	static const struct reg_row linux_regs[] = { { "orig_rax", 0, 1, 64, "int", "system" } };
	static const struct reg_row segments[] = { { "fs_base", 0, 1, 64, "int", NULL },
						   { "gs_base", 0, 1, 64, "int", NULL } };
	static const struct reg_row avx[] = { { "ymm%uh", 0, 16, 128, "uint128", NULL } };
	static const struct reg_row avx512[] = {
		{ "xmm%u", 16, 16, 128, "vec128", NULL },
		{ "ymm%uh", 16, 16, 128, "uint128", NULL },
		{ "k%u", 0, 8, 64, "uint64", NULL },
		{ "zmm%uh", 0, 32, 256, "v2ui128", NULL },
	};

	_cleanup_strbuf_ struct strbuf types = { 0 };
	int r = strbuf_addf(&types, "%s%s", vec128_types, mxcsr_type);
	if (r >= 0)
		r = ADD_ROWS(buf, "core", flags_type, core);
	if (r >= 0)
		r = ADD_ROWS(buf, "sse", types.data, sse);
	if (r >= 0)
		r = ADD_ROWS(buf, "linux", "", linux_regs);
	if (r >= 0)
		r = ADD_ROWS(buf, "segments", "", segments);
	if (r >= 0 && xfeatures & XFEATURE_AVX)
		r = ADD_ROWS(buf, "avx", "", avx);
	if (r >= 0 && (xfeatures & XFEATURE_AVX512) == XFEATURE_AVX512) {
		types.len = 0;
		r = strbuf_addf(&types, "%s%s", vec128_types, v2ui128_type);
		if (r >= 0)
			r = ADD_ROWS(buf, "avx512", types.data, avx512);
	}
	if (r >= 0 && xfeatures & XFEATURE_PKRU)
		r = ADD_ROWS(buf, "pkeys", "", pkeys);
	return r;
}

static int add_features32(uint64_t xfeatures, struct strbuf *buf)
{
	static const struct reg_row core[] = {
		{ "eax", 0, 1, 32, "int32", NULL },    { "ecx", 0, 1, 32, "int32", NULL },
		{ "edx", 0, 1, 32, "int32", NULL },    { "ebx", 0, 1, 32, "int32", NULL },
		{ "esp", 0, 1, 32, "data_ptr", NULL }, { "ebp", 0, 1, 32, "data_ptr", NULL },
		{ "esi", 0, 1, 32, "int32", NULL },    { "edi", 0, 1, 32, "int32", NULL },
		{ "eip", 0, 1, 32, "code_ptr", NULL }, { "eflags", 0, 1, 32, "i386_eflags", NULL },
		SEGMENTS_AND_X87,
	};
	static const struct reg_row sse[] = { { "xmm%u", 0, 8, 128, "vec128", NULL },
					      { "mxcsr", 0, 1, 32, "i386_mxcsr", "vector" } };
	static const struct reg_row linux_regs[] = { { "orig_eax", 0, 1, 32, "int", "system" } };
	static const struct reg_row avx[] = { { "ymm%uh", 0, 8, 128, "uint128", NULL } };
	static const struct reg_row avx512[] = { { "k%u", 0, 8, 64, "uint64", NULL },
						 { "zmm%uh", 0, 8, 256, "v2ui128", NULL } };

	_cleanup_strbuf_ struct strbuf types = { 0 };
	int r = strbuf_addf(&types, "%s%s", vec128_types, mxcsr_type);
	if (r >= 0)
		r = ADD_ROWS(buf, "core", flags_type, core);
	if (r >= 0)
		r = ADD_ROWS(buf, "sse", types.data, sse);
	if (r >= 0)
		r = ADD_ROWS(buf, "linux", "", linux_regs);
	if (r >= 0 && xfeatures & XFEATURE_AVX)
		r = ADD_ROWS(buf, "avx", "", avx);
	if (r >= 0 && (xfeatures & XFEATURE_AVX512) == XFEATURE_AVX512)
		r = ADD_ROWS(buf, "avx512", v2ui128_type, avx512);
	if (r >= 0 && xfeatures & XFEATURE_PKRU)
		r = ADD_ROWS(buf, "pkeys", "", pkeys);
	return r;
}

int arch_target_description(const struct snap_machine *machine, struct strbuf *buf)
{
	bool wide = machine->elf_class == ELFCLASS64;
	int r = strbuf_addf(buf,
			    "<?xml version=\"1.0\"?>\n"
			    "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
			    "<target>\n<architecture>%s</architecture>\n"
			    "<osabi>GNU/Linux</osabi>\n",
			    wide ? "i386:x86-64" : "i386");
	if (r >= 0)
		r = wide ? add_features64(machine->xfeatures, buf) :
			   add_features32(machine->xfeatures, buf);
	return r < 0 ? r : strbuf_addf(buf, "</target>\n");
}
