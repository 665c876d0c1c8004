// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzz.h"
#include "ptrace/arch.h"

/// The same in the form of the kernel, read once more.
static void round_trip(const struct procfs_syscall *sc)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%lld", (long long)sc->nr);
	for (size_t i = 0; sc->nr >= 0 && i < ARRAY_SIZE(sc->args); i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " 0x%llx",
			      (unsigned long long)sc->args[i]);
	(void)snprintf(text + n, sizeof(text) - (size_t)n, " 0x%llx 0x%llx\n",
		       (unsigned long long)sc->sp, (unsigned long long)sc->pc);
	struct procfs_syscall again;
	REQUIRE(procfs_parse_syscall(text, &again) == 0);
	REQUIRE(!memcmp(&again, sc, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	struct procfs_syscall sc, before;
	memset(&sc, 0xa5, sizeof(sc));
	before = sc;
	int r = procfs_parse_syscall(text, &sc);
	if (r < 0) {
		REQUIRE(r == -EBADMSG || (r == -EAGAIN && !strncmp(text, "running", 7)));
		REQUIRE(!memcmp(&sc, &before, sizeof(sc)));
		return 0;
	}
	REQUIRE(r == 0);
	static const uint64_t none[6];
	REQUIRE(sc.nr >= 0 || !memcmp(sc.args, none, sizeof(none)));
	round_trip(&sc);
	for (int compat = 0; compat < 2; compat++) {
		struct arch_regs regs;
		arch_regs_from_syscall(&sc, compat, &regs);
		REQUIRE(regs.size <= sizeof(regs.words));
		REQUIRE(arch_regs_compat(&regs) == compat);
	}
	return 0;
}
