// SPDX-License-Identifier: LGPL-2.1-or-later
#include "daemon/dumpname.h"
#include "daemon/storeid.h"
#include "fuzz.h"

/// What is taken is a plain name in the folder, and the only one that means this dump.
static void check_name(const char *text)
{
	struct dumpname name, untouched;
	memset(&name, 'x', sizeof(name));
	untouched = name;
	char again[DUMPNAME_MAX + 1];
	if (dumpname_parse(text, &name) < 0) {
		REQUIRE(!memcmp(&name, &untouched, sizeof(name)));
		return;
	}
	REQUIRE(dumpname_make(&name, again) == 0 && !strcmp(again, text));
	REQUIRE(strlen(text) <= DUMPNAME_MAX && !strncmp(text, "core.", 5));
	REQUIRE(name.pid > 0 && name.uid != (uid_t)-1 && strlen(name.comm) <= DUMPNAME_COMM_MAX);
	for (const char *p = text; *p; p++)
		REQUIRE(*p > ' ' && *p < 0x7f && *p != '/');
}

/// Any comm makes a name that gives it back.
static void check_comm(const char *text)
{
	struct dumpname name = { .uid = 1,
				 .pid = 1,
				 .boot_id = "0123456789abcdef0123456789abcdef" };
	struct dumpname back;
	char made[DUMPNAME_MAX + 1];
	dumpname_set_comm(&name, text);
	REQUIRE(dumpname_make(&name, made) == 0 && dumpname_parse(made, &back) == 0);
	REQUIRE(!strcmp(back.comm, name.comm) && !strncmp(back.comm, text, strlen(back.comm)));
}

static void check_id(const char *text)
{
	struct storeid_range range;
	char again[STOREID_SIZE];
	uint64_t id;
	int r = storeid_parse_prefix(text, &range);
	REQUIRE(r == 0 || r == -EINVAL || r == -ERANGE);
	if (r == 0)
		REQUIRE(range.first <= range.last);
	if (storeid_parse(text, &id) == 0)
		REQUIRE(!strcmp(storeid_format(id, again), text) && range.first == id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	check_name(text);
	check_comm(text);
	check_id(text);
	return 0;
}
