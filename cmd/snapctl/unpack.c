// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unpack.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "common/fd.h"

enum { PAGE = 4096, CHUNK = 128 << 10 };

struct unpacking {
	int in, out;
	bool sparse; ///< out is a regular file
	char in_buf[CHUNK], out_buf[CHUNK];
};

static bool is_zero(const char *p, size_t len)
{
	return !len || (!*p && !memcmp(p, p + 1, len - 1));
}

static int put(const struct unpacking *u, const char *data, size_t len)
{
	while (len) {
		size_t n = MIN(len, (size_t)PAGE);
		bool hole = u->sparse && n == PAGE && is_zero(data, n);
		if (hole && lseek(u->out, (off_t)n, SEEK_CUR) < 0)
			return -errno;
		int r = hole ? 0 : snap_write_all(u->out, data, n);
		if (r < 0)
			return r;
		data += n;
		len -= n;
	}
	return 0;
}

static struct snap_error *write_error(int r)
{
	return snap_error_errno(snap_code_from_errno(-r), -r, "cannot write");
}

static ssize_t get(struct unpacking *u)
{
	ssize_t n;
	do
		n = read(u->in, u->in_buf, sizeof(u->in_buf));
	while (n < 0 && errno == EINTR);
	return n;
}

/// At least @min bytes, if there are so many: a pipe may hand out less.
static ssize_t get_first(struct unpacking *u, size_t min)
{
	size_t len = 0;
	while (len < min) {
		ssize_t n = read(u->in, u->in_buf + len, sizeof(u->in_buf) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static struct snap_error *copy(struct unpacking *u, ssize_t n)
{
	for (; n > 0; n = get(u)) {
		int r = put(u, u->in_buf, (size_t)n);
		if (r < 0)
			return write_error(r);
	}
	return n < 0 ? snap_error_errno(SNAP_FAILED, errno, "cannot read") : NULL;
}

static struct snap_error *decompress(struct unpacking *u, ZSTD_DStream *stream, ssize_t n)
{
	size_t left = 0; // of the frame
	for (; n > 0; n = get(u)) {
		ZSTD_inBuffer in = { u->in_buf, (size_t)n, 0 };
		bool full = false; // there may be more in it than there was room for
		while (in.pos < in.size || full) {
			ZSTD_outBuffer out = { u->out_buf, sizeof(u->out_buf), 0 };
			left = ZSTD_decompressStream(stream, &out, &in);
			if (ZSTD_isError(left))
				return snap_error_new(SNAP_FAILED, "the core is damaged: %s",
						      ZSTD_getErrorName(left));
			// Asked for more after the end of a frame, it would wait for another one.
			full = left && out.pos == out.size;
			int r = put(u, u->out_buf, out.pos);
			if (r < 0)
				return write_error(r);
		}
	}
	if (n < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot read");
	return left ? snap_error_new(SNAP_FAILED, "the core is damaged: it ends too early") : NULL;
}

static struct snap_error *run(struct unpacking *u)
{
	static const uint8_t magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };
	ssize_t n = get_first(u, sizeof(magic));
	if (n < 0)
		return snap_error_errno(SNAP_FAILED, errno, "cannot read");
	if (n < (ssize_t)sizeof(magic) || memcmp(u->in_buf, magic, sizeof(magic)) != 0)
		return copy(u, n);
	ZSTD_DStream *stream = ZSTD_createDStream();
	struct snap_error *err = stream ? decompress(u, stream, n) : snap_error_oom();
	ZSTD_freeDStream(stream);
	return err;
}

struct snap_error *unpack(int in, int out)
{
	struct stat st;
	_cleanup_free_ struct unpacking *u = calloc(1, sizeof(*u));
	if (!u)
		return snap_error_oom();
	u->in = in;
	u->out = out;
	u->sparse = fstat(out, &st) == 0 && S_ISREG(st.st_mode);
	struct snap_error *err = run(u);
	off_t end = !err && u->sparse ? lseek(out, 0, SEEK_CUR) : 0;
	// A hole at the end is part of it too.
	if (end > 0 && ftruncate(out, end) < 0)
		err = write_error(-errno);
	return err;
}
