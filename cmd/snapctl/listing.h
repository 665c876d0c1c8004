/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

/// Dumps of the store as a table, to stdout. Entries are those of the API.
void listing_print(const struct json *const *entries, size_t n, bool no_legend);
/// The same as JSON, a line for each.
void listing_print_json(const struct json *const *entries, size_t n);
/// "SIGSEGV", a number for what has no name, "-" for none. Static, or in @buf.
const char *listing_signal(uint64_t number, char buf[static 24]);
