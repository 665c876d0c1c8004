/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "common/cleanup.h"

/**
 * DOC: Names of dumps for people
 *
 * 64 random bits as 13 characters of Crockford's base32 in lower case: no letter that looks like a
 * digit, nothing that a shell or a file system minds. The first character is one of 0 to f. Any
 * prefix of at least STOREID_PREFIX_MIN characters names a dump as long as it is the only one that
 * begins so. Any process may use these calls.
 */

enum {
	STOREID_CHARS = 13,
	STOREID_SIZE = STOREID_CHARS + 1, ///< with the NUL
	STOREID_PREFIX_MIN = 4,
};

/// A range of ids, both ends inclusive: those that begin with a prefix.
struct storeid_range {
	uint64_t first, last;
};

/// @id as text into @buf, which is returned.
const char *storeid_format(uint64_t id, char buf[static STOREID_SIZE]);
/// The id that @text is, exactly as storeid_format() writes it; -EINVAL for anything else.
int storeid_parse(const char *text, uint64_t *ret);
/**
 * The ids that begin with @prefix, as people type it: capitals too, o for 0, i and l for 1.
 *
 * -EINVAL when it is no such text, -ERANGE when it is shorter than STOREID_PREFIX_MIN.
 */
int storeid_parse_prefix(const char *prefix, struct storeid_range *ret);
/// A new random id; -EIO when the kernel has no random bytes.
int storeid_random(uint64_t *ret);
