/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <string.h>

#include "analyzer/cfi.h"

/**
 * DOC: Tables for unwinding, made by hand
 *
 * .eh_frame at EHMAKE_FRAME, .eh_frame_hdr at EHMAKE_HDR, a stack at EHMAKE_STACK, all in one block
 * of memory; the code that they speak of need not be there.
 */

enum {
	EHMAKE_BASE = 0x10000,
	EHMAKE_FRAME = EHMAKE_BASE,
	EHMAKE_HDR = EHMAKE_BASE + 0x8000,
	EHMAKE_STACK = EHMAKE_BASE + 0xc000,
	EHMAKE_BYTES = 0x10000,
	EHMAKE_CODE = 0x400000, ///< where the first function begins
	EHMAKE_FUNC_BYTES = 0x100,
};

struct ehmake {
	uint8_t bytes[EHMAKE_BYTES];
	size_t at; ///< the next byte of .eh_frame
	size_t entry; ///< the one that is being made
	uint64_t common; ///< offset of the last CIE
};

static inline void eh_u8(struct ehmake *e, uint8_t v)
{
	e->bytes[e->at++] = v;
}

static inline void eh_u32(struct ehmake *e, uint32_t v)
{
	memcpy(e->bytes + e->at, &v, sizeof(v));
	e->at += sizeof(v);
}

static inline void eh_put_u64(struct ehmake *e, uint64_t addr, uint64_t v)
{
	memcpy(e->bytes + (addr - EHMAKE_BASE), &v, sizeof(v));
}

static inline void eh_put_u32(struct ehmake *e, uint64_t addr, uint32_t v)
{
	memcpy(e->bytes + (addr - EHMAKE_BASE), &v, sizeof(v));
}

static inline void eh_bytes(struct ehmake *e, const void *code, size_t n)
{
	if (n)
		memcpy(e->bytes + e->at, code, n);
	e->at += n;
}

/// Fills the length of an entry in.
static inline void eh_end(struct ehmake *e)
{
	while (e->at % 4)
		eh_u8(e, 0);
	uint32_t size = (uint32_t)(e->at - e->entry - 4);
	memcpy(e->bytes + e->entry, &size, sizeof(size));
}

/// A CIE for x86-64 as compilers make it, with @code behind what they have.
static inline void eh_common(struct ehmake *e, const char *letters, const void *code, size_t n)
{
	static const uint8_t usual[] = { 0x0c, 7, 8, 0x80 | 16, 1 }; // CFA is rsp+8, pc at CFA-8
	e->entry = e->common = e->at;
	eh_u32(e, 0);
	eh_u32(e, 0);
	eh_u8(e, 1);
	eh_bytes(e, letters, strlen(letters) + 1);
	eh_u8(e, 1); // code_align
	eh_u8(e, 0x78); // data_align: -8
	eh_u8(e, 16);
	if (*letters == 'z') {
		eh_u8(e, 1);
		eh_u8(e, 0x1b); // relative to itself, 4 bytes
	}
	eh_bytes(e, usual, sizeof(usual));
	eh_bytes(e, code, n);
	eh_end(e);
}

/// An FDE of the last CIE, which must have "zR" or more, for the function number @index.
static inline uint64_t eh_function(struct ehmake *e, int index, const void *code, size_t n)
{
	e->entry = e->at;
	eh_u32(e, 0);
	eh_u32(e, (uint32_t)(e->at - e->common));
	uint64_t start = EHMAKE_CODE + (uint64_t)index * EHMAKE_FUNC_BYTES;
	eh_u32(e, (uint32_t)(start - (EHMAKE_FRAME + e->at)));
	eh_u32(e, EHMAKE_FUNC_BYTES);
	eh_u8(e, 0); // no more augmentation
	eh_bytes(e, code, n);
	eh_end(e);
	return EHMAKE_FRAME + e->entry;
}

/// The sorted table for @n entries at @entries.
static inline void eh_header(struct ehmake *e, const uint64_t *entries, uint32_t n)
{
	static const uint8_t head[] = { 1, 0x1b, 0x03, 0x3b };
	memcpy(e->bytes + (EHMAKE_HDR - EHMAKE_BASE), head, sizeof(head));
	eh_put_u32(e, EHMAKE_HDR + 4, (uint32_t)(EHMAKE_FRAME - (EHMAKE_HDR + 4)));
	eh_put_u32(e, EHMAKE_HDR + 8, n);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t start = EHMAKE_CODE + i * (uint64_t)EHMAKE_FUNC_BYTES;
		eh_put_u32(e, EHMAKE_HDR + 12 + i * 8ULL, (uint32_t)(start - EHMAKE_HDR));
		eh_put_u32(e, EHMAKE_HDR + 16 + i * 8ULL, (uint32_t)(entries[i] - EHMAKE_HDR));
	}
}
