/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fuzz.h"
#include "tests/unit/goprogram.h"

/**
 * DOC: Changes to a Go program that does not exist
 *
 * Bytes that nobody planned are no core with goroutines. So an input begins with a good program
 * (tests/unit/goprogram.h) of some version and machine, and goes on with changes to it: fields,
 * words on stacks, tables, registers, notes. Values are often addresses of what there is, so that
 * lists become circles and stacks lead into code.
 *
 *   input: minor, machine and flags (1 byte each), then changes until the end
 *
 * Fields are numbered as in enum go_field, so inputs mean something else when one is added there.
 */

struct patches {
	const uint8_t *data;
	size_t left;
};

/// The next @size bytes as a number; what is not there is zero.
static inline uint64_t patches_take(struct patches *in, size_t size)
{
	uint64_t v = 0;
	size_t n = size < in->left ? size : in->left;
	if (n)
		memcpy(&v, in->data, n);
	in->data += n;
	in->left -= n;
	return v;
}

static inline size_t patches_below(struct patches *in, size_t limit)
{
	return limit ? (size_t)patches_take(in, 1) % limit : 0;
}

/// At most @max raw bytes, with their number before them.
static inline const uint8_t *patches_bytes(struct patches *in, size_t max, size_t *ret)
{
	size_t n = (size_t)patches_take(in, 1);
	n = n < max ? n : max;
	*ret = n < in->left ? n : in->left;
	const uint8_t *data = in->data;
	in->data += *ret;
	in->left -= *ret;
	return data;
}

static inline uint64_t patches_value(struct patches *in, const struct goprogram *p)
{
	enum { KINDS = 8 };
	size_t i;
	switch (patches_below(in, KINDS)) {
	case 0:
		return patches_take(in, 8);
	case 1:
		return patches_take(in, 1);
	case 2:
		i = patches_below(in, GOPROGRAM_OBJECTS);
		return p->objects[i] + (uint64_t)(int8_t)patches_take(in, 1);
	case 3:
		i = patches_below(in, GOCORE_PARTS);
		return gocore_ranges[i].start + patches_take(in, 2);
	case 4:
		i = patches_below(in, p->gc.n_funcs);
		return p->gc.funcs[i].entry + patches_take(in, 1);
	case 5:
		return 0 - patches_take(in, 1);
	case 6:
		return patches_take(in, 4);
	default:
		i = patches_below(in, GOCORE_PARTS);
		return gocore_ranges[i].start + gocore_ranges[i].size - patches_take(in, 1);
	}
}

/// Another table by pc for a function, of whatever bytes.
static inline void patches_table(struct patches *in, struct gocore *gc)
{
	const struct gocore_func *f = &gc->funcs[patches_below(in, gc->n_funcs)];
	const struct go_format *fmt = &gc->layout.format;
	size_t which = patches_below(in, 3 + GOCORE_NPCDATA), len;
	const uint8_t *data = patches_bytes(in, 64, &len);
	if (gc->pctab_bytes + len > GOCORE_GOFUNC - GOCORE_PCTAB)
		return;
	uint32_t at = gocore_pctab_bytes(gc, data, len);
	const uint8_t fields[] = { fmt->func_pcsp, fmt->func_pcfile, fmt->func_pcln };
	if (which < ARRAY_SIZE(fields))
		gocore_func_u32(gc, f->at, fields[which], at);
	else
		gocore_set_pcdata(gc, f, (uint8_t)(which - ARRAY_SIZE(fields)), at);
}

/// Other data for a function: inline trees, descriptions of arguments.
static inline void patches_funcdata(struct patches *in, struct gocore *gc)
{
	const struct gocore_func *f = &gc->funcs[patches_below(in, gc->n_funcs)];
	uint8_t index = (uint8_t)patches_below(in, GOCORE_NFUNCDATA);
	size_t len;
	const uint8_t *data = patches_bytes(in, 128, &len);
	if (gc->gofunc_bytes + len + 8 <= GOCORE_TYPES - GOCORE_GOFUNC)
		gocore_set_funcdata(gc, f, index, gocore_gofunc(gc, data, len));
}

static inline void patches_registers(struct patches *in, struct goprogram *p)
{
	struct gocore_thread *t = &p->gc.threads[patches_below(in, p->gc.n_threads)];
	uint64_t *const fields[] = { &t->regs.pc, &t->regs.sp, &t->regs.lr, &t->regs.fp, &t->g };
	size_t i = patches_below(in, ARRAY_SIZE(fields) + 1);
	uint64_t v = patches_value(in, p);
	if (i < ARRAY_SIZE(fields))
		*fields[i] = v;
	else
		t->signal = (uint16_t)(v & 63);
}

static inline void patches_note(struct patches *in, struct gocore *gc)
{
	static const char *const owners[] = { "CORE", "LINUX", SNAPNOTE_OWNER, "GNU" };
	static const uint32_t types[] = { NT_PRSTATUS, NT_PRPSINFO,	     NT_AUXV,
					  NT_SIGINFO,  NT_FILE,		     NT_PROCSNAP_SNAPSHOT,
					  0x401,       NT_PROCSNAP_SUMMARY };
	const char *owner = owners[patches_below(in, ARRAY_SIZE(owners))];
	uint32_t type = types[patches_below(in, ARRAY_SIZE(types))];
	size_t len;
	const uint8_t *data = patches_bytes(in, 255, &len);
	gocore_note(&gc->notes, owner, type, data, len);
}

/// Words on a stack, one after the other, from some offset below its end.
static inline void patches_stack(struct patches *in, struct goprogram *p)
{
	uint64_t g = p->objects[patches_below(in, GOPROGRAM_GS)];
	uint64_t at = gocore_get(&p->gc, g + 8) - patches_take(in, 1) * 8;
	for (size_t n = patches_below(in, 33); n; n--, at += 8)
		(void)gocore_u64(&p->gc, at, patches_value(in, p));
}

/// Makes one change.
static inline void patches_one(struct patches *in, struct goprogram *p)
{
	enum { OPS = 11 };
	struct gocore *gc = &p->gc;
	const uint8_t *data;
	uint64_t at;
	size_t i, n;
	switch (patches_below(in, OPS)) {
	case 0:
	case 1: // a field of one of the structures
		i = patches_below(in, GOPROGRAM_OBJECTS);
		n = patches_below(in, GO_FIELD_MAX);
		(void)gocore_set(gc, p->objects[i], (enum go_field)n, patches_value(in, p));
		return;
	case 2: // a word anywhere
		at = patches_value(in, p);
		(void)gocore_u64(gc, at, patches_value(in, p));
		return;
	case 3: // bytes anywhere
		at = patches_value(in, p);
		data = patches_bytes(in, 255, &n);
		(void)gocore_put(gc, at, data, n);
		return;
	case 4:
		patches_stack(in, p);
		return;
	case 5:
		patches_registers(in, p);
		return;
	case 6: // a part of struct _func
		i = patches_below(in, gc->n_funcs);
		n = patches_below(in, 96);
		(void)gocore_u32(gc, gc->funcs[i].at + n, (uint32_t)patches_take(in, 4));
		return;
	case 7:
		patches_table(in, gc);
		return;
	case 8:
		patches_funcdata(in, gc);
		return;
	case 9:
		patches_note(in, gc);
		return;
	default:
		gc->omit = (uint32_t)patches_take(in, 1);
	}
}

/// The flags of an input, for the target to use.
enum { PATCHES_ARM = 1, PATCHES_FLAGS_SHIFT = 1 };

/// Makes the program that the input tells; gocore_deinit() in the end. Returns the flags.
static inline uint8_t patches_program(struct patches *in, struct goprogram *p)
{
	enum { CHANGES_MAX = 200 };
	int minor = GO_MINOR_MIN + (int)patches_below(in, GO_MINOR_MAX - GO_MINOR_MIN + 1);
	uint8_t flags = (uint8_t)patches_take(in, 1);
	goprogram_init(p, minor, flags & PATCHES_ARM ? EM_AARCH64 : EM_X86_64);
	for (int i = 0; i < CHANGES_MAX && in->left; i++)
		patches_one(in, p);
	return (uint8_t)(flags >> PATCHES_FLAGS_SHIFT);
}
