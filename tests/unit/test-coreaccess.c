// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#include <elf.h>
#include <sys/auxv.h>

#include "common/coreaccess.h"
#include "common/fd.h"

/// A vector as the kernel writes it for a usual program of user 1000.
static const uint64_t usual[] = {
	AT_SYSINFO_EHDR, 0x7fff12340000, AT_HWCAP, 7,	AT_PHENT, 56, AT_UID, 1000,
	AT_EUID,	 1000,		 AT_GID,   100, AT_EGID,   100,	 AT_SECURE, 0,
	AT_NULL,	 0,
};
enum { PAIRS = ARRAY_SIZE(usual) / 2 };

/// The vector with one value changed, as a core of either class has it.
struct vector {
	uint64_t pairs[ARRAY_SIZE(usual)];
	uint32_t pairs32[ARRAY_SIZE(usual)];
};

static struct vector make(uint64_t type, uint64_t value)
{
	struct vector v;
	memcpy(v.pairs, usual, sizeof(usual));
	for (size_t i = 0; i < PAIRS; i++)
		if (v.pairs[2 * i] == type)
			v.pairs[2 * i + 1] = value;
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		v.pairs32[i] = (uint32_t)v.pairs[i];
	for (size_t i = 0; i < PAIRS; i++)
		if (usual[2 * i] == AT_PHENT)
			v.pairs32[2 * i + 1] = sizeof(Elf32_Phdr);
	return v;
}

static bool may(int dumpable, uid_t uid, const struct vector *v)
{
	const char *why = NULL;
	bool wide = coreaccess_owner_reads(dumpable, uid, span_of(v->pairs, sizeof(v->pairs)),
					   true, &why);
	bool narrow = coreaccess_owner_reads(
		dumpable, uid, span_of(v->pairs32, sizeof(v->pairs32)), false, NULL);
	assert_int_equal(wide, narrow);
	assert_int_equal(wide, !why);
	return wide;
}

static void test_rule(void **state _unused_)
{
	static const struct {
		uint64_t type, value;
		bool allowed;
	} cases[] = {
		{ AT_IGNORE, 0, true },	 { AT_SECURE, 1, false }, { AT_SECURE, 1 << 8, false },
		{ AT_UID, 1001, false }, { AT_EUID, 0, false },	  { AT_GID, 0, false },
		{ AT_EGID, 42, false },	 { AT_HWCAP, 0, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vector v = make(cases[i].type, cases[i].value);
		assert_int_equal(may(1, 1000, &v), cases[i].allowed);
		assert_false(may(0, 1000, &v));
		assert_false(may(2, 1000, &v));
		assert_false(may(-1, 1000, &v));
		assert_false(may(1, 0, &v));
		assert_false(may(1, 65534, &v));
	}
	// In a user namespace the vector has other numbers than the kernel says outside.
	struct vector v = make(AT_IGNORE, 0);
	assert_true(may(1, 100000, &v));
}

static void test_persons(void **state _unused_)
{
	static const uid_t others[] = { 0, 1, 999, 61184, 65519, 65534, 65535, (uid_t)-1 };
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(coreaccess_is_person(others[i]));
	assert_true(coreaccess_is_person(1000));
	assert_true(coreaccess_is_person(61183));
	assert_true(coreaccess_is_person(65536));
}

/// Each key must be there, once, and the end must be.
static void test_damaged(void **state _unused_)
{
	static const uint64_t needed[] = { AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE };
	struct vector v = make(AT_IGNORE, 0);
	for (size_t len = 0; len < sizeof(v.pairs); len++)
		assert_false(coreaccess_owner_reads(1, 1000, span_of(v.pairs, len), true, NULL));
	for (size_t len = 0; len < sizeof(v.pairs32); len++)
		assert_false(coreaccess_owner_reads(1, 1000, span_of(v.pairs32, len), false, NULL));
	assert_false(coreaccess_owner_reads(1, 1000, span_of(NULL, 0), true, NULL));
	// A vector of the other class is none.
	assert_false(coreaccess_owner_reads(1, 1000, span_of(v.pairs, sizeof(v.pairs)), false,
					    NULL));
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		for (size_t k = 0; k < PAIRS; k++) {
			v = make(AT_IGNORE, 0);
			if (v.pairs[2 * k] == needed[i]) // missing
				v.pairs[2 * k] = v.pairs32[2 * k] = AT_IGNORE;
			else if (v.pairs[2 * k] == AT_HWCAP) // twice
				v.pairs[2 * k] = v.pairs32[2 * k] = (uint32_t)needed[i];
			else
				continue;
			assert_false(may(1, 1000, &v));
		}
	}
}

static void test_own(void **state _unused_)
{
	if (test_under_valgrind())
		skip_test("valgrind makes its own vector");
	_cleanup_free_ char *auxv = NULL;
	ssize_t n = snap_read_file_at(AT_FDCWD, "/proc/self/auxv", 64 << 10, &auxv);
	assert_true(n > 0);
	bool plain = !getauxval(AT_SECURE) && getuid() == geteuid() && getgid() == getegid();
	assert_int_equal(coreaccess_owner_reads(1, 1000, span_of(auxv, (size_t)n),
						sizeof(long) == 8, NULL),
			 plain);
}

static void test_endless(void **state _unused_)
{
	static uint64_t pairs[1 << 16];
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		pairs[i] = AT_IGNORE;
	memcpy(pairs + ARRAY_SIZE(pairs) - ARRAY_SIZE(usual), usual, sizeof(usual));
	assert_false(coreaccess_owner_reads(1, 1000, span_of(pairs, sizeof(pairs)), true, NULL));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),	cmocka_unit_test(test_persons),
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_own),
		cmocka_unit_test(test_endless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
