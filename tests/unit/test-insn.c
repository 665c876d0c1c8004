// SPDX-License-Identifier: LGPL-2.1-or-later
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "analyzer/go/insn_x86_64.h"
#include "common/cleanup.h"

/*
 * The comments are what objdump says of the code. It is also asked itself about all the code of
 * this program, and of the files in PROCSNAP_INSN_FILES (separated by blanks).
 */

static struct insn decode(const void *code, size_t size)
{
	struct insn insn = { 0 };
	assert_true(insn_x86_64_decode(code, size, &insn));
	assert_int_equal(insn.size, size);
	// What is behind does not matter, and what is missing does.
	uint8_t longer[INSN_MAX_BYTES * 2];
	memset(longer, 0xff, sizeof(longer));
	memcpy(longer, code, size);
	struct insn same;
	assert_true(insn_x86_64_decode(longer, sizeof(longer), &same));
	assert_int_equal(same.size, size);
	for (size_t len = 0; len < size; len++)
		assert_false(insn_x86_64_decode(code, len, &same) && same.size > len);
	return insn;
}

static void test_sizes(void **state _unused_)
{
	static const struct {
		uint8_t size, code[INSN_MAX_BYTES];
	} cases[] = {
		{ 1, { 0xc3 } }, // ret
		{ 1, { 0xcc } }, // int3
		{ 2, { 0x66, 0x90 } }, // xchg %ax,%ax
		{ 2, { 0x31, 0xc0 } }, // xor %eax,%eax
		{ 5, { 0xb8, 0x0b } }, // mov $0xb,%eax
		{ 10, { 0x48, 0xb8 } }, // movabs $0x0,%rax
		{ 4, { 0x66, 0xb8 } }, // mov $0x0,%ax
		{ 6, { 0x81, 0x38 } }, // cmpl $0x0,(%rax)
		{ 6, { 0x66, 0x81, 0x78, 4 } }, // cmpw $0x0,0x4(%rax)
		{ 5, { 0x0f, 0x1f, 0x44 } }, // nopl 0x0(%rax,%rax,1)
		{ 9, { 0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8 } }, // mov %fs:0xf8,%rcx
		{ 3, { 0xf6, 0xc1, 1 } }, // test $0x1,%cl
		{ 2, { 0xf6, 0xd9 } }, // neg %cl
		{ 7, { 0x48, 0xf7, 0xc0 } }, // test $0x0,%rax
		{ 4, { 0xf3, 0x0f, 0x6f, 0x00 } }, // movdqu (%rax),%xmm0
		{ 4, { 0xc5, 0xfe, 0x6f, 0x06 } }, // vmovdqu (%rsi),%ymm0
		{ 3, { 0xc5, 0xf8, 0x77 } }, // vzeroupper
		{ 6, { 0xc4, 0xe3, 0x7d, 0x39, 0xc1, 1 } }, // vextracti128 $0x1,%ymm0,%xmm1
		{ 6, { 0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x06 } }, // vmovdqu64 (%rsi),%zmm0
		{ 5, { 0xe8 } }, // call
		{ 6, { 0x0f, 0x84 } }, // je
		{ 4, { 0xf0, 0x0f, 0xb1, 0x0b } }, // lock cmpxchg %ecx,(%rbx)
		{ 9, { 0x48, 0xa1 } }, // movabs 0x0,%rax, without its last byte
	};
	for (size_t i = 0; i + 1 < ARRAY_SIZE(cases); i++)
		(void)decode(cases[i].code, cases[i].size);
	struct insn insn;
	assert_false(insn_x86_64_decode(cases[ARRAY_SIZE(cases) - 1].code, 9, &insn));
}

static void test_operands(void **state _unused_)
{
	// mov 0x1f2ab6(%rip),%edx
	struct insn insn = decode("\x8b\x15\xb6\x2a\x1f\0", 6);
	assert_true(insn.rip && insn.opcode == 0x8b && insn.map == INSN_MAP_ONE);
	assert_int_equal(insn.operand_bytes, 4);
	assert_int_equal(insn.disp, 0x1f2ab6);
	// lea -0x8(%rip),%r9
	insn = decode("\x4c\x8d\x0d\xf8\xff\xff\xff", 7);
	assert_true(insn.rip && insn.opcode == 0x8d && insn.reg == 9 && insn.disp == -8);
	assert_int_equal(insn.operand_bytes, 8);
	// xchg %eax,(%rcx)
	insn = decode("\x87\x01", 2);
	assert_true(!insn.rip && insn.opcode == 0x87 && insn.mod == 0 && insn.rm == 1);
	// xchg %eax,0x0(%r13)
	insn = decode("\x41\x87\x45\0", 4);
	assert_true(insn.mod == 1 && insn.rm == 13 && insn.disp == 0);
	// mov 0x10(%rip),%ax
	insn = decode("\x66\x8b\x05\x10\0\0\0", 7);
	assert_true(insn.rip && insn.operand_bytes == 2);
	// mov 0x10,%eax: no instruction pointer in it
	insn = decode("\x8b\x04\x25\x10\0\0\0", 7);
	assert_false(insn.rip);
	// vmovd 0x10(%rip),%xmm0 has another opcode of the same number
	insn = decode("\xc5\xf9\x6e\x05\x10\0\0\0", 8);
	assert_true(insn.rip && insn.vex);
}

static void test_unknown(void **state _unused_)
{
	static const struct {
		size_t size;
		uint8_t code[INSN_MAX_BYTES + 1];
	} cases[] = {
		{ 3, { 0x06 } }, // push %es, not in 64 bits
		{ 3, { 0x27 } },
		{ 3, { 0x82 } },
		{ 6, { 0xea } },
		{ 3, { 0x0f, 0x0f } }, // 3DNow
		{ 6, { 0x8f, 0xe9, 0x78, 0xe1, 0xc1 } }, // XOP
		{ 8, { 0x67, 0x8b, 0x05 } }, // mov 0x0(%eip),%eax
		{ 16, { 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			0x66, 0x66, 0x90 } }, // too long
		{ 0, { 0 } },
	};
	struct insn insn;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_false(insn_x86_64_decode(cases[i].code, cases[i].size, &insn));
}

/// One line of objdump: address, TAB, bytes, TAB, text. False when it says that it is none, too.
static bool parse_line(char *line, uint64_t *ret_addr, uint8_t *bytes, size_t *ret_n,
		       const char **ret_text)
{
	char *end, *hex = strchr(line, '\t'), *text = hex ? strchr(hex + 1, '\t') : NULL;
	size_t n = 0;
	*ret_addr = strtoull(line, &end, 16);
	if (!text || *end != ':' || strstr(text, "(bad)"))
		return false;
	for (char *p = hex + 1; p < text && n < INSN_MAX_BYTES;) {
		bytes[n] = (uint8_t)strtoul(p, &end, 16);
		if (end == p || end > text)
			break;
		n++;
		p = end;
	}
	*ret_n = n;
	*ret_text = text + 1;
	return n;
}

static uint64_t compare_file(const char *file)
{
	char command[512], line[1024];
	uint64_t n = 0, addr, bad = 0;
	// As the compilers of this program have it: no data in the code, whatever the section.
	(void)snprintf(command, sizeof(command),
		       "objdump -dw --insn-width=15 -j .text '%s' 2>/dev/null", file);
	FILE *in = popen(command, "r"); // NOLINT(cert-env33-c): a test
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		uint8_t bytes[INSN_MAX_BYTES];
		size_t size;
		const char *text;
		struct insn insn = { 0 };
		if (!parse_line(line, &addr, bytes, &size, &text))
			continue;
		// Prefixes on their own line: objdump splits what has two of a kind.
		if (!strncmp(text, "rex", 3) || !strncmp(text, "data16\n", 7) ||
		    !strncmp(text, "fwait", 5))
			continue;
		n++;
		const char *comment = strstr(text, "(%rip)") ? strstr(text, "# ") : NULL;
		bool same = insn_x86_64_decode(bytes, size, &insn) && insn.size == size &&
			    insn.rip == (comment != NULL);
		if (same && comment)
			same = strtoull(comment + 2, NULL, 16) ==
			       addr + size + (uint64_t)(int64_t)insn.disp;
		if (!same && ++bad < 10)
			print_message("%s: %s", file, line);
	}
	(void)pclose(in);
	assert_int_equal(bad, 0);
	return n;
}

/// Another program's opinion of real code.
static void test_objdump(void **state _unused_)
{
	char self[256] = "";
	if (system("command -v objdump >/dev/null") != 0) // NOLINT(cert-env33-c): a test
		skip();
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	uint64_t n = compare_file(self);
	const char *more = getenv("PROCSNAP_INSN_FILES");
	_cleanup_free_ char *copy = strdup(more ? more : "");
	for (char *save, *file = strtok_r(copy, " ", &save); file;
	     file = strtok_r(NULL, " ", &save))
		n += compare_file(file);
	print_message("%" PRIu64 " instructions\n", n);
#ifdef __x86_64__
	assert_true(n > 1000);
#endif
}

/// Whatever bytes: it ends, and says nothing about bytes that are not there.
static void test_random(void **state _unused_)
{
	uint64_t random = 7;
	uint8_t code[INSN_MAX_BYTES + 5];
	for (int round = 0; round < 300000; round++) {
		struct insn insn;
		for (size_t i = 0; i < sizeof(code); i++) {
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			code[i] = (uint8_t)(random >> 56);
		}
		size_t len = (size_t)(random >> 32) % sizeof(code);
		if (insn_x86_64_decode(code, len, &insn))
			assert_true(insn.size && insn.size <= len && insn.size <= INSN_MAX_BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	cmocka_unit_test(test_operands),
		cmocka_unit_test(test_unknown), cmocka_unit_test(test_objdump),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests_name("insn", tests, NULL, NULL);
}
