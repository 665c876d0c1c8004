/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/// A time of CLOCK_REALTIME where the caller is: "Sat 2025-11-22 15:52:01.123 CET"; into @buf,
/// which is returned.
const char *when_format(uint64_t realtime_ns, char buf[static 64]);
/// How long ago that was: "3 min ago"; "" for a time to come.
const char *when_ago(uint64_t realtime_ns, char buf[static 32]);
/// A span of time in one or two units: "45 s", "3 min", "2 h 5 min", "4 d 3 h".
const char *when_span(uint64_t ns, char buf[static 32]);
