/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/snapshot.h"
#include "procfs.h"

/**
 * DOC: What differs between architectures in the capture
 *
 * One file per architecture, arch_<isa>.c, implements these. All of them are called by the tracer
 * thread; those that take a tid need it to be stopped.
 */

/// General registers of one thread: user_regs_struct or its 32-bit form.
struct arch_regs {
	size_t size; ///< tells the two apart
	uint64_t words[34]; ///< room for arm64's 34; x86-64 has 27
};

/// Reads the general registers. Negative errno; -ESRCH when the thread is gone.
int arch_get_regs(pid_t tid, struct arch_regs *ret);
int arch_set_regs(pid_t tid, const struct arch_regs *regs);
/// True when these registers are those of a 32-bit thread of a 64-bit kernel.
bool arch_regs_compat(const struct arch_regs *regs);

/**
 * Fills @thread's regsets: NT_PRSTATUS from @regs, and what else the CPU has.
 *
 * The data is one malloc'ed block, owned by the first regset. Negative errno.
 */
int arch_collect_regsets(pid_t tid, const struct arch_regs *regs, struct snap_thread *thread);
/// General registers as far as /proc/TID/syscall tells them; the rest is 0.
void arch_regs_from_syscall(const struct procfs_syscall *sc, bool compat, struct arch_regs *ret);

/// Gives a thread of a 64-bit process that runs 32-bit code the registers of a 64-bit one. -ENOMEM.
int arch_widen_regset(struct snap_thread *thread);

/**
 * Registers with which an interrupted system call that would return EINTR is made again instead.
 *
 * The kernel restarts most system calls by itself after a stop, but some return EINTR to a process
 * that had no signal (signal(7), "Interruption of system calls and library functions by stop
 * signals"). Their return value is replaced by the one with which the others ask for a restart
 * unless a handler runs (ERESTARTNOHAND). So the kernel decides when the thread goes on: a signal
 * that is due by then is handled, and the call returns EINTR as it must. Only calls known to have
 * done nothing when they return EINTR are treated so: close() is not. @peek reads target memory, to
 * see that a system call instruction really stands before the program counter; it returns the
 * number of bytes read.
 *
 * Returns true and @ret when there is something to do.
 */
bool arch_rewind_syscall(const struct arch_regs *regs,
			 ssize_t (*peek)(void *userdata, uint64_t addr, void *buf, size_t len),
			 void *userdata, struct arch_regs *ret);

/**
 * DOC: Code that a thread of the process runs for us
 *
 * A thunk makes a thread do one system call, and go on where it was. It finishes alone: when the
 * worker is killed at any moment, the thread has either its own registers, or those with which the
 * thunk ends by giving it its own. It changes no flags and no memory and does not use the stack, so
 * a signal that comes meanwhile is handled on the thread's own stack as always. It lies in the
 * zeros behind the end of the vDSO's image, which no other thread executes.
 */
enum { ARCH_THUNK_BYTES = 128 };

enum arch_thunk_kind {
	/// The call opens a descriptor, for us to take with pidfd_getfd(); then it is closed.
	ARCH_THUNK_OPEN,
	ARCH_THUNK_CALL, ///< nothing more; the only one with several arguments
	ARCH_THUNK_FORK, ///< the call returns twice: whoever gets 0 ends at once, with FORK_STATUS
};
enum { ARCH_THUNK_FORK_STATUS = 93 };

/// A system call, and what is done with what it returns.
struct arch_call {
	enum arch_thunk_kind kind;
	uint64_t nr, arg, arg2, arg3, arg4;
};

/// Can a thread with these registers be given others? Not one in 32-bit code or with segments of
/// its own.
bool arch_can_inject(const struct arch_regs *regs);
/// Is it in a system call? Not when it was stopped between two instructions of its own.
bool arch_in_syscall(const struct arch_regs *regs);
/// The program counter.
uint64_t arch_pc(const struct arch_regs *regs);
/// The stack pointer.
uint64_t arch_sp(const struct arch_regs *regs);
/**
 * Makes the thunk for a thread that has @home, its own registers, with @call, to be put at @addr.
 *
 * @ret_entry are the registers with which it begins. The system call that the thread was in is made
 * again by the thunk when it is left to itself, as the kernel would have done.
 */
void arch_thunk(const struct arch_regs *home, uint64_t addr, const struct arch_call *call,
		uint8_t code[ARCH_THUNK_BYTES], struct arch_regs *ret_entry);
/**
 * Are these bytes a thunk, or one that was written word by word from its beginning, or erased from
 * its end, and not all of it? One whose worker was killed stays where it was.
 */
bool arch_is_thunk(const uint8_t code[ARCH_THUNK_BYTES]);
/// The registers with which a thread that has @home does @call, whose instruction lies at @addr.
void arch_enter_call(const struct arch_regs *home, uint64_t addr, const struct arch_call *call,
		     struct arch_regs *ret);
/// What the system call returned, negative errno included, of a thread at the end of it.
int64_t arch_result(const struct arch_regs *regs);
/// The seccomp_data of @call in a thunk at @addr, of a thread that has @home.
void arch_seccomp_data(const struct arch_regs *home, uint64_t addr, const struct arch_call *call,
		       struct seccomp_data *ret);
/// The numbers of the calls that are made for us.
extern const uint64_t arch_nr_userfaultfd, arch_nr_close, arch_nr_clone, arch_nr_exit_group,
	arch_nr_wait4, arch_nr_close_range, arch_nr_prctl;

/// ELF machine and class for a process whose threads have @regs, and the vector features.
struct snap_machine arch_machine(bool compat, const struct snap_thread *thread);
