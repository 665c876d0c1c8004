/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"
#include "go/report.h"
#include "image.h"

/**
 * Analyses the core @fd and reports to @sink what the request wants: lines of kind "core", "image",
 * then for each Go runtime "runtime" and what belongs to it. See docs/GO.md for the fields.
 *
 * @memory_fd is /proc/PID/mem of a stopped process, of which the core has headers and notes only;
 * else it is negative.
 *
 * Called in the sandbox.
 */
struct snap_error *analyze(int fd, int memory_fd, const struct json *request,
			   const struct image_opener *opener,
			   const struct report_sink *sink) _must_check_;
