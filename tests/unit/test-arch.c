// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test.h"

#ifdef __x86_64__
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "common/compat.h"
#include "ptrace/arch.h"

struct regs32 {
	uint32_t bx, cx, dx, si, di, bp, ax, ds, es, fs, gs, orig_ax, ip, cs, flags, sp, ss;
};

enum entry { SYSCALL, INT80, SYSENTER, NOTHING, UNREADABLE, SHORT };

/// The memory before the program counter.
struct code {
	enum entry entry;
	uint64_t pc;
	int peeks;
};

static ssize_t peek(void *userdata, uint64_t addr, void *buf, size_t len)
{
	static const unsigned char ops[][2] = {
		[SYSCALL] = { 0x0f, 0x05 },
		[INT80] = { 0xcd, 0x80 },
		[SYSENTER] = { 0x0f, 0x34 },
		[NOTHING] = { 0x90, 0x90 },
		[SHORT] = { 0x0f, 0x05 },
	};
	struct code *code = userdata;
	code->peeks++;
	if (addr != code->pc - 2 || len != 2 || code->entry == UNREADABLE)
		return -1;
	memcpy(buf, ops[code->entry], 2);
	return code->entry == SHORT ? 1 : 2;
}

static struct arch_regs make64(int64_t orig_rax, int64_t rax, uint64_t pc)
{
	struct user_regs_struct r;
	memset(&r, 0x5a, sizeof(r));
	r.orig_rax = (uint64_t)orig_rax;
	r.rax = (uint64_t)rax;
	r.rip = pc;
	struct arch_regs regs = { .size = sizeof(r) };
	memcpy(regs.words, &r, sizeof(r));
	return regs;
}

static struct arch_regs make32(int32_t orig_ax, int32_t ax, uint32_t pc)
{
	struct regs32 r;
	memset(&r, 0x5a, sizeof(r));
	r.orig_ax = (uint32_t)orig_ax;
	r.ax = (uint32_t)ax;
	r.ip = pc;
	struct arch_regs regs = { .size = sizeof(r) };
	memcpy(regs.words, &r, sizeof(r));
	return regs;
}

/// Is the call rewound? If so, everything but the result must be as before.
static bool rewound64(enum entry entry, int64_t nr, int64_t result, uint64_t pc)
{
	struct code code = { entry, pc, 0 };
	const struct arch_regs regs = make64(nr, result, pc);
	struct arch_regs out;
	memset(&out, 0xee, sizeof(out));
	struct arch_regs before = out;
	if (!arch_rewind_syscall(&regs, peek, &code, &out)) {
		assert_memory_equal(&out, &before, sizeof(out));
		return false;
	}
	struct arch_regs want = make64(nr, -514, pc); // ERESTARTNOHAND
	assert_int_equal(out.size, want.size);
	assert_memory_equal(out.words, want.words, want.size);
	return true;
}

static bool rewound32(enum entry entry, int32_t nr, int32_t result, uint32_t pc)
{
	struct code code = { entry, pc, 0 };
	const struct arch_regs regs = make32(nr, result, pc);
	struct arch_regs out;
	if (!arch_rewind_syscall(&regs, peek, &code, &out))
		return false;
	struct arch_regs want = make32(nr, -514, pc); // ERESTARTNOHAND
	assert_int_equal(out.size, want.size);
	assert_memory_equal(out.words, want.words, want.size);
	return true;
}

enum { PC = 0x401002 };

static void test_rewind64(void **state _unused_)
{
	const int64_t epoll = SYS_epoll_wait;
	assert_true(rewound64(SYSCALL, epoll, -EINTR, PC));
	assert_true(rewound64(SYSCALL, SYS_read, -EINTR, PC)); // number 0
	assert_true(rewound64(SYSCALL, epoll, -EINTR, 0xffffffffff600002));
	assert_true(rewound64(SYSCALL, epoll, -EINTR, 2));
	// other results, or none
	assert_false(rewound64(SYSCALL, epoll, 0, PC));
	assert_false(rewound64(SYSCALL, epoll, 4, PC));
	assert_false(rewound64(SYSCALL, epoll, -EAGAIN, PC));
	assert_false(rewound64(SYSCALL, epoll, -512, PC)); // ERESTARTSYS: the kernel restarts it
	assert_false(rewound64(SYSCALL, epoll, (uint32_t)-EINTR, PC)); // positive in 64 bits
	// not in a system call
	assert_false(rewound64(SYSCALL, -1, -EINTR, PC));
	assert_false(rewound64(SYSCALL, INT64_MIN, -EINTR, PC));
	// not made by the instruction before
	assert_false(rewound64(NOTHING, epoll, -EINTR, PC));
	assert_false(rewound64(SYSENTER, epoll, -EINTR, PC));
	assert_false(rewound64(UNREADABLE, epoll, -EINTR, PC));
	assert_false(rewound64(SHORT, epoll, -EINTR, PC));
	assert_false(rewound64(SYSCALL, epoll, -EINTR, 1));
	assert_false(rewound64(SYSCALL, epoll, -EINTR, 0));
	// numbers of another ABI, and no numbers at all
	assert_false(rewound64(SYSCALL, 0x40000000 | epoll, -EINTR, PC));
	assert_false(rewound64(SYSCALL, (1LL << 32) | epoll, -EINTR, PC));
	assert_false(rewound64(SYSCALL, INT64_MAX, -EINTR, PC));
	assert_false(rewound64(SYSCALL, 100000, -EINTR, PC));
}

/// 64-bit code that uses the 32-bit entry has its numbers: 3 is read() there, close() here.
static void test_rewind_int80(void **state _unused_)
{
	assert_true(rewound64(INT80, 3, -EINTR, PC));
	assert_false(rewound64(INT80, 6, -EINTR, PC)); // close()
	assert_false(rewound64(INT80, SYS_epoll_wait, -EINTR, PC));
	assert_true(rewound64(INT80, 256, -EINTR, PC)); // epoll_wait()
	assert_false(rewound64(SYSCALL, 256, -EINTR, PC)); // migrate_pages()
}

static void test_rewind32(void **state _unused_)
{
	assert_true(rewound32(INT80, 256, -EINTR, PC));
	assert_true(rewound32(INT80, 3, -EINTR, 0xf7fd1002));
	assert_true(rewound32(SYSCALL, 256, -EINTR, PC)); // AMD's 32-bit SYSCALL
	assert_false(rewound32(INT80, 6, -EINTR, PC)); // close()
	assert_false(rewound32(SYSCALL, 6, -EINTR, PC));
	assert_false(rewound32(INT80, SYS_epoll_wait, -EINTR, PC));
	assert_false(rewound32(INT80, 256, 0, PC));
	assert_false(rewound32(INT80, 256, -512, PC));
	assert_false(rewound32(INT80, -1, -EINTR, PC));
	assert_false(rewound32(INT80, INT32_MIN, -EINTR, PC));
	assert_false(rewound32(NOTHING, 256, -EINTR, PC));
	assert_false(rewound32(SYSENTER, 256, -EINTR, PC));
	assert_false(rewound32(UNREADABLE, 256, -EINTR, PC));
	assert_false(rewound32(INT80, 256, -EINTR, 1));
	assert_false(rewound32(INT80, 256, -EINTR, 0));
}

/// close() has closed the descriptor when it says EINTR; the others change something as well.
static void test_never_rewound(void **state _unused_)
{
	static const int never64[] = {
		SYS_close,  SYS_dup2,	SYS_dup3,	 SYS_exit,     SYS_execve,    SYS_fsync,
		SYS_open,   SYS_openat, SYS_wait4,	 SYS_waitid,   SYS_pause,     SYS_unlink,
		SYS_rename, SYS_clone,	SYS_rt_sigsuspend, SYS_rt_sigreturn, SYS_restart_syscall,
		SYS_kill,   SYS_fallocate, SYS_close_range, SYS_ftruncate,
	};
	for (size_t i = 0; i < ARRAY_SIZE(never64); i++)
		if (rewound64(SYSCALL, never64[i], -EINTR, PC))
			fail_msg("64-bit call %d", never64[i]);
	static const int never32[] = { 0,  1,	5,   6,	 7,   10,  11,	29,  63,  72,  114,
				       119, 120, 173, 179, 190, 284, 295, 324, 330, 436 };
	for (size_t i = 0; i < ARRAY_SIZE(never32); i++)
		if (rewound32(INT80, never32[i], -EINTR, PC) ||
		    rewound64(INT80, never32[i], -EINTR, PC))
			fail_msg("32-bit call %d", never32[i]);
}

/// Both lists mean the same calls. Numbers from the kernel's syscall_64.tbl and syscall_32.tbl.
static void test_lists(void **state _unused_)
{
	static const struct {
		const char *name;
		int nr64, nr32, nr32_time64; ///< -1: there is none
	} calls[] = {
		{ "read", 0, 3, -1 },
		{ "write", 1, 4, -1 },
		{ "poll", 7, 168, -1 },
		{ "readv", 19, 145, -1 },
		{ "writev", 20, 146, -1 },
		{ "select", 23, 142, 82 },
		{ "nanosleep", 35, 162, -1 },
		{ "connect", 42, 362, -1 },
		{ "accept", 43, 102, -1 }, // socketcall
		{ "sendto", 44, 369, -1 },
		{ "recvfrom", 45, 371, -1 },
		{ "sendmsg", 46, 370, -1 },
		{ "recvmsg", 47, 372, -1 },
		{ "semop", 65, 117, -1 }, // ipc
		{ "msgsnd", 69, 400, -1 },
		{ "msgrcv", 70, 401, -1 },
		{ "rt_sigtimedwait", 128, 177, 421 },
		{ "futex", 202, 240, 422 },
		{ "io_getevents", 208, 247, -1 },
		{ "semtimedop", 220, -1, 420 },
		{ "clock_nanosleep", 230, 267, 407 },
		{ "epoll_wait", 232, 256, -1 },
		{ "mq_timedsend", 242, 279, 418 },
		{ "mq_timedreceive", 243, 280, 419 },
		{ "pselect6", 270, 308, 413 },
		{ "ppoll", 271, 309, 414 },
		{ "epoll_pwait", 281, 319, -1 },
		{ "accept4", 288, 364, -1 },
		{ "recvmmsg", 299, 337, 417 },
		{ "sendmmsg", 307, 345, -1 },
		{ "io_pgetevents", 333, 385, 416 },
		{ "io_uring_enter", 426, 426, -1 },
		{ "epoll_pwait2", 441, 441, -1 },
	};
	bool want64[1024] = { false }, want32[1024] = { false };
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		want64[calls[i].nr64] = true;
		if (calls[i].nr32 >= 0)
			want32[calls[i].nr32] = true;
		if (calls[i].nr32_time64 >= 0)
			want32[calls[i].nr32_time64] = true;
	}
	for (int nr = 0; nr < 1024; nr++) {
		if (rewound64(SYSCALL, nr, -EINTR, PC) != want64[nr])
			fail_msg("64-bit call %d", nr);
		if (rewound32(INT80, nr, -EINTR, PC) != want32[nr])
			fail_msg("32-bit call %d", nr);
		assert_int_equal(rewound64(INT80, nr, -EINTR, PC), want32[nr]);
	}
}

static void test_compat(void **state _unused_)
{
	struct arch_regs regs = make64(0, 0, 0);
	assert_false(arch_regs_compat(&regs));
	regs = make32(0, 0, 0);
	assert_true(arch_regs_compat(&regs));
}

// -- widening -----------------------------------------------------------------------------------

static void add_set(struct snap_thread *thread, char *block, size_t *pos, uint32_t type,
		    uint32_t size, uint32_t stored)
{
	memset(block + *pos, (int)(0x10 + thread->n_regsets), stored);
	thread->regsets[thread->n_regsets++] = (struct snap_regset){ type, size, stored,
								     block + *pos };
	*pos += stored;
}

static void test_widen(void **state _unused_)
{
	struct snap_thread thread = { .tid = 7, .sigpend = 5 };
	char *block = malloc(8192);
	size_t pos = sizeof(struct regs32);
	struct regs32 r = {
		.bx = 0x80000001, .cx = 2, .dx = 3, .si = 4, .di = 5, .bp = 6, .ax = (uint32_t)-4,
		.ds = 0x2b, .es = 0x2c, .fs = 0x2d, .gs = 0x63, .orig_ax = 240, .ip = 0xf7fd1002,
		.cs = 0x23, .flags = 0x246, .sp = 0xffff0000, .ss = 0x2e,
	};
	memcpy(block, &r, sizeof(r));
	thread.regsets[0] = (struct snap_regset){ NT_PRSTATUS, sizeof(r), sizeof(r), block };
	thread.n_regsets = 1;
	add_set(&thread, block, &pos, NT_FPREGSET, 108, 108);
	add_set(&thread, block, &pos, NT_PRXFPREG, 512, 512);
	add_set(&thread, block, &pos, NT_X86_XSTATE, 2696, 1000);
	add_set(&thread, block, &pos, NT_386_TLS, 48, 16);
	add_set(&thread, block, &pos, NT_X86_SHSTK, 8, 8);
	assert_int_equal(arch_widen_regset(&thread), 0);

	assert_int_equal(thread.tid, 7);
	assert_int_equal(thread.sigpend, 5);
	assert_int_equal(thread.n_regsets, 3); // the ones that have no 64-bit form are left out
	assert_int_equal(thread.regsets[0].type, NT_PRSTATUS);
	assert_int_equal(thread.regsets[0].size, 27 * 8);
	assert_int_equal(thread.regsets[0].stored, 27 * 8);
	struct user_regs_struct w;
	memcpy(&w, thread.regsets[0].data, sizeof(w));
	assert_int_equal(w.rbx, 0x80000001); // not sign-extended
	assert_int_equal(w.rcx, 2);
	assert_int_equal(w.rdx, 3);
	assert_int_equal(w.rsi, 4);
	assert_int_equal(w.rdi, 5);
	assert_int_equal(w.rbp, 6);
	assert_int_equal(w.rax, 0xfffffffc);
	assert_int_equal(w.orig_rax, 240);
	assert_int_equal(w.rip, 0xf7fd1002);
	assert_int_equal(w.rsp, 0xffff0000);
	assert_int_equal(w.eflags, 0x246);
	assert_int_equal(w.cs, 0x23);
	assert_int_equal(w.ds, 0x2b);
	assert_int_equal(w.es, 0x2c);
	assert_int_equal(w.fs, 0x2d);
	assert_int_equal(w.gs, 0x63);
	assert_int_equal(w.ss, 0x2e);
	assert_int_equal(w.r8 | w.r15 | w.fs_base | w.gs_base, 0);
	assert_int_equal(thread.regsets[1].type, NT_X86_XSTATE);
	assert_int_equal(thread.regsets[1].size, 2696);
	assert_int_equal(thread.regsets[1].stored, 1000);
	assert_int_equal(*(const char *)thread.regsets[1].data, 0x13);
	assert_int_equal(((const char *)thread.regsets[1].data)[999], 0x13);
	assert_int_equal(thread.regsets[2].type, NT_X86_SHSTK);
	assert_int_equal(*(const char *)thread.regsets[2].data, 0x15);

	const void *data = thread.regsets[0].data; // a second time there is nothing to do
	assert_int_equal(arch_widen_regset(&thread), 0);
	assert_ptr_equal(thread.regsets[0].data, data);
	assert_int_equal(thread.n_regsets, 3);
	free((void *)(uintptr_t)data);
}

static void test_widen_outside_call(void **state _unused_)
{
	struct snap_thread thread = { 0 };
	assert_int_equal(arch_widen_regset(&thread), 0); // no registers at all
	assert_int_equal(thread.n_regsets, 0);
	struct regs32 *r = calloc(1, sizeof(*r));
	r->orig_ax = UINT32_MAX;
	thread.n_regsets = 1;
	thread.regsets[0] = (struct snap_regset){ NT_PRSTATUS, sizeof(*r), sizeof(*r), r };
	assert_int_equal(arch_widen_regset(&thread), 0);
	struct user_regs_struct w;
	memcpy(&w, thread.regsets[0].data, sizeof(w));
	assert_int_equal(w.orig_rax, UINT64_MAX); // still in no system call
	free((void *)(uintptr_t)thread.regsets[0].data);
}

// -- what /proc/TID/syscall tells ---------------------------------------------------------------

static void test_from_syscall(void **state _unused_)
{
	const struct procfs_syscall sc = { .nr = 202,
					   .args = { 1, 2, 3, 4, 5, UINT64_MAX },
					   .sp = 0x7ffc00001000,
					   .pc = 0x7f0000002000 };
	struct arch_regs regs;
	struct user_regs_struct r;
	arch_regs_from_syscall(&sc, false, &regs);
	assert_false(arch_regs_compat(&regs));
	memcpy(&r, regs.words, sizeof(r));
	assert_int_equal(r.orig_rax, 202);
	assert_int_equal(r.rax, -ENOSYS);
	assert_int_equal(r.rdi, 1);
	assert_int_equal(r.rsi, 2);
	assert_int_equal(r.rdx, 3);
	assert_int_equal(r.r10, 4);
	assert_int_equal(r.r8, 5);
	assert_int_equal(r.r9, UINT64_MAX);
	assert_int_equal(r.rsp, 0x7ffc00001000);
	assert_int_equal(r.rip, 0x7f0000002000);
	assert_int_equal(r.rbx | r.cs | r.fs_base, 0);

	struct regs32 n;
	arch_regs_from_syscall(&sc, true, &regs);
	assert_true(arch_regs_compat(&regs));
	memcpy(&n, regs.words, sizeof(n));
	assert_int_equal(n.orig_ax, 202);
	assert_int_equal(n.ax, (uint32_t)-ENOSYS);
	assert_int_equal(n.bx, 1);
	assert_int_equal(n.cx, 2);
	assert_int_equal(n.dx, 3);
	assert_int_equal(n.si, 4);
	assert_int_equal(n.di, 5);
	assert_int_equal(n.bp, UINT32_MAX);
	const struct procfs_syscall none = { .nr = -1, .sp = 0x1000, .pc = 0x2000 };
	arch_regs_from_syscall(&none, false, &regs);
	memcpy(&r, regs.words, sizeof(r));
	assert_int_equal(r.orig_rax, UINT64_MAX);
	assert_int_equal(r.rip, 0x2000);
}

static void test_machine(void **state _unused_)
{
	struct snap_thread thread = { 0 };
	struct snap_machine machine = arch_machine(false, &thread);
	assert_int_equal(machine.elf_machine, EM_X86_64);
	assert_int_equal(machine.elf_class, ELFCLASS64);
	assert_int_equal(machine.xfeatures, 0);
	machine = arch_machine(true, &thread);
	assert_int_equal(machine.elf_machine, EM_386);
	assert_int_equal(machine.elf_class, ELFCLASS32);

	static char xsave[4096];
	uint64_t features = 0x2e7;
	memcpy(xsave + 464, &features, sizeof(features));
	thread.n_regsets = 2;
	thread.regsets[1] = (struct snap_regset){ NT_X86_XSTATE, 2696, 472, xsave };
	assert_int_equal(arch_machine(false, &thread).xfeatures, 0x2e7);
	thread.regsets[1].stored = 471; // the zeros behind were not stored
	assert_int_equal(arch_machine(false, &thread).xfeatures, 0);
	thread.regsets[1].stored = 0;
	thread.regsets[1].data = NULL;
	assert_int_equal(arch_machine(false, &thread).xfeatures, 0);
}

// -- of a real thread ---------------------------------------------------------------------------

static int stop_self(void *userdata _unused_)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return EXIT_SKIP;
	(void)raise(SIGSTOP);
	return 0;
}

static void test_collect(void **state _unused_)
{
	pid_t pid = test_fork(stop_self, NULL);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		skip_test("ptrace is not permitted");
	struct arch_regs regs;
	struct snap_thread thread = { 0 };
	assert_int_equal(arch_get_regs(pid, &regs), 0);
	assert_false(arch_regs_compat(&regs));
	struct user_regs_struct r, direct;
	memcpy(&r, regs.words, sizeof(r));
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &direct), 0);
	assert_memory_equal(&r, &direct, sizeof(r));
	assert_int_equal(arch_collect_regsets(pid, &regs, &thread), 0);
	assert_int_equal(thread.regsets[0].type, NT_PRSTATUS);
	assert_memory_equal(thread.regsets[0].data, &direct, sizeof(direct));
	assert_int_equal(thread.regsets[1].type, NT_FPREGSET);
	assert_int_equal(thread.regsets[1].size, sizeof(struct user_fpregs_struct));
	// What was cut off really is zero, and nothing else.
	for (unsigned int i = 1; i < thread.n_regsets; i++) {
		static char whole[65536];
		const struct snap_regset *set = &thread.regsets[i];
		struct iovec iov = { whole, sizeof(whole) };
		assert_int_equal(ptrace(PTRACE_GETREGSET, pid, set->type, &iov), 0);
		assert_int_equal(iov.iov_len, set->size);
		assert_memory_equal(whole, set->data, set->stored);
		for (size_t j = set->stored; j < set->size; j++)
			assert_int_equal(whole[j], 0);
		for (unsigned int j = 0; j < i; j++)
			assert_int_not_equal(set->type, thread.regsets[j].type);
	}
	struct arch_regs changed = regs;
	r.r15 = 0x1122334455667788;
	memcpy(changed.words, &r, sizeof(r));
	assert_int_equal(arch_set_regs(pid, &changed), 0);
	assert_int_equal(arch_get_regs(pid, &changed), 0);
	memcpy(&r, changed.words, sizeof(r));
	assert_int_equal(r.r15, 0x1122334455667788);
	assert_int_equal(arch_set_regs(pid, &regs), 0);
	free((void *)(uintptr_t)thread.regsets[0].data);
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	assert_int_equal(test_wait(pid), 0);
	assert_int_equal(arch_get_regs(pid, &regs), -ESRCH);
	assert_int_equal(arch_set_regs(pid, &regs), -ESRCH);
	assert_int_equal(arch_collect_regsets(pid, &regs, &thread), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rewind64),	   cmocka_unit_test(test_rewind_int80),
		cmocka_unit_test(test_rewind32),	   cmocka_unit_test(test_never_rewound),
		cmocka_unit_test(test_lists),		   cmocka_unit_test(test_compat),
		cmocka_unit_test(test_widen),
		cmocka_unit_test(test_widen_outside_call),
		cmocka_unit_test(test_from_syscall),	   cmocka_unit_test(test_machine),
		cmocka_unit_test(test_collect),
	};
	return cmocka_run_group_tests_name("arch", tests, NULL, NULL);
}
#else
int main(void)
{
	printf("skipped: registers of this architecture\n");
	return EXIT_SKIP;
}
#endif
