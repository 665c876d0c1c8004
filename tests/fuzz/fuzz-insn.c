// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Code of x86-64. An input is taken for the code of a function, and decoded from its beginning.
 */
#include "analyzer/go/arch.h"
#include "analyzer/go/insn_x86_64.h"
#include "fuzz.h"

enum { PC = 0x401000, ACCESSES_MAX = 8 };

static size_t decode_all(const uint8_t *code, size_t size)
{
	size_t at = 0;
	struct insn insn, same;
	while (insn_x86_64_decode(code + at, size - at, &insn)) {
		REQUIRE(insn.size && insn.size <= INSN_MAX_BYTES && insn.size <= size - at);
		REQUIRE(insn.reg < 16 && insn.rm < 16 && insn.mod < 4);
		REQUIRE(!insn.rip || insn.has_modrm);
		// The bytes of the instruction are all that it depends on, and it needs them all.
		REQUIRE(insn_x86_64_decode(code + at, insn.size, &same) && same.size == insn.size &&
			same.disp == insn.disp);
		REQUIRE(!insn_x86_64_decode(code + at, insn.size - 1U, &same));
		at += insn.size;
	}
	return at;
}

static void check_accesses(const struct go_arch *arch, const uint8_t *code, size_t size)
{
	struct go_access list[ACCESSES_MAX];
	size_t n = 0;
	bool whole = arch->accesses(code, size, PC, list, ACCESSES_MAX, &n);
	REQUIRE(n <= ACCESSES_MAX);
	for (size_t i = 0; i < n; i++)
		REQUIRE(list[i].pc >= PC && list[i].pc < PC + size);
	REQUIRE(!whole || n == ACCESSES_MAX || decode_all(code, size) == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	// In memory of just that size, so that a sanitizer sees a step too far.
	uint8_t *code = (uint8_t *)fuzz_text(data, size);
	(void)decode_all(code, size);
	check_accesses(go_arch_of(EM_X86_64), code, size);
	free(code);
	return 0;
}
