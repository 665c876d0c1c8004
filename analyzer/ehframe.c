// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ehframe.h"

#include "common/cleanup.h"
#include "expression.h"

// Linux Standard Base, Core, 10.5.1: how a pointer is written.
enum {
	PE_FORMAT = 0x0f,
	PE_ABS = 0x00,
	PE_ULEB = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_RELATIVE = 0x70,
	PE_TO_PC = 0x10,
	PE_TO_DATA = 0x30,
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff,
};

enum {
	HDR_BYTES = 4, // version and three encodings
	HDR_HEAD_MAX = 64, // with the two numbers that follow
	HDR_ENTRY = 8,
	LENGTH_BYTES = 4,
	ID_BYTES = 4,
	EXTENDED = 0xfffffff0, // from here on lengths mean something else
};

/// A pointer at *@at of @span, which lies at @base in memory. @data is what data is relative to.
static uint64_t read_pointer(struct span *span, uint64_t *at, uint8_t encoding, uint64_t base,
			     uint64_t data)
{
	uint64_t origin = base + *at, value = 0;
	switch (encoding & PE_FORMAT) {
	case PE_ABS:
	case PE_UDATA8:
	case PE_SDATA8:
		value = span_u64(span, *at);
		*at += 8;
		break;
	case PE_ULEB:
		value = span_uleb(span, at);
		break;
	case PE_SLEB:
		value = (uint64_t)span_sleb(span, at);
		break;
	case PE_UDATA2:
		value = span_u16(span, *at);
		*at += 2;
		break;
	case PE_SDATA2:
		value = (uint64_t)(int64_t)(int16_t)span_u16(span, *at);
		*at += 2;
		break;
	case PE_UDATA4:
		value = span_u32(span, *at);
		*at += 4;
		break;
	case PE_SDATA4:
		value = (uint64_t)(int64_t)(int32_t)span_u32(span, *at);
		*at += 4;
		break;
	default:
		span->bad = true;
	}
	switch (encoding & PE_RELATIVE) {
	case 0:
		return value;
	case PE_TO_PC:
		return value + origin;
	case PE_TO_DATA:
		return value + data;
	default: // relative to what no Linux program has
		span->bad = true;
		return 0;
	}
}

/// The length of the entry at @addr, of which @ret is the body behind it. False at the end.
static bool read_length(struct memory *mem, const struct eh_frame *eh, uint64_t addr,
			uint64_t *ret, uint64_t *ret_bytes)
{
	uint32_t length;
	if (!memory_u32(mem, addr, &length) || length <= ID_BYTES || length >= EXTENDED)
		return false;
	*ret = addr + LENGTH_BYTES;
	*ret_bytes = length;
	return !eh->end || (*ret < eh->end && length <= eh->end - *ret);
}

/// The body of the entry at @addr, copied to @bytes.
static bool read_body(struct memory *mem, const struct eh_frame *eh, uint64_t addr,
		      uint8_t bytes[static EH_ENTRY_BYTES], struct span *ret)
{
	uint64_t body, size;
	if (!read_length(mem, eh, addr, &body, &size) || size > EH_ENTRY_BYTES ||
	    !memory_read(mem, body, bytes, size))
		return false;
	*ret = span_of(bytes, size);
	return true;
}

/// The augmentation of a CIE, behind "z": what it says beyond DWARF.
static void read_augmentation(struct span *span, const char *letters, uint64_t at, uint64_t base,
			      struct eh_entry *e, uint8_t *encoding)
{
	for (; *letters; letters++) {
		uint8_t other;
		switch (*letters) {
		case 'R':
			*encoding = span_u8(span, at++);
			break;
		case 'L':
			at++;
			break;
		case 'P':
			other = span_u8(span, at++);
			(void)read_pointer(span, &at, other & (uint8_t)~PE_INDIRECT, base, 0);
			break;
		case 'S':
			e->is_signal = true;
			break;
		case 'B': // return addresses are signed with the other key
		case 'G': // memory tags
			break;
		default: // the length tells where the instructions are all the same
			return;
		}
	}
}

static bool read_common(struct memory *mem, const struct eh_frame *eh, uint64_t addr,
			struct eh_entry *e, uint8_t *encoding, bool *has_length)
{
	struct span span;
	if (!read_body(mem, eh, addr, e->bytes[0], &span) || span_u32(&span, 0) != 0)
		return false; // what an FDE names must not be another FDE
	uint64_t base = addr + LENGTH_BYTES, at = ID_BYTES;
	uint8_t version = span_u8(&span, at++);
	const char *letters = span_text(&span, at);
	if (!letters || (version != 1 && version != 3) || (*letters && *letters != 'z'))
		return false;
	at += strlen(letters) + 1;
	e->code_align = span_uleb(&span, &at);
	e->data_align = span_sleb(&span, &at);
	e->return_column = version == 1 ? span_u8(&span, at++) : span_uleb(&span, &at);
	e->is_signal = false;
	*encoding = PE_ABS;
	*has_length = *letters == 'z';
	if (*has_length) {
		uint64_t size = span_uleb(&span, &at);
		if (size > span.size - MIN(at, span.size))
			return false;
		read_augmentation(&span, letters + 1, at, base, e, encoding);
		at += size;
	}
	if (span.bad || at > span.size)
		return false;
	e->common = span_sub(span, at, span.size - at);
	return true;
}

/// Reads the FDE at @addr, and the CIE that it names.
static bool read_entry(struct memory *mem, const struct eh_frame *eh, uint64_t addr,
		       struct eh_entry *e)
{
	struct span span;
	uint64_t base = addr + LENGTH_BYTES, at = ID_BYTES;
	uint8_t encoding;
	bool has_length;
	if (!read_body(mem, eh, addr, e->bytes[1], &span))
		return false;
	uint32_t back = span_u32(&span, 0);
	if (!back || back > base || (eh->start && base - back < eh->start) ||
	    !read_common(mem, eh, base - back, e, &encoding, &has_length))
		return false;
	if (encoding == PE_OMIT || encoding & PE_INDIRECT)
		return false;
	e->start = read_pointer(&span, &at, encoding, base, eh->hdr);
	e->end = e->start + read_pointer(&span, &at, encoding & PE_FORMAT, base, 0);
	if (has_length) {
		uint64_t size = span_uleb(&span, &at);
		if (size > span.size - MIN(at, span.size))
			return false;
		at += size;
	}
	if (span.bad || at > span.size || e->end < e->start)
		return false;
	e->own = span_sub(span, at, span.size - at);
	return true;
}

/// Looks at one after the other. Entries that are not understood are passed over.
static bool scan(struct memory *mem, const struct eh_frame *eh, uint64_t pc, struct eh_entry *e)
{
	uint64_t addr = eh->start, body, size;
	for (int i = 0; addr && i < EH_ENTRIES_MAX; i++) {
		uint32_t id;
		if (!read_length(mem, eh, addr, &body, &size) || !memory_u32(mem, body, &id))
			return false;
		if (id && read_entry(mem, eh, addr, e) && pc >= e->start && pc < e->end)
			return true;
		if (body + size < addr)
			return false;
		addr = body + size;
	}
	return false;
}

/// An entry of the sorted table: where a function begins, and its FDE.
static bool read_pair(struct memory *mem, const struct eh_frame *eh, uint64_t addr, uint64_t *start,
		      uint64_t *entry)
{
	uint32_t pair[2];
	if (!memory_read(mem, addr, pair, sizeof(pair)))
		return false;
	*start = eh->hdr + (uint64_t)(int64_t)(int32_t)pair[0];
	*entry = eh->hdr + (uint64_t)(int64_t)(int32_t)pair[1];
	return true;
}

/// Searches the @n entries of the table at @table.
static bool search(struct memory *mem, const struct eh_frame *eh, uint64_t table, uint64_t n,
		   uint64_t pc, struct eh_entry *e)
{
	uint64_t low = 0, high = n, start, entry, found = 0;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (!read_pair(mem, eh, table + mid * HDR_ENTRY, &start, &entry))
			return false;
		if (start <= pc) {
			found = entry;
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return found && read_entry(mem, eh, found, e) && pc >= e->start && pc < e->end;
}

bool eh_find(struct memory *mem, const struct eh_frame *eh, uint64_t pc, struct eh_entry *ret)
{
	uint8_t bytes[HDR_HEAD_MAX];
	uint64_t room = eh->hdr && eh->hdr_end > eh->hdr ? eh->hdr_end - eh->hdr : 0;
	size_t size = memory_read_some(mem, eh->hdr, bytes, MIN(room, (uint64_t)sizeof(bytes)));
	struct span head = span_of(bytes, size);
	if (size < HDR_BYTES || bytes[0] != 1)
		return scan(mem, eh, pc, ret);
	uint64_t at = HDR_BYTES, n = 0;
	struct eh_frame full = *eh;
	uint64_t start = read_pointer(&head, &at, bytes[1], eh->hdr, eh->hdr);
	if (!full.start && !head.bad && !(bytes[1] & PE_INDIRECT))
		full.start = start;
	if (bytes[2] != PE_OMIT)
		n = read_pointer(&head, &at, bytes[2], eh->hdr, eh->hdr);
	if (head.bad || bytes[2] == PE_OMIT || bytes[3] != (PE_TO_DATA | PE_SDATA4))
		return scan(mem, &full, pc, ret);
	// The table is as long as there is room for it, whatever it says.
	uint64_t fits = at < room ? (room - at) / HDR_ENTRY : 0;
	n = MIN(n, fits);
	return search(mem, &full, eh->hdr + at, n, pc, ret);
}
