/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/**
 * DOC: Text
 *
 * Checked parsers and the one way to show text that others control. Parsers take the whole string
 * up to a NUL, newline or trailing blanks, return 0, -EINVAL or -ERANGE, and leave the result
 * untouched on failure.
 */

int snap_parse_i64(const char *s, int64_t *ret);
/// Decimal, or hexadecimal with 0x.
int snap_parse_u64(const char *s, uint64_t *ret);
/**
 * The decimal number that @p points at, blanks before it skipped, whatever follows; @p is then
 * behind it. -EINVAL, and nothing is moved, when there is none.
 */
int snap_take_u64(const char **p, uint64_t *ret);
/// A span of time with a unit (ns, us, ms, s, m; without one: seconds), decimals allowed.
int snap_parse_duration_ns(const char *s, uint64_t *ret);
/// The shortest digits that read back as @value (as a float if @single): "1.5", "1e+06", "-0.0001".
void snap_format_double(double value, bool single, char buf[static 32]);
/// The rest of the line after the first line that starts with @key (its colon included), blanks
/// skipped; NULL when there is none. Never matches inside a line.
const char *snap_line_value(const char *text, const char *key);
/// The decimal number that such a line begins with. -ENOENT, or what snap_take_u64() says.
int snap_line_u64(const char *text, const char *key, uint64_t *ret);
/// The number of such a line in KiB, as the kernel writes amounts of memory; in bytes. -ENOENT, or
/// what snap_take_u64() says.
int snap_line_kib(const char *text, const char *key, uint64_t *ret_bytes);
/**
 * A copy of @len bytes of @s fit for a terminal or a log line: control bytes, backslashes and what
 * is not UTF-8 become \\xNN. Owned by the caller; NULL only when out of memory.
 */
char *snap_escape(const char *s, size_t len);
/// Are the @len bytes well-formed UTF-8?
bool snap_is_utf8(const char *s, size_t len);
/// Is it UTF-8 without control characters, fit for a terminal as it is?
bool snap_is_printable(const char *s);
/// Bytes as "1.5 GiB" into @buf, which is returned.
const char *snap_format_bytes(uint64_t bytes, char buf[static 16]);
/// Nanoseconds as "1.25 ms" into @buf, which is returned.
const char *snap_format_ns(uint64_t ns, char buf[static 16]);
