/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * DOC: SHA-256
 *
 * FIPS 180-4, for telling whether two files are the same where somebody would gain from making them
 * look so. Some 200 MB in a second. Any process may call it.
 */

enum {
	SHA256_BYTES = 32,
	SHA256_HEX_SIZE = 2 * SHA256_BYTES + 1, ///< as lower-case hexadecimal, with a NUL
};

struct sha256 {
	uint32_t state[8];
	uint64_t bytes; ///< so far
	uint8_t block[64]; ///< what does not fill one yet
};

void sha256_init(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *data, size_t len);
/// The result as text; @sha is used up.
void sha256_finish(struct sha256 *sha, char ret[static SHA256_HEX_SIZE]);
/// Of @len bytes at once.
void sha256_text(const void *data, size_t len, char ret[static SHA256_HEX_SIZE]);
