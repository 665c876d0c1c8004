// SPDX-License-Identifier: LGPL-2.1-or-later
#include <string.h>

#include "arch.h"

enum {
	// struct user_pt_regs, arch/arm64/include/uapi/asm/ptrace.h: x0..x30, sp, pc, pstate
	REG_G = 28, // cmd/internal/obj/arm64: REGG
	REG_FP = 29,
	REG_LR = 30,
	REG_SP = 31,
	REG_PC = 32,
	REGS_BYTES = 34 * 8,
	// struct rt_sigframe: siginfo, then ucontext with sigcontext {fault_address, regs} 176
	// bytes in
	SIGFRAME_REGS = 128 + 176 + 8,
	// runtime/cgo/asm_arm64.s, crosscall2: R19 to R28, and behind those of floating point R29
	// and the link register
	CROSSCALL_R19 = 4 * 8,
	CROSSCALL_R29 = 22 * 8,
	CROSSCALL_BYTES = 24 * 8,
};

static struct go_regs take_regs(struct span regs)
{
	return (struct go_regs){
		.pc = span_u64(&regs, REG_PC * 8),
		.sp = span_u64(&regs, REG_SP * 8),
		.lr = span_u64(&regs, REG_LR * 8),
		.fp = span_u64(&regs, REG_FP * 8),
	};
}

static bool thread_regs(const struct core_thread *thread, struct go_regs *ret)
{
	if (thread->regs.size < REGS_BYTES)
		return false;
	*ret = take_regs(thread->regs);
	return native_aarch64.thread_regs(thread->regs, &ret->all);
}

static uint64_t thread_g(const struct core_thread *thread, struct memory *mem _unused_)
{
	struct span regs = thread->regs;
	return regs.size < REGS_BYTES ? 0 : span_u64(&regs, REG_G * 8);
}

static bool signal_regs(struct memory *mem, uint64_t sp, struct go_regs *ret)
{
	uint8_t bytes[REGS_BYTES];
	if (!memory_read(mem, sp + SIGFRAME_REGS, bytes, sizeof(bytes)))
		return false;
	*ret = take_regs(span_of(bytes, sizeof(bytes)));
	return native_aarch64.signal_regs(mem, sp, &ret->all);
}

static bool crosscall_regs(struct memory *mem, uint64_t sp, uint64_t fp _unused_,
			   int minor _unused_, struct cfi_regs *ret)
{
	uint8_t bytes[CROSSCALL_BYTES];
	struct span saved = span_of(bytes, sizeof(bytes));
	if (!memory_read(mem, sp, bytes, sizeof(bytes)))
		return false;
	*ret = (struct cfi_regs){ .pc = span_u64(&saved, CROSSCALL_R29 + 8) };
	cfi_set(ret, REG_SP, sp + CROSSCALL_BYTES);
	cfi_set(ret, REG_FP, span_u64(&saved, CROSSCALL_R29));
	for (uint8_t i = 0; i < 10; i++)
		cfi_set(ret, 19 + i, span_u64(&saved, CROSSCALL_R19 + i * 8U));
	return true;
}

static uint64_t signal_info(uint64_t sp)
{
	return sp; // the first thing in a struct rt_sigframe
}

/// The page that an ADRP makes from its own pc.
static uint64_t adrp_page(uint32_t insn, uint64_t pc)
{
	uint64_t low = (insn >> 29) & 3, high = (insn >> 5) & 0x7ffff;
	int64_t pages = (int64_t)((high << 2 | low) << 43) >> 43; // 21 bits, signed
	return (pc & ~0xfffULL) + ((uint64_t)pages << 12);
}

/// The offset that a load, store or ADD adds to its base register; false for other instructions.
static bool page_offset(uint32_t insn, uint32_t *ret_base, uint64_t *ret)
{
	*ret_base = (insn >> 5) & 31;
	if ((insn & 0x3b000000) == 0x39000000) { // LDR, STR with an unsigned offset
		*ret = (uint64_t)((insn >> 10) & 0xfff) << (insn >> 30);
		return true;
	}
	if ((insn & 0x7f800000) == 0x11000000) { // ADD with a 12-bit constant
		*ret = (insn >> 10) & 0xfff;
		return !(insn & 1U << 22); // not shifted
	}
	if ((insn & 0xff800000) == 0xa9000000) { // LDP, STP of two words
		int64_t words = (int64_t)((uint64_t)((insn >> 15) & 0x7f) << 57) >> 57;
		*ret = (uint64_t)(words * 8);
		return true;
	}
	return false;
}

static size_t operands(const uint8_t *code, size_t len, uint64_t pc, uint64_t *ret, size_t max)
{
	uint64_t pages[32] = { 0 };
	struct span s = span_of(code, len);
	size_t n = 0;
	for (size_t i = 0; i + 4 <= len && n + 2 <= max; i += 4) {
		uint32_t insn = span_u32(&s, i), base;
		uint64_t offset;
		if ((insn & 0x9f000000) == 0x90000000) {
			pages[insn & 31] = adrp_page(insn, pc + i);
			continue;
		}
		if (!page_offset(insn, &base, &offset) || !pages[base])
			continue;
		ret[n++] = pages[base] + offset;
		if ((insn & 0xff800000) == 0xa9000000) // the second word of a pair
			ret[n++] = pages[base] + offset + 8;
		if ((insn & 0x7f800000) == 0x11000000) // the whole address from now on
			pages[insn & 31] = pages[base] + offset;
	}
	return n;
}

const struct go_arch go_arch_aarch64 = {
	.elf_machine = EM_AARCH64,
	.quantum = 4,
	.cache_line_bytes = 128,
	.link_register = true,
	.min_frame_bytes = 8,
	.callback_saved_sp = 16,
	.native = &native_aarch64,
	.thread_regs = thread_regs,
	.thread_g = thread_g,
	.signal_regs = signal_regs,
	.signal_info = signal_info,
	.crosscall_regs = crosscall_regs,
	.operands = operands,
};
