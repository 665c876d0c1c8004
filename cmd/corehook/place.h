/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/json.h"
#include "crash.h"
#include "head.h"

/**
 * DOC: Where it crashed
 *
 * For telling whether two crashes are the same, before anything is copied and without symbols: the
 * file that is mapped at the program counter, and where in that file. That is the same however
 * addresses were chosen.
 *
 * A process that ends itself is always in the same function, mostly of libc. Then, and when nothing
 * is mapped at the program counter (a call through a null pointer), callers are told as well: what
 * lies on the stack and points into the code of other files, in the order in which it lies there.
 * Some of that is of calls that have returned, so two crashes that are the same may look different,
 * but hardly the other way round.
 *
 * A program without libraries that ends itself, as all of Go do that die of a panic, says no place:
 * its stack is one that the runtime has for such purposes.
 */

/// {"signal", "module" (escaped), "offset", "callers"}, as far as known; owned by the caller.
struct json *place_describe(const struct crash *crash, const struct head *head);
/// Is what is mapped there the program itself, and no library?
bool place_is_program(const struct head *head, const struct snap_mapping *map);
