// SPDX-License-Identifier: LGPL-2.1-or-later
#include <ctype.h>

#include "fuzz.h"
#include "ptrace/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	struct procfs_stat st, before;
	memset(&st, 0xa5, sizeof(st));
	before = st;
	int r = procfs_parse_stat(text, &st);
	if (r < 0) {
		REQUIRE(r == -EBADMSG);
		REQUIRE(!memcmp(&st, &before, sizeof(st)));
		return 0;
	}
	REQUIRE(r == 0);
	REQUIRE(st.pid > 0);
	REQUIRE(isalpha((unsigned char)st.state));
	// The name is what stands between the first and the last bracket, or its start.
	size_t len = strnlen(st.comm, sizeof(st.comm));
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	REQUIRE(len < sizeof(st.comm));
	REQUIRE(open && close && open < close);
	REQUIRE(len == MIN((size_t)(close - open - 1), sizeof(st.comm) - 1));
	REQUIRE(!memcmp(st.comm, open + 1, len));
	return 0;
}
