// SPDX-License-Identifier: LGPL-2.1-or-later
#include "insn_x86_64.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/span.h"

/// What follows an opcode.
enum form {
	PLAIN = 0,
	MODRM = 1 << 0,
	IMM8 = 1 << 1,
	IMM16 = 1 << 2,
	IMM_Z = 1 << 3, ///< 2 bytes with an operand size prefix, else 4
	IMM_V = 1 << 4, ///< as IMM_Z, but 8 with REX.W
	REL32 = 1 << 5, ///< whatever the prefixes
	MOFFS = 1 << 6, ///< an address, of 8 bytes
	GROUP3 = 1 << 7, ///< an immediate for /0 and /1 only
	UNKNOWN = 1 << 8,
};

/// A range of opcodes with the same form.
struct range {
	uint8_t first, last;
	uint16_t form;
};

// What is not listed is unknown. 0x00 to 0x3f repeats itself and is done by hand.
static const struct range one_byte[] = {
	{ 0x50, 0x5f, PLAIN },
	{ 0x63, 0x63, MODRM },
	{ 0x68, 0x68, IMM_Z },
	{ 0x69, 0x69, MODRM | IMM_Z },
	{ 0x6a, 0x6a, IMM8 },
	{ 0x6b, 0x6b, MODRM | IMM8 },
	{ 0x6c, 0x6f, PLAIN },
	{ 0x70, 0x7f, IMM8 },
	{ 0x80, 0x80, MODRM | IMM8 },
	{ 0x81, 0x81, MODRM | IMM_Z },
	{ 0x83, 0x83, MODRM | IMM8 },
	{ 0x84, 0x8e, MODRM },
	{ 0x8f, 0x8f, MODRM }, // as XOP it is another one; see has_xop()
	{ 0x90, 0x99, PLAIN },
	{ 0x9b, 0x9f, PLAIN },
	{ 0xa0, 0xa3, MOFFS },
	{ 0xa4, 0xa7, PLAIN },
	{ 0xa8, 0xa8, IMM8 },
	{ 0xa9, 0xa9, IMM_Z },
	{ 0xaa, 0xaf, PLAIN },
	{ 0xb0, 0xb7, IMM8 },
	{ 0xb8, 0xbf, IMM_V },
	{ 0xc0, 0xc1, MODRM | IMM8 },
	{ 0xc2, 0xc2, IMM16 },
	{ 0xc3, 0xc3, PLAIN },
	{ 0xc6, 0xc6, MODRM | IMM8 },
	{ 0xc7, 0xc7, MODRM | IMM_Z },
	{ 0xc8, 0xc8, IMM16 | IMM8 },
	{ 0xc9, 0xc9, PLAIN },
	{ 0xca, 0xca, IMM16 },
	{ 0xcb, 0xcc, PLAIN },
	{ 0xcd, 0xcd, IMM8 },
	{ 0xcf, 0xcf, PLAIN },
	{ 0xd0, 0xd3, MODRM },
	{ 0xd7, 0xd7, PLAIN },
	{ 0xd8, 0xdf, MODRM },
	{ 0xe0, 0xe7, IMM8 },
	{ 0xe8, 0xe9, REL32 },
	{ 0xeb, 0xeb, IMM8 },
	{ 0xec, 0xef, PLAIN },
	{ 0xf1, 0xf1, PLAIN },
	{ 0xf4, 0xf5, PLAIN },
	{ 0xf6, 0xf6, MODRM | IMM8 | GROUP3 },
	{ 0xf7, 0xf7, MODRM | IMM_Z | GROUP3 },
	{ 0xf8, 0xfd, PLAIN },
	{ 0xfe, 0xff, MODRM },
};

static const struct range two_bytes[] = {
	{ 0x00, 0x03, MODRM },
	{ 0x05, 0x09, PLAIN },
	{ 0x0b, 0x0b, PLAIN },
	{ 0x0d, 0x0d, MODRM },
	{ 0x10, 0x23, MODRM },
	{ 0x28, 0x2f, MODRM },
	{ 0x30, 0x35, PLAIN },
	{ 0x37, 0x37, PLAIN },
	{ 0x40, 0x6f, MODRM },
	{ 0x70, 0x73, MODRM | IMM8 },
	{ 0x74, 0x76, MODRM },
	{ 0x77, 0x77, PLAIN },
	{ 0x78, 0x79, MODRM },
	{ 0x7c, 0x7f, MODRM },
	{ 0x80, 0x8f, REL32 },
	{ 0x90, 0x9f, MODRM },
	{ 0xa0, 0xa2, PLAIN },
	{ 0xa3, 0xa3, MODRM },
	{ 0xa4, 0xa4, MODRM | IMM8 },
	{ 0xa5, 0xa5, MODRM },
	{ 0xa8, 0xaa, PLAIN },
	{ 0xab, 0xab, MODRM },
	{ 0xac, 0xac, MODRM | IMM8 },
	{ 0xad, 0xb9, MODRM },
	{ 0xba, 0xba, MODRM | IMM8 },
	{ 0xbb, 0xc1, MODRM },
	{ 0xc2, 0xc2, MODRM | IMM8 },
	{ 0xc3, 0xc3, MODRM },
	{ 0xc4, 0xc6, MODRM | IMM8 },
	{ 0xc7, 0xc7, MODRM },
	{ 0xc8, 0xcf, PLAIN },
	{ 0xd0, 0xff, MODRM },
};

struct decoder {
	const uint8_t *code;
	size_t len, at;
	bool operand16, address32, bad;
	uint8_t rex; ///< as in 0x40 to 0x4f, also when VEX has these bits; 0: none
};

static uint8_t next(struct decoder *d)
{
	if (d->at >= d->len || d->at >= INSN_MAX_BYTES) {
		d->bad = true;
		return 0;
	}
	return d->code[d->at++];
}

static void skip(struct decoder *d, size_t bytes)
{
	d->at += bytes;
	if (d->at > d->len || d->at > INSN_MAX_BYTES)
		d->bad = true;
}

static unsigned int look_up(const struct range *table, size_t n, uint8_t opcode)
{
	for (size_t i = 0; i < n; i++)
		if (opcode >= table[i].first && opcode <= table[i].last)
			return table[i].form;
	return UNKNOWN;
}

static unsigned int form_of(enum insn_map map, uint8_t opcode)
{
	// ADD, OR, ADC, SBB, AND, SUB, XOR, CMP: eight opcodes each, of which the last two are no
	// instructions any more, or prefixes.
	static const unsigned int arithmetic[8] = { MODRM, MODRM, MODRM,   MODRM,
						    IMM8,  IMM_Z, UNKNOWN, UNKNOWN };
	switch (map) {
	case INSN_MAP_ONE:
		return opcode < 0x40 ? arithmetic[opcode & 7] :
				       look_up(one_byte, ARRAY_SIZE(one_byte), opcode);
	case INSN_MAP_0F:
		return look_up(two_bytes, ARRAY_SIZE(two_bytes), opcode);
	case INSN_MAP_0F38:
		return MODRM;
	case INSN_MAP_0F3A:
		return MODRM | IMM8;
	case INSN_MAP_MAX:
		break;
	}
	return UNKNOWN;
}

/// Takes prefixes; the first byte that is none is returned.
static uint8_t take_prefixes(struct decoder *d, struct insn *insn)
{
	for (;;) {
		uint8_t byte = next(d);
		switch (byte) {
		case 0x66:
			d->operand16 = true;
			break;
		case 0x67:
			d->address32 = true;
			break;
		case 0x64:
		case 0x65:
			insn->segment = true;
			break;
		case 0x26: // these have no meaning any more, but are there in padding
		case 0x2e:
		case 0x36:
		case 0x3e:
			break;
		case 0xf0:
		case 0xf2:
		case 0xf3:
			insn->lock_or_rep = true;
			break;
		default:
			if ((byte & 0xf0) != 0x40)
				return byte;
			d->rex = byte;
			return next(d); // it counts only right before the opcode
		}
		if (d->bad)
			return 0;
	}
}

/// The rest of a prefix VEX (0xc4, 0xc5) or EVEX (0x62), up to the opcode.
static void take_vex(struct decoder *d, struct insn *insn, uint8_t prefix)
{
	uint8_t first = next(d), map = 1, w = 0;
	insn->vex = true;
	d->rex = (uint8_t)(0x40 | (~first >> 5 & 4)); // R
	if (prefix != 0xc5) {
		map = first & (prefix == 0x62 ? 7 : 0x1f);
		d->rex |= ~first >> 5 & 3; // X, B
		w = next(d);
		d->rex |= w >> 4 & 8; // W
	}
	if (prefix == 0x62)
		skip(d, 1);
	if (map < INSN_MAP_0F || map > INSN_MAP_0F3A)
		d->bad = true;
	else
		insn->map = (enum insn_map)map;
	insn->opcode = next(d);
}

static void take_opcode(struct decoder *d, struct insn *insn)
{
	uint8_t byte = take_prefixes(d, insn);
	if (!d->rex && (byte == 0xc4 || byte == 0xc5 || byte == 0x62)) {
		take_vex(d, insn, byte);
		return;
	}
	if (byte == 0x0f) {
		byte = next(d);
		insn->map = byte == 0x38 ? INSN_MAP_0F38 :
			    byte == 0x3a ? INSN_MAP_0F3A :
					   INSN_MAP_0F;
		if (insn->map != INSN_MAP_0F)
			byte = next(d);
	}
	insn->opcode = byte;
}

/// ModRM, and what it says is behind: SIB and displacement.
static void take_modrm(struct decoder *d, struct insn *insn)
{
	enum { RM_SIB = 4, RM_DISP = 5 };
	uint8_t modrm = next(d);
	uint8_t rm = modrm & 7, base = rm;
	size_t disp_bytes;
	insn->has_modrm = true;
	insn->mod = modrm >> 6;
	insn->reg = (uint8_t)((modrm >> 3 & 7) | (d->rex & 4 ? 8 : 0));
	insn->rm = (uint8_t)(rm | (d->rex & 1 ? 8 : 0));
	if (insn->mod == 3)
		return;
	if (rm == RM_SIB)
		base = next(d) & 7;
	insn->rip = insn->mod == 0 && rm == RM_DISP;
	disp_bytes = insn->mod == 1				    ? 1 :
		     insn->mod == 2 || (!insn->mod && base == RM_DISP) ? 4 :
									 0;
	size_t at = d->at;
	skip(d, disp_bytes);
	if (d->bad)
		return;
	struct span s = span_of(d->code, d->len);
	if (disp_bytes == 1)
		insn->disp = (span_u8(&s, at) ^ 0x80) - 0x80;
	else if (disp_bytes == 4)
		insn->disp = (int32_t)span_u32(&s, at);
}

static void take_immediates(struct decoder *d, const struct insn *insn, unsigned int form)
{
	bool wide = d->rex & 8;
	if (form & GROUP3 && (insn->reg & 7) > 1)
		return;
	if (form & IMM8)
		skip(d, 1);
	if (form & IMM16)
		skip(d, 2);
	if (form & IMM_Z || form & IMM_V)
		skip(d, wide && form & IMM_V ? 8 : d->operand16 && !wide ? 2 : 4);
	if (form & REL32)
		skip(d, 4);
	if (form & MOFFS)
		skip(d, d->address32 ? 4 : 8);
}

/// Does a byte that is POP begin an instruction of AMD's XOP?
static bool has_xop(const struct insn *insn)
{
	return insn->map == INSN_MAP_ONE && !insn->vex && insn->opcode == 0x8f && insn->reg & 7;
}

bool insn_x86_64_decode(const uint8_t *code, size_t len, struct insn *ret)
{
	struct decoder d = { .code = code, .len = len };
	struct insn insn = { 0 };
	take_opcode(&d, &insn);
	unsigned int form = d.bad ? (unsigned int)UNKNOWN : form_of(insn.map, insn.opcode);
	if (form & UNKNOWN)
		return false;
	if (form & MODRM)
		take_modrm(&d, &insn);
	take_immediates(&d, &insn, form);
	// No compiler makes addresses of 32 bits relative to the instruction.
	if (d.bad || has_xop(&insn) || (insn.rip && d.address32))
		return false;
	insn.operand_bytes = d.rex & 8 ? 8 : d.operand16 ? 2 : 4;
	insn.size = (uint8_t)d.at;
	*ret = insn;
	return true;
}
