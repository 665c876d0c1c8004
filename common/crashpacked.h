/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/**
 * DOC: A packed core in the folder of a crash
 *
 * Beside a raw core that has not all of the memory there may be one that has, compressed by the
 * hook while it read (dumper/pack.h). It has its name only when it is complete; what the hook says
 * of it is there before. Without either of them there is none. The third is what it is called
 * meanwhile where a file cannot be without a name.
 */
#define CRASHPACKED_CORE "core.zst"
#define CRASHPACKED_RESULT "packed"
#define CRASHPACKED_UNFINISHED "packing"
