/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

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

/// ELF machine and class for a process whose threads have @regs, and the vector features.
struct snap_machine arch_machine(bool compat, const struct snap_thread *thread);
