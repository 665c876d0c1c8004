// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arch.h"

#include <asm/unistd.h>
#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "common/compat.h"

/**
 * DOC: x86 register sets
 *
 * PTRACE_GETREGSET gives a thread's own view: 27 words of 8 bytes for a 64-bit thread, 17 of 4 for
 * one that runs in 32-bit mode (arch/x86/kernel/ptrace.c task_user_regset_view()). A process is
 * 64-bit or 32-bit, but one thread of a 64-bit process may be in 32-bit code at the moment it is
 * stopped; its registers are widened, as the core has one class.
 */

enum {
	// include/linux/errno.h: what asks the kernel to make a system call again.
	// ERESTARTNOHAND: but if a handler runs first it is EINTR
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
	REGS64_SIZE = 27 * 8,
	REGS32_SIZE = 17 * 4,
	FXSAVE_SIZE = 512,
	XSTATE_MAX = 16384, // AMX needs 11 KiB
	XSTATE_XCR0_OFFSET = 464, // sw_reserved of the legacy area, struct _fpx_sw_bytes
};

static_assert(sizeof(struct user_regs_struct) == REGS64_SIZE, "user_regs_struct");
static_assert(sizeof(struct arch_regs) - offsetof(struct arch_regs, words) >= REGS64_SIZE, "room");

/// user_regs_struct of a 32-bit thread, arch/x86/include/asm/user_32.h.
struct regs32 {
	uint32_t bx, cx, dx, si, di, bp, ax, ds, es, fs, gs, orig_ax, ip, cs, flags, sp, ss;
};
static_assert(sizeof(struct regs32) == REGS32_SIZE, "regs32");

static int get_regset(pid_t tid, uint32_t type, void *buf, size_t *size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = *size };
	if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)type, &iov) < 0)
		return -errno;
	*size = iov.iov_len;
	return 0;
}

int arch_get_regs(pid_t tid, struct arch_regs *ret)
{
	struct arch_regs regs = { .size = sizeof(regs.words) };
	int r = get_regset(tid, NT_PRSTATUS, regs.words, &regs.size);
	if (r < 0)
		return r;
	if (regs.size != REGS64_SIZE && regs.size != REGS32_SIZE)
		return -EPROTO;
	*ret = regs;
	return 0;
}

int arch_set_regs(pid_t tid, const struct arch_regs *regs)
{
	struct iovec iov = { .iov_base = (void *)regs->words, .iov_len = regs->size };
	return ptrace(PTRACE_SETREGSET, tid, (void *)(uintptr_t)NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

bool arch_regs_compat(const struct arch_regs *regs)
{
	return regs->size == REGS32_SIZE;
}

/// The register sets beside the general ones, tried in this order: the kernel's order in a core.
static const uint32_t regset_types[] = {
	NT_FPREGSET, NT_PRXFPREG, NT_X86_XSTATE, NT_X86_SHSTK, NT_386_TLS,
};

static bool regset_wanted(uint32_t type, bool compat)
{
	if (type == NT_PRXFPREG || type == NT_386_TLS)
		return compat;
	return true;
}

/// The length of @data without the words of zeros at its end.
static uint32_t without_zeros(const char *data, size_t len)
{
	uint64_t word = 0;
	while (len >= sizeof(word)) {
		memcpy(&word, data + len - sizeof(word), sizeof(word));
		if (word)
			break;
		len -= sizeof(word);
	}
	return (uint32_t)len;
}

int arch_collect_regsets(pid_t tid, const struct arch_regs *regs, struct snap_thread *thread)
{
	// The tracer thread is the only caller, so one buffer will do.
	static _Alignas(64) char buf[sizeof(regs->words) + 2 * FXSAVE_SIZE + XSTATE_MAX + 256];
	const uint32_t head = (uint32_t)regs->size;
	size_t used = head, offsets[SNAP_REGSETS_MAX] = { 0 };
	struct snap_regset sets[SNAP_REGSETS_MAX] = {
		{ .type = NT_PRSTATUS, .size = head, .stored = head },
	};
	unsigned int n = 1;

	memcpy(buf, regs->words, regs->size);
	for (size_t i = 0; i < ARRAY_SIZE(regset_types); i++) {
		if (!regset_wanted(regset_types[i], arch_regs_compat(regs)))
			continue;
		size_t size = sizeof(buf) - used;
		int r = get_regset(tid, regset_types[i], buf + used, &size);
		if (r == -ESRCH)
			return r;
		// Others: this CPU or this thread has no such set (shadow stack off: ENODEV).
		if (r < 0 || !size)
			continue;
		sets[n] = (struct snap_regset){ .type = regset_types[i],
						.size = (uint32_t)size,
						.stored = without_zeros(buf + used, size) };
		offsets[n] = used;
		used += sets[n++].stored;
	}

	char *block = malloc(used);
	if (!block)
		return -ENOMEM;
	memcpy(block, buf, used);
	for (unsigned int i = 0; i < n; i++) {
		sets[i].data = block + offsets[i];
		thread->regsets[i] = sets[i];
	}
	thread->n_regsets = n;
	return 0;
}

void arch_regs_from_syscall(const struct procfs_syscall *sc, bool compat, struct arch_regs *ret)
{
	if (compat) {
		struct regs32 regs = {
			.bx = (uint32_t)sc->args[0],
			.cx = (uint32_t)sc->args[1],
			.dx = (uint32_t)sc->args[2],
			.si = (uint32_t)sc->args[3],
			.di = (uint32_t)sc->args[4],
			.bp = (uint32_t)sc->args[5],
			.orig_ax = (uint32_t)sc->nr,
			.ax = (uint32_t)-ENOSYS, // what the kernel keeps there during a call
			.ip = (uint32_t)sc->pc,
			.sp = (uint32_t)sc->sp,
		};
		*ret = (struct arch_regs){ .size = sizeof(regs) };
		memcpy(ret->words, &regs, sizeof(regs));
		return;
	}
	struct user_regs_struct regs = {
		.rdi = sc->args[0],
		.rsi = sc->args[1],
		.rdx = sc->args[2],
		.r10 = sc->args[3],
		.r8 = sc->args[4],
		.r9 = sc->args[5],
		.orig_rax = (uint64_t)sc->nr,
		.rax = (uint64_t)-ENOSYS,
		.rip = sc->pc,
		.rsp = sc->sp,
	};
	*ret = (struct arch_regs){ .size = sizeof(regs) };
	memcpy(ret->words, &regs, sizeof(regs));
}

int arch_widen_regset(struct snap_thread *thread)
{
	struct snap_regset *set = &thread->regsets[0];
	struct regs32 r;
	if (!thread->n_regsets || set->size != sizeof(r))
		return 0;
	memcpy(&r, set->data, sizeof(r));
	struct user_regs_struct wide = {
		.rbx = r.bx, .rcx = r.cx, .rdx = r.dx, .rsi = r.si, .rdi = r.di, .rbp = r.bp,
		.rax = r.ax, .rip = r.ip, .rsp = r.sp,
		.eflags = r.flags, .cs = r.cs, .ss = r.ss, .ds = r.ds, .es = r.es, .fs = r.fs,
		.gs = r.gs,
	};
	wide.orig_rax = (int32_t)r.orig_ax < 0 ? UINT64_MAX : r.orig_ax;
	// The block of regset 0 holds the other sets too, so it stays and the new set gets its own.
	struct snap_thread out = *thread;
	size_t total = sizeof(wide);
	for (unsigned int i = 1; i < thread->n_regsets; i++)
		total += thread->regsets[i].stored;
	char *block = malloc(total);
	if (!block)
		return -ENOMEM;
	memcpy(block, &wide, sizeof(wide));
	size_t pos = sizeof(wide);
	out.regsets[0] = (struct snap_regset){
		.type = NT_PRSTATUS, .size = sizeof(wide), .stored = sizeof(wide), .data = block
	};
	out.n_regsets = 1;
	for (unsigned int i = 1; i < thread->n_regsets; i++) {
		struct snap_regset from = thread->regsets[i];
		if (from.type == NT_386_TLS || from.type == NT_PRXFPREG ||
		    (from.type == NT_FPREGSET && from.size != FXSAVE_SIZE))
			continue; // these have another form, or none, in a 64-bit core
		memcpy(block + pos, from.data, from.stored);
		from.data = block + pos;
		pos += from.stored;
		out.regsets[out.n_regsets++] = from;
	}
	free((void *)set->data);
	*thread = out;
	return 0;
}

// Calls that return EINTR only when they have done nothing, and that the kernel does not restart
// after a stop. connect() counts: making it again waits for the same connection.
static const int rewindable64[] = {
	__NR_epoll_wait,     __NR_epoll_pwait,	 __NR_semop,	  __NR_semtimedop, __NR_msgrcv,
	__NR_msgsnd,	     __NR_rt_sigtimedwait, __NR_io_getevents, __NR_recvfrom, __NR_recvmsg,
	__NR_recvmmsg,	     __NR_accept,	 __NR_accept4,	  __NR_connect,	   __NR_sendto,
	__NR_sendmsg,	     __NR_sendmmsg,	 __NR_read,	  __NR_readv,	   __NR_write,
	__NR_writev,	     __NR_poll,		 __NR_select,	  __NR_ppoll,	   __NR_pselect6,
	__NR_futex,	     __NR_nanosleep,	 __NR_clock_nanosleep, __NR_mq_timedreceive,
	__NR_mq_timedsend,
	333, // io_pgetevents
	426, // io_uring_enter
	441, // epoll_pwait2
};

// arch/x86/entry/syscalls/syscall_32.tbl; <asm/unistd.h> has only the numbers of one ABI.
static const int rewindable32[] = {
	3,   // read
	4,   // write
	82,  // select (old)
	102, // socketcall
	117, // ipc
	142, // _newselect
	145, 146, // readv, writev
	162, // nanosleep
	168, // poll
	177, 421, // rt_sigtimedwait
	240, 422, // futex
	247, // io_getevents
	256, 319, 441, // epoll_wait, epoll_pwait, epoll_pwait2
	267, 407, // clock_nanosleep
	279, 280, 418, 419, // mq_timedsend, mq_timedreceive
	308, 309, 413, 414, // pselect6, ppoll
	337, 417, // recvmmsg
	345, // sendmmsg
	362, 364, 369, 370, 371, 372, // connect, accept4, sendto, sendmsg, recvfrom, recvmsg
	385, 416, // io_pgetevents
	400, 401, // msgsnd, msgrcv
	420, // semtimedop
	426, // io_uring_enter
};

static bool listed(const int *list, size_t n, int64_t nr)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == nr)
			return true;
	return false;
}

enum entry { ENTRY_NONE, ENTRY_64, ENTRY_32 };

/// Through which instruction, standing before @pc, was the system call made?
static enum entry entry_before(uint64_t pc, bool compat,
			       ssize_t (*peek)(void *userdata, uint64_t addr, void *buf,
					       size_t len),
			       void *userdata)
{
	uint8_t op[2];
	if (pc < 2 || peek(userdata, pc - 2, op, 2) != 2)
		return ENTRY_NONE;
	// int $0x80; also what stands behind sysenter in the 32-bit vdso, and the kernel itself
	// restarts a sysenter call there. 64-bit code may use it too, with 32-bit numbers.
	if (op[0] == 0xcd && op[1] == 0x80)
		return ENTRY_32;
	if (op[0] == 0x0f && op[1] == 0x05)
		return compat ? ENTRY_32 : ENTRY_64;
	return ENTRY_NONE;
}

static bool rewindable(enum entry entry, int64_t nr)
{
	switch (entry) {
	case ENTRY_64:
		return listed(rewindable64, ARRAY_SIZE(rewindable64), nr);
	case ENTRY_32:
		return listed(rewindable32, ARRAY_SIZE(rewindable32), nr);
	default:
		return false;
	}
}

bool arch_rewind_syscall(const struct arch_regs *regs,
			 ssize_t (*peek)(void *userdata, uint64_t addr, void *buf, size_t len),
			 void *userdata, struct arch_regs *ret)
{
	struct arch_regs out = *regs;
	if (arch_regs_compat(regs)) {
		struct regs32 r;
		memcpy(&r, regs->words, sizeof(r));
		if ((int32_t)r.ax != -EINTR || (int32_t)r.orig_ax < 0 ||
		    !rewindable(entry_before(r.ip, true, peek, userdata), (int32_t)r.orig_ax))
			return false;
		r.ax = (uint32_t)-ERESTARTNOHAND;
		memcpy(out.words, &r, sizeof(r));
	} else {
		struct user_regs_struct r;
		memcpy(&r, regs->words, sizeof(r));
		if ((int64_t)r.rax != -EINTR || (int64_t)r.orig_rax < 0 ||
		    !rewindable(entry_before(r.rip, false, peek, userdata), (int64_t)r.orig_rax))
			return false;
		r.rax = (uint64_t)-ERESTARTNOHAND;
		memcpy(out.words, &r, sizeof(r));
	}
	*ret = out;
	return true;
}

const uint64_t arch_nr_userfaultfd = __NR_userfaultfd;
const uint64_t arch_nr_close = __NR_close;
const uint64_t arch_nr_clone = __NR_clone;
const uint64_t arch_nr_exit_group = __NR_exit_group;
const uint64_t arch_nr_wait4 = __NR_wait4;
const uint64_t arch_nr_close_range = 436; // Linux 5.9
const uint64_t arch_nr_prctl = __NR_prctl;

/**
 * The thunks. What is loaded at their ends lies behind them; displacements count from the next
 * instruction. Each has its home of as many words as it loads, in the order of struct thunk_home.
 */
static const uint8_t thunk_open[] = {
	0x0f, 0x05,			     // syscall
	0x89, 0xc7,			     // mov %eax,%edi
	0xb8, __NR_close, 0x00, 0x00, 0x00,  // mov $__NR_close,%eax
	0x0f, 0x05,			     // syscall; of a number below 0: EBADF
	0x48, 0x8b, 0x05, 30, 0, 0, 0,	     // mov rax(%rip),%rax
	0x48, 0x8b, 0x0d, 31, 0, 0, 0,	     // mov rcx(%rip),%rcx
	0x48, 0x8b, 0x3d, 32, 0, 0, 0,	     // mov rdi(%rip),%rdi
	0x4c, 0x8b, 0x1d, 33, 0, 0, 0,	     // mov r11(%rip),%r11
	0xff, 0x25, 35, 0, 0, 0,	     // jmp *rip(%rip)
	0x0f, 0x0b, 0x0f,		     // never run; makes the length a multiple of 8
};
static const uint8_t thunk_call[] = {
	0x0f, 0x05,			     // syscall
	0x48, 0x8b, 0x05, 55, 0, 0, 0,	     // mov rax(%rip),%rax
	0x48, 0x8b, 0x0d, 56, 0, 0, 0,	     // mov rcx(%rip),%rcx
	0x48, 0x8b, 0x3d, 57, 0, 0, 0,	     // mov rdi(%rip),%rdi
	0x48, 0x8b, 0x35, 74, 0, 0, 0,	     // mov rsi(%rip),%rsi
	0x48, 0x8b, 0x15, 75, 0, 0, 0,	     // mov rdx(%rip),%rdx
	0x4c, 0x8b, 0x15, 76, 0, 0, 0,	     // mov r10(%rip),%r10
	0x4c, 0x8b, 0x1d, 37, 0, 0, 0,	     // mov r11(%rip),%r11
	0xff, 0x25, 39, 0, 0, 0,	     // jmp *rip(%rip)
	0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, // never run
};
static const uint8_t thunk_fork[] = {
	0x0f, 0x05,			     // syscall
	0x48, 0x89, 0xc1,		     // mov %rax,%rcx
	0xe3, 34,			     // jrcxz to the child's part; leaves the flags alone
	0x48, 0x8b, 0x05, 42, 0, 0, 0,	     // mov rax(%rip),%rax
	0x48, 0x8b, 0x0d, 43, 0, 0, 0,	     // mov rcx(%rip),%rcx
	0x48, 0x8b, 0x3d, 44, 0, 0, 0,	     // mov rdi(%rip),%rdi
	0x4c, 0x8b, 0x1d, 45, 0, 0, 0,	     // mov r11(%rip),%r11
	0xff, 0x25, 47, 0, 0, 0,	     // jmp *rip(%rip)
	0xb8, __NR_exit_group, 0, 0, 0,	     // mov $__NR_exit_group,%eax
	0xbf, ARCH_THUNK_FORK_STATUS, 0, 0, 0, // mov $status,%edi
	0x0f, 0x05,			     // syscall
	0x0f, 0x0b, 0x0f,		     // never run
};
enum { CALL_END = 2, CLOSE_END = 11, EXIT_END = 53 }; // behind their system calls
struct thunk_home {
	uint64_t rax, rcx, rdi, r11, rip; ///< of all
	uint64_t rsi, rdx, r10; ///< of thunk_call
};
static const struct thunk_code {
	const uint8_t *code;
	size_t size, home;
} thunks[] = {
	[ARCH_THUNK_OPEN] = { thunk_open, sizeof(thunk_open), offsetof(struct thunk_home, rsi) },
	[ARCH_THUNK_CALL] = { thunk_call, sizeof(thunk_call), sizeof(struct thunk_home) },
	[ARCH_THUNK_FORK] = { thunk_fork, sizeof(thunk_fork), offsetof(struct thunk_home, rsi) },
};
static_assert(sizeof(thunk_open) == 48 && sizeof(thunk_call) == 64 && sizeof(thunk_fork) == 56,
	      "displacements");
static_assert(sizeof(thunk_call) + sizeof(struct thunk_home) <= ARCH_THUNK_BYTES, "room");

enum { USER_CS = 0x33 }; // __USER_CS, arch/x86/include/asm/segment.h

bool arch_can_inject(const struct arch_regs *regs)
{
	struct user_regs_struct r;
	if (arch_regs_compat(regs))
		return false;
	memcpy(&r, regs->words, sizeof(r));
	return r.cs == USER_CS;
}

bool arch_in_syscall(const struct arch_regs *regs)
{
	struct user_regs_struct r;
	memcpy(&r, regs->words, sizeof(r));
	return (int64_t)r.orig_rax >= 0;
}

uint64_t arch_pc(const struct arch_regs *regs)
{
	struct user_regs_struct r;
	memcpy(&r, regs->words, sizeof(r));
	return r.rip;
}

uint64_t arch_sp(const struct arch_regs *regs)
{
	struct user_regs_struct r;
	memcpy(&r, regs->words, sizeof(r));
	return r.rsp;
}

/// The registers with which a thread makes the system call again that it was in.
static void restart(struct user_regs_struct *r)
{
	int64_t result = -(int64_t)r->rax;
	if ((int64_t)r->orig_rax < 0)
		return;
	if (result == ERESTART_RESTARTBLOCK)
		r->rax = __NR_restart_syscall;
	else if (result == ERESTARTSYS || result == ERESTARTNOINTR || result == ERESTARTNOHAND)
		r->rax = r->orig_rax;
	else
		return;
	r->rip -= 2;
}

void arch_enter_call(const struct arch_regs *home, uint64_t addr, const struct arch_call *call,
		     struct arch_regs *ret)
{
	struct user_regs_struct r;
	memcpy(&r, home->words, sizeof(r));
	r.rip = addr;
	r.rax = call->nr;
	r.rdi = call->arg;
	if (call->kind == ARCH_THUNK_CALL) {
		r.rsi = call->arg2;
		r.rdx = call->arg3;
		r.r10 = call->arg4;
	}
	r.orig_rax = UINT64_MAX; // it is not in a system call that could be made again
	*ret = *home;
	memcpy(ret->words, &r, sizeof(r));
}

void arch_thunk(const struct arch_regs *home, uint64_t addr, const struct arch_call *call,
		uint8_t code[ARCH_THUNK_BYTES], struct arch_regs *ret_entry)
{
	const struct thunk_code *thunk = &thunks[call->kind];
	struct user_regs_struct again;
	memcpy(&again, home->words, sizeof(again));
	restart(&again);
	const struct thunk_home words = { again.rax, again.rcx, again.rdi, again.r11, again.rip,
					  again.rsi, again.rdx, again.r10 };
	memset(code, 0, ARCH_THUNK_BYTES);
	memcpy(code, thunk->code, thunk->size);
	memcpy(code + thunk->size, &words, thunk->home);
	arch_enter_call(home, addr, call, ret_entry);
}

static bool is_thunk(const struct thunk_code *thunk, const uint8_t code[ARCH_THUNK_BYTES])
{
	static const uint8_t nothing[ARCH_THUNK_BYTES];
	const size_t word = sizeof(uint64_t), end = thunk->size + thunk->home;
	for (size_t i = word; i < thunk->size; i += word)
		if (memcmp(code + i, thunk->code + i, word) != 0 &&
		    memcmp(code + i, nothing, word) != 0)
			return false;
	return !memcmp(code, thunk->code, word) &&
	       !memcmp(code + end, nothing, ARCH_THUNK_BYTES - end);
}

bool arch_is_thunk(const uint8_t code[ARCH_THUNK_BYTES])
{
	for (size_t i = 0; i < ARRAY_SIZE(thunks); i++)
		if (is_thunk(&thunks[i], code))
			return true;
	return false;
}

int64_t arch_result(const struct arch_regs *regs)
{
	struct user_regs_struct r;
	memcpy(&r, regs->words, sizeof(r));
	return (int64_t)r.rax;
}

void arch_seccomp_data(const struct arch_regs *home, uint64_t addr, const struct arch_call *call,
		       struct seccomp_data *ret)
{
	struct arch_regs entry;
	struct user_regs_struct r;
	arch_enter_call(home, addr, call, &entry);
	memcpy(&r, entry.words, sizeof(r));
	*ret = (struct seccomp_data){
		.nr = (int)call->nr,
		.arch = AUDIT_ARCH_X86_64,
		.instruction_pointer = addr + (call->nr == __NR_close	   ? CLOSE_END :
					       call->nr == __NR_exit_group ? EXIT_END :
									     CALL_END),
		.args = { r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9 },
	};
}

struct snap_machine arch_machine(bool compat, const struct snap_thread *thread)
{
	struct snap_machine machine = {
		.elf_machine = compat ? EM_386 : EM_X86_64,
		.elf_class = compat ? ELFCLASS32 : ELFCLASS64,
	};
	for (unsigned int i = 0; i < thread->n_regsets; i++) {
		const struct snap_regset *set = &thread->regsets[i];
		if (set->type == NT_X86_XSTATE && set->stored >= XSTATE_XCR0_OFFSET + 8)
			memcpy(&machine.xfeatures, (const char *)set->data + XSTATE_XCR0_OFFSET, 8);
	}
	return machine;
}
