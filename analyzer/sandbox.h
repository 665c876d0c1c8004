/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/error.h"

/**
 * DOC: The sandbox
 *
 * A core is written by whatever crashed, and an executable by whoever built it: both are hostile
 * until proven otherwise. Before the first byte of either is read, the process gives up all
 * capabilities and the way to get any, limits its memory and time, and can from then on only read
 * the descriptors it has, write its answers and allocate memory. Anything else ends it with SIGSYS.
 *
 * libdw looks for files by itself and maps them. In its sandbox (SANDBOX_MAPS) no file is there,
 * whatever its name, and mapped files do not count as memory.
 */

enum sandbox_kind {
	SANDBOX_READS,
	SANDBOX_MAPS,
};

struct sandbox_limits {
	uint64_t memory_bytes; ///< of address space; with SANDBOX_MAPS, of memory of its own
	uint64_t cpu_seconds;
	enum sandbox_kind kind;
};

/// Call once, with everything set up that needs more. There is no way back.
struct snap_error *sandbox_enter(const struct sandbox_limits *limits) _must_check_;
