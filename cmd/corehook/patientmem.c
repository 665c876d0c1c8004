// SPDX-License-Identifier: LGPL-2.1-or-later
#include "patientmem.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "patience.h"

enum {
	// What is read by others is copied once more: as much as stays in the caches.
	BOUNCE_BYTES = 64 << 10,
	RANGES = 64,
};

/// One call; what it points to lives as long as the process.
struct visit {
	struct errand errand;
	struct memsource *from;
	const struct snap_mapping *map;
	uint64_t start, end;
	bool is_scan;
	enum mem_kind kind;
	ssize_t result;
	union {
		struct mem_range ranges[RANGES];
		char bytes[BOUNCE_BYTES];
	};
};

static void visit_run(struct errand *errand)
{
	struct visit *v = (struct visit *)errand;
	v->result = v->is_scan ? memsource_scan(v->from, v->map, v->start, v->end, v->ranges,
						RANGES) :
				 memsource_read(v->from, v->map, v->kind, v->start, v->bytes,
						(size_t)(v->end - v->start));
}

static void visit_destroy(struct errand *errand)
{
	free(errand);
}

/// The result, owned by the caller; NULL when it has not come back. Then that mapping is left out
/// from now on.
static struct visit *send_out(const struct patientmem *mem, const struct snap_mapping *map,
			      uint64_t start, uint64_t end, bool is_scan, enum mem_kind kind)
{
	struct visit *v = malloc(sizeof(*v));
	if (!v)
		return NULL;
	v->errand = (struct errand){ .run = visit_run, .destroy = visit_destroy };
	v->from = mem->from;
	v->map = map;
	v->start = start;
	v->end = end;
	v->is_scan = is_scan;
	v->kind = kind;
	size_t reader = share_begin(mem->share, map->start);
	if (patience_run(&v->errand, mem->patience_ms)) {
		share_end(mem->share, reader);
		return v;
	}
	share_give_up(mem->share, reader, map->start);
	return NULL;
}

static int patientmem_scan(struct memsource *src, const struct snap_mapping *map, uint64_t start,
			   uint64_t end, struct mem_range *ret, size_t max)
{
	struct patientmem *mem = (struct patientmem *)src;
	if (share_avoids(mem->share, map->start))
		return -EIO;
	if (!map->inode) {
		size_t reader = share_begin(mem->share, map->start);
		int n = memsource_scan(mem->from, map, start, end, ret, max);
		share_end(mem->share, reader);
		return n;
	}
	_cleanup_free_ struct visit *v = send_out(mem, map, start, end, true, MEM_DATA);
	if (!v || v->result < 0)
		return v ? (int)v->result : -EIO;
	// The last one may end early: the rest is asked for again.
	size_t n = MIN((size_t)v->result, max);
	memcpy(ret, v->ranges, n * sizeof(*ret));
	return (int)n;
}

static ssize_t patientmem_read(struct memsource *src, const struct snap_mapping *map,
			       enum mem_kind kind, uint64_t addr, void *buf, size_t len)
{
	struct patientmem *mem = (struct patientmem *)src;
	if (share_avoids(mem->share, map->start))
		return -EIO;
	if (!map->inode) {
		size_t reader = share_begin(mem->share, map->start);
		ssize_t n = memsource_read(mem->from, map, kind, addr, buf, len);
		share_end(mem->share, reader);
		return n;
	}
	len = MIN(len, (size_t)BOUNCE_BYTES);
	_cleanup_free_ struct visit *v = send_out(mem, map, addr, addr + len, false, kind);
	if (!v)
		return -EIO;
	if (v->result > 0)
		memcpy(buf, v->bytes, (size_t)v->result);
	return v->result;
}

void patientmem_init(struct patientmem *mem, struct memsource *from, struct share *share)
{
	static const struct memsource_ops ops = { .scan = patientmem_scan,
						  .read = patientmem_read };
	*mem = (struct patientmem){ .source.ops = &ops,
				    .from = from,
				    .share = share,
				    .patience_ms = PATIENCE_MS };
}
