/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "common/json.h"

/// Prints the worker's answer to a JOB_DRY_RUN job as a table and three lines.
void dryrun_print(const struct json *result, FILE *out);
