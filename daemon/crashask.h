/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "common/json.h"
#include "daemon/config.h"
#include "daemon/crashpolicy.h"

/**
 * Asks @policy about the crash of a folder (daemon/crashfolder.h): @folder stays the caller's.
 *
 * @facts is what the kernel has said of it, @place what the hook has said of where it crashed
 * (cmd/corehook/ask.h), or NULL. The answer, owned by the caller, is what the hook is told:
 * {"decided": true, "action", "max_bytes", "reason", "suppressed"}, the last three where there is
 * something to say.
 */
struct json *crashask(struct crashpolicy *policy, const struct config *config, int folder,
		      const struct json *facts, const struct json *place);
/// The same before there is a core: {"later": true} unless it is known by now that there is to be
/// none.
struct json *crashask_early(struct crashpolicy *policy, const struct config *config, int folder,
			    const struct json *facts);
/// Is that what an answer says?
bool crashask_drops(const struct json *answer);
