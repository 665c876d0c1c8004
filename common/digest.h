/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <nettle/sha2.h>
#include <stddef.h>

/**
 * DOC: SHA-256 as text
 *
 * For telling whether two files are the same where somebody would gain from making them look so.
 * Any process may call it.
 */

enum {
	DIGEST_SIZE = 2 * SHA256_DIGEST_SIZE + 1, ///< as lower-case hexadecimal, with a NUL
};

struct digest {
	struct sha256_ctx sha;
};

void digest_init(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t len);
/// The result as text; @digest is used up.
void digest_finish(struct digest *digest, char ret[static DIGEST_SIZE]);
/// Of @len bytes at once.
void digest_text(const void *data, size_t len, char ret[static DIGEST_SIZE]);
