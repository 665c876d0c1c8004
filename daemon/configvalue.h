/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/**
 * DOC: Values in configuration files
 *
 * Parsers of whole strings, stricter than those of systemd: no hexadecimal, no sign, no fraction,
 * nothing behind the end. All return 0, -EINVAL, or -ERANGE, and leave the result untouched on
 * failure. Any process may call them.
 */

/// yes, no, true, false, on, off, 1, 0.
int configvalue_bool(const char *s, bool *ret);
/// Decimal digits.
int configvalue_number(const char *s, uint64_t *ret);
/// Bytes, with K, M, G or T (of 1024) behind them, a share of 1% to 100%, or "infinity".
int configvalue_size(const char *s, struct config_size *ret);
/// As systemd.time(7) has spans of time: "90", "90s", "1min 30s", "2w", or "infinity". Nanoseconds.
int configvalue_time(const char *s, uint64_t *ret);
/// A number, a slash and a time: "5/1min". Neither is "infinity"; the time is not 0.
int configvalue_rate(const char *s, struct config_rate *ret);
/// A name that groups may have, or a number.
bool configvalue_is_group(const char *s);
