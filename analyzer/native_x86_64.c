// SPDX-License-Identifier: LGPL-2.1-or-later
#include "native.h"

// System V ABI, AMD64 supplement, figure 3.36: numbers of registers in DWARF.
enum {
	DWARF_RAX, DWARF_RDX, DWARF_RCX, DWARF_RBX, DWARF_RSI, DWARF_RDI, DWARF_RBP, DWARF_RSP,
	DWARF_R8, DWARF_R9, DWARF_R10, DWARF_R11, DWARF_R12, DWARF_R13, DWARF_R14, DWARF_R15,
	DWARF_PC,
	DWARF_N,
};

enum {
	USER_REGS_BYTES = 27 * 8,
	// struct ucontext, with sigcontext 40 bytes in, arch/x86/include/uapi/asm/sigcontext.h
	UCONTEXT_GREGS = 40,
	GREGS_BYTES = 17 * 8,
};

/// struct user_regs_struct, arch/x86/include/asm/user_64.h
static const uint8_t of_user_regs[DWARF_N] = {
	[DWARF_R15] = 0, [DWARF_R14] = 1,  [DWARF_R13] = 2,  [DWARF_R12] = 3, [DWARF_RBP] = 4,
	[DWARF_RBX] = 5, [DWARF_R11] = 6,  [DWARF_R10] = 7,  [DWARF_R9] = 8,  [DWARF_R8] = 9,
	[DWARF_RAX] = 10, [DWARF_RCX] = 11, [DWARF_RDX] = 12, [DWARF_RSI] = 13, [DWARF_RDI] = 14,
	[DWARF_PC] = 16, [DWARF_RSP] = 19,
};

/// struct sigcontext
static const uint8_t of_gregs[DWARF_N] = {
	[DWARF_R8] = 0,	  [DWARF_R9] = 1,   [DWARF_R10] = 2,  [DWARF_R11] = 3,	[DWARF_R12] = 4,
	[DWARF_R13] = 5,  [DWARF_R14] = 6,  [DWARF_R15] = 7,  [DWARF_RDI] = 8,	[DWARF_RSI] = 9,
	[DWARF_RBP] = 10, [DWARF_RBX] = 11, [DWARF_RDX] = 12, [DWARF_RAX] = 13, [DWARF_RCX] = 14,
	[DWARF_RSP] = 15, [DWARF_PC] = 16,
};

static void take(struct span regs, const uint8_t index[static DWARF_N], struct cfi_regs *ret)
{
	*ret = (struct cfi_regs){ 0 };
	for (unsigned int i = 0; i < DWARF_N; i++)
		cfi_set(ret, (uint8_t)i, span_u64(&regs, index[i] * 8U));
	ret->pc = ret->values[DWARF_PC];
}

static bool thread_regs(struct span regs, struct cfi_regs *ret)
{
	if (regs.size < USER_REGS_BYTES)
		return false;
	take(regs, of_user_regs, ret);
	return true;
}

static bool signal_regs(struct memory *mem, uint64_t sp, struct cfi_regs *ret)
{
	uint8_t bytes[GREGS_BYTES];
	if (!memory_read(mem, sp + UCONTEXT_GREGS, bytes, sizeof(bytes)))
		return false;
	take(span_of(bytes, sizeof(bytes)), of_gregs, ret);
	return true;
}

/// CALL with a displacement, or through a register or memory, which has one of several lengths.
static bool after_call(struct memory *mem, uint64_t pc)
{
	enum { LONGEST = 7, CALL = 0xe8, GROUP5 = 0xff, REG_CALL = 2 };
	uint8_t code[LONGEST];
	if (!memory_read(mem, pc - LONGEST, code, sizeof(code)))
		return false;
	if (code[LONGEST - 5] == CALL)
		return true;
	for (int i = 0; i <= LONGEST - 2; i++)
		if (code[i] == GROUP5 && (code[i + 1] >> 3 & 7) == REG_CALL)
			return true;
	return false;
}

const struct native_machine native_x86_64 = {
	.cfi = {
		.n = DWARF_N,
		.sp = DWARF_RSP,
		.fp = DWARF_RBP,
		.link = DWARF_N,
		.pc_column = DWARF_PC,
		.preserved = 1U << DWARF_RBX | 1U << DWARF_RBP | 1U << DWARF_R12 |
			     1U << DWARF_R13 | 1U << DWARF_R14 | 1U << DWARF_R15,
		.address_mask = UINT64_MAX,
	},
	.elf_machine = EM_X86_64,
	// mov $15, %rax; syscall: rt_sigreturn
	.trampoline_bytes = 9,
	.trampoline = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 },
	.thread_regs = thread_regs,
	.signal_regs = signal_regs,
	.after_call = after_call,
};
