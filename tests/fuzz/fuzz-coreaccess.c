// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/coreaccess.h"
#include "fuzz.h"

/// The first byte says how; the rest is the vector. Whatever is allowed says so itself.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	if (!size)
		return 0;
	bool is_64 = *data & 1;
	int dumpable = (*data >> 1 & 3) - 1;
	struct span auxv = span_of(data + 1, size - 1);
	bool may = coreaccess_owner_reads(dumpable, 1000, auxv, is_64, &why);
	REQUIRE(may == !why);
	REQUIRE(!coreaccess_owner_reads(1, 999, auxv, is_64, NULL));
	if (!may)
		return 0;
	REQUIRE(dumpable == 1 && size > (is_64 ? 7 * 16 : 7 * 8));
	// AT_SECURE (23) is in it, as nothing.
	static const uint8_t secure[16] = { 23 };
	REQUIRE(memmem(auxv.data, auxv.size, secure, is_64 ? 16 : 8));
	return 0;
}
