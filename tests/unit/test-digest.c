// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "common/digest.h"

/// Those of FIPS 180-4's examples, and one of a million bytes.
static void test_known(void **state _unused_)
{
	static const struct {
		const char *text, *hash;
	} known[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
		{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmno"
		  "pqklmnopqrlmnopqrsmnopqrstnopqrstu",
		  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	};
	char hash[DIGEST_SIZE];
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		digest_text(known[i].text, strlen(known[i].text), hash);
		assert_string_equal(hash, known[i].hash);
	}
	_cleanup_free_ char *million = malloc(1000000);
	assert_non_null(million);
	memset(million, 'a', 1000000);
	digest_text(million, 1000000, hash);
	assert_string_equal(hash,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/// However it comes, in pieces of all lengths around that of a block.
static void test_pieces(void **state _unused_)
{
	char bytes[400], whole[DIGEST_SIZE], hash[DIGEST_SIZE];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		digest_text(bytes, len, whole);
		for (size_t piece = 1; piece < 130; piece += 21) {
			struct digest digest;
			digest_init(&digest);
			for (size_t at = 0; at < len; at += piece)
				digest_add(&digest, bytes + at, MIN(piece, len - at));
			digest_finish(&digest, hash);
			assert_string_equal(hash, whole);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
