// SPDX-License-Identifier: LGPL-2.1-or-later
#include "seccomp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "common/cleanup.h"

enum {
	FILTERS_MAX = 1024, // a thread has a handful; each may have BPF_MAXINSNS instructions
	ANSWERS_HARMLESS = 3,
};

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

/// An arithmetic instruction; false: no kernel accepts it, or it divides by zero.
static bool calculate(struct machine *m, uint16_t code, uint32_t k)
{
	uint32_t v = BPF_SRC(code) == BPF_X ? m->x : k;
	switch (BPF_OP(code)) {
	case BPF_ADD: m->a += v; break;
	case BPF_SUB: m->a -= v; break;
	case BPF_MUL: m->a *= v; break;
	case BPF_OR: m->a |= v; break;
	case BPF_AND: m->a &= v; break;
	case BPF_XOR: m->a ^= v; break;
	case BPF_LSH: m->a <<= v & 31; break; // as the kernel does it, for amounts in X
	case BPF_RSH: m->a >>= v & 31; break;
	case BPF_NEG: m->a = 0 - m->a; break;
	case BPF_DIV:
		if (!v)
			return false;
		m->a /= v;
		break;
	default:
		return false;
	}
	return true;
}

static bool test(const struct machine *m, uint16_t code, uint32_t k, bool *ret)
{
	uint32_t v = BPF_SRC(code) == BPF_X ? m->x : k;
	switch (BPF_OP(code)) {
	case BPF_JEQ: *ret = m->a == v; return true;
	case BPF_JGT: *ret = m->a > v; return true;
	case BPF_JGE: *ret = m->a >= v; return true;
	case BPF_JSET: *ret = (m->a & v) != 0; return true;
	default: return false;
	}
}

/// Loads and stores; the only memory there is, beside the scratch words, is @data.
static bool move(struct machine *m, const struct sock_filter *f, const struct seccomp_data *data)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		if (f->k % 4 || f->k > sizeof(*data) - 4)
			return false;
		memcpy(&m->a, (const char *)data + f->k, 4);
		return true;
	case BPF_LD | BPF_W | BPF_LEN: m->a = sizeof(*data); return true;
	case BPF_LDX | BPF_W | BPF_LEN: m->x = sizeof(*data); return true;
	case BPF_LD | BPF_IMM: m->a = f->k; return true;
	case BPF_LDX | BPF_IMM: m->x = f->k; return true;
	case BPF_MISC | BPF_TAX: m->x = m->a; return true;
	case BPF_MISC | BPF_TXA: m->a = m->x; return true;
	default: break;
	}
	if (f->k >= BPF_MEMWORDS)
		return false;
	switch (f->code) {
	case BPF_LD | BPF_MEM: m->a = m->mem[f->k]; return true;
	case BPF_LDX | BPF_MEM: m->x = m->mem[f->k]; return true;
	case BPF_ST: m->mem[f->k] = m->a; return true;
	case BPF_STX: m->mem[f->k] = m->x; return true;
	default: return false;
	}
}

int seccomp_run(const struct sock_filter *filter, size_t n, const struct seccomp_data *data,
		uint32_t *ret)
{
	struct machine m = { 0 };
	for (size_t pc = 0; pc < n;) { // jumps only go forward, so this ends
		const struct sock_filter *f = &filter[pc++];
		bool yes = false;
		switch (BPF_CLASS(f->code)) {
		case BPF_RET:
			*ret = BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
			return 0;
		case BPF_JMP:
			if (BPF_OP(f->code) == BPF_JA) {
				if (f->k > n - pc)
					return -EBADMSG;
				pc += f->k;
				break;
			}
			if (!test(&m, f->code, f->k, &yes))
				return -EBADMSG;
			pc += yes ? f->jt : f->jf;
			break;
		case BPF_ALU:
			if (!calculate(&m, f->code, f->k))
				return -EBADMSG;
			break;
		default:
			if (!move(&m, f, data))
				return -EBADMSG;
		}
	}
	return -EBADMSG; // it ran off its end
}

bool seccomp_harmless(uint32_t answer)
{
	static const uint32_t harmless[ANSWERS_HARMLESS] = {
		SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_LOG
	};
	for (int i = 0; i < ANSWERS_HARMLESS; i++)
		if ((answer & SECCOMP_RET_ACTION_FULL) == harmless[i])
			return true;
	return false;
}

int seccomp_ask(pid_t tid, const struct seccomp_data *data)
{
	_cleanup_free_ struct sock_filter *filter = calloc(BPF_MAXINSNS, sizeof(*filter));
	if (!filter)
		return -ENOMEM;
	for (intptr_t i = 0; i < FILTERS_MAX; i++) {
		long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)i, filter);
		if (n < 0) // ENOENT: there are no more
			return errno == ENOENT ? 0 : -errno;
		uint32_t answer;
		int r = seccomp_run(filter, (size_t)n, data, &answer);
		if (r < 0)
			return r;
		if (!seccomp_harmless(answer))
			return -EPERM;
	}
	return -E2BIG;
}
