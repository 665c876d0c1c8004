// SPDX-License-Identifier: LGPL-2.1-or-later
#include "expression.h"

#include "common/cleanup.h"

enum { LEB128_MAX = 10 }; // bytes of a number of 64 bits

// DWARF 5, 7.7.1
enum {
	OP_ADDR = 0x03,
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08,
	OP_CONST1S = 0x09,
	OP_CONST2U = 0x0a,
	OP_CONST2S = 0x0b,
	OP_CONST4U = 0x0c,
	OP_CONST4S = 0x0d,
	OP_CONST8U = 0x0e,
	OP_CONST8S = 0x0f,
	OP_CONSTU = 0x10,
	OP_CONSTS = 0x11,
	OP_DUP = 0x12,
	OP_DROP = 0x13,
	OP_OVER = 0x14,
	OP_PICK = 0x15,
	OP_SWAP = 0x16,
	OP_ROT = 0x17,
	OP_ABS = 0x19,
	OP_AND = 0x1a,
	OP_DIV = 0x1b,
	OP_MINUS = 0x1c,
	OP_MOD = 0x1d,
	OP_MUL = 0x1e,
	OP_NEG = 0x1f,
	OP_NOT = 0x20,
	OP_OR = 0x21,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_SHL = 0x24,
	OP_SHR = 0x25,
	OP_SHRA = 0x26,
	OP_XOR = 0x27,
	OP_BRA = 0x28,
	OP_EQ = 0x29,
	OP_GE = 0x2a,
	OP_GT = 0x2b,
	OP_LE = 0x2c,
	OP_LT = 0x2d,
	OP_NE = 0x2e,
	OP_SKIP = 0x2f,
	OP_LIT0 = 0x30,
	OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70,
	OP_BREG31 = 0x8f,
	OP_BREGX = 0x92,
	OP_DEREF_SIZE = 0x94,
	OP_NOP = 0x96,
};

struct machine {
	struct span code;
	uint64_t at; ///< of the next byte of code
	struct memory *mem;
	const struct expression_regs *regs;
	uint64_t stack[EXPRESSION_STACK];
	size_t n;
	bool bad;
};

uint64_t span_uleb(struct span *span, uint64_t *offset)
{
	uint64_t value = 0;
	for (unsigned int i = 0; i < LEB128_MAX; i++) {
		uint8_t byte = span_u8(span, (*offset)++);
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80))
			return value;
	}
	span->bad = true;
	return 0;
}

int64_t span_sleb(struct span *span, uint64_t *offset)
{
	uint64_t value = 0;
	for (unsigned int i = 0; i < LEB128_MAX; i++) {
		uint8_t byte = span_u8(span, (*offset)++);
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte & 0x80)
			continue;
		if (byte & 0x40 && i + 1 < LEB128_MAX)
			value |= UINT64_MAX << (7 * (i + 1));
		return (int64_t)value;
	}
	span->bad = true;
	return 0;
}

static void push(struct machine *m, uint64_t value)
{
	if (m->n == EXPRESSION_STACK)
		m->bad = true;
	else
		m->stack[m->n++] = value;
}

static uint64_t pop(struct machine *m)
{
	if (!m->n) {
		m->bad = true;
		return 0;
	}
	return m->stack[--m->n];
}

/// A copy of the entry @depth below the top.
static void pick(struct machine *m, uint64_t depth)
{
	if (depth < m->n)
		push(m, m->stack[m->n - 1 - depth]);
	else
		m->bad = true;
}

static void push_register(struct machine *m, uint64_t number, int64_t offset)
{
	if (number < m->regs->n && m->regs->known >> number & 1)
		push(m, m->regs->values[number] + (uint64_t)offset);
	else
		m->bad = true;
}

static void push_memory(struct machine *m, uint64_t size)
{
	uint64_t value = 0, addr = pop(m);
	if (m->bad || size > sizeof(value) || !memory_read(m->mem, addr, &value, size))
		m->bad = true;
	else
		push(m, value); // both are little-endian
}

static void jump(struct machine *m, bool taken)
{
	int16_t by = (int16_t)span_u16(&m->code, m->at);
	m->at += 2;
	if (taken) // to before the beginning is very far behind the end
		m->at += (uint64_t)(int64_t)by;
	m->bad |= m->at > m->code.size;
}

/// A constant of @size bytes that follows the operation.
static void push_constant(struct machine *m, size_t size, bool is_signed)
{
	uint64_t value = 0;
	m->bad |= !span_get(&m->code, m->at, &value, size);
	m->at += size;
	unsigned int spare = (unsigned int)(64 - 8 * size);
	push(m, is_signed ? (uint64_t)((int64_t)(value << spare) >> spare) : value);
}

static uint64_t shift(uint8_t op, uint64_t a, uint64_t by)
{
	if (op == OP_SHRA)
		return (uint64_t)((int64_t)a >> MIN(by, (uint64_t)63));
	if (by > 63)
		return 0;
	return op == OP_SHL ? a << by : a >> by;
}

static uint64_t divide(struct machine *m, uint8_t op, uint64_t a, uint64_t b)
{
	// The smallest number divided by -1 would trap, as division by 0 does.
	if (!b || (op == OP_DIV && b == UINT64_MAX && a == 1ULL << 63)) {
		m->bad = true;
		return 0;
	}
	return op == OP_DIV ? (uint64_t)((int64_t)a / (int64_t)b) : a % b;
}

/// Operations on the two entries on top; false for others.
static bool binary(struct machine *m, uint8_t op)
{
	if (op < OP_AND || op > OP_NE || op == OP_NEG || op == OP_NOT || op == OP_PLUS_UCONST ||
	    op == OP_BRA)
		return false;
	uint64_t b = pop(m), a = pop(m);
	int64_t x = (int64_t)a, y = (int64_t)b;
	switch (op) {
	case OP_AND:
		push(m, a & b);
		break;
	case OP_DIV:
	case OP_MOD:
		push(m, divide(m, op, a, b));
		break;
	case OP_MINUS:
		push(m, a - b);
		break;
	case OP_MUL:
		push(m, a * b);
		break;
	case OP_OR:
		push(m, a | b);
		break;
	case OP_PLUS:
		push(m, a + b);
		break;
	case OP_XOR:
		push(m, a ^ b);
		break;
	case OP_EQ:
		push(m, x == y);
		break;
	case OP_GE:
		push(m, x >= y);
		break;
	case OP_GT:
		push(m, x > y);
		break;
	case OP_LE:
		push(m, x <= y);
		break;
	case OP_LT:
		push(m, x < y);
		break;
	case OP_NE:
		push(m, x != y);
		break;
	default: // the three shifts
		push(m, shift(op, a, b));
		break;
	}
	return true;
}

/// Those on one entry, and those that only move entries; false for others.
static bool unary(struct machine *m, uint8_t op)
{
	uint64_t a, b, c;
	switch (op) {
	case OP_DUP:
		pick(m, 0);
		break;
	case OP_DROP:
		(void)pop(m);
		break;
	case OP_OVER:
		pick(m, 1);
		break;
	case OP_PICK:
		pick(m, span_u8(&m->code, m->at++));
		break;
	case OP_SWAP:
		a = pop(m), b = pop(m);
		push(m, a), push(m, b);
		break;
	case OP_ROT: // the top goes below the two others
		a = pop(m), b = pop(m), c = pop(m);
		push(m, a), push(m, c), push(m, b);
		break;
	case OP_ABS:
		a = pop(m);
		push(m, a >> 63 ? -a : a);
		break;
	case OP_NEG:
		push(m, -pop(m));
		break;
	case OP_NOT:
		push(m, ~pop(m));
		break;
	case OP_PLUS_UCONST:
		push(m, pop(m) + span_uleb(&m->code, &m->at));
		break;
	case OP_DEREF:
		push_memory(m, 8);
		break;
	case OP_DEREF_SIZE:
		push_memory(m, span_u8(&m->code, m->at++));
		break;
	default:
		return false;
	}
	return true;
}

static void step(struct machine *m)
{
	uint8_t op = span_u8(&m->code, m->at++);
	uint64_t number;
	if (op >= OP_LIT0 && op <= OP_LIT31) {
		push(m, (uint64_t)(op - OP_LIT0));
		return;
	}
	if (op >= OP_BREG0 && op <= OP_BREG31) {
		push_register(m, (uint64_t)(op - OP_BREG0), span_sleb(&m->code, &m->at));
		return;
	}
	if (op >= OP_CONST1U && op <= OP_CONST8S) {
		push_constant(m, (size_t)1 << (op - OP_CONST1U) / 2, op & 1);
		return;
	}
	switch (op) {
	case OP_ADDR:
		push_constant(m, 8, false);
		break;
	case OP_CONSTU:
		push(m, span_uleb(&m->code, &m->at));
		break;
	case OP_CONSTS:
		push(m, (uint64_t)span_sleb(&m->code, &m->at));
		break;
	case OP_BREGX:
		number = span_uleb(&m->code, &m->at);
		push_register(m, number, span_sleb(&m->code, &m->at));
		break;
	case OP_BRA:
		jump(m, pop(m) != 0);
		break;
	case OP_SKIP:
		jump(m, true);
		break;
	case OP_NOP:
		break;
	default:
		if (!binary(m, op) && !unary(m, op))
			m->bad = true;
	}
}

bool expression_eval(struct span code, struct memory *mem, const struct expression_regs *regs,
		     const uint64_t *first, uint64_t *ret)
{
	struct machine m = { .code = code, .mem = mem, .regs = regs };
	if (first)
		push(&m, *first);
	for (int i = 0; m.at < code.size && !m.bad; i++) {
		if (i == EXPRESSION_STEPS)
			return false;
		step(&m);
		m.bad |= m.code.bad;
	}
	if (m.bad || code.bad || !m.n)
		return false;
	*ret = m.stack[m.n - 1];
	return true;
}
