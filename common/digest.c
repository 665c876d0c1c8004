// SPDX-License-Identifier: LGPL-2.1-or-later
#include "digest.h"

#include <nettle/base16.h>

void digest_init(struct digest *digest)
{
	sha256_init(&digest->sha);
}

void digest_add(struct digest *digest, const void *data, size_t len)
{
	sha256_update(&digest->sha, len, data);
}

void digest_finish(struct digest *digest, char ret[static DIGEST_SIZE])
{
	uint8_t bytes[SHA256_DIGEST_SIZE];
	sha256_digest(&digest->sha, sizeof(bytes), bytes);
	base16_encode_update(ret, sizeof(bytes), bytes);
	ret[DIGEST_SIZE - 1] = '\0';
}

void digest_text(const void *data, size_t len, char ret[static DIGEST_SIZE])
{
	struct digest digest;
	digest_init(&digest);
	digest_add(&digest, data, len);
	digest_finish(&digest, ret);
}
