// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "common/fd.h"
#include "common/strbuf.h"

enum {
	FRAME_BYTES = 1 << 20,
	// contrib/seekable_format/zstd_seekable_compression_format.md
	SKIPPABLE_MAGIC = 0x184D2A5E,
	SEEKABLE_MAGIC = (int)0x8F92EAB1,
	SEEKABLE_MAX_FRAMES = 0x8000000,
};

struct seek_entry {
	uint32_t compressed, decompressed;
};

/// One job: frames are taken in order, compressed in parallel, and written in order.
struct zst {
	int in, out, level;
	uint32_t flags;
	uint64_t size;
	const struct sink_progress *progress;
	uint64_t n_frames;
	struct seek_entry *table;
	char *zero_frame; ///< a whole frame of zeros, compressed once
	size_t zero_bytes;

	pthread_mutex_t lock;
	pthread_cond_t written;
	uint64_t next, turn; ///< next frame to take; next frame to write
	struct snap_error *error;
};

/// Fails once for all threads. Called locked; takes ownership of @err.
static void fail_locked(struct zst *z, struct snap_error *err)
{
	if (z->error)
		snap_error_destroy(err);
	else
		z->error = err;
	(void)pthread_cond_broadcast(&z->written);
}

static ZSTD_CCtx *make_context(int level)
{
	ZSTD_CCtx *cctx = ZSTD_createCCtx();
	if (!cctx)
		return NULL;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1))) {
		ZSTD_freeCCtx(cctx);
		return NULL;
	}
	return cctx;
}

/// Is this whole frame a hole? File systems that cannot tell say no.
static bool frame_is_hole(const struct zst *z, uint64_t pos, size_t len)
{
	off_t data = lseek(z->in, (off_t)pos, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO && len == FRAME_BYTES;
	return len == FRAME_BYTES && (uint64_t)data >= pos + len;
}

/// Writes a compressed frame when its turn has come; false when the job has failed.
static bool write_frame(struct zst *z, uint64_t index, const void *data, size_t len, size_t raw)
{
	bool ok = false;
	(void)pthread_mutex_lock(&z->lock);
	while (z->turn != index && !z->error)
		(void)pthread_cond_wait(&z->written, &z->lock);
	if (!z->error) {
		// Locked while writing: nobody else may write anyway, and compressing goes on.
		int r = snap_write_all(z->out, data, len);
		if (r < 0) {
			fail_locked(z, snap_error_errno(snap_code_from_errno(-r), -r,
							"cannot write the compressed core"));
		} else {
			z->table[index] = (struct seek_entry){ (uint32_t)len, (uint32_t)raw };
			z->turn++;
			ok = true;
			if (z->flags & SINK_CONSUME) // not possible: then the room is taken twice
				(void)fallocate(z->in, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						(off_t)(index * FRAME_BYTES), (off_t)raw);
			if (z->progress)
				z->progress->fn(z->progress->userdata,
						MIN(z->turn * FRAME_BYTES, z->size));
			(void)pthread_cond_broadcast(&z->written);
		}
	}
	(void)pthread_mutex_unlock(&z->lock);
	return ok;
}

static bool take_frame(struct zst *z, uint64_t *ret)
{
	(void)pthread_mutex_lock(&z->lock);
	bool more = !z->error && z->next < z->n_frames;
	if (more)
		*ret = z->next++;
	(void)pthread_mutex_unlock(&z->lock);
	return more;
}

static struct snap_error *compress_frame(struct zst *z, uint64_t index, ZSTD_CCtx *cctx, char *raw,
					 char *packed, size_t packed_size)
{
	uint64_t pos = index * FRAME_BYTES;
	size_t len = MIN(z->size - pos, (uint64_t)FRAME_BYTES);
	if (frame_is_hole(z, pos, len)) {
		(void)write_frame(z, index, z->zero_frame, z->zero_bytes, len);
		return NULL;
	}
	ssize_t n = snap_pread_full(z->in, raw, len, pos);
	if (n != (ssize_t)len)
		return snap_error_errno(SNAP_FAILED, n < 0 ? (int)-n : EIO,
					"cannot read the core back");
	size_t got = ZSTD_compress2(cctx, packed, packed_size, raw, len);
	if (ZSTD_isError(got))
		return snap_error_new(SNAP_FAILED, "cannot compress: %s", ZSTD_getErrorName(got));
	(void)write_frame(z, index, packed, got, len);
	return NULL;
}

static void *compress_main(void *userdata)
{
	struct zst *z = userdata;
	size_t packed_size = ZSTD_compressBound(FRAME_BYTES);
	_cleanup_free_ char *raw = malloc(FRAME_BYTES), *packed = malloc(packed_size);
	ZSTD_CCtx *cctx = make_context(z->level);
	struct snap_error *err = raw && packed && cctx ? NULL : snap_error_oom();

	for (uint64_t index; !err && take_frame(z, &index);)
		err = compress_frame(z, index, cctx, raw, packed, packed_size);
	if (err) {
		(void)pthread_mutex_lock(&z->lock);
		fail_locked(z, err);
		(void)pthread_mutex_unlock(&z->lock);
	}
	ZSTD_freeCCtx(cctx);
	return NULL;
}

static struct snap_error *make_zero_frame(struct zst *z)
{
	_cleanup_free_ char *zeros = calloc(1, FRAME_BYTES);
	size_t size = ZSTD_compressBound(FRAME_BYTES);
	_cleanup_free_ char *packed = malloc(size);
	ZSTD_CCtx *cctx = make_context(z->level);
	if (!zeros || !packed || !cctx) {
		ZSTD_freeCCtx(cctx);
		return snap_error_oom();
	}
	size_t got = ZSTD_compress2(cctx, packed, size, zeros, FRAME_BYTES);
	ZSTD_freeCCtx(cctx);
	if (ZSTD_isError(got))
		return snap_error_new(SNAP_FAILED, "cannot compress: %s", ZSTD_getErrorName(got));
	z->zero_frame = realloc(packed, got);
	if (!z->zero_frame)
		return snap_error_oom();
	packed = NULL;
	z->zero_bytes = got;
	return NULL;
}

static struct snap_error *write_seek_table(const struct zst *z)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	uint32_t head[2] = { SKIPPABLE_MAGIC, (uint32_t)(z->n_frames * sizeof(*z->table) + 9) };
	uint32_t n = (uint32_t)z->n_frames, magic = (uint32_t)SEEKABLE_MAGIC;
	uint8_t descriptor = 0; // no checksums in the table: every frame has its own
	int r = strbuf_add(&buf, head, sizeof(head));
	if (r >= 0)
		r = strbuf_add(&buf, z->table, n * sizeof(*z->table));
	if (r >= 0)
		r = strbuf_add(&buf, &n, sizeof(n));
	if (r >= 0)
		r = strbuf_add(&buf, &descriptor, sizeof(descriptor));
	if (r >= 0)
		r = strbuf_add(&buf, &magic, sizeof(magic));
	if (r < 0)
		return snap_error_oom();
	r = snap_write_all(z->out, buf.data, buf.len);
	if (r < 0)
		return snap_error_errno(snap_code_from_errno(-r), -r,
					"cannot write the compressed core");
	return NULL;
}

static struct snap_error *run_threads(struct zst *z, unsigned int threads)
{
	_cleanup_free_ pthread_t *ids = calloc(threads, sizeof(*ids));
	if (!ids)
		return snap_error_oom();
	unsigned int started = 0;
	while (started + 1 < threads && !pthread_create(&ids[started], NULL, compress_main, z))
		started++;
	(void)compress_main(z);
	for (unsigned int i = 0; i < started; i++)
		(void)pthread_join(ids[i], NULL);
	return TAKE_PTR(z->error);
}

struct snap_error *sink_zstd(int in, uint64_t size, int out, int level, unsigned int threads,
			     uint32_t flags, const struct sink_progress *progress)
{
	struct zst z = {
		.in = in,
		.out = out,
		.size = size,
		.level = level,
		.flags = flags,
		.progress = progress,
		.n_frames = (size + FRAME_BYTES - 1) / FRAME_BYTES,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.written = PTHREAD_COND_INITIALIZER,
	};
	struct stat st;
	int errnum = fstat(in, &st) < 0 ? errno : (uint64_t)st.st_size < size ? EIO : 0;
	if (errnum)
		return snap_error_errno(SNAP_FAILED, errnum, "cannot read the core back");
	if (z.n_frames > SEEKABLE_MAX_FRAMES)
		return snap_error_new(SNAP_FAILED,
				      "the core is too large for the seekable zstd format "
				      "(128 TiB); dump it without --compress");
	z.table = calloc(z.n_frames + 1, sizeof(*z.table));
	struct snap_error *err = z.table ? make_zero_frame(&z) : snap_error_oom();
	if (!err)
		err = run_threads(&z, threads);
	if (!err)
		err = write_seek_table(&z);
	free(z.table);
	free(z.zero_frame);
	return err;
}
