// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Seccomp programs. An input is a struct seccomp_data and then the instructions.
 */
#include <errno.h>

#include "fuzz.h"
#include "ptrace/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct seccomp_data data = { 0 };
	if (size < sizeof(data))
		return 0;
	memcpy(&data, bytes, sizeof(data));
	// In memory of just that size, so that a sanitizer sees a step too far.
	size_t n = (size - sizeof(data)) / sizeof(struct sock_filter);
	struct sock_filter *code = calloc(n + !n, sizeof(*code));
	REQUIRE(code);
	memcpy(code, bytes + sizeof(data), n * sizeof(*code));
	struct sock_filter *exact = realloc(code, MAX(n, (size_t)1) * sizeof(*code));
	REQUIRE(exact);
	uint32_t answer = 0, again = 0;
	int r = seccomp_run(exact, n, &data, &answer);
	REQUIRE(r == 0 || r == -EBADMSG);
	REQUIRE(r == seccomp_run(exact, n, &data, &again) && answer == again);
	(void)seccomp_harmless(answer);
	free(exact);
	return 0;
}
