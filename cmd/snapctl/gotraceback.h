/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/json.h"

/**
 * DOC: Tracebacks
 *
 * Goroutines in the form in which the Go runtime prints them when a program dies, for people who
 * know that and for all the tools that read it.
 */

/// "panic: ..." and "[signal ...]" as the runtime prints them.
void gotraceback_crash(const struct json *crash, FILE *out);
enum gotraceback_flags {
	GOTRACEBACK_SYSTEM = 1U << 0, ///< the runtime's own frames too, and addresses
	GOTRACEBACK_LABELS = 1U << 1, ///< labels of the profiler, as from Go 1.27 on
};
void gotraceback_goroutine(const struct json *goroutine, unsigned int flags, FILE *out);
/// Does this version print labels itself? Many programs that read tracebacks fail on them.
bool gotraceback_has_labels(const struct json *runtime);
/// "{key: value, ...}"
void gotraceback_labels(const struct json *labels, FILE *out);
