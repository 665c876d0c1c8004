// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files that are read from the middle. An input that begins like zstd is the file itself; any other
 * tells how to make one: frames, their seek table, and what is wrong with it.
 */
#include <zstd.h>

#include "analyzer/source.h"
#include "common/fd.h"
#include "common/strbuf.h"
#include "gopatch.h"

enum {
	ZSTD_BYTE = 0x28,
	FRAMES_MAX = 24,
	FRAME_BYTES_MAX = 5000,
	READS_MAX = 64,
	READ_BYTES_MAX = 3000,
	WHOLE_MAX = 256 << 10,
};

static struct source *open_source(int fd, enum source_kind kind)
{
	struct source *src = NULL;
	struct snap_error *err = source_create(fd, kind, &src);
	REQUIRE(!err == !!src);
	if (err)
		REQUIRE(err->message && *err->message);
	snap_error_destroy(err);
	return src;
}

/// The same bytes come, however they are asked for.
static void compare(struct source *src, struct source *other, uint64_t offset, size_t len)
{
	_cleanup_free_ uint8_t *whole = malloc(len ? len : 1), *pieces = malloc(len ? len : 1);
	REQUIRE(whole && pieces);
	size_t n = source_read(src, offset, whole, len), done = 0;
	REQUIRE(n <= len);
	if (source_size(src) <= offset)
		REQUIRE(!n);
	else
		REQUIRE(n <= source_size(src) - offset);
	while (done < len) {
		size_t want = MIN(len - done, 1 + done % 100);
		size_t got = source_read(other, offset + done, pieces + done, want);
		REQUIRE(got <= want);
		done += got;
		if (got < want)
			break;
	}
	REQUIRE(done == n);
	REQUIRE(!n || !memcmp(whole, pieces, n));
}

static void read_around(int fd, enum source_kind kind, struct patches *in,
			const struct strbuf *want)
{
	struct source *src = open_source(fd, kind), *other = src ? open_source(fd, kind) : NULL;
	if (!src || !other)
		return;
	REQUIRE(source_size(src) == source_size(other));
	if (want) {
		REQUIRE(source_size(src) == want->len);
		_cleanup_free_ uint8_t *all = malloc(want->len + 1);
		REQUIRE(all && source_read(src, 0, all, want->len + 1) == want->len);
		REQUIRE(!memcmp(all, want->data, want->len));
	}
	for (int i = 0; i < READS_MAX && in->left; i++) {
		uint64_t offset = patches_take(in, 1) & 1 ? patches_take(in, 8) :
							    patches_take(in, 3);
		compare(src, other, offset, patches_take(in, 2) % READ_BYTES_MAX);
	}
	compare(src, other, 0, MIN(source_size(src), (uint64_t)WHOLE_MAX));
	compare(src, other, source_size(src) - 10, 20);
	source_destroy(src);
	source_destroy(other);
}

static void add_frame(struct strbuf *file, struct strbuf *contents, size_t len, uint8_t letter)
{
	uint8_t raw[FRAME_BYTES_MAX], packed[ZSTD_COMPRESSBOUND(FRAME_BYTES_MAX)];
	for (size_t i = 0; i < len; i++)
		raw[i] = (uint8_t)(letter + i % 7 * (i % 11));
	size_t n = ZSTD_compress(packed, sizeof(packed), raw, len, 1);
	REQUIRE(!ZSTD_isError(n));
	gocore_add(file, packed, n);
	gocore_add(contents, raw, len);
}

static void add_u32(struct strbuf *buf, size_t v)
{
	uint32_t word = (uint32_t)v;
	gocore_add(buf, &word, sizeof(word));
}

/// Frames and their table; false when something was done to them.
static bool make_file(struct patches *in, struct strbuf *file, struct strbuf *contents)
{
	_cleanup_strbuf_ struct strbuf table = { 0 };
	size_t n = 1 + patches_below(in, FRAMES_MAX);
	bool checksums = patches_take(in, 1) & 1, good = true;
	for (size_t i = 0; i < n; i++) {
		size_t at = file->len, len = patches_take(in, 2) % FRAME_BYTES_MAX;
		uint8_t letter = (uint8_t)patches_take(in, 1), harm = (uint8_t)patches_take(in, 1);
		add_frame(file, contents, len, letter);
		int64_t in_error = 0, out_error = 0;
		if (harm & 1)
			in_error = (int32_t)patches_take(in, 4);
		if (harm & 2)
			out_error = (int32_t)patches_take(in, 4);
		if (harm & 4)
			file->data[at + patches_take(in, 2) % (file->len - at)] ^= 1;
		good &= !(harm & 7);
		add_u32(&table, file->len - at + (size_t)in_error);
		add_u32(&table, len + (size_t)out_error);
		if (checksums)
			add_u32(&table, 0x12345678);
	}
	uint8_t harm = (uint8_t)patches_take(in, 1);
	size_t count = harm & 1 ? patches_take(in, 4) : n;
	size_t cut = harm & 2 ? patches_take(in, 1) : 0;
	good &= !(harm & 3) && contents->len;
	add_u32(file, 0x184D2A5E);
	add_u32(file, table.len + 9);
	gocore_add(file, table.data, table.len - MIN(cut, table.len));
	add_u32(file, count);
	gocore_add(file, checksums ? "\x80" : "", 1);
	add_u32(file, 0x8F92EAB1);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_strbuf_ struct strbuf file = { 0 }, contents = { 0 };
	struct patches in = { data, size };
	bool good = false;
	if (size && *data == ZSTD_BYTE) {
		gocore_add(&file, data, size);
		in.data += size / 2; // also tells where to read
		in.left -= size / 2;
	} else {
		(void)patches_take(&in, 1);
		good = make_file(&in, &file, &contents);
	}
	_cleanup_close_ int fd = gocore_memfd(file.data, file.len);
	struct patches again = in;
	read_around(fd, SOURCE_FILE, &in, good ? &contents : NULL);
	read_around(fd, SOURCE_MEMORY, &again, NULL);
	return 0;
}
