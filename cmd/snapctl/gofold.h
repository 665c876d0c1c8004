/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/json.h"

/**
 * Prints a group of goroutines as flame graphs want it: "outermost;...;innermost COUNT". With
 * @states one line for each state, which is the innermost frame then. Semicolons in names become
 * \\x3b.
 */
void gofold_group(const struct json *group, bool system, bool states, FILE *out);
