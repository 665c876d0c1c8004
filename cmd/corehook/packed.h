/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ask.h"
#include "common/json.h"
#include "taking.h"

/**
 * Compresses all of the core while it is read (dumper/pack.h), to a second file in the folder
 * (common/crashpacked.h), for when nothing has room for it as it is.
 *
 * @part is the core in the folder, which has its name, and @result what is said of it, which is
 * written before. Whatever goes wrong, the folder has that, and nothing else. Once for all copiers
 * of a crash.
 */
void pack_whole(const struct taking *part, const struct answer *answer, const struct json *result);
