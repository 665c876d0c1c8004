// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cfi.h"

#include "common/cleanup.h"
#include "expression.h"

// DWARF 5, 7.24, and what GNU tools and aarch64 have added.
enum {
	CFA_HIGH = 0xc0, // these have an operand in the lower bits
	CFA_ADVANCE_LOC = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	CFA_NOP = 0x00,
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_NEGATE_RA_STATE = 0x2d, // of aarch64
	CFA_GNU_ARGS_SIZE = 0x2e,
};

enum rule_kind {
	RULE_NONE, // nothing was said: the machine's convention
	RULE_UNDEFINED,
	RULE_SAME,
	RULE_AT, // saved at the CFA plus a number
	RULE_IS, // is the CFA plus a number
	RULE_REGISTER,
	RULE_AT_EXPRESSION,
	RULE_IS_EXPRESSION,
};

struct rule {
	enum rule_kind kind;
	uint32_t size; // of an expression
	union {
		int64_t number;
		const uint8_t *code; // in the entry
	};
};

struct row {
	struct rule columns[CFI_COLUMNS];
	struct rule cfa; // RULE_IS: its register and the number; or an expression
	uint64_t cfa_register;
	bool is_signed; // the return address
};

struct program {
	const struct eh_entry *entry;
	struct row row, first, kept[CFI_ROWS_KEPT];
	size_t n_kept;
	uint64_t loc; // from which pc on the row holds
	bool bad;
};

/// The rule of register @column, or a place to throw away that of one that is not kept.
static struct rule *rule_of(struct row *row, uint64_t column, struct rule *other)
{
	return column < CFI_COLUMNS ? &row->columns[column] : other;
}

static struct rule take_expression(struct span *code, uint64_t *at, enum rule_kind kind)
{
	uint64_t size = span_uleb(code, at);
	struct span expression = span_sub(*code, *at, size);
	code->bad |= expression.bad;
	*at += size;
	return (struct rule){ .kind = kind,
			      .size = (uint32_t)expression.size,
			      .code = expression.data };
}

static struct rule offset_rule(enum rule_kind kind, uint64_t factored, int64_t align)
{
	// Unsigned, since hostile factors overflow.
	return (struct rule){ .kind = kind, .number = (int64_t)(factored * (uint64_t)align) };
}

/// Instructions that change the rule of one register; false for others.
static bool set_register(struct program *p, uint8_t op, struct span *code, uint64_t *at)
{
	int64_t align = p->entry->data_align;
	struct rule other;
	if (op != CFA_OFFSET_EXTENDED && op != CFA_RESTORE_EXTENDED && op != CFA_UNDEFINED &&
	    op != CFA_SAME_VALUE && op != CFA_REGISTER && op != CFA_EXPRESSION &&
	    op != CFA_OFFSET_EXTENDED_SF && op != CFA_VAL_OFFSET && op != CFA_VAL_OFFSET_SF &&
	    op != CFA_VAL_EXPRESSION)
		return false;
	uint64_t column = span_uleb(code, at);
	struct rule *rule = rule_of(&p->row, column, &other);
	switch (op) {
	case CFA_OFFSET_EXTENDED:
		*rule = offset_rule(RULE_AT, span_uleb(code, at), align);
		break;
	case CFA_OFFSET_EXTENDED_SF:
		*rule = offset_rule(RULE_AT, (uint64_t)span_sleb(code, at), align);
		break;
	case CFA_VAL_OFFSET:
		*rule = offset_rule(RULE_IS, span_uleb(code, at), align);
		break;
	case CFA_VAL_OFFSET_SF:
		*rule = offset_rule(RULE_IS, (uint64_t)span_sleb(code, at), align);
		break;
	case CFA_RESTORE_EXTENDED:
		*rule = *rule_of(&p->first, column, &(struct rule){ .kind = RULE_NONE });
		break;
	case CFA_UNDEFINED:
		*rule = (struct rule){ .kind = RULE_UNDEFINED };
		break;
	case CFA_SAME_VALUE:
		*rule = (struct rule){ .kind = RULE_SAME };
		break;
	case CFA_REGISTER:
		*rule = offset_rule(RULE_REGISTER, span_uleb(code, at), 1);
		break;
	case CFA_EXPRESSION:
		*rule = take_expression(code, at, RULE_AT_EXPRESSION);
		break;
	default: // CFA_VAL_EXPRESSION
		*rule = take_expression(code, at, RULE_IS_EXPRESSION);
		break;
	}
	return true;
}

/// Instructions that change where the frame begins; false for others.
static bool set_cfa(struct program *p, uint8_t op, struct span *code, uint64_t *at)
{
	struct row *row = &p->row;
	switch (op) {
	case CFA_DEF_CFA:
		row->cfa_register = span_uleb(code, at);
		row->cfa = offset_rule(RULE_IS, span_uleb(code, at), 1);
		break;
	case CFA_DEF_CFA_SF:
		row->cfa_register = span_uleb(code, at);
		row->cfa = offset_rule(RULE_IS, (uint64_t)span_sleb(code, at),
				       p->entry->data_align);
		break;
	case CFA_DEF_CFA_REGISTER: // the number stays, so there must be one
		row->cfa_register = span_uleb(code, at);
		p->bad |= row->cfa.kind != RULE_IS;
		break;
	case CFA_DEF_CFA_OFFSET:
	case CFA_DEF_CFA_OFFSET_SF:
		p->bad |= row->cfa.kind != RULE_IS;
		row->cfa = op == CFA_DEF_CFA_OFFSET ?
				   offset_rule(RULE_IS, span_uleb(code, at), 1) :
				   offset_rule(RULE_IS, (uint64_t)span_sleb(code, at),
					       p->entry->data_align);
		break;
	case CFA_DEF_CFA_EXPRESSION:
		row->cfa = take_expression(code, at, RULE_IS_EXPRESSION);
		break;
	default:
		return false;
	}
	return true;
}

/// Instructions that begin a new row, @ret bytes of code further on; false for others.
static bool advance(struct program *p, uint8_t op, struct span *code, uint64_t *at, uint64_t *ret)
{
	uint64_t step;
	if ((op & CFA_HIGH) == CFA_ADVANCE_LOC) {
		step = op & (uint8_t)~CFA_HIGH;
	} else if (op == CFA_ADVANCE_LOC1) {
		step = span_u8(code, *at);
		*at += 1;
	} else if (op == CFA_ADVANCE_LOC2) {
		step = span_u16(code, *at);
		*at += 2;
	} else if (op == CFA_ADVANCE_LOC4) {
		step = span_u32(code, *at);
		*at += 4;
	} else {
		return false;
	}
	*ret = step * p->entry->code_align;
	return true;
}

static void keep_row(struct program *p)
{
	if (p->n_kept == CFI_ROWS_KEPT)
		p->bad = true;
	else
		p->kept[p->n_kept++] = p->row;
}

static void other_instruction(struct program *p, uint8_t op, struct span *code, uint64_t *at)
{
	struct rule other;
	uint64_t low = op & (uint8_t)~CFA_HIGH;
	if ((op & CFA_HIGH) == CFA_OFFSET) {
		*rule_of(&p->row, low, &other) =
			offset_rule(RULE_AT, span_uleb(code, at), p->entry->data_align);
		return;
	}
	if ((op & CFA_HIGH) == CFA_RESTORE) {
		*rule_of(&p->row, low, &other) =
			*rule_of(&p->first, low, &(struct rule){ .kind = RULE_NONE });
		return;
	}
	switch (op) {
	case CFA_NOP:
		break;
	case CFA_REMEMBER_STATE:
		keep_row(p);
		break;
	case CFA_RESTORE_STATE:
		p->bad |= !p->n_kept;
		if (p->n_kept)
			p->row = p->kept[--p->n_kept];
		break;
	case CFA_NEGATE_RA_STATE:
		p->row.is_signed = !p->row.is_signed;
		break;
	case CFA_GNU_ARGS_SIZE:
		(void)span_uleb(code, at);
		break;
	default: // also CFA_SET_LOC, which nobody writes
		p->bad = true;
	}
}

/// Runs instructions as far as the row for @pc is complete.
static void run(struct program *p, struct span code, uint64_t pc)
{
	uint64_t at = 0, step;
	while (at < code.size && !code.bad && !p->bad) {
		uint8_t op = span_u8(&code, at++);
		if (advance(p, op, &code, &at, &step)) {
			if (step > pc - p->loc)
				break;
			p->loc += step;
		} else if (!set_register(p, op, &code, &at) && !set_cfa(p, op, &code, &at)) {
			other_instruction(p, op, &code, &at);
		}
	}
	p->bad |= code.bad;
}

// ---- applying a row ------------------------------------------------------------------------

struct step {
	const struct cfi_machine *machine;
	struct memory *mem;
	const struct cfi_regs *regs;
	uint64_t cfa;
	bool unreadable;
};

static bool evaluate(const struct step *s, const struct rule *rule, const uint64_t *first,
		     uint64_t *ret)
{
	struct cfi_regs regs = *s->regs;
	if (s->machine->pc_column < s->machine->n)
		cfi_set(&regs, s->machine->pc_column, regs.pc);
	const struct expression_regs all = { regs.values, regs.known, s->machine->n };
	return expression_eval(span_of(rule->code, rule->size), s->mem, &all, first, ret);
}

static bool find_cfa(struct step *s, const struct row *row)
{
	if (row->cfa.kind == RULE_IS_EXPRESSION)
		return evaluate(s, &row->cfa, NULL, &s->cfa);
	if (row->cfa.kind != RULE_IS || row->cfa_register >= s->machine->n ||
	    !cfi_known(s->regs, (uint8_t)row->cfa_register))
		return false;
	s->cfa = s->regs->values[row->cfa_register] + (uint64_t)row->cfa.number;
	return true;
}

/// The caller's value of @column; false when nobody knows it.
static bool find_value(struct step *s, const struct rule *rule, uint8_t column, uint64_t *ret)
{
	uint64_t at;
	switch (rule->kind) {
	case RULE_NONE:
		if (column == s->machine->sp) {
			*ret = s->cfa; // how the CFA is defined on both machines
			return true;
		}
		if (!(s->machine->preserved >> column & 1))
			return false;
		__attribute__((fallthrough));
	case RULE_SAME:
		*ret = s->regs->values[column];
		return cfi_known(s->regs, column);
	case RULE_IS:
		*ret = s->cfa + (uint64_t)rule->number;
		return true;
	case RULE_REGISTER:
		if ((uint64_t)rule->number >= s->machine->n)
			return false;
		*ret = s->regs->values[rule->number];
		return cfi_known(s->regs, (uint8_t)rule->number);
	case RULE_IS_EXPRESSION:
		return evaluate(s, rule, &s->cfa, ret);
	case RULE_AT_EXPRESSION:
		if (!evaluate(s, rule, &s->cfa, &at))
			return false;
		break;
	case RULE_AT:
		at = s->cfa + (uint64_t)rule->number;
		break;
	case RULE_UNDEFINED:
	default:
		return false;
	}
	bool found = memory_u64(s->mem, at, ret);
	s->unreadable = !found;
	return found;
}

static enum cfi_result apply(struct step *s, const struct eh_entry *entry, const struct row *row,
			     struct cfi_regs *ret)
{
	struct cfi_regs caller = { 0 };
	uint64_t pc;
	if (entry->return_column >= s->machine->n)
		return CFI_UNKNOWN;
	uint8_t column = (uint8_t)entry->return_column;
	struct rule rule = row->columns[column];
	if (rule.kind == RULE_UNDEFINED)
		return CFI_TOP;
	if (!find_cfa(s, row))
		return CFI_UNKNOWN;
	if (rule.kind == RULE_NONE)
		rule.kind = RULE_SAME; // a leaf on a machine with a link register
	if (!find_value(s, &rule, column, &pc))
		return s->unreadable ? CFI_UNREADABLE : CFI_UNKNOWN;
	for (uint8_t i = 0; i < s->machine->n; i++) {
		uint64_t value;
		if (find_value(s, &row->columns[i], i, &value))
			cfi_set(&caller, i, value);
	}
	caller.pc = row->is_signed ? pc & s->machine->address_mask : pc;
	*ret = caller;
	return CFI_CALLER;
}

enum cfi_result cfi_step(const struct eh_entry *entry, const struct cfi_machine *machine,
			 struct memory *mem, uint64_t at, struct cfi_regs *regs)
{
	struct program p = { .entry = entry, .loc = entry->start };
	if (at < entry->start || at >= entry->end || machine->n > CFI_COLUMNS)
		return CFI_UNKNOWN;
	run(&p, entry->common, at);
	p.first = p.row;
	p.loc = entry->start;
	if (!p.bad)
		run(&p, entry->own, at);
	if (p.bad)
		return CFI_UNKNOWN;
	struct step s = { .machine = machine, .mem = mem, .regs = regs };
	return apply(&s, entry, &p.row, regs);
}
