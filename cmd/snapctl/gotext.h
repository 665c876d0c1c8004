/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "common/json.h"

/**
 * DOC: Goroutines as text
 *
 * Two forms of the analyzer's model: a summary with one paragraph for each group, and every goroutine
 * in the form of the Go runtime's own tracebacks, for people and tools that know those.
 */

/// A paragraph with the runtime's version and counts.
void gotext_runtime(const struct json *runtime, FILE *out);
/// "panic: ..." and "[signal ...]" as the runtime prints them.
void gotext_crash(const struct json *crash, FILE *out);
void gotext_finding(const struct json *finding, FILE *out);
void gotext_group(const struct json *group, FILE *out);
/// In the form of a traceback; @system shows the runtime's own frames, and addresses.
void gotext_goroutine(const struct json *goroutine, bool system, FILE *out);
