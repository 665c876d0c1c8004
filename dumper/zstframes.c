// SPDX-License-Identifier: LGPL-2.1-or-later
#include "zstframes.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/fd.h"

enum { PAGE = 4096 };

struct engine {
	const struct zstframes_job *job;
	uint64_t n_frames;
	struct zsttable *table;
	pthread_mutex_t lock;
	pthread_cond_t written;
	uint64_t next, turn; ///< next frame to take; next frame to write
	uint64_t written_bytes;
	char *zero_frame; ///< a whole frame of zeros, compressed once
	size_t zero_bytes;
	struct snap_error *error;
};

/// What a thread works with.
struct bench {
	ZSTD_CCtx *cctx;
	char *raw, *packed;
	size_t packed_size;
	bool zero; ///< raw is not looked at: it would be zeros
};

/// Fails once for all threads. Called locked; takes ownership of @err.
static void fail_locked(struct engine *e, struct snap_error *err)
{
	if (e->error)
		snap_error_destroy(err);
	else
		e->error = err;
	(void)pthread_cond_broadcast(&e->written);
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

static void bench_deinit(struct bench *b)
{
	ZSTD_freeCCtx(b->cctx);
	free(b->raw);
	free(b->packed);
}

static struct snap_error *bench_init(struct bench *b, int level)
{
	b->packed_size = zstframes_bound();
	b->raw = aligned_alloc(PAGE, ZSTFRAMES_BYTES);
	b->packed = malloc(b->packed_size);
	b->cctx = make_context(level);
	return b->raw && b->packed && b->cctx ? NULL : snap_error_oom();
}

static struct snap_error *compress(const struct bench *b, size_t len, size_t *ret)
{
	size_t got = ZSTD_compress2(b->cctx, b->packed, b->packed_size, b->raw, len);
	if (ZSTD_isError(got))
		return snap_error_new(SNAP_FAILED, "cannot compress: %s", ZSTD_getErrorName(got));
	*ret = got;
	return NULL;
}

/// Called locked, when it is its turn: nobody else may write anyway, and compressing goes on.
static struct snap_error *write_locked(struct engine *e, const void *data, size_t len, uint64_t pos,
				       size_t raw)
{
	const struct zstframes_job *job = e->job;
	int r = job->max_bytes && e->written_bytes + len > job->max_bytes ?
			-ENOSPC :
			snap_write_all(job->out, data, len);
	if (r < 0)
		return snap_error_errno(snap_code_from_errno(-r), -r,
					"cannot write the compressed core");
	if (zsttable_add(e->table, (uint32_t)len, (uint32_t)raw) < 0)
		return snap_error_oom();
	e->written_bytes += len;
	e->turn++;
	if (job->written)
		job->written(job->userdata, pos, raw);
	(void)pthread_cond_broadcast(&e->written);
	return NULL;
}

/// Writes a compressed frame when its turn has come.
static void write_frame(struct engine *e, uint64_t index, const void *data, size_t len, size_t raw)
{
	uint64_t pos = e->job->start + index * ZSTFRAMES_BYTES;
	(void)pthread_mutex_lock(&e->lock);
	while (e->turn != index && !e->error)
		(void)pthread_cond_wait(&e->written, &e->lock);
	struct snap_error *err = e->error ? NULL : write_locked(e, data, len, pos, raw);
	if (err)
		fail_locked(e, err);
	(void)pthread_mutex_unlock(&e->lock);
}

static bool take_frame(struct engine *e, uint64_t *ret)
{
	(void)pthread_mutex_lock(&e->lock);
	bool more = !e->error && e->next < e->n_frames;
	if (more)
		*ret = e->next++;
	(void)pthread_mutex_unlock(&e->lock);
	return more;
}

static struct snap_error *make_zero_frame(struct engine *e)
{
	struct bench b = { 0 };
	size_t got = 0;
	struct snap_error *err = bench_init(&b, e->job->level);
	if (!err) {
		memset(b.raw, 0, ZSTFRAMES_BYTES);
		err = compress(&b, ZSTFRAMES_BYTES, &got);
	}
	e->zero_frame = got ? realloc(b.packed, got) : NULL;
	if (e->zero_frame)
		b.packed = NULL;
	else if (!err)
		err = snap_error_oom();
	e->zero_bytes = got;
	bench_deinit(&b);
	return err;
}

static struct snap_error *compress_frame(struct engine *e, uint64_t index, struct bench *b)
{
	const struct zstframes_job *job = e->job;
	uint64_t pos = job->start + index * ZSTFRAMES_BYTES;
	size_t len = MIN(job->end - pos, (uint64_t)ZSTFRAMES_BYTES), got = 0;
	b->zero = false;
	struct snap_error *err = job->fill(job->userdata, pos, b->raw, len, &b->zero);
	if (err)
		return err;
	if (b->zero && len == ZSTFRAMES_BYTES) {
		write_frame(e, index, e->zero_frame, e->zero_bytes, len);
		return NULL;
	}
	if (b->zero)
		memset(b->raw, 0, len);
	err = compress(b, len, &got);
	if (!err)
		write_frame(e, index, b->packed, got, len);
	return err;
}

static void *compress_main(void *userdata)
{
	struct engine *e = userdata;
	struct bench b = { 0 };
	struct snap_error *err = bench_init(&b, e->job->level);
	for (uint64_t index; !err && take_frame(e, &index);)
		err = compress_frame(e, index, &b);
	if (err) {
		(void)pthread_mutex_lock(&e->lock);
		fail_locked(e, err);
		(void)pthread_mutex_unlock(&e->lock);
	}
	bench_deinit(&b);
	return NULL;
}

static struct snap_error *run_threads(struct engine *e)
{
	unsigned int threads = (unsigned int)MIN((uint64_t)e->job->threads, e->n_frames);
	_cleanup_free_ pthread_t *ids = calloc(threads + 1, sizeof(*ids));
	if (!ids)
		return snap_error_oom();
	unsigned int started = 0;
	while (started + 1 < threads && !pthread_create(&ids[started], NULL, compress_main, e))
		started++;
	(void)compress_main(e);
	for (unsigned int i = 0; i < started; i++)
		(void)pthread_join(ids[i], NULL);
	return TAKE_PTR(e->error);
}

struct snap_error *zstframes_write(const struct zstframes_job *job, struct zsttable *table)
{
	struct engine e = { .job = job,
			    .n_frames = (job->end - job->start + ZSTFRAMES_BYTES - 1) /
					ZSTFRAMES_BYTES,
			    .table = table,
			    .lock = PTHREAD_MUTEX_INITIALIZER,
			    .written = PTHREAD_COND_INITIALIZER };
	if (table->n + e.n_frames > ZSTTABLE_FRAMES_MAX)
		return snap_error_new(SNAP_FAILED,
				      "the core is too large for the seekable zstd format "
				      "(128 TiB); dump it without --compress");
	if (!e.n_frames)
		return NULL;
	struct snap_error *err = make_zero_frame(&e);
	if (!err)
		err = run_threads(&e);
	free(e.zero_frame);
	return err;
}

size_t zstframes_bound(void)
{
	return ZSTD_compressBound(ZSTFRAMES_BYTES);
}

struct snap_error *zstframes_expand(const void *packed, size_t len, void *raw, size_t raw_len)
{
	size_t n = ZSTD_decompress(raw, raw_len, packed, len);
	return ZSTD_isError(n) || n != raw_len ?
		       snap_error_new(SNAP_FAILED, "the compressed core is damaged: %s",
				      ZSTD_isError(n) ? ZSTD_getErrorName(n) : "a short frame") :
		       NULL;
}
