// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tracee.h"

#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/compat.h"

/// Reaps it if it has ended, else tells in @si how it stopped, si_pid 0 when it has not.
static bool reap_or_look(pid_t tid, siginfo_t *si)
{
	// Also without WSTOPPED, wait calls see the stops of tracees, and consume them
	// (kernel/exit.c wait_task_stopped()). So look first, and take only what is an end.
	*si = (siginfo_t){ 0 };
	if (waitid(P_PID, (id_t)tid, si, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0)
		return true; // ECHILD: reaped already, or never ours
	if (!si->si_pid || (si->si_code != CLD_EXITED && si->si_code != CLD_KILLED &&
			    si->si_code != CLD_DUMPED))
		return false;
	// Its real parent, if it has one, still gets to see it: this only ends the tracing.
	siginfo_t end;
	(void)waitid(P_PID, (id_t)tid, &end, WEXITED | WNOHANG | __WALL);
	return true;
}

bool tracee_reap_ended(pid_t tid)
{
	siginfo_t si;
	return reap_or_look(tid, &si);
}

void tracee_poll(struct tracee *t)
{
	siginfo_t si;
	if (reap_or_look(t->tid, &si)) {
		t->state = TRACEE_GONE;
		return;
	}
	if (!si.si_pid)
		return;
	t->state = TRACEE_STOPPED;
	t->stop = si.si_status;
	// With an event above it, the signal is part of the event, and with bit 7 it says that a
	// system call begins or ends; without either, it is to be delivered.
	t->signal = si.si_status >> 8 || si.si_status & 0x80 ? 0 : si.si_status & 0x7f;
}

void tracee_release(struct tracee *t)
{
	// Fails only for a thread that was killed, and that needs nothing from us.
	(void)ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)t->signal);
	t->state = TRACEE_GONE;
}

void tracee_expel(struct tracee *t)
{
	enum { TRIES = 1000, TRY_NS = 100000 }; // what does not stop stays attached until we end
	(void)ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
	for (int i = 0; i < TRIES && t->state != TRACEE_STOPPED && t->state != TRACEE_GONE; i++) {
		tracee_poll(t);
		snap_sleep_ns(TRY_NS);
	}
	if (t->state == TRACEE_STOPPED)
		tracee_release(t);
	t->state = TRACEE_GONE;
}

static ssize_t peek_memory(void *userdata, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	return process_vm_readv(*(const pid_t *)userdata, &local, 1, &remote, 1, 0);
}

/// struct ptrace_peeksiginfo_args, under a name that cannot clash with two libc's headers.
struct peeksiginfo_args {
	uint64_t off;
	uint32_t flags; ///< 1: the queue of the whole process
	int32_t nr;
};

uint64_t tracee_queued_signals(pid_t tid)
{
	siginfo_t si[16];
	uint64_t mask = 0;
	struct peeksiginfo_args args = { .nr = ARRAY_SIZE(si) };
	for (;;) {
		long n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, si);
		for (long i = 0; i < n; i++)
			if (si[i].si_signo >= 1 && si[i].si_signo <= 64)
				mask |= 1ULL << (si[i].si_signo - 1);
		if (n < (long)ARRAY_SIZE(si))
			return mask;
		args.off += ARRAY_SIZE(si);
	}
}

void tracee_rewind(struct tracee *t)
{
	struct arch_regs regs;
	if (t->regs_known || arch_get_regs(t->tid, &t->regs) < 0)
		return;
	t->regs_known = true;
	// A job-stopped thread would have got its EINTR from the stop signal anyway.
	if (t->stat.state == 'T')
		return;
	if (arch_rewind_syscall(&t->regs, peek_memory, &t->tid, &regs))
		(void)arch_set_regs(t->tid, &regs); // fails only for a thread that was killed
}
