/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * DOC: Progress on a terminal
 *
 * One line on stderr that is written over, with rate and time left; nothing when stderr is no
 * terminal. It is wiped before anything else is printed.
 */
struct progress {
	bool enabled, shown;
	char phase[32];
	uint64_t phase_started_ns;
};

/// @wanted is false for --quiet.
void progress_begin(struct progress *progress, bool wanted);
void progress_show(struct progress *progress, const char *label, const char *phase, uint64_t done,
		   uint64_t total);
void progress_wipe(struct progress *progress);
