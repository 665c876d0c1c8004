/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * DOC: Instructions of x86-64
 *
 * Where one instruction ends and the next begins, and which memory it names: no more is decoded
 * than that. Whoever looks for an operand byte by byte finds some that are in the middle of others;
 * what is about to be written to has to be known for certain.
 *
 * Intel SDM volume 2, chapter 2 and appendix A. Works on bytes only; any process may call it.
 */

/// The tables that an opcode can be in.
enum insn_map {
	INSN_MAP_ONE, ///< one byte
	INSN_MAP_0F,
	INSN_MAP_0F38,
	INSN_MAP_0F3A,
	INSN_MAP_MAX,
};

enum { INSN_MAX_BYTES = 15 };

struct insn {
	uint8_t size; ///< bytes, prefixes included
	enum insn_map map;
	uint8_t opcode;
	uint8_t operand_bytes; ///< of general registers: 2, 4 or 8; not for opcodes of bytes
	bool vex; ///< VEX or EVEX: opcode and map mean other instructions
	bool lock_or_rep; ///< has one of these prefixes
	bool has_modrm;
	uint8_t mod, reg, rm; ///< of ModRM, with the bits of REX: registers 0 to 15
	bool rip; ///< names memory relative to the end of the instruction
	bool segment; ///< through FS or GS
	int32_t disp; ///< 0 when it has none
};

/// Decodes the instruction that the @len bytes of @code begin with. False when it is not known, or
/// longer than that.
bool insn_x86_64_decode(const uint8_t *code, size_t len, struct insn *ret);
