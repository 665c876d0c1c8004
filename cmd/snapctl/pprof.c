// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pprof.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"

enum {
	// go tool pprof reads no larger one either, and a million goroutines make 30 MB of it.
	PROFILE_MAX_BYTES = 1 << 30,

	// Wire types of protobuf: the low bits of a tag.
	WIRE_VARINT = 0,
	WIRE_BYTES = 2,

	// message Profile
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING_TABLE = 6,
	PROFILE_TIME_NANOS = 9,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	// message ValueType
	TYPE_TYPE = 1,
	TYPE_UNIT = 2,
	// message Sample
	SAMPLE_LOCATION = 1,
	SAMPLE_VALUE = 2,
	SAMPLE_LABEL = 3,
	// message Label
	LABEL_KEY = 1,
	LABEL_STR = 2,
	// message Mapping
	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_OFFSET = 4,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID = 6,
	MAPPING_HAS_FUNCTIONS = 7,
	MAPPING_HAS_FILENAMES = 8,
	MAPPING_HAS_LINES = 9,
	MAPPING_HAS_INLINED = 10,
	// message Location
	LOCATION_ID = 1,
	LOCATION_MAPPING = 2,
	LOCATION_ADDRESS = 3,
	LOCATION_LINE = 4,
	// message Line
	LINE_FUNCTION = 1,
	LINE_LINE = 2,
	// message Function
	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILE = 4,
};

/// Bytes that have got a number.
struct interned {
	size_t len;
	uint64_t number;
	const char *data; ///< behind this struct once it is kept
};

/// Things that are kept once.
struct table {
	void *tree; ///< of tsearch()
	uint64_t n;
};

struct pprof {
	struct strbuf out;
	struct strbuf part, inner; ///< messages inside, while they are made
	struct table strings, functions, locations;
	uint64_t mappings;
	int error;
};

static void note(struct pprof *p, int r)
{
	if (r < 0 && !p->error)
		p->error = r;
}

// ---- protobuf ------------------------------------------------------------------------------

static int add_varint(struct strbuf *buf, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;
	do {
		bytes[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
	} while (v >>= 7);
	return strbuf_add(buf, bytes, n);
}

/// A number; 0 is what a missing field means.
static int add_number(struct strbuf *buf, unsigned int field, uint64_t v)
{
	if (!v)
		return 0;
	int r = add_varint(buf, field << 3 | WIRE_VARINT);
	return r < 0 ? r : add_varint(buf, v);
}

static int add_bytes(struct strbuf *buf, unsigned int field, const void *data, size_t len)
{
	int r = add_varint(buf, field << 3 | WIRE_BYTES);
	if (r == 0)
		r = add_varint(buf, len);
	return r < 0 ? r : strbuf_add(buf, data, len);
}

static void clear(struct strbuf *buf)
{
	buf->len = 0;
}

/// Puts the message that was made in p->inner into that in p->part.
static void put_inner(struct pprof *p, unsigned int field)
{
	if (!p->error)
		note(p, add_bytes(&p->part, field, p->inner.data ? p->inner.data : "",
				  p->inner.len));
	clear(&p->inner);
}

/// Puts the message that was made in p->part into the profile.
static void put_part(struct pprof *p, unsigned int field)
{
	if (p->out.len + p->part.len > PROFILE_MAX_BYTES)
		note(p, -EFBIG);
	if (!p->error)
		note(p, add_bytes(&p->out, field, p->part.data ? p->part.data : "", p->part.len));
	clear(&p->part);
}

// ---- tables --------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
	const struct interned *x = a, *y = b;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->len ? memcmp(x->data, y->data, x->len) : 0;
}

/// The number of these bytes in @table, and whether they are new there; 0 when out of memory.
static uint64_t intern(struct table *table, const void *data, size_t len, bool *ret_new)
{
	struct interned key = { .len = len, .data = data };
	struct interned **found = tfind(&key, &table->tree, compare);
	*ret_new = !found;
	if (found)
		return (*found)->number;
	struct interned *entry = malloc(sizeof(*entry) + len + 1);
	if (!entry)
		return 0;
	char *copy = (char *)(entry + 1);
	memcpy(copy, data, len);
	*entry = (struct interned){ .len = len, .number = table->n + 1, .data = copy };
	if (!tsearch(entry, &table->tree, compare)) {
		free(entry);
		return 0;
	}
	return ++table->n;
}

/// The index of @text in the string table, which begins with the empty string.
static uint64_t string(struct pprof *p, const char *text)
{
	bool is_new;
	if (!text || !*text)
		return 0;
	size_t len = strlen(text);
	uint64_t index = intern(&p->strings, text, len, &is_new);
	if (!index)
		note(p, -ENOMEM);
	else if (is_new && p->out.len + len > PROFILE_MAX_BYTES)
		note(p, -EFBIG);
	else if (is_new && !p->error)
		note(p, add_bytes(&p->out, PROFILE_STRING_TABLE, text, len));
	return index;
}

// ---- the profile ---------------------------------------------------------------------------

static void put_type(struct pprof *p, unsigned int field, const char *type)
{
	uint64_t type_index = string(p, type), unit = string(p, "count");
	note(p, add_number(&p->part, TYPE_TYPE, type_index));
	note(p, add_number(&p->part, TYPE_UNIT, unit));
	put_part(p, field);
}

struct pprof *pprof_create(const char *type)
{
	struct pprof *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	note(p, add_bytes(&p->out, PROFILE_STRING_TABLE, "", 0));
	put_type(p, PROFILE_SAMPLE_TYPE, type);
	put_type(p, PROFILE_PERIOD_TYPE, type);
	note(p, add_number(&p->out, PROFILE_PERIOD, 1));
	return p;
}

void pprof_destroy(struct pprof *p)
{
	if (!p)
		return;
	tdestroy(p->strings.tree, free);
	tdestroy(p->functions.tree, free);
	tdestroy(p->locations.tree, free);
	strbuf_deinit(&p->out);
	strbuf_deinit(&p->part);
	strbuf_deinit(&p->inner);
	free(p);
}

void pprof_time(struct pprof *p, uint64_t ns)
{
	note(p, add_number(&p->out, PROFILE_TIME_NANOS, ns));
}

void pprof_comment(struct pprof *p, const char *text)
{
	uint64_t index = string(p, text);
	if (!p->error)
		note(p, add_number(&p->out, PROFILE_COMMENT, index));
}

uint64_t pprof_mapping(struct pprof *p, const struct pprof_mapping *mapping)
{
	uint64_t file = string(p, mapping->file), id = string(p, mapping->build_id);
	struct strbuf *m = &p->part;
	note(p, add_number(m, MAPPING_ID, ++p->mappings));
	note(p, add_number(m, MAPPING_START, mapping->start));
	note(p, add_number(m, MAPPING_LIMIT, mapping->limit));
	note(p, add_number(m, MAPPING_OFFSET, mapping->offset));
	note(p, add_number(m, MAPPING_FILE, file));
	note(p, add_number(m, MAPPING_BUILD_ID, id));
	// So that pprof does not look for the program to find out what is known already.
	for (unsigned int f = MAPPING_HAS_FUNCTIONS; f <= MAPPING_HAS_INLINED; f++)
		note(p, add_number(m, f, 1));
	put_part(p, PROFILE_MAPPING);
	return p->mappings;
}

uint64_t pprof_function(struct pprof *p, const char *name, const char *file)
{
	bool is_new;
	uint64_t name_index = string(p, name), file_index = string(p, file);
	const uint64_t key[2] = { name_index, file_index };
	uint64_t number = intern(&p->functions, key, sizeof(key), &is_new);
	if (!number)
		note(p, -ENOMEM);
	if (!number || !is_new)
		return number;
	note(p, add_number(&p->part, FUNCTION_ID, number));
	note(p, add_number(&p->part, FUNCTION_NAME, name_index));
	note(p, add_number(&p->part, FUNCTION_SYSTEM_NAME, name_index));
	note(p, add_number(&p->part, FUNCTION_FILE, file_index));
	put_part(p, PROFILE_FUNCTION);
	return number;
}

uint64_t pprof_location(struct pprof *p, uint64_t address, uint64_t mapping,
			const struct pprof_line *lines, size_t n)
{
	bool is_new;
	note(p, add_number(&p->part, LOCATION_MAPPING, mapping));
	note(p, add_number(&p->part, LOCATION_ADDRESS, address));
	for (size_t i = 0; i < n; i++) {
		note(p, add_number(&p->inner, LINE_FUNCTION, lines[i].function));
		note(p, add_number(&p->inner, LINE_LINE, lines[i].line));
		put_inner(p, LOCATION_LINE);
	}
	uint64_t number = p->part.data ?
				  intern(&p->locations, p->part.data, p->part.len, &is_new) :
				  0;
	if (!number)
		note(p, -ENOMEM);
	if (!number || !is_new) {
		clear(&p->part);
		return number;
	}
	note(p, add_number(&p->part, LOCATION_ID, number));
	put_part(p, PROFILE_LOCATION);
	return number;
}

static void add_label(struct pprof *p, const struct pprof_label *label)
{
	uint64_t key = string(p, label->key), value = string(p, label->value);
	note(p, add_number(&p->inner, LABEL_KEY, key));
	note(p, add_number(&p->inner, LABEL_STR, value));
	put_inner(p, SAMPLE_LABEL);
}

void pprof_sample(struct pprof *p, const uint64_t *locations, size_t n, uint64_t value,
		  const struct pprof_label *labels, size_t n_labels)
{
	for (size_t i = 0; i < n; i++)
		note(p, add_varint(&p->inner, locations[i]));
	put_inner(p, SAMPLE_LOCATION);
	note(p, add_varint(&p->inner, value));
	put_inner(p, SAMPLE_VALUE);
	for (size_t i = 0; i < n_labels; i++)
		add_label(p, &labels[i]);
	put_part(p, PROFILE_SAMPLE);
}

int pprof_finish(struct pprof *p, const void **ret, size_t *ret_len)
{
	if (p->error)
		return p->error;
	*ret = p->out.data;
	*ret_len = p->out.len;
	return 0;
}
