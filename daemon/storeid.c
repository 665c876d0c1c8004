// SPDX-License-Identifier: LGPL-2.1-or-later
#include "storeid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { BITS = 5 }; // of a character

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

const char *storeid_format(uint64_t id, char buf[static STOREID_SIZE])
{
	buf[STOREID_CHARS] = '\0';
	for (int i = STOREID_CHARS - 1; i >= 0; i--, id >>= BITS)
		buf[i] = alphabet[id & 31];
	return buf;
}

/// What people read a character as; -1 for none of the alphabet.
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		c = (char)(c - 'A' + 'a');
	if (c == 'o')
		return 0;
	if (c == 'i' || c == 'l')
		return 1;
	const char *p = c ? strchr(alphabet, c) : NULL;
	return p ? (int)(p - alphabet) : -1;
}

int storeid_parse_prefix(const char *prefix, struct storeid_range *ret)
{
	size_t len = strnlen(prefix, STOREID_SIZE);
	if (len > STOREID_CHARS)
		return -EINVAL;
	struct storeid_range range = { 0, 0 };
	for (size_t i = 0; i < STOREID_CHARS; i++) {
		int v = i < len ? value_of(prefix[i]) : 0;
		// The first of 13 characters has the 4 bits that 12 others leave.
		if (v < 0 || (i == 0 && v > 15))
			return -EINVAL;
		range.first = range.first << BITS | (unsigned int)v;
		range.last = range.last << BITS | (i < len ? (unsigned int)v : 31);
	}
	if (len < STOREID_PREFIX_MIN)
		return -ERANGE;
	*ret = range;
	return 0;
}

int storeid_parse(const char *text, uint64_t *ret)
{
	struct storeid_range range;
	char again[STOREID_SIZE];
	if (storeid_parse_prefix(text, &range) < 0 || range.first != range.last ||
	    strcmp(storeid_format(range.first, again), text) != 0)
		return -EINVAL;
	*ret = range.first;
	return 0;
}

int storeid_random(uint64_t *ret)
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	*ret = random;
	return 0;
}
