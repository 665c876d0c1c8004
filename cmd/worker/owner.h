/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/pidref.h"

/**
 * The user whose process it is in every respect, so that he may read the dump; UINT64_MAX when
 * there is none. It may become somebody else by execve() at any time, so this is asked while it
 * stands still.
 */
uint64_t owner_find(const struct pidref *ref);
