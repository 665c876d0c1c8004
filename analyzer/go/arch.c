// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arch.h"

const struct go_arch *go_arch_of(uint16_t elf_machine)
{
	// Cores of every machine are read on every machine.
	static const struct go_arch *const all[] = { &go_arch_x86_64, &go_arch_aarch64 };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->elf_machine == elf_machine)
			return all[i];
	return NULL;
}
