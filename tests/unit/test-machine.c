// SPDX-License-Identifier: LGPL-2.1-or-later
#include "goopen.h"

/*
 * Code is assembled by hand here; the comments are what objdump says of it.
 */

enum { PC = 0x401000 };

static void check(const struct go_arch *arch, const void *code, size_t len, const uint64_t *want,
		  size_t n)
{
	uint64_t found[16];
	assert_int_equal(arch->operands(code, len, PC, found, ARRAY_SIZE(found)), n);
	for (size_t i = 0; i < n; i++)
		assert_true(found[i] == want[i]);
}

static const struct go_arch *amd64(void)
{
	return go_arch_of(EM_X86_64);
}

static const struct go_arch *arm64(void)
{
	return go_arch_of(EM_AARCH64);
}

static void test_which(void **state _unused_)
{
	assert_int_equal(amd64()->elf_machine, EM_X86_64);
	assert_int_equal(amd64()->quantum, 1);
	assert_false(amd64()->link_register);
	assert_int_equal(arm64()->elf_machine, EM_AARCH64);
	assert_int_equal(arm64()->quantum, 4);
	assert_true(arm64()->link_register);
	assert_null(go_arch_of(EM_386));
	assert_null(go_arch_of(EM_NONE));
	assert_null(go_arch_of(0xffff));
}

// ---- amd64 ---------------------------------------------------------------------------------

static void test_amd64_operands(void **state _unused_)
{
	static const struct {
		uint8_t code[12];
		size_t len;
		uint64_t want;
	} cases[] = {
		// mov 0x1234(%rip),%rax
		{ { 0x48, 0x8b, 0x05, 0x34, 0x12, 0, 0 }, 7, PC + 7 + 0x1234 },
		// mov -0x8(%rip),%r9
		{ { 0x4c, 0x8b, 0x0d, 0xf8, 0xff, 0xff, 0xff }, 7, PC + 7 - 8 },
		// mov %rcx,0x100(%rip)
		{ { 0x48, 0x89, 0x0d, 0, 1, 0, 0 }, 7, PC + 7 + 0x100 },
		// lea 0x7fffffff(%rip),%rdx
		{ { 0x48, 0x8d, 0x15, 0xff, 0xff, 0xff, 0x7f }, 7, PC + 7 + 0x7fffffffUL },
		// cmpq $0x1,0x10(%rip)
		{ { 0x48, 0x83, 0x3d, 0x10, 0, 0, 0, 1 }, 8, PC + 8 + 0x10 },
		// movq $0x5,0x20(%rip)
		{ { 0x48, 0xc7, 0x05, 0x20, 0, 0, 0, 5, 0, 0, 0 }, 11, PC + 11 + 0x20 },
		// cmpl $0x100,0x20(%rip)
		{ { 0x81, 0x3d, 0x20, 0, 0, 0, 0, 1, 0, 0 }, 10, PC + 10 + 0x20 },
		// cmp %rax,0x30(%rip)
		{ { 0x48, 0x39, 0x05, 0x30, 0, 0, 0 }, 7, PC + 7 + 0x30 },
		// xchg %rax,0x30(%rip)
		{ { 0x48, 0x87, 0x05, 0x30, 0, 0, 0 }, 7, PC + 7 + 0x30 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check(amd64(), cases[i].code, cases[i].len, &cases[i].want, 1);
}

/// Not relative to the instruction pointer, or cut off.
static void test_amd64_others(void **state _unused_)
{
	static const uint8_t code[] = {
		0x48, 0x8b, 0x45, 0x10, // mov 0x10(%rbp),%rax
		0x48, 0x8b, 0xc1, // mov %rcx,%rax
		0x48, 0x8b, 0x84, 0x24, 0, 1, 0, 0, // mov 0x100(%rsp),%rax
		0xe8, 0x11, 0x22, 0x33, 0x44, // call
		0xff, 0x25, 1, 2, 3, 4, // jmp *0x04030201(%rip)
	};
	static const uint8_t load[] = { 0x48, 0x8b, 0x05, 1, 0, 0, 0 };
	check(amd64(), code, sizeof(code), NULL, 0);
	for (size_t len = 0; len < sizeof(load); len++)
		check(amd64(), load, len, NULL, 0);
}

static void test_amd64_many(void **state _unused_)
{
	uint8_t code[70];
	uint64_t found[10];
	for (size_t i = 0; i < 10; i++)
		memcpy(code + i * 7, "\x48\x8b\x05\x10\0\0\0", 7);
	for (size_t max = 0; max <= 10; max++) {
		memset(found, 0xa5, sizeof(found));
		assert_int_equal(amd64()->operands(code, sizeof(code), PC, found, max), max);
		for (size_t i = 0; i < 10; i++)
			assert_true(found[i] ==
				    (i < max ? PC + i * 7 + 7 + 0x10 : 0xa5a5a5a5a5a5a5a5));
	}
}

static void check_accesses(const void *code, size_t len, const struct go_access *want, size_t n)
{
	struct go_access found[4];
	size_t found_n = 99;
	assert_true(amd64()->accesses(code, len, PC, found, ARRAY_SIZE(found), &found_n));
	assert_int_equal(found_n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(found[i].kind, want[i].kind);
		assert_int_equal(found[i].pc, want[i].pc);
		assert_int_equal(found[i].addr, want[i].addr);
	}
}

/// The end of runtime/debug.SetTraceback, and the load of runtime.dopanic_m.
static void test_amd64_accesses(void **state _unused_)
{
	static const uint8_t code[] = {
		0x80, 0x3d, 0x7f, 0x46, 0x1e, 0x00, 0x00, // cmpb $0x0,0x1e467f(%rip)
		0x0b, 0x05, 0xb8, 0x46, 0x1e, 0x00, // or 0x1e46b8(%rip),%eax
		0x48, 0x8d, 0x0d, 0xbd, 0x76, 0x1b, 0x00, // lea 0x1b76bd(%rip),%rcx
		0x87, 0x01, // xchg %eax,(%rcx)
		0x8b, 0x15, 0xb6, 0x2a, 0x1f, 0x00, // mov 0x1f2ab6(%rip),%edx
	};
	static const struct go_access want[] = {
		{ GO_ACCESS_OR, PC + 7, PC + 13 + 0x1e46b8 },
		{ GO_ACCESS_STORE, PC + 20, PC + 20 + 0x1b76bd },
		{ GO_ACCESS_LOAD, PC + 22, PC + 28 + 0x1f2ab6 },
	};
	check_accesses(code, sizeof(code), want, ARRAY_SIZE(want));
	// No more room than that is no answer, and neither is half an instruction.
	struct go_access found[4];
	size_t n = 0;
	assert_false(amd64()->accesses(code, sizeof(code), PC, found, 2, &n));
	assert_false(amd64()->accesses(code, sizeof(code) - 1, PC, found, 4, &n));
	// xchg %eax,0x10(%rip)
	check_accesses("\x87\x05\x10\0\0\0", 6,
		       &(struct go_access){ GO_ACCESS_STORE, PC, PC + 0x16 }, 1);
	// lea 0x10(%rip),%r9; xchg %eax,(%r9)
	check_accesses("\x4c\x8d\x0d\x10\0\0\0\x41\x87\x01", 10,
		       &(struct go_access){ GO_ACCESS_STORE, PC + 7, PC + 0x17 }, 1);
}

/// What looks like an access of a word, and is none, or of something else.
static void test_amd64_no_accesses(void **state _unused_)
{
	static const struct {
		size_t len;
		uint8_t code[16];
	} cases[] = {
		{ 7, { 0x48, 0x8b, 0x15, 0x10 } }, // mov 0x10(%rip),%rdx
		{ 7, { 0x66, 0x8b, 0x15, 0x10 } }, // mov 0x10(%rip),%dx
		{ 6, { 0x8a, 0x15, 0x10 } }, // mov 0x10(%rip),%dl
		{ 10, { 0x48, 0xb8, 0x8b, 0x15, 0x10 } }, // movabs $0x10158b,%rax
		{ 7, { 0x64, 0x8b, 0x15, 0x10 } }, // mov %fs:0x10(%rip),%edx
		{ 7, { 0x8b, 0x14, 0x25, 0x10 } }, // mov 0x10,%edx
		// lea 0x10(%rip),%rcx; xchg %rax,(%rcx)
		{ 10, { 0x48, 0x8d, 0x0d, 0x10, 0, 0, 0, 0x48, 0x87, 0x01 } },
		// lea 0x10(%rip),%rcx; xchg %eax,(%rdx)
		{ 9, { 0x48, 0x8d, 0x0d, 0x10, 0, 0, 0, 0x87, 0x02 } },
		// lea 0x10(%rip),%rcx; xchg %eax,0x4(%rcx)
		{ 10, { 0x48, 0x8d, 0x0d, 0x10, 0, 0, 0, 0x87, 0x41, 0x04 } },
		// lea 0x10(%rip),%rcx; xchg %eax,%ecx
		{ 9, { 0x48, 0x8d, 0x0d, 0x10, 0, 0, 0, 0x87, 0xc1 } },
		// lea 0x10(%rip),%rcx; xchg %eax,(%rcx,%rcx,1)
		{ 10, { 0x48, 0x8d, 0x0d, 0x10, 0, 0, 0, 0x87, 0x04, 0x09 } },
		// lea 0x10(%rip),%rcx; nop; xchg %eax,(%rcx): not next to each other
		{ 10, { 0x48, 0x8d, 0x0d, 0x10, 0, 0, 0, 0x90, 0x87, 0x01 } },
		// lea 0x10(%rip),%rsp; xchg %eax,(%rsp)
		{ 10, { 0x48, 0x8d, 0x25, 0x10, 0, 0, 0, 0x87, 0x04, 0x24 } },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_accesses(cases[i].code, cases[i].len, NULL, 0);
}

// ---- arm64 ---------------------------------------------------------------------------------

static void test_arm64_operands(void **state _unused_)
{
	static const uint32_t code[] = {
		0xb0000001, // adrp x1, 402000
		0xf9400820, // ldr x0, [x1, #16]
		0xf9000c22, // str x2, [x1, #24]
		0xb9401023, // ldr w3, [x1, #16]
		0x39404024, // ldrb w4, [x1, #16]
		0xa9410825, // ldp x5, x2, [x1, #16]
		0xa93f0825, // stp x5, x2, [x1, #-16]
		0x91008021, // add x1, x1, #0x20
		0xf9400420, // ldr x0, [x1, #8]
		0xf0fffff6, // adrp x22, 400000
		0x910042c6, // add x6, x22, #0x10
		0xf94000c7, // ldr x7, [x6]
	};
	static const uint64_t want[] = {
		0x402010, 0x402018, 0x402010, 0x402010, 0x402010, 0x402018, 0x401ff0,
		0x401ff8, 0x402020, 0x402028, 0x400010, 0x400010,
	};
	check(arm64(), code, sizeof(code), want, ARRAY_SIZE(want));
}

static void test_arm64_others(void **state _unused_)
{
	static const uint32_t code[] = {
		0xf9400820, // ldr x0, [x1, #16], when nothing is known of x1
		0x91008021, // add x1, x1, #0x20
		0xf9400820,
		0xb0000001, // adrp x1, 402000
		0xf8408420, // ldr x0, [x1], #8: another form
		0x8b020021, // add x1, x1, x2
		0x91408022, // add x2, x1, #0x20, lsl #12
		0xd65f03c0, // ret
	};
	check(arm64(), code, sizeof(code), NULL, 0);
	for (size_t len = 0; len < 4; len++)
		check(arm64(), code + 3, len, NULL, 0);
}

/// Pairs need room for two.
static void test_arm64_many(void **state _unused_)
{
	uint32_t code[10] = { 0xb0000001 };
	uint64_t found[12];
	for (size_t i = 1; i < ARRAY_SIZE(code); i++)
		code[i] = 0xa9410825; // ldp x5, x2, [x1, #16]
	for (size_t max = 0; max < ARRAY_SIZE(found); max++) {
		memset(found, 0xa5, sizeof(found));
		size_t n = arm64()->operands((const uint8_t *)code, sizeof(code), PC, found, max);
		assert_true(n <= max);
		for (size_t i = n; i < ARRAY_SIZE(found); i++)
			assert_true(found[i] == 0xa5a5a5a5a5a5a5a5);
	}
}

/// Whatever bytes: nothing beyond the room that there is.
static void test_random_code(void **state _unused_)
{
	uint8_t code[400];
	uint64_t found[20], random = 9;
	for (int round = 0; round < 20000; round++) {
		size_t len = test_random(&random) % sizeof(code);
		for (size_t i = 0; i < len; i++)
			code[i] = (uint8_t)test_random(&random);
		size_t max = test_random(&random) % ARRAY_SIZE(found);
		assert_true(amd64()->operands(code, len, PC, found, max) <= max);
		assert_true(arm64()->operands(code, len, PC, found, max) <= max);
	}
}

// ---- registers -----------------------------------------------------------------------------

static void test_registers(void **state _unused_)
{
	static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };
	for (size_t k = 0; k < ARRAY_SIZE(machines); k++) {
		const struct go_arch *arch = go_arch_of(machines[k]);
		struct gocore gc;
		struct goopen o;
		struct go_regs regs;
		gocore_init(&gc, 22, machines[k]);
		gc.threads[0] = (struct gocore_thread){
			.tid = 5,
			.regs = { .pc = 0x1111, .sp = 0x2222, .lr = 0x3333, .fp = 0x4444 },
			.g = 0x5555,
		};
		gc.n_threads = 1;
		goopen_core(&o, &gc);
		assert_int_equal(o.core->n_threads, 1);
		struct core_thread t = o.core->threads[0];
		assert_true(arch->thread_regs(&t, &regs));
		assert_int_equal(regs.pc, 0x1111);
		assert_int_equal(regs.sp, 0x2222);
		assert_int_equal(regs.lr, arch->link_register ? 0x3333 : 0);
		assert_int_equal(regs.fp, 0x4444);
		assert_int_equal(arch->thread_g(&t, &o.core->memory), 0x5555);
		t.regs.size = arch->link_register ? 34 * 8 - 1 : 27 * 8 - 1;
		assert_false(arch->thread_regs(&t, &regs));
		assert_int_equal(arch->thread_g(&t, &o.core->memory), 0);
		goopen_close(&o);
		gocore_deinit(&gc);
	}
}

/// What the kernel leaves on the stack for a signal handler.
static void test_signal_frame(void **state _unused_)
{
	static const struct {
		uint16_t machine;
		size_t pc, sp, lr, fp; ///< offsets
	} frames[] = {
		// struct rt_sigframe: struct ucontext at once, sigcontext 40 bytes in it
		{ EM_X86_64, 40 + 16 * 8, 40 + 15 * 8, 0, 40 + 10 * 8 },
		// siginfo 128, ucontext: sigcontext 176 bytes in it, registers behind fault_address
		{ EM_AARCH64, 128 + 176 + 8 + 32 * 8, 128 + 176 + 8 + 31 * 8,
		  128 + 176 + 8 + 30 * 8, 128 + 176 + 8 + 29 * 8 },
	};
	for (size_t k = 0; k < ARRAY_SIZE(frames); k++) {
		const struct go_arch *arch = go_arch_of(frames[k].machine);
		struct gocore gc;
		struct goopen o;
		struct go_regs regs = { 0 };
		gocore_init(&gc, 22, frames[k].machine);
		uint64_t sp = gocore_ranges[GOCORE_STACKS].start + 64;
		gocore_u64(&gc, sp + frames[k].pc, 1);
		gocore_u64(&gc, sp + frames[k].sp, 2);
		if (frames[k].lr)
			gocore_u64(&gc, sp + frames[k].lr, 3);
		gocore_u64(&gc, sp + frames[k].fp, 4);
		goopen_core(&o, &gc);
		assert_true(arch->signal_regs(&o.core->memory, sp, &regs));
		assert_int_equal(regs.pc, 1);
		assert_int_equal(regs.sp, 2);
		assert_int_equal(regs.lr, frames[k].lr ? 3 : 0);
		assert_int_equal(regs.fp, 4);
		uint64_t end =
			gocore_ranges[GOCORE_STACKS].start + gocore_ranges[GOCORE_STACKS].size;
		assert_false(arch->signal_regs(&o.core->memory, end - 100, &regs));
		assert_false(arch->signal_regs(&o.core->memory, UINT64_MAX - 100, &regs));
		goopen_close(&o);
		gocore_deinit(&gc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which),
		cmocka_unit_test(test_amd64_operands),
		cmocka_unit_test(test_amd64_others),
		cmocka_unit_test(test_amd64_many),
		cmocka_unit_test(test_amd64_accesses),
		cmocka_unit_test(test_amd64_no_accesses),
		cmocka_unit_test(test_arm64_operands),
		cmocka_unit_test(test_arm64_others),
		cmocka_unit_test(test_arm64_many),
		cmocka_unit_test(test_random_code),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_signal_frame),
	};
	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
