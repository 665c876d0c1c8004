// SPDX-License-Identifier: LGPL-2.1-or-later
#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ptrace/seccomp.h"
#include "test.h"

/*
 * The kernel itself is asked about random programs: a child puts one over itself and makes a system
 * call. What becomes of that is compared with what was foretold.
 */

enum { CALL = SYS_sched_get_priority_max, ROUNDS = 400, LENGTH_MAX = 24 };

static const struct seccomp_data data = {
	.nr = 323,
	.arch = 0xc000003e,
	.instruction_pointer = 0x7fff12345678,
	.args = { 0x1122334455667788, 1, UINT64_MAX },
};

static int run(const struct sock_filter *code, size_t n, uint32_t *ret)
{
	*ret = 0xdeadbeef;
	return seccomp_run(code, n, &data, ret);
}

#define GIVES(want, ...)                                                                         \
	do {                                                                                     \
		const struct sock_filter code_[] = { __VA_ARGS__ };                              \
		uint32_t got_;                                                                   \
		assert_int_equal(run(code_, ARRAY_SIZE(code_), &got_), 0);                       \
		assert_int_equal(got_, (uint32_t)(want));                                        \
	} while (0)
#define REFUSED(...)                                                                             \
	do {                                                                                     \
		const struct sock_filter code_[] = { __VA_ARGS__ };                              \
		uint32_t got_;                                                                   \
		assert_int_equal(run(code_, ARRAY_SIZE(code_), &got_), -EBADMSG);                \
	} while (0)
#define S(code, k) BPF_STMT(code, k)
#define RET_A S(BPF_RET | BPF_A, 0)
#define LOAD(k) S(BPF_LD | BPF_IMM, k)
#define LOADX(k) S(BPF_LDX | BPF_IMM, k)
#define ALU(op, k) S(BPF_ALU | (op) | BPF_K, k)
#define ALUX(op) S(BPF_ALU | (op) | BPF_X, 0)

static void test_loads(void **state _unused_)
{
	GIVES(4711, S(BPF_RET | BPF_K, 4711));
	GIVES(0, RET_A);
	GIVES(323, S(BPF_LD | BPF_W | BPF_ABS, 0), RET_A);
	GIVES(0xc000003e, S(BPF_LD | BPF_W | BPF_ABS, 4), RET_A);
	GIVES(0x12345678, S(BPF_LD | BPF_W | BPF_ABS, 8), RET_A);
	GIVES(0x7fff, S(BPF_LD | BPF_W | BPF_ABS, 12), RET_A);
	GIVES(0x55667788, S(BPF_LD | BPF_W | BPF_ABS, 16), RET_A);
	GIVES(0x11223344, S(BPF_LD | BPF_W | BPF_ABS, 20), RET_A);
	GIVES(0, S(BPF_LD | BPF_W | BPF_ABS, 60), RET_A);
	GIVES(64, S(BPF_LD | BPF_W | BPF_LEN, 0), RET_A);
	GIVES(64, S(BPF_LDX | BPF_W | BPF_LEN, 0), S(BPF_MISC | BPF_TXA, 0), RET_A);
	GIVES(7, LOADX(7), S(BPF_MISC | BPF_TXA, 0), RET_A);
	GIVES(8, LOAD(4), S(BPF_MISC | BPF_TAX, 0), ALUX(BPF_ADD), RET_A);
	GIVES(5, LOAD(5), S(BPF_ST, 15), LOAD(0), S(BPF_LD | BPF_MEM, 15), RET_A);
	GIVES(6, LOADX(6), S(BPF_STX, 0), S(BPF_LD | BPF_MEM, 0), RET_A);
	GIVES(9, LOAD(9), S(BPF_ST, 3), S(BPF_LDX | BPF_MEM, 3), S(BPF_MISC | BPF_TXA, 0), RET_A);
}

static void test_arithmetic(void **state _unused_)
{
	GIVES(1, LOAD(UINT32_MAX), ALU(BPF_ADD, 2), RET_A);
	GIVES(UINT32_MAX, LOAD(1), ALU(BPF_SUB, 2), RET_A);
	GIVES(0xfffffffe, LOAD(UINT32_MAX), ALU(BPF_MUL, 2), RET_A);
	GIVES(3, LOAD(7), ALU(BPF_DIV, 2), RET_A);
	GIVES(6, LOAD(7), ALU(BPF_AND, 14), RET_A);
	GIVES(15, LOAD(7), ALU(BPF_OR, 8), RET_A);
	GIVES(9, LOAD(7), ALU(BPF_XOR, 14), RET_A);
	GIVES(0x80000000, LOAD(1), ALU(BPF_LSH, 31), RET_A);
	GIVES(1, LOAD(0x80000000), ALU(BPF_RSH, 31), RET_A);
	GIVES(0xfffffff9, LOAD(7), S(BPF_ALU | BPF_NEG, 0), RET_A);
	GIVES(0x1c, LOAD(7), LOADX(2), ALUX(BPF_LSH), RET_A);
	// As the kernel does it: of the amount in a register only the lowest five bits count.
	GIVES(14, LOAD(7), LOADX(33), ALUX(BPF_LSH), RET_A);
	GIVES(3, LOAD(7), LOADX(33), ALUX(BPF_RSH), RET_A);
	GIVES(7, LOAD(7), LOADX(32), ALUX(BPF_RSH), RET_A);
	GIVES(3, LOAD(7), LOADX(2), ALUX(BPF_DIV), RET_A);
}

static void test_jumps(void **state _unused_)
{
#define JUMP(op, a, k, want)                                                                     \
	GIVES(want, LOAD(a), BPF_JUMP(BPF_JMP | (op) | BPF_K, k, 0, 1), S(BPF_RET | BPF_K, 1),  \
	      S(BPF_RET | BPF_K, 2))
	JUMP(BPF_JEQ, 5, 5, 1);
	JUMP(BPF_JEQ, 5, 6, 2);
	JUMP(BPF_JGT, 6, 5, 1);
	JUMP(BPF_JGT, 5, 5, 2);
	JUMP(BPF_JGT, 0x80000000, 1, 1); // without a sign
	JUMP(BPF_JGE, 5, 5, 1);
	JUMP(BPF_JGE, 4, 5, 2);
	JUMP(BPF_JSET, 6, 4, 1);
	JUMP(BPF_JSET, 6, 9, 2);
	GIVES(1, LOAD(5), LOADX(5), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1),
	      S(BPF_RET | BPF_K, 1), S(BPF_RET | BPF_K, 2));
	GIVES(2, S(BPF_JMP | BPF_JA, 1), S(BPF_RET | BPF_K, 1), S(BPF_RET | BPF_K, 2));
}

static void test_hostile(void **state _unused_)
{
	uint32_t ret;
	assert_int_equal(seccomp_run(NULL, 0, &data, &ret), -EBADMSG);
	REFUSED(LOAD(1)); // runs off its end
	REFUSED(S(BPF_JMP | BPF_JA, UINT32_MAX), RET_A);
	REFUSED(S(BPF_JMP | BPF_JA, 1), RET_A);
	REFUSED(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 255, 255), RET_A);
	REFUSED(S(BPF_LD | BPF_W | BPF_ABS, 2), RET_A);
	REFUSED(S(BPF_LD | BPF_W | BPF_ABS, 64), RET_A);
	REFUSED(S(BPF_LD | BPF_W | BPF_ABS, UINT32_MAX - 3), RET_A);
	REFUSED(S(BPF_LD | BPF_B | BPF_ABS, 0), RET_A);
	REFUSED(S(BPF_LD | BPF_W | BPF_IND, 0), RET_A);
	REFUSED(S(BPF_LD | BPF_MEM, 16), RET_A);
	REFUSED(S(BPF_LDX | BPF_MEM, UINT32_MAX), RET_A);
	REFUSED(S(BPF_ST, 16), RET_A);
	REFUSED(S(BPF_STX, 16), RET_A);
	REFUSED(ALU(BPF_DIV, 0), RET_A);
	REFUSED(LOADX(0), ALUX(BPF_DIV), RET_A);
	REFUSED(ALU(BPF_MOD, 3), RET_A);
	REFUSED(S(0xffff, 0), RET_A);
}

static void test_harmless(void **state _unused_)
{
	assert_true(seccomp_harmless(SECCOMP_RET_ALLOW));
	assert_true(seccomp_harmless(SECCOMP_RET_LOG));
	assert_true(seccomp_harmless(SECCOMP_RET_ERRNO | EPERM));
	assert_false(seccomp_harmless(SECCOMP_RET_KILL_PROCESS));
	assert_false(seccomp_harmless(SECCOMP_RET_KILL_THREAD));
	assert_false(seccomp_harmless(SECCOMP_RET_TRAP));
	assert_false(seccomp_harmless(SECCOMP_RET_TRACE | 1));
	assert_false(seccomp_harmless(SECCOMP_RET_USER_NOTIF));
	assert_false(seccomp_harmless(0x12345678)); // unknown to the kernel: it kills
}

// -- beside the kernel ---------------------------------------------------------------------------

static uint64_t random_state = 88172645463325252;

static uint32_t pick(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % n;
}

static uint32_t number(void)
{
	static const uint32_t some[] = { 0, 1, 2, 5, 31, 32, 33, 63, 0x7fffffff, 0x80000000,
					 UINT32_MAX };
	return pick(3) ? some[pick(ARRAY_SIZE(some))] : pick(UINT32_MAX);
}

/// The last instructions make an answer of A that says much of it and lets the child live.
static size_t make_program(struct sock_filter *code)
{
	static const uint16_t alu[] = { BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND,
					BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG };
	static const uint16_t jumps[] = { BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
	size_t n = 0, body = 8 + pick(LENGTH_MAX);
	// Others may not be made: the child has to tell, and to end.
	code[n++] = (struct sock_filter)S(BPF_LD | BPF_W | BPF_ABS, 0);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALL, 1, 0);
	code[n++] = (struct sock_filter)S(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	for (uint32_t i = 0; i < BPF_MEMWORDS; i++) // the kernel wants to see that they are set
		code[n++] = (struct sock_filter)S(BPF_ST, i);
	size_t end = n + body;
	while (n < end) {
		uint16_t src = pick(2) ? BPF_X : BPF_K;
		struct sock_filter f = S(BPF_LD | BPF_IMM, number());
		uint8_t left = (uint8_t)(end - n - 1);
		switch (pick(10)) {
		case 0: f = (struct sock_filter)S(BPF_LD | BPF_W | BPF_ABS, pick(16) * 4); break;
		case 1: f = (struct sock_filter)S(BPF_LDX | BPF_IMM, number()); break;
		case 2: f = (struct sock_filter)S(BPF_ST, pick(16)); break;
		case 3: f = (struct sock_filter)S(BPF_LD | BPF_MEM, pick(16)); break;
		case 4: f = (struct sock_filter)S(BPF_LDX | BPF_MEM, pick(16)); break;
		case 5: f = (struct sock_filter)S(BPF_MISC | (pick(2) ? BPF_TAX : BPF_TXA), 0); break;
		case 6:
			f = (struct sock_filter)BPF_JUMP(
				(uint16_t)(BPF_JMP | jumps[pick(ARRAY_SIZE(jumps))] | src),
				src == BPF_X ? 0 : number(), (uint8_t)pick(left + 1U),
				(uint8_t)pick(left + 1U));
			break;
		default: {
			uint16_t op = alu[pick(ARRAY_SIZE(alu))];
			uint32_t k = op == BPF_LSH || op == BPF_RSH ? pick(32) : number();
			f = (struct sock_filter)S((uint16_t)(BPF_ALU | op |
							     (op == BPF_NEG ? BPF_K : src)),
						  op == BPF_DIV && !k ? 3 : k);
		}
		}
		code[n++] = f;
	}
	// All of its bits are in the errno, of which the kernel takes values up to 4095.
	code[n++] = (struct sock_filter)S(BPF_ST, 0);
	code[n++] = (struct sock_filter)ALU(BPF_RSH, 11);
	code[n++] = (struct sock_filter)S(BPF_MISC | BPF_TAX, 0);
	code[n++] = (struct sock_filter)S(BPF_LD | BPF_MEM, 0);
	code[n++] = (struct sock_filter)ALUX(BPF_XOR);
	code[n++] = (struct sock_filter)ALU(BPF_AND, 0x7ff);
	code[n++] = (struct sock_filter)ALU(BPF_ADD, 1);
	code[n++] = (struct sock_filter)ALU(BPF_OR, SECCOMP_RET_ERRNO);
	code[n++] = (struct sock_filter)RET_A;
	return n;
}

static const unsigned long args[3] = { 0x1234567890abcdef, 7, 0xffffffff80000000 };

/// What the kernel makes of the call: an errno; 0 when it killed for it, -1 when it was not possible.
static int ask_kernel(const struct sock_filter *code, size_t n)
{
	int fds[2], got = 0;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (!pid) {
		struct sock_fprog prog = { (unsigned short)n, (struct sock_filter *)code };
		int r = -1;
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0)
			r = syscall(CALL, args[0], args[1], args[2], 0, 0, 0) < 0 ? errno : -2;
		ssize_t w = write(fds[1], &r, sizeof(r));
		_exit(w != sizeof(r));
	}
	(void)close(fds[1]);
	if (read(fds[0], &got, sizeof(got)) != sizeof(got))
		got = 0;
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return got;
}

static void test_kernel(void **state _unused_)
{
	struct sock_filter code[LENGTH_MAX + 64];
	size_t refused = 0, killed = 0;
	for (int i = 0; i < ROUNDS; i++) {
		// Without the architecture, and the address of the call, which is the C library's.
		struct seccomp_data call = { .nr = CALL, .args = { args[0], args[1], args[2] } };
		size_t n = make_program(code);
		for (size_t j = 0; j < n; j++)
			if (code[j].code == (BPF_LD | BPF_W | BPF_ABS) &&
			    code[j].k >= 4 && code[j].k < 16)
				code[j].k = 16;
		uint32_t answer = 0;
		int r = seccomp_run(code, n, &call, &answer);
		int kernel = ask_kernel(code, n);
		if (kernel == -1) {
			refused++;
			continue;
		}
		// A division by zero: the kernel kills.
		killed += kernel == 0;
		assert_int_equal(r, kernel ? 0 : -EBADMSG);
		if (kernel && (int)(answer & SECCOMP_RET_DATA) != kernel)
			fail_msg("program %d: %u and not %d", i, answer & SECCOMP_RET_DATA, kernel);
	}
	if (refused == ROUNDS)
		skip();
	assert_true(refused < ROUNDS / 2);
	print_message("%zu refused, %zu killed\n", refused, killed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads),	  cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_jumps),	  cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_harmless), cmocka_unit_test(test_kernel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
