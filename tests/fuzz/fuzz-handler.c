// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/corepattern.h"
#include "common/handlermemory.h"
#include "common/sysctld.h"
#include "fuzz.h"

static void check_pattern(const char *text)
{
	_cleanup_free_ char *target = corepattern_target(text), *made = NULL;
	enum corepattern_owner owner = corepattern_owner(text);
	REQUIRE(owner < COREPATTERN_OWNER_MAX);
	REQUIRE(*corepattern_owner_name(owner) != '?' && *corepattern_owner_text(owner) != '?');
	REQUIRE(!target == (*text != '|' && *text != '@'));
	REQUIRE(!target || strlen(target) < strlen(text));
	_cleanup_free_ char *store = corepattern_store(text);
	REQUIRE(!store || (*store && !strpbrk(store, " \t")));
	struct snap_error *err = corepattern_make_pipe("/h/" COREPATTERN_HOOK, text, NULL, &made);
	if (!err) {
		_cleanup_free_ char *again = corepattern_store(made);
		REQUIRE(strlen(made) <= COREPATTERN_MAX && again && !strcmp(again, text));
	}
	snap_error_destroy(err);
}

static void check_sysctld(const char *text)
{
	_cleanup_sysctld_ struct sysctld found = { 0 };
	REQUIRE(!sysctld_parse(&found, "/f", text, "kernel.core_pattern"));
	REQUIRE(!sysctld_winner(&found, NULL) == !found.n && !sysctld_winner(&found, "/f"));
	for (size_t i = 0; i < found.n; i++)
		REQUIRE(strlen(found.lines[i].value) < strlen(text) && found.lines[i].number);
}

static void check_memory(const char *text, size_t len)
{
	_cleanup_handlermemory_ struct handlermemory memory = { 0 };
	struct snap_error *err = handlermemory_parse(text, len, &memory);
	for (size_t i = 0; i < SYSCTL_KEY_MAX; i++) {
		REQUIRE(!memory.found.of[i] == !!err && !memory.set.of[i] == !!err);
		REQUIRE(err || !strchr(memory.found.of[i], '\n'));
	}
	snap_error_destroy(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	check_pattern(text);
	check_sysctld(text);
	check_memory(text, size);
	return 0;
}
