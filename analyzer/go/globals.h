/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime.h"

/**
 * Finds the runtime's global variables: by symbols where the image has them, else by what the code
 * of the functions that use them names. Those that are not found stay 0.
 */
void go_globals_find(struct go_runtime *rt);
/// Is @addr in the data of the runtime's own module?
bool go_globals_in_data(const struct go_runtime *rt, uint64_t addr);
