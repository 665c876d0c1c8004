/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"

/**
 * Copies what was decided about a crash, and why, from what the daemon says (daemon/crashask.h) to
 * the result of the hook (cmd/corehook/folder.h), from which the record is made: {"decided",
 * "action", "reason", "suppressed"}, of these what there is. @from may be NULL. Any process.
 */
void crashverdict_copy(const struct json *from, struct json *to);
