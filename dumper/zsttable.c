// SPDX-License-Identifier: LGPL-2.1-or-later
#include "zsttable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/span.h"
#include "common/strbuf.h"

enum {
	// contrib/seekable_format/zstd_seekable_compression_format.md
	SKIPPABLE_MAGIC = 0x184D2A5E,
	SEEKABLE_MAGIC = (int)0x8F92EAB1,
	FOOTER_BYTES = 9,
	CHECKSUM_FLAG = 0x80,
};

void zsttable_deinit(struct zsttable *table)
{
	free(table->entries);
	*table = (struct zsttable){ 0 };
}

static int grow(struct zsttable *table, size_t n)
{
	if (n <= table->size)
		return 0;
	size_t size = MAX(MAX(n, table->size * 2), (size_t)64);
	struct zsttable_entry *bigger = reallocarray(table->entries, size, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	table->entries = bigger;
	table->size = size;
	return 0;
}

int zsttable_add(struct zsttable *table, uint32_t packed, uint32_t raw)
{
	int r = grow(table, table->n + 1);
	if (r == 0)
		table->entries[table->n++] = (struct zsttable_entry){ packed, raw };
	return r;
}

int zsttable_add_all(struct zsttable *table, const struct zsttable *more)
{
	int r = grow(table, table->n + more->n);
	for (size_t i = 0; r == 0 && i < more->n; i++)
		table->entries[table->n++] = more->entries[i];
	return r;
}

void zsttable_skip_head(uint32_t len, uint32_t ret[2])
{
	ret[0] = htole32(SKIPPABLE_MAGIC);
	ret[1] = htole32(len - ZSTTABLE_SKIP_MIN);
}

struct snap_error *zsttable_write(const struct zsttable *table, int out)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	uint32_t head[2], n = (uint32_t)table->n, magic = (uint32_t)SEEKABLE_MAGIC;
	uint8_t descriptor = 0; // no checksums in the table: every frame has its own
	zsttable_skip_head((uint32_t)(ZSTTABLE_SKIP_MIN + n * sizeof(*table->entries) +
				      FOOTER_BYTES),
			   head);
	int r = strbuf_add(&buf, head, sizeof(head));
	if (r >= 0 && n)
		r = strbuf_add(&buf, table->entries, n * sizeof(*table->entries));
	if (r >= 0)
		r = strbuf_add(&buf, &n, sizeof(n));
	if (r >= 0)
		r = strbuf_add(&buf, &descriptor, sizeof(descriptor));
	if (r >= 0)
		r = strbuf_add(&buf, &magic, sizeof(magic));
	if (r < 0)
		return snap_error_oom();
	r = snap_write_all(out, buf.data, buf.len);
	if (r < 0)
		return snap_error_errno(snap_code_from_errno(-r), -r,
					"cannot write the compressed core");
	return NULL;
}

static struct snap_error *damaged(void)
{
	return snap_error_new(SNAP_FAILED, "the seek table of the compressed core is damaged");
}

/// All frames end at @start.
static struct snap_error *read_entries(struct span *span, uint64_t start, struct zsttable *table)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < table->size; i++) {
		uint32_t packed = span_u32(span, i * sizeof(*table->entries));
		uint32_t raw = span_u32(span, i * sizeof(*table->entries) + 4);
		sum += packed;
		table->entries[table->n++] = (struct zsttable_entry){ packed, raw };
	}
	return span->bad || sum != start ? damaged() : NULL;
}

struct snap_error *zsttable_read(int fd, struct zsttable *ret, uint64_t *ret_start)
{
	uint8_t bytes[FOOTER_BYTES] = { 0 };
	struct span footer = span_of(bytes, sizeof(bytes));
	struct stat st;
	if (fstat(fd, &st) < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot look at the compressed core");
	uint64_t size = (uint64_t)st.st_size, overhead = FOOTER_BYTES + ZSTTABLE_SKIP_MIN;
	if (size < overhead ||
	    snap_pread_full(fd, bytes, sizeof(bytes), size - sizeof(bytes)) != sizeof(bytes) ||
	    span_u32(&footer, 5) != (uint32_t)SEEKABLE_MAGIC)
		return snap_error_new(SNAP_FAILED, "the packed core was not written to its end");
	uint64_t n = span_u32(&footer, 0), len = n * sizeof(struct zsttable_entry);
	// Of our own files only, which have no checksums there.
	if (n > ZSTTABLE_FRAMES_MAX || len > size - overhead || bytes[4] & CHECKSUM_FLAG)
		return damaged();
	_cleanup_zsttable_ struct zsttable table = { 0 };
	_cleanup_free_ uint8_t *raw = malloc(len + 1);
	if (!raw || grow(&table, n) < 0)
		return snap_error_oom();
	table.size = n;
	if (snap_pread_full(fd, raw, len, size - FOOTER_BYTES - len) != (ssize_t)len)
		return snap_error_new(SNAP_FAILED, "cannot read the compressed core");
	struct span span = span_of(raw, len);
	struct snap_error *err = read_entries(&span, size - overhead - len, &table);
	if (err)
		return err;
	*ret = table;
	*ret_start = size - overhead - len;
	table = (struct zsttable){ 0 };
	return NULL;
}
