// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include "daemon/dumpname.h"
#include "daemon/storeid.h"

#define BOOT "0123456789abcdef0123456789abcdef"

static struct dumpname example(const char *comm)
{
	struct dumpname name = { .uid = 1000,
				 .boot_id = BOOT,
				 .pid = 42,
				 .usec = 1700000000000001,
				 .compressed = true };
	dumpname_set_comm(&name, comm);
	return name;
}

static void test_make(void **state)
{
	(void)state;
	char text[DUMPNAME_MAX + 1];
	struct dumpname name = example("sleep");
	assert_int_equal(dumpname_make(&name, text), 0);
	assert_string_equal(text, "core.sleep.1000." BOOT ".42.1700000000000001.zst");
	name.compressed = false;
	assert_int_equal(dumpname_make(&name, text), 0);
	assert_string_equal(text, "core.sleep.1000." BOOT ".42.1700000000000001");
}

/// What systemd's xescape(comm, "./ ") makes of it.
static void test_escaping(void **state)
{
	(void)state;
	static const struct {
		const char *comm, *escaped;
	} cases[] = {
		{ "", "" },
		{ "..", "\\x2e\\x2e" },
		{ "../../x", "\\x2e\\x2e\\x2f\\x2e\\x2e\\x2fx" },
		{ "a b\\c", "a\\x20b\\x5cc" },
		{ "\n\t\x7f", "\\x0a\\x09\\x7f" },
		{ "\xc3\xa9\xff", "\\xc3\\xa9\\xff" },
		{ "(sd-pam)*?\"'$", "(sd-pam)*?\"'$" },
		{ "kworker/u16:0-events", "kworker\\x2fu16:0-e" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[DUMPNAME_MAX + 1], want[DUMPNAME_MAX + 1];
		struct dumpname name = example(cases[i].comm), again;
		(void)snprintf(want, sizeof(want), "core.%s.1000.%s.42.1700000000000001.zst",
			       cases[i].escaped, BOOT);
		assert_int_equal(dumpname_make(&name, text), 0);
		assert_string_equal(text, want);
		assert_int_equal(dumpname_parse(text, &again), 0);
		assert_string_equal(again.comm, name.comm);
	}
}

static void test_longest(void **state)
{
	(void)state;
	char text[DUMPNAME_MAX + 1];
	struct dumpname name = example("...............");
	name.uid = UINT32_MAX - 1;
	name.pid = INT32_MAX;
	name.usec = INT64_MAX;
	assert_int_equal(dumpname_make(&name, text), 0);
	assert_int_equal(strlen(text), DUMPNAME_MAX);
	struct dumpname again = { 0 };
	assert_int_equal(dumpname_parse(text, &again), 0);
	assert_memory_equal(&again, &name, sizeof(name));
}

static void test_cannot_make(void **state)
{
	(void)state;
	char text[DUMPNAME_MAX + 1];
	struct dumpname bad[] = { example("x"), example("x"), example("x"), example("x"),
				  example("x") };
	bad[0].pid = 0;
	bad[1].uid = (uid_t)-1;
	bad[2].boot_id[0] = 'A';
	bad[3].boot_id[31] = '\0';
	bad[4].usec = UINT64_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(dumpname_make(&bad[i], text), -EINVAL);
}

static void test_hostile_names(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"core",
		"core.",
		"core.x",
		"core.x.1000",
		"core.x.1000." BOOT,
		"core.x.1000." BOOT ".42",
		"core.x.1000." BOOT ".42.",
		"core.x.1000." BOOT ".42.7.",
		"core.x.1000." BOOT ".42.7.zs",
		"core.x.1000." BOOT ".42.7.zst.",
		"core.x.1000." BOOT ".42.7.zst.zst",
		"core.x.1000." BOOT ".42.7.zst.json",
		"core.x.1000." BOOT ".42.7.lz4",
		"core.x.1000." BOOT ".42.7 ",
		"core.x.1000." BOOT ".42.7\n",
		"core.x.1000." BOOT ".42.07",
		"core.x.1000." BOOT ".042.7",
		"core.x.01000." BOOT ".42.7",
		"core.x.+1000." BOOT ".42.7",
		"core.x.-1." BOOT ".42.7",
		"core.x. 1." BOOT ".42.7",
		"core.x.0x10." BOOT ".42.7",
		"core.x.4294967295." BOOT ".42.7",
		"core.x.4294967296." BOOT ".42.7",
		"core.x.1000." BOOT ".0.7",
		"core.x.1000." BOOT ".2147483648.7",
		"core.x.1000." BOOT ".42.9223372036854775808",
		"core.x.1000." BOOT ".42.18446744073709551616",
		"core.x.1000." BOOT ".42.99999999999999999999999",
		"core.x.1000." BOOT "0.42.7",
		"core.x.1000.0123456789ABCDEF0123456789abcdef.42.7",
		"core.x.1000.0123456789abcdef.42.7",
		"core.x.y.1000." BOOT ".42.7",
		"core.x y.1000." BOOT ".42.7",
		"core.x/y.1000." BOOT ".42.7",
		"core.\xff.1000." BOOT ".42.7",
		"core.\\x00.1000." BOOT ".42.7",
		"core.\\x41.1000." BOOT ".42.7", // needless: two names for one dump
		"core.\\x2E.1000." BOOT ".42.7",
		"core.\\x2.1000." BOOT ".42.7",
		"core.\\.1000." BOOT ".42.7",
		"core.sixteen-letters-.1000." BOOT ".42.7",
		"Core.x.1000." BOOT ".42.7",
		" core.x.1000." BOOT ".42.7",
		".core.x.1000." BOOT ".42.7",
		"../core.x.1000." BOOT ".42.7",
	};
	struct dumpname name = { .pid = 4711 };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (dumpname_parse(cases[i], &name) != -EINVAL)
			fail_msg("'%s' was taken", cases[i]);
		assert_int_equal(name.pid, 4711);
	}
	assert_int_equal(dumpname_parse("core..0." BOOT ".1.0", &name), 0);
	assert_string_equal(name.comm, "");
	assert_int_equal(name.usec, 0);
}

static void test_id(void **state)
{
	(void)state;
	static const struct {
		uint64_t id;
		const char *text;
	} cases[] = {
		{ 0, "0000000000000" },
		{ 1, "0000000000001" },
		{ 31, "000000000000z" },
		{ UINT64_MAX, "fzzzzzzzzzzzz" },
		{ 0x0123456789abcdef, "028t5cy4tqkff" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[STOREID_SIZE];
		uint64_t id = 4711;
		assert_string_equal(storeid_format(cases[i].id, text), cases[i].text);
		assert_int_equal(storeid_parse(text, &id), 0);
		assert_true(id == cases[i].id);
	}
	static const char *const bad[] = { "",
					   "000000000000",
					   "00000000000000",
					   "g000000000000",
					   "00000000o0000",
					   "FZZZZZZZZZZZZ",
					   "fzzzzzzzzzzzu",
					   "fzzzzzzzzzzz ",
					   "fzzzzzz/zzzzz" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t id = 4711;
		assert_int_equal(storeid_parse(bad[i], &id), -EINVAL);
		assert_true(id == 4711);
	}
}

static void test_id_prefix(void **state)
{
	(void)state;
	struct storeid_range range = { 1, 2 };
	assert_int_equal(storeid_parse_prefix("000", &range), -ERANGE);
	assert_int_equal(storeid_parse_prefix("", &range), -ERANGE);
	assert_int_equal(storeid_parse_prefix("zzz", &range), -EINVAL);
	assert_int_equal(storeid_parse_prefix("12\xc3\xa9", &range), -EINVAL);
	assert_int_equal(storeid_parse_prefix("0000000000000000", &range), -EINVAL);
	assert_int_equal(storeid_parse_prefix("000u", &range), -EINVAL);
	assert_true(range.first == 1 && range.last == 2);
	assert_int_equal(storeid_parse_prefix("fzzz", &range), 0);
	assert_true(range.first == (uint64_t)0x7ffff << 45 && range.last == UINT64_MAX);
	assert_int_equal(storeid_parse_prefix("0001", &range), 0);
	assert_true(range.first == (uint64_t)1 << 45 && range.last == ((uint64_t)2 << 45) - 1);
	struct storeid_range typed;
	assert_int_equal(storeid_parse_prefix("OOoI", &typed), 0);
	assert_true(typed.first == range.first && typed.last == range.last);
	assert_int_equal(storeid_parse_prefix("028t5cy4tqkff", &range), 0);
	assert_true(range.first == range.last && range.last == 0x0123456789abcdef);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make),	      cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_longest),	      cmocka_unit_test(test_cannot_make),
		cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_id),
		cmocka_unit_test(test_id_prefix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
