// SPDX-License-Identifier: LGPL-2.1-or-later
#include "native.h"

// DWARF for the Arm 64-bit Architecture, 4.1: x0 to x30 and sp have the numbers 0 to 31.
enum {
	DWARF_FP = 29,
	DWARF_LR = 30,
	DWARF_SP = 31,
	DWARF_N = 32,
	// struct user_pt_regs, arch/arm64/include/uapi/asm/ptrace.h: x0..x30, sp, pc, pstate
	REG_PC = 32,
	REGS_BYTES = 34 * 8,
	// struct rt_sigframe: siginfo, then ucontext with sigcontext {fault_address, regs} 176
	// bytes in
	SIGFRAME_REGS = 128 + 176 + 8,
	PRESERVED_FIRST = 19,
	PRESERVED_LAST = 29,
};

static void take(struct span regs, struct cfi_regs *ret)
{
	*ret = (struct cfi_regs){ .pc = span_u64(&regs, REG_PC * 8) };
	for (unsigned int i = 0; i < DWARF_N; i++)
		cfi_set(ret, (uint8_t)i, span_u64(&regs, i * 8U));
}

static bool thread_regs(struct span regs, struct cfi_regs *ret)
{
	if (regs.size < REGS_BYTES)
		return false;
	take(regs, ret);
	return true;
}

static bool signal_regs(struct memory *mem, uint64_t sp, struct cfi_regs *ret)
{
	uint8_t bytes[REGS_BYTES];
	if (!memory_read(mem, sp + SIGFRAME_REGS, bytes, sizeof(bytes)))
		return false;
	take(span_of(bytes, sizeof(bytes)), ret);
	return true;
}

/// BL, or BLR with or without authentication.
static bool after_call(struct memory *mem, uint64_t pc)
{
	uint32_t insn;
	return !(pc & 3) && memory_u32(mem, pc - 4, &insn) &&
	       ((insn & 0xfc000000) == 0x94000000 || (insn & 0xfffffc1f) == 0xd63f0000 ||
		(insn & 0xfefff800) == 0xd63f0800);
}

const struct native_machine native_aarch64 = {
	.cfi = {
		.n = DWARF_N,
		.sp = DWARF_SP,
		.fp = DWARF_FP,
		.link = DWARF_LR,
		.pc_column = DWARF_N,
		// The link register is kept by those who do not use it, as leaves do.
		.preserved = (1U << (PRESERVED_LAST + 1)) - (1U << PRESERVED_FIRST),
		// Signatures lie above the addresses of 48 bits that Linux gives unless asked.
		.address_mask = (1ULL << 48) - 1,
	},
	.elf_machine = EM_AARCH64,
	// mov x8, #139; svc #0: rt_sigreturn, arch/arm64/kernel/vdso/sigreturn.S
	.trampoline_bytes = 8,
	.trampoline = { 0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4 },
	.thread_regs = thread_regs,
	.signal_regs = signal_regs,
	.after_call = after_call,
};
