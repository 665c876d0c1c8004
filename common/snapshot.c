// SPDX-License-Identifier: LGPL-2.1-or-later
#include "snapshot.h"

#include <stdarg.h>
#include <string.h>

size_t snapshot_find(const struct snapshot *snap, uint64_t addr)
{
	size_t low = 0, high = snap->n_mappings;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (snap->mappings[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct snap_mapping *snapshot_mapping_at(const struct snapshot *snap, uint64_t addr)
{
	size_t i = snapshot_find(snap, addr);
	return i < snap->n_mappings && snap->mappings[i].start <= addr ? &snap->mappings[i] : NULL;
}

void snapshot_warn(struct snapshot *snap, const char *fmt, ...)
{
	char **bigger = reallocarray(snap->warnings, snap->n_warnings + 1, sizeof(*bigger));
	if (!bigger)
		return;
	snap->warnings = bigger;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&bigger[snap->n_warnings], fmt, ap) >= 0)
		snap->n_warnings++;
	va_end(ap);
}

void snapshot_deinit(struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_threads && !snap->notes; i++)
		free((void *)snap->threads[i].regsets[0].data);
	for (size_t i = 0; i < snap->n_warnings; i++)
		free(snap->warnings[i]);
	free(snap->warnings);
	free(snap->threads);
	free(snap->mappings);
	free(snap->mode);
	free(snap->process.exe);
	free(snap->process.auxv);
	strbuf_deinit(&snap->names);
	memset(snap, 0, sizeof(*snap));
}
