// SPDX-License-Identifier: LGPL-2.1-or-later
#include "snapshot.h"

#include <stdarg.h>
#include <string.h>

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
