/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime.h"

/**
 * Finds the runtime's global variables: by symbols where the image has them, else by what the code
 * of the functions that use them names. Those that are not found stay 0.
 */
void go_globals_find(struct go_runtime *rt);
