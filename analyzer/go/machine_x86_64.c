// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arch.h"
#include "insn_x86_64.h"

enum {
	// struct user_regs_struct, arch/x86/include/asm/user_64.h
	REG_RBP = 4 * 8,
	REG_RIP = 16 * 8,
	REG_RSP = 19 * 8,
	REG_FS_BASE = 21 * 8,
	REGS_BYTES = 27 * 8,
	// What a signal leaves: struct ucontext, with sigcontext 40 bytes in,
	// arch/x86/include/uapi/asm/sigcontext.h
	UCONTEXT_GREGS = 40,
	GREG_RBP = 10 * 8,
	GREG_RSP = 15 * 8,
	GREG_RIP = 16 * 8,
	GREGS_BYTES = 17 * 8,
	UCONTEXT_BYTES = 304, ///< the siginfo of a struct rt_sigframe follows
	// runtime.tlsg of programs that are linked by Go itself: one word below FS.
	TLS_G = -8,
	// runtime/cgo/asm_amd64.s, crosscall2: BP is saved as in all frames of a size, the others
	// where it says; from 1.17 on all as PUSH_REGS_HOST_TO_ABI0 has it, with SP 24 lower.
	CROSSCALL_MINOR = 17,
	CROSSCALL_BYTES = 9 * 8,
};

static bool thread_regs(const struct core_thread *thread, struct go_regs *ret)
{
	struct span regs = thread->regs;
	if (regs.size < REGS_BYTES)
		return false;
	*ret = (struct go_regs){
		.pc = span_u64(&regs, REG_RIP),
		.sp = span_u64(&regs, REG_RSP),
		.fp = span_u64(&regs, REG_RBP),
	};
	return native_x86_64.thread_regs(regs, &ret->all);
}

static uint64_t thread_g(const struct core_thread *thread, struct memory *mem)
{
	struct span regs = thread->regs;
	uint64_t g = 0;
	if (regs.size >= REGS_BYTES)
		(void)memory_u64(mem, span_u64(&regs, REG_FS_BASE) + (uint64_t)TLS_G, &g); // 0 then
	return g;
}

static bool signal_regs(struct memory *mem, uint64_t sp, struct go_regs *ret)
{
	uint8_t bytes[GREGS_BYTES];
	if (!memory_read(mem, sp + UCONTEXT_GREGS, bytes, sizeof(bytes)))
		return false;
	struct span gregs = span_of(bytes, sizeof(bytes));
	*ret = (struct go_regs){
		.pc = span_u64(&gregs, GREG_RIP),
		.sp = span_u64(&gregs, GREG_RSP),
		.fp = span_u64(&gregs, GREG_RBP),
	};
	return native_x86_64.signal_regs(mem, sp, &ret->all);
}

static bool crosscall_regs(struct memory *mem, uint64_t sp, uint64_t fp, int minor,
			   struct cfi_regs *ret)
{
	enum { RBX = 3, RBP = 6, RSP = 7, R12 = 12 }; // in DWARF
	uint8_t bytes[CROSSCALL_BYTES];
	struct span saved = span_of(bytes, sizeof(bytes));
	uint64_t pc, bp;
	bool old = minor < CROSSCALL_MINOR;
	if (!memory_read(mem, sp + (old ? 0 : 24), bytes, sizeof(bytes)) ||
	    !memory_u64(mem, fp - 8, &pc) || !memory_u64(mem, fp - 16, &bp))
		return false;
	*ret = (struct cfi_regs){ .pc = pc };
	cfi_set(ret, RSP, fp);
	cfi_set(ret, RBP, old ? bp : span_u64(&saved, 2 * 8));
	cfi_set(ret, RBX, span_u64(&saved, 3 * 8));
	for (uint8_t i = 0; i < 4; i++)
		cfi_set(ret, R12 + i, span_u64(&saved, (old ? 5U : 4U) * 8 + i * 8U));
	return true;
}

static uint64_t signal_info(uint64_t sp)
{
	return sp + UCONTEXT_BYTES;
}

/**
 * The bytes of immediate operand behind the displacement, of an instruction that names memory
 * relative to the instruction pointer; -1 when it is none of those that matter.
 *
 * MOV, LEA, CMP, ADD, XCHG and comparisons with a constant: what Go's compiler makes for loads and
 * stores of global variables.
 */
static int immediate_bytes(uint8_t opcode)
{
	switch (opcode) {
	case 0x8b: // mov reg, mem
	case 0x89: // mov mem, reg
	case 0x8d: // lea
	case 0x03: // add reg, mem
	case 0x01: // add mem, reg
	case 0x39: // cmp mem, reg
	case 0x3b: // cmp reg, mem
	case 0x87: // xchg
	case 0x63: // movsxd
		return 0;
	case 0x83: // cmp/add mem, imm8
		return 1;
	case 0xc7: // mov mem, imm32
	case 0x81: // cmp/add mem, imm32
		return 4;
	default:
		return -1;
	}
}

static size_t operands(const uint8_t *code, size_t len, uint64_t pc, uint64_t *ret, size_t max)
{
	enum { MODRM_MASK = 0xc7, MODRM_RIP = 0x05 };
	struct span s = span_of(code, len);
	size_t n = 0;
	for (size_t i = 0; i + 6 <= len && n < max; i++) {
		int imm = immediate_bytes(code[i]);
		if (imm < 0 || (code[i + 1] & MODRM_MASK) != MODRM_RIP)
			continue;
		int32_t disp = (int32_t)span_u32(&s, i + 2);
		ret[n++] = pc + i + 6 + (uint64_t)imm + (uint64_t)(int64_t)disp;
	}
	return n;
}

/// Does @insn store into the word whose address @lea, the instruction before it, has made?
static bool stores_to(const struct insn *insn, const struct insn *lea)
{
	return insn->opcode == 0x87 && !insn->rip && insn->mod < 3 && insn->disp == 0 &&
	       insn->size == 2U + (insn->rm > 7 || insn->reg > 7) + (insn->mod == 1) &&
	       lea->opcode == 0x8d && lea->rip && lea->operand_bytes == 8 && lea->reg == insn->rm;
}

static bool is_plain(const struct insn *insn)
{
	return insn->map == INSN_MAP_ONE && !insn->vex && !insn->segment && !insn->lock_or_rep;
}

static bool accesses(const uint8_t *code, size_t len, uint64_t pc, struct go_access *ret,
		     size_t max, size_t *ret_n)
{
	struct insn insn, before = { 0 };
	uint64_t before_addr = 0;
	size_t n = 0;
	for (size_t i = 0; i < len; i += insn.size) {
		*ret_n = n;
		if (n == max || !insn_x86_64_decode(code + i, len - i, &insn))
			return false;
		uint64_t addr = pc + i + insn.size + (uint64_t)(int64_t)insn.disp;
		bool word = is_plain(&insn) && insn.operand_bytes == 4;
		if (word && insn.rip && insn.opcode == 0x8b)
			ret[n++] = (struct go_access){ GO_ACCESS_LOAD, pc + i, addr };
		else if (word && insn.rip && insn.opcode == 0x0b)
			ret[n++] = (struct go_access){ GO_ACCESS_OR, pc + i, addr };
		else if (word && insn.rip && insn.opcode == 0x87)
			ret[n++] = (struct go_access){ GO_ACCESS_STORE, pc + i, addr };
		else if (word && is_plain(&before) && stores_to(&insn, &before))
			ret[n++] = (struct go_access){ GO_ACCESS_STORE, pc + i, before_addr };
		before = insn;
		before_addr = addr;
	}
	*ret_n = n;
	return true;
}

const struct go_arch go_arch_x86_64 = {
	.elf_machine = EM_X86_64,
	.quantum = 1,
	.cache_line_bytes = 64,
	.callback_saved_sp = 0,
	.native = &native_x86_64,
	.thread_regs = thread_regs,
	.thread_g = thread_g,
	.signal_regs = signal_regs,
	.signal_info = signal_info,
	.crosscall_regs = crosscall_regs,
	.operands = operands,
	.accesses = accesses,
};
