// SPDX-License-Identifier: LGPL-2.1-or-later
#include "values.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

enum {
	VALUE_MAX = 64 << 10, // of one string: panic messages carry whole documents sometimes
	LABEL_MAX = 4 << 10,
	TYPE_NAME_MAX = 4 << 10,
	WORDS_SHOWN = 10, // of arguments, ≤ 1.16
};

// ---- arguments -----------------------------------------------------------------------------

// src/internal/abi/symtab.go TraceArgs*
enum {
	ARGS_END = 0xff,
	ARGS_START_AGG = 0xfe,
	ARGS_END_AGG = 0xfd,
	ARGS_DOTS = 0xfc,
	ARGS_TOO_LARGE = 0xfb,
	ARGS_BYTES_MAX = 128, // the compiler stops at 10 values and 5 levels
	INNERMOST_PC_MINOR = 21,
	SHORT_FLOATS_MINOR = 26,
};

struct args {
	struct go_runtime *rt;
	const struct go_frame *frame;
	uint64_t base; ///< address of the first argument
	uint8_t live_from; ///< offsets from here on may hold something old
	uint64_t live_info; ///< bits that tell, or 0
	int32_t live_index;
};

/// Is the slot still what the function was called with?
static bool is_live(const struct args *a, uint8_t offset, unsigned int slot)
{
	uint8_t bits;
	if (!a->live_info || a->live_index <= 0 || offset < a->live_from)
		return true;
	return memory_u8(a->rt->mem, a->live_info + (uint64_t)a->live_index + slot / 8, &bits) &&
	       bits & 1U << slot % 8;
}

static int add_word(const struct args *a, uint8_t offset, uint8_t size, unsigned int slot,
		    struct strbuf *buf)
{
	uint64_t v = 0;
	size = size > 8 ? 8 : size;
	if (!memory_read(a->rt->mem, a->base + offset, &v, size))
		return strbuf_addf(buf, "_");
	return strbuf_addf(buf, "0x%" PRIx64 "%s", v, is_live(a, offset, slot) ? "" : "?");
}

static int args_by_info(const struct args *a, const uint8_t *info, size_t n, struct strbuf *buf)
{
	bool start = true;
	unsigned int slot = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < n && info[i] != ARGS_END; i++) {
		uint8_t op = info[i];
		if (op != ARGS_END_AGG && !start)
			r = strbuf_addf(buf, ", ");
		start = op == ARGS_START_AGG;
		if (r < 0)
			break;
		switch (op) {
		case ARGS_START_AGG:
			r = strbuf_addf(buf, "{");
			break;
		case ARGS_END_AGG:
			r = strbuf_addf(buf, "}");
			break;
		case ARGS_DOTS:
			r = strbuf_addf(buf, "...");
			break;
		case ARGS_TOO_LARGE:
			r = strbuf_addf(buf, "_");
			break;
		default:
			if (++i == n)
				return 0;
			r = add_word(a, op, info[i], slot, buf);
			slot += op >= a->live_from;
		}
	}
	return r;
}

static int args_by_words(const struct args *a, struct strbuf *buf)
{
	// Unknown sizes are negative: the runtime prints as much as it prints of anything then.
	uint64_t n = (uint64_t)(int64_t)a->frame->func->args / 8;
	int r = 0;
	for (uint64_t i = 0; r == 0 && i < n; i++) {
		uint64_t v = 0;
		if (i >= WORDS_SHOWN)
			return strbuf_addf(buf, ", ...");
		if (!memory_u64(a->rt->mem, a->base + i * 8, &v))
			return strbuf_addf(buf, "%s_", i ? ", " : "");
		r = strbuf_addf(buf, "%s0x%" PRIx64, i ? ", " : "", v);
	}
	return r;
}

int go_args_text(struct go_runtime *rt, const struct go_frame *frame, struct strbuf *buf)
{
	const struct go_format *fmt = &rt->layout.format;
	struct args a = { .rt = rt, .frame = frame, .live_from = 0xff };
	uint8_t info[ARGS_BYTES_MAX];
	a.base = frame->fp + rt->arch->min_frame_bytes;
	if (fmt->funcdata_arginfo == GO_FORMAT_NONE)
		return args_by_words(&a, buf);
	uint64_t at = go_funcdata(&rt->symtab, frame->func, fmt->funcdata_arginfo);
	if (!at)
		return 0;
	a.live_info = go_funcdata(&rt->symtab, frame->func, fmt->funcdata_arglive);
	// Before 1.21 the runtime asks for the place of the outermost inlined call.
	uint64_t pc = go_frame_sym_pc(frame);
	if (rt->layout.minor < INNERMOST_PC_MINOR)
		pc = go_place_at(&rt->symtab, frame->func, pc).pc;
	a.live_index = go_pcdata(&rt->symtab, frame->func, fmt->pcdata_arglive, pc);
	if (a.live_info && !memory_u8(rt->mem, a.live_info, &a.live_from))
		a.live_info = 0;
	return args_by_info(&a, info, memory_read_some(rt->mem, at, info, sizeof(info)), buf);
}

// ---- interfaces ----------------------------------------------------------------------------

// internal/abi Type
enum {
	TYPE_TFLAG = 20,
	TYPE_KIND = 23,
	TYPE_STR = 40,
	TFLAG_EXTRA_STAR = 2,
	TFLAG_NAMED = 4,
	KIND_MASK = 31,
	NAME_BIG_ENDIAN_MINOR = 16, ///< until then names have two bytes of length
};

/// The module whose types @addr is one of.
static const struct go_module *module_of_type(const struct go_runtime *rt, uint64_t addr)
{
	for (size_t i = 0; i < rt->symtab.n_modules; i++)
		if (addr >= rt->symtab.modules[i].types && addr < rt->symtab.modules[i].etypes)
			return &rt->symtab.modules[i];
	return NULL;
}

/// Reads the length before a name's bytes; moves @at behind it.
static bool name_length(struct go_runtime *rt, uint64_t *at, uint64_t *ret)
{
	uint8_t b[2];
	if (rt->layout.minor <= NAME_BIG_ENDIAN_MINOR) {
		if (!memory_read(rt->mem, *at, b, 2))
			return false;
		*ret = (uint64_t)(b[0] << 8 | b[1]);
		*at += 2;
		return true;
	}
	*ret = 0;
	for (int shift = 0; shift <= 21; shift += 7) {
		if (!memory_u8(rt->mem, (*at)++, b))
			return false;
		*ret |= (uint64_t)(b[0] & 0x7f) << shift;
		if (!(b[0] & 0x80))
			return true;
	}
	return false;
}

char *go_type_name(struct go_runtime *rt, uint64_t type)
{
	const struct go_module *m = module_of_type(rt, type);
	uint32_t offset;
	uint8_t tflag;
	uint64_t len;
	if (!m || !memory_u32(rt->mem, type + TYPE_STR, &offset) ||
	    !memory_u8(rt->mem, type + TYPE_TFLAG, &tflag) || offset >= m->etypes - m->types)
		return NULL;
	uint64_t at = m->types + offset + 1; // behind the flags
	if (!name_length(rt, &at, &len) || len > TYPE_NAME_MAX)
		return NULL;
	char *name = malloc(len + 1);
	if (!name || !memory_read(rt->mem, at, name, len)) {
		free(name);
		return NULL;
	}
	name[len] = '\0';
	if (tflag & TFLAG_EXTRA_STAR && name[0] == '*')
		memmove(name, name + 1, len);
	return name;
}

char *go_interface_type(struct go_runtime *rt, uint64_t addr)
{
	uint64_t type;
	return memory_u64(rt->mem, addr, &type) ? go_type_name(rt, type) : NULL;
}

/// The runtime's own digits, not rounded as printf() does: src/runtime/print.go, ≤ 1.25.
static void old_float(double v, char buf[static 40])
{
	enum { DIGITS = 7 };
	int e = 0;
	char digits[DIGITS];
	bool minus = __builtin_signbit(v);
	v = minus ? -v : v;
	for (; v >= 10; e++)
		v /= 10;
	for (; v > 0 && v < 1; e--)
		v *= 10;
	if (v > 0)
		v += 5e-7;
	if (v >= 10) {
		e++;
		v /= 10;
	}
	for (int i = 0; i < DIGITS; i++) {
		digits[i] = (char)('0' + (int)v);
		v = (v - (int)v) * 10;
	}
	(void)snprintf(buf, 40, "%c%c.%.*se%c%03d", minus ? '-' : '+', digits[0], DIGITS - 1,
		       digits + 1, e < 0 ? '-' : '+', e < 0 ? -e : e);
}

/// As the runtime prints floats: +1.500000e+000, since 1.26 1.5.
static int add_float(struct go_runtime *rt, double v, bool single, struct strbuf *buf)
{
	char text[40];
	if (v != v)
		return strbuf_addf(buf, "NaN");
	if (v > __DBL_MAX__ || v < -__DBL_MAX__)
		return strbuf_addf(buf, v > 0 ? "+Inf" : "-Inf");
	if (rt->layout.minor >= SHORT_FLOATS_MINOR) {
		snap_format_double(v, single, text);
		return strbuf_addf(buf, "%s", text);
	}
	old_float(v, text);
	return strbuf_addf(buf, "%s", text);
}

static int add_string(struct go_runtime *rt, uint64_t data, struct strbuf *buf)
{
	size_t len;
	_cleanup_free_ char *text = go_copy_string(rt->mem, data, VALUE_MAX, &len);
	return text ? strbuf_add(buf, text, len) : strbuf_addf(buf, "(not in the core)");
}

static int add_signed(struct go_runtime *rt, uint64_t data, unsigned int size, struct strbuf *buf)
{
	uint64_t v = 0;
	if (!memory_read(rt->mem, data, &v, size))
		return strbuf_addf(buf, "(not in the core)");
	unsigned int shift = 64 - size * 8;
	return strbuf_addf(buf, "%" PRId64, (int64_t)(v << shift) >> shift);
}

static int add_unsigned(struct go_runtime *rt, uint64_t data, unsigned int size,
			struct strbuf *buf)
{
	uint64_t v = 0;
	if (!memory_read(rt->mem, data, &v, size))
		return strbuf_addf(buf, "(not in the core)");
	return strbuf_addf(buf, "%" PRIu64, v);
}

static int add_complex(struct go_runtime *rt, uint64_t data, bool wide, struct strbuf *buf)
{
	double v[2] = { 0 };
	float f[2] = { 0 };
	if (wide ? !memory_read(rt->mem, data, v, sizeof(v)) :
		   !memory_read(rt->mem, data, f, sizeof(f)))
		return strbuf_addf(buf, "(not in the core)");
	int r = strbuf_addf(buf, "(");
	if (r == 0)
		r = add_float(rt, wide ? v[0] : (double)f[0], !wide, buf);
	double imag = wide ? v[1] : (double)f[1];
	bool bare = !__builtin_signbit(imag) && !__builtin_isinf(imag); // printed without a sign
	if (r == 0 && rt->layout.minor >= SHORT_FLOATS_MINOR && (bare || imag != imag))
		r = strbuf_addf(buf, "+");
	if (r == 0)
		r = add_float(rt, wide ? v[1] : (double)f[1], !wide, buf);
	return r == 0 ? strbuf_addf(buf, "i)") : r;
}

static int add_scalar(struct go_runtime *rt, uint8_t kind, uint64_t data, struct strbuf *buf)
{
	static const uint8_t sizes[] = {
		[GO_KIND_INT] = 8,    [GO_KIND_INT8] = 1,    [GO_KIND_INT16] = 2,
		[GO_KIND_INT32] = 4,  [GO_KIND_INT64] = 8,   [GO_KIND_UINT] = 8,
		[GO_KIND_UINT8] = 1,  [GO_KIND_UINT16] = 2,  [GO_KIND_UINT32] = 4,
		[GO_KIND_UINT64] = 8, [GO_KIND_UINTPTR] = 8,
	};
	double d = 0;
	float f = 0;
	uint8_t b = 0;
	switch (kind) {
	case GO_KIND_BOOL:
		(void)memory_u8(rt->mem, data, &b); // false then
		return strbuf_addf(buf, b ? "true" : "false");
	case GO_KIND_FLOAT32:
		(void)memory_read(rt->mem, data, &f, sizeof(f));
		return add_float(rt, (double)f, true, buf);
	case GO_KIND_FLOAT64:
		(void)memory_read(rt->mem, data, &d, sizeof(d));
		return add_float(rt, d, false, buf);
	case GO_KIND_COMPLEX64:
	case GO_KIND_COMPLEX128:
		return add_complex(rt, data, kind == GO_KIND_COMPLEX128, buf);
	default:
		return kind <= GO_KIND_INT64 ? add_signed(rt, data, sizes[kind], buf) :
					       add_unsigned(rt, data, sizes[kind], buf);
	}
}

int go_interface_text(struct go_runtime *rt, uint64_t addr, struct strbuf *buf)
{
	uint64_t type = 0, data = 0;
	uint8_t kind = 0, tflag = 0;
	if (!memory_u64(rt->mem, addr, &type) || !memory_u64(rt->mem, addr + 8, &data))
		return strbuf_addf(buf, "(not in the core)");
	if (!type)
		return strbuf_addf(buf, "nil");
	_cleanup_free_ char *name = go_type_name(rt, type);
	(void)memory_u8(rt->mem, type + TYPE_KIND, &kind); // no kind then
	(void)memory_u8(rt->mem, type + TYPE_TFLAG, &tflag);
	kind &= KIND_MASK;
	bool scalar = kind >= GO_KIND_BOOL && kind <= GO_KIND_COMPLEX128;
	if (!scalar && kind != GO_KIND_STRING)
		return strbuf_addf(buf, "(%s) 0x%" PRIx64, name ? name : "?", data);
	// Types of the language are printed as they are, others with their name.
	bool custom = tflag & TFLAG_NAMED && name && strchr(name, '.');
	int r = custom ? strbuf_addf(buf, kind == GO_KIND_STRING ? "%s(\"" : "%s(", name) : 0;
	if (r == 0)
		r = kind == GO_KIND_STRING ? add_string(rt, data, buf) :
					  add_scalar(rt, kind, data, buf);
	if (r == 0 && custom)
		r = strbuf_addf(buf, kind == GO_KIND_STRING ? "\")" : ")");
	return r;
}

// ---- labels --------------------------------------------------------------------------------

enum {
	LABELS_LIST_MINOR = 24, ///< since then a sorted list, before a map[string]string
	// runtime.hmap and its buckets, ≤ 1.23
	HMAP_COUNT = 0,
	HMAP_B = 9,
	HMAP_BUCKETS = 16,
	BUCKET_SLOTS = 8,
	BUCKET_KEYS = 8,
	BUCKET_VALUES = 8 + 8 * 16,
	BUCKET_OVERFLOW = 8 + 8 * 32,
	TOPHASH_MIN = 5, ///< smaller ones mark empty slots
	BUCKETS_MAX = 64,
};

static void add_label(struct go_runtime *rt, uint64_t key, uint64_t value, struct go_labels *ret)
{
	size_t len;
	if (ret->n == GO_LABELS_MAX)
		return;
	char *k = go_copy_string(rt->mem, key, LABEL_MAX, &len);
	char *v = go_copy_string(rt->mem, value, LABEL_MAX, &len);
	if (k && v) {
		ret->list[ret->n++] = (struct go_label){ k, v };
	} else {
		free(k);
		free(v);
	}
}

static void read_list(struct go_runtime *rt, uint64_t addr, struct go_labels *ret)
{
	uint64_t data, len;
	if (!memory_u64(rt->mem, addr, &data) || !memory_u64(rt->mem, addr + 8, &len) ||
	    len > GO_LABELS_MAX)
		return;
	for (uint64_t i = 0; i < len; i++)
		add_label(rt, data + i * 32, data + i * 32 + 16, ret);
}

static void read_bucket(struct go_runtime *rt, uint64_t bucket, struct go_labels *ret)
{
	uint8_t top[BUCKET_SLOTS];
	for (int chain = 0; bucket && chain < BUCKETS_MAX; chain++) {
		if (!memory_read(rt->mem, bucket, top, sizeof(top)))
			return;
		for (uint64_t i = 0; i < BUCKET_SLOTS; i++)
			if (top[i] >= TOPHASH_MIN)
				add_label(rt, bucket + BUCKET_KEYS + i * 16,
					  bucket + BUCKET_VALUES + i * 16, ret);
		if (!memory_u64(rt->mem, bucket + BUCKET_OVERFLOW, &bucket))
			return;
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct go_label *)a)->key, ((const struct go_label *)b)->key);
}

static void read_map(struct go_runtime *rt, uint64_t addr, struct go_labels *ret)
{
	uint64_t hmap, count, buckets;
	uint8_t b;
	if (!memory_u64(rt->mem, addr, &hmap) || !memory_u64(rt->mem, hmap + HMAP_COUNT, &count) ||
	    count > GO_LABELS_MAX || !memory_u8(rt->mem, hmap + HMAP_B, &b) || b > 6 ||
	    !memory_u64(rt->mem, hmap + HMAP_BUCKETS, &buckets))
		return;
	for (uint64_t i = 0; i < 1ULL << b; i++)
		read_bucket(rt, buckets + i * (BUCKET_OVERFLOW + 8), ret);
	qsort(ret->list, ret->n, sizeof(ret->list[0]), by_key);
}

void go_labels_read(struct go_runtime *rt, uint64_t addr, struct go_labels *ret)
{
	*ret = (struct go_labels){ .n = 0 };
	if (!addr)
		return;
	if (rt->layout.minor >= LABELS_LIST_MINOR)
		read_list(rt, addr, ret);
	else
		read_map(rt, addr, ret);
}

void go_labels_deinit(struct go_labels *labels)
{
	for (size_t i = 0; i < labels->n; i++) {
		free(labels->list[i].key);
		free(labels->list[i].value);
	}
	labels->n = 0;
}
