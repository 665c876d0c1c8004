// SPDX-License-Identifier: LGPL-2.1-or-later
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"

void progress_begin(struct progress *p, bool wanted)
{
	*p = (struct progress){ .enabled = wanted && isatty(STDERR_FILENO) };
}

void progress_show(struct progress *p, const char *label, const char *phase, uint64_t done,
		   uint64_t total)
{
	char a[16], b[16], rate[16], left[16];
	if (!p->enabled)
		return;
	uint64_t now = snap_now_ns();
	if (strncmp(p->phase, phase, sizeof(p->phase) - 1) != 0) {
		(void)snprintf(p->phase, sizeof(p->phase), "%s", phase);
		p->phase_started_ns = now;
	}
	double seconds = (double)(now - p->phase_started_ns) / 1e9;
	double per_second = seconds > 0.05 ? (double)done / seconds : 0;
	fprintf(stderr, "\r\033[K%s: %s %s of %s", label, phase, snap_format_bytes(done, a),
		snap_format_bytes(total, b));
	if (per_second > 0 && done <= total)
		fprintf(stderr, ", %s/s, %s left",
			snap_format_bytes((uint64_t)per_second, rate),
			snap_format_ns((uint64_t)((double)(total - done) / per_second * 1e9),
				       left));
	fflush(stderr);
	p->shown = true;
}

void progress_wipe(struct progress *p)
{
	if (!p->shown)
		return;
	fprintf(stderr, "\r\033[K");
	fflush(stderr);
	p->shown = false;
}
