// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dwparams.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/map.h"
#include "common/str.h"
#include "dwplaces.h"
#include "dwunits.h"
#include "values.h"

enum {
	PARAMS_MAX = 64,
	VALUE_BYTES_MAX = 24, ///< of a slice, the largest one that is shown
	STRING_SHOWN_BYTES = 64,
	// No string is longer than all memory; a length that is no length is not shown as one.
	LENGTH_MAX_BITS = 47,
};

enum { IN_FRAME, ON_HEAP, PLACES };

struct function {
	struct go_param *list;
	size_t n;
	bool known;
};

struct go_params {
	struct go_runtime *rt; ///< borrowed
	struct go_dwarf *dw; ///< borrowed
	struct map at; ///< index into functions, by entry
	struct function *functions;
	size_t n_functions;
};

struct go_params *go_params_create(struct go_runtime *rt, struct go_dwarf *dw)
{
	struct go_params *params = calloc(1, sizeof(*params));
	if (params) {
		params->rt = rt;
		params->dw = dw;
	}
	return params;
}

static void free_param(struct go_param *param)
{
	for (int i = 0; param->places && i < PLACES; i++)
		dw_places_deinit(&param->places[i]);
	free(param->places);
}

void go_params_destroy(struct go_params *params)
{
	if (!params)
		return;
	for (size_t i = 0; i < params->n_functions; i++) {
		for (size_t j = 0; j < params->functions[i].n; j++)
			free_param(&params->functions[i].list[j]);
		free(params->functions[i].list);
	}
	free(params->functions);
	map_deinit(&params->at);
	free(params);
}

// ---- parameters of a function --------------------------------------------------------------

/// Of what was inlined elsewhere too, name and type are in a description that all copies share.
static Dwarf_Die described(Dwarf_Debug dbg, Dwarf_Die die)
{
	uint64_t offset;
	return dw_die_reference(dbg, die, DW_AT_abstract_origin, &offset) ?
		       dw_die_at(dbg, offset) :
		       NULL;
}

/// Name and kind of the type at @offset.
static void read_type(struct go_dwarf *dw, uint64_t offset, struct go_param *ret)
{
	Dwarf_Debug dbg = go_dwarf_handle(dw);
	uint64_t kind, under;
	Dwarf_Die named = dw_die_at(dbg, offset);
	Dwarf_Die real = named ? go_dwarf_real_type(dw, offset) : NULL;
	if (named)
		ret->type = dw_die_name(dbg, named);
	if (real && dw_die_number(dbg, real, DW_AT_GO_KIND, &kind) &&
	    kind <= GO_KIND_UNSAFE_POINTER)
		ret->kind = (uint8_t)kind;
	else if (real && dw_die_tag(dbg, real) == DW_TAG_pointer_type)
		ret->kind = GO_KIND_UNSAFE_POINTER; // which alone does not say its kind
	if (ret->kind == GO_KIND_INTERFACE && dw_die_reference(dbg, real, DW_AT_type, &under)) {
		Dwarf_Die table = dw_die_at(dbg, under);
		ret->has_methods = table && !strcmp(dw_die_name(dbg, table), "runtime.iface");
		dw_die_free(table);
	}
	dw_die_free(real);
	dw_die_free(named);
}

/// Fills in what @die says of a parameter; false when it is a result or none of the program's.
static bool read_description(struct go_dwarf *dw, Dwarf_Die die, const char *name,
			     struct go_param *ret)
{
	Dwarf_Debug dbg = go_dwarf_handle(dw);
	uint64_t result = 0, type, target;
	bool pointer = name[0] == '&';
	ret->type = "";
	ret->name = name + pointer;
	// Such as .dict, of generic functions; and ~r0.
	if (!*name || *name == '.' || !strncmp(name, "~r", 2) ||
	    (dw_die_number(dbg, die, DW_AT_variable_parameter, &result) && result))
		return false;
	if (!dw_die_reference(dbg, die, DW_AT_type, &type))
		return true;
	if (pointer) {
		Dwarf_Die real = go_dwarf_real_type(dw, type);
		bool ok = real && dw_die_reference(dbg, real, DW_AT_type, &target);
		dw_die_free(real);
		if (!ok)
			return true;
		type = target;
	}
	read_type(dw, type, ret);
	return true;
}

static struct go_param *find_param(struct function *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->list[i].name, name))
			return &f->list[i];
	return NULL;
}

static struct go_param *new_param(struct function *f, const struct go_param *param)
{
	struct go_param *bigger = reallocarray(f->list, f->n + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	f->list = bigger;
	struct go_param *p = &f->list[f->n];
	*p = *param;
	p->places = calloc(PLACES, sizeof(*p->places));
	if (!p->places)
		return NULL;
	f->n++;
	return p;
}

/// What the compiler calls &x is where x is on the heap: a parameter from the beginning, or a
/// variable that follows the parameter.
static void add_entry(struct go_dwarf *dw, Dwarf_Die die, const struct dw_base *base,
		      struct function *f)
{
	Dwarf_Debug dbg = go_dwarf_handle(dw);
	struct go_param param = { .kind = 0 }, *p = NULL;
	uint16_t tag = dw_die_tag(dbg, die);
	if (tag != DW_TAG_formal_parameter && tag != DW_TAG_variable)
		return;
	Dwarf_Die description = described(dbg, die);
	const char *name = dw_die_name(dbg, description ? description : die);
	if (name[0] == '&')
		p = find_param(f, name + 1);
	if (!p && tag == DW_TAG_formal_parameter && f->n < PARAMS_MAX &&
	    read_description(dw, description ? description : die, name, &param))
		p = new_param(f, &param);
	struct dw_places *places = p ? &p->places[name[0] == '&' ? ON_HEAP : IN_FRAME] : NULL;
	if (places && !places->list)
		go_dwarf_places(dw, die, base, places);
	dw_die_free(description);
}

static void read_function(struct go_dwarf *dw, uint64_t pc, struct function *f)
{
	Dwarf_Debug dbg = go_dwarf_handle(dw);
	struct dw_base base;
	Dwarf_Die top = go_dwarf_function(dw, pc, &base);
	if (!top)
		return;
	f->known = true;
	Dwarf_Die die = dw_die_child(dbg, top);
	for (; die; die = go_dwarf_next(dw, die))
		add_entry(dw, die, &base, f);
	dw_die_free(top);
}

/// The function at @entry, read now if it was not yet; NULL when out of memory.
static const struct function *get_function(struct go_params *params, uint64_t entry)
{
	uint32_t index;
	if (map_get(&params->at, entry, &index))
		return &params->functions[index];
	if (!(params->n_functions & (params->n_functions - 1))) { // grows by doubling
		struct function *bigger = reallocarray(params->functions,
						       MAX(params->n_functions * 2, (size_t)1),
						       sizeof(*bigger));
		if (!bigger)
			return NULL;
		params->functions = bigger;
	}
	if (map_set(&params->at, entry, (uint32_t)params->n_functions) < 0)
		return NULL;
	struct function *f = &params->functions[params->n_functions++];
	*f = (struct function){ .n = 0 };
	read_function(params->dw, entry - params->rt->image->bias, f);
	return f;
}

const struct go_param *go_params_of(struct go_params *params, const struct go_func *func,
				    size_t *ret_n)
{
	static const struct go_param none;
	const struct image *image = params->rt->image;
	*ret_n = 0;
	if (func->entry < image->start || func->entry >= image->end)
		return NULL; // of a plugin
	const struct function *f = get_function(params, func->entry);
	if (!f || !f->known)
		return NULL;
	*ret_n = f->n;
	return f->n ? f->list : &none;
}

// ---- values --------------------------------------------------------------------------------

/// Bytes of a value; 0 for what is not shown.
static size_t size_of_kind(uint8_t kind)
{
	static const uint8_t sizes[] = {
		[GO_KIND_BOOL] = 1,	 [GO_KIND_INT] = 8,	   [GO_KIND_INT8] = 1,
		[GO_KIND_INT16] = 2,	 [GO_KIND_INT32] = 4,	   [GO_KIND_INT64] = 8,
		[GO_KIND_UINT] = 8,	 [GO_KIND_UINT8] = 1,	   [GO_KIND_UINT16] = 2,
		[GO_KIND_UINT32] = 4,	 [GO_KIND_UINT64] = 8,	   [GO_KIND_UINTPTR] = 8,
		[GO_KIND_FLOAT32] = 4,	 [GO_KIND_FLOAT64] = 8,	   [GO_KIND_COMPLEX64] = 8,
		[GO_KIND_COMPLEX128] = 16, [GO_KIND_CHAN] = 8,	   [GO_KIND_FUNC] = 8,
		[GO_KIND_INTERFACE] = 16, [GO_KIND_MAP] = 8,	   [GO_KIND_POINTER] = 8,
		[GO_KIND_SLICE] = 24,	 [GO_KIND_STRING] = 16,	   [GO_KIND_STRUCT] = 0,
		[GO_KIND_UNSAFE_POINTER] = 8,
	};
	return kind < ARRAY_SIZE(sizes) ? sizes[kind] : 0;
}

static bool read_pieces(struct memory *mem, const struct dw_place *place,
			const struct go_frame *frame, uint8_t *ret, size_t size)
{
	size_t at = 0;
	for (uint8_t i = 0; i < place->n && at < size; i++) {
		const struct dw_piece *p = &place->pieces[i];
		size_t n = (size_t)MIN(p->bytes, (uint64_t)(size - at));
		if (!p->known || !memory_read(mem, frame->fp + (uint64_t)p->offset, ret + at, n))
			return false;
		at += n;
	}
	return at == size;
}

static bool read_value(struct go_params *params, const struct go_param *param,
		       const struct go_frame *frame, uint8_t *ret, size_t size)
{
	struct go_runtime *rt = params->rt;
	uint64_t heap, pc = go_frame_sym_pc(frame) - rt->image->bias;
	const struct dw_place *in_frame = dw_places_at(&param->places[IN_FRAME], pc);
	const struct dw_place *on_heap = dw_places_at(&param->places[ON_HEAP], pc);
	if (on_heap && read_pieces(rt->mem, on_heap, frame, (uint8_t *)&heap, sizeof(heap)) &&
	    memory_read(rt->mem, heap, ret, size))
		return true;
	// Before it was moved, or when the address is not known.
	return in_frame && read_pieces(rt->mem, in_frame, frame, ret, size);
}

/// As many digits as are sure to be right in decimal, so that 0.1 is no 0.10000000000000001.
static int add_float(double v, bool wide, struct strbuf *buf)
{
	return strbuf_addf(buf, "%.*g", wide ? 15 : 7, v);
}

static int add_complex(const uint8_t *value, bool wide, struct strbuf *buf)
{
	double d[2];
	float f[2];
	memcpy(d, value, sizeof(d));
	memcpy(f, value, sizeof(f));
	int r = strbuf_addf(buf, "(");
	if (r == 0)
		r = add_float(wide ? d[0] : (double)f[0], wide, buf);
	if (r == 0)
		r = strbuf_addf(buf, " + ");
	if (r == 0)
		r = add_float(wide ? d[1] : (double)f[1], wide, buf);
	return r == 0 ? strbuf_addf(buf, "i)") : r;
}

/// How many of @len bytes of a text to show: whole characters.
static size_t shown_bytes(const char *text, size_t len)
{
	size_t n = MIN(len, (size_t)STRING_SHOWN_BYTES);
	while (n < len && n && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return n ? n : MIN(len, (size_t)STRING_SHOWN_BYTES);
}

/// The text in quotes; what is not printable is escaped, quotes are too.
static int add_quoted(const char *text, size_t len, struct strbuf *buf)
{
	int r = strbuf_addf(buf, "\"");
	while (r == 0 && len) {
		const char *quote = memchr(text, '"', len);
		size_t n = quote ? (size_t)(quote - text) : len;
		_cleanup_free_ char *escaped = snap_escape(text, n);
		r = escaped ? strbuf_addf(buf, "%s%s", escaped, quote ? "\\\"" : "") : -ENOMEM;
		n += quote != NULL;
		text += n;
		len -= n;
	}
	return r == 0 ? strbuf_addf(buf, "\"") : r;
}

static int add_string(struct memory *mem, const uint8_t *value, struct strbuf *buf)
{
	// One byte more, to see whether a character is cut.
	char text[STRING_SHOWN_BYTES + 1];
	uint64_t data, len;
	memcpy(&data, value, 8);
	memcpy(&len, value + 8, 8);
	size_t n = (size_t)MIN(len, (uint64_t)sizeof(text));
	if (len >> LENGTH_MAX_BITS || (n && !memory_read(mem, data, text, n)))
		return strbuf_addf(buf, "?");
	n = shown_bytes(text, n);
	int r = add_quoted(text, n, buf);
	if (r == 0 && n < len)
		r = strbuf_addf(buf, "...+%" PRIu64 " more", len - n);
	return r;
}

static int add_slice(const uint8_t *value, struct strbuf *buf)
{
	uint64_t len, cap;
	memcpy(&len, value + 8, 8);
	memcpy(&cap, value + 16, 8);
	if (len > cap || cap >> LENGTH_MAX_BITS)
		return strbuf_addf(buf, "?");
	return strbuf_addf(buf, "len %" PRIu64 ", cap %" PRIu64, len, cap);
}

static int add_interface(struct go_runtime *rt, const uint8_t *value, bool has_methods,
			 struct strbuf *buf)
{
	enum { ITAB_TYPE = 8 };
	uint64_t type;
	memcpy(&type, value, 8);
	if (!type)
		return strbuf_addf(buf, "nil");
	if (has_methods && !memory_u64(rt->mem, type + ITAB_TYPE, &type))
		return strbuf_addf(buf, "?");
	_cleanup_free_ char *name = go_type_name(rt, type);
	_cleanup_free_ char *escaped = name ? snap_escape(name, strlen(name)) : NULL;
	return strbuf_addf(buf, "%s", escaped ? escaped : "?");
}

static int add_number(const uint8_t *value, size_t size, bool is_signed, struct strbuf *buf)
{
	uint64_t v = 0;
	memcpy(&v, value, size);
	if (!is_signed)
		return strbuf_addf(buf, "%" PRIu64, v);
	unsigned int shift = (unsigned int)(64 - size * 8);
	return strbuf_addf(buf, "%" PRId64, (int64_t)(v << shift) >> shift);
}

static int add_value(struct go_runtime *rt, const struct go_param *param, const uint8_t *value,
		     struct strbuf *buf)
{
	size_t size = size_of_kind(param->kind);
	uint64_t word;
	double d;
	float f;
	memcpy(&word, value, 8);
	memcpy(&d, value, 8);
	memcpy(&f, value, 4);
	switch (param->kind) {
	case GO_KIND_BOOL:
		return strbuf_addf(buf, value[0] ? "true" : "false");
	case GO_KIND_FLOAT32:
		return add_float((double)f, false, buf);
	case GO_KIND_FLOAT64:
		return add_float(d, true, buf);
	case GO_KIND_COMPLEX64:
	case GO_KIND_COMPLEX128:
		return add_complex(value, param->kind == GO_KIND_COMPLEX128, buf);
	case GO_KIND_STRING:
		return add_string(rt->mem, value, buf);
	case GO_KIND_SLICE:
		return add_slice(value, buf);
	case GO_KIND_INTERFACE:
		return add_interface(rt, value, param->has_methods, buf);
	case GO_KIND_CHAN:
	case GO_KIND_FUNC:
	case GO_KIND_MAP:
	case GO_KIND_POINTER:
	case GO_KIND_UNSAFE_POINTER:
		return word ? strbuf_addf(buf, "0x%" PRIx64, word) : strbuf_addf(buf, "nil");
	default:
		return add_number(value, size, param->kind <= GO_KIND_INT64, buf);
	}
}

int go_param_text(struct go_params *params, const struct go_param *param,
		  const struct go_frame *frame, struct strbuf *buf)
{
	uint8_t value[VALUE_BYTES_MAX] = { 0 };
	size_t size = size_of_kind(param->kind);
	if (param->kind == GO_KIND_STRUCT || param->kind == GO_KIND_ARRAY)
		return strbuf_addf(buf, "{...}");
	if (!size || !read_value(params, param, frame, value, size))
		return strbuf_addf(buf, "?");
	return add_value(params->rt, param, value, buf);
}
