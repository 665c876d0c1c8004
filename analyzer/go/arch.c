// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arch.h"

bool go_signal_read(const struct go_arch *arch, struct memory *mem, uint64_t sp,
		    struct go_signal *ret)
{
	enum { SI_CODE = 8, SI_ADDR = 16 }; // include/uapi/asm-generic/siginfo.h
	uint64_t info = arch->signal_info(sp);
	uint32_t code;
	struct go_regs regs;
	if (!memory_u32(mem, info, &ret->number) || !memory_u32(mem, info + SI_CODE, &code) ||
	    !memory_u64(mem, info + SI_ADDR, &ret->addr) || !arch->signal_regs(mem, sp, &regs))
		return false;
	ret->code = (int32_t)code;
	ret->pc = regs.pc;
	return true;
}

const struct go_arch *go_arch_of(uint16_t elf_machine)
{
	// Cores of every machine are read on every machine.
	static const struct go_arch *const all[] = { &go_arch_x86_64, &go_arch_aarch64 };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->elf_machine == elf_machine)
			return all[i];
	return NULL;
}
