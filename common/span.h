/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * DOC: Spans
 *
 * A bounds-checked view of untrusted bytes in little-endian order. Reading beyond the end gives
 * zeros and marks the span as bad; whoever parses checks that once at the end of a structure
 * instead of at every field.
 */
struct span {
	const uint8_t *data;
	size_t size;
	bool bad; ///< something was read that is not there
};

static inline struct span span_of(const void *data, size_t size)
{
	return (struct span){ .data = data, .size = size };
}

/// [@offset, @offset + @size) of @span; an empty bad one when that is not all inside.
static inline struct span span_sub(struct span span, uint64_t offset, uint64_t size)
{
	if (offset > span.size || size > span.size - offset)
		return (struct span){ .bad = true };
	return (struct span){ .data = span.data + offset, .size = (size_t)size };
}

/// Copies @size bytes at @offset; zeros, and false, when they are not all there.
static inline bool span_get(struct span *span, uint64_t offset, void *ret, size_t size)
{
	if (offset > span->size || size > span->size - offset) {
		span->bad = true;
		memset(ret, 0, size);
		return false;
	}
	memcpy(ret, span->data + offset, size);
	return true;
}

static inline uint8_t span_u8(struct span *span, uint64_t offset)
{
	uint8_t v;
	(void)span_get(span, offset, &v, sizeof(v)); // zero then, and marked
	return v;
}

static inline uint16_t span_u16(struct span *span, uint64_t offset)
{
	uint16_t v;
	(void)span_get(span, offset, &v, sizeof(v));
	return le16toh(v);
}

static inline uint32_t span_u32(struct span *span, uint64_t offset)
{
	uint32_t v;
	(void)span_get(span, offset, &v, sizeof(v));
	return le32toh(v);
}

static inline uint64_t span_u64(struct span *span, uint64_t offset)
{
	uint64_t v;
	(void)span_get(span, offset, &v, sizeof(v));
	return le64toh(v);
}

/// The NUL-terminated string at @offset, borrowed from the span; NULL when it does not end in it.
static inline const char *span_text(struct span *span, uint64_t offset)
{
	if (offset < span->size && memchr(span->data + offset, 0, span->size - offset))
		return (const char *)span->data + offset;
	span->bad = true;
	return NULL;
}
