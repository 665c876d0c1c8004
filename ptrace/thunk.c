// SPDX-License-Identifier: LGPL-2.1-or-later
#include "thunk.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>

#include "common/clock.h"
#include "common/compat.h"
#include "common/fd.h"
#include "seccomp.h"

enum {
	POLL_NS = 200 * 1000,
	// A thread stops when it has a CPU: at once, or on a machine with ten times the work it can
	// do after some tenths of a second.
	STOP_NS = 500 * 1000 * 1000,
	AUXV_MAX = 65536,
};
static_assert(THUNK_SYSCALL_STOP == (SIGTRAP | 0x80) && PTRACE_EVENT_STOP == 128 &&
		      THUNK_EVENT_STOP == (SIGTRAP | PTRACE_EVENT_STOP << 8) &&
		      THUNK_CLONE_STOP == (SIGTRAP | PTRACE_EVENT_CLONE << 8),
	      "stops");

const char thunk_signal_due[] = "a signal is about to be delivered";

/// The room behind the image of the vDSO ends with its mapping.
uint64_t thunk_room(const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_mappings; i++) {
		const struct snap_mapping *map = &snap->mappings[i];
		if (map->flags & SNAP_MAP_SPECIAL && map->flags & SNAP_MAP_EXEC &&
		    !strcmp(snap_mapping_name(snap, map), "[vdso]"))
			return map->end;
	}
	return 0;
}

bool thunk_wait(struct tracee *t, uint64_t patience_ns)
{
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	uint64_t begin = snap_now_ns(), most = patience_ns ? patience_ns : STOP_NS;
	t->state = TRACEE_INTERRUPTED;
	for (;;) {
		tracee_poll(t);
		if (t->state != TRACEE_INTERRUPTED || snap_now_ns() - begin > most)
			return t->state == TRACEE_STOPPED;
		struct timespec ts = { .tv_nsec = POLL_NS };
		(void)sigtimedwait(&chld, NULL, &ts);
	}
}

/// A tracee stops also for signals that it ignores.
static bool is_ignored(const struct thunk *thunk)
{
	int signal = thunk->tracee->signal;
	return signal >= 1 && signal <= 64 && thunk->ignored >> (signal - 1) & 1;
}

bool thunk_run_to(struct thunk *thunk, int request, int wanted)
{
	struct tracee *t = thunk->tracee;
	do {
		t->signal = 0;
		if (ptrace((enum __ptrace_request)request, t->tid, NULL, NULL) < 0 ||
		    !thunk_wait(t, thunk->patience_ns))
			return false;
	} while (t->stop != wanted && is_ignored(thunk));
	return t->stop == wanted;
}

static bool peek_word(pid_t tid, uint64_t addr, uint64_t *ret)
{
	errno = 0;
	*ret = (uint64_t)ptrace(PTRACE_PEEKDATA, tid, (void *)(uintptr_t)addr, NULL);
	return !errno;
}

bool thunk_poke(pid_t tid, uint64_t addr, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, bytes + i, sizeof(word));
		if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(addr + i),
			   (void *)(uintptr_t)word) < 0)
			return false;
	}
	return true;
}

// The other way round, so that what is left of a thunk always begins like one.
bool thunk_erase(pid_t tid, uint64_t addr)
{
	for (size_t i = ARCH_THUNK_BYTES; i > 0; i -= sizeof(uint64_t))
		if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(addr + i - sizeof(uint64_t)),
			   NULL) < 0)
			return false;
	return true;
}

enum cave { CAVE_FREE, CAVE_THUNK, CAVE_OTHER };

static enum cave look_into(pid_t tid, uint64_t addr)
{
	static const uint8_t nothing[ARCH_THUNK_BYTES];
	uint8_t code[ARCH_THUNK_BYTES];
	for (size_t i = 0; i < sizeof(code); i += sizeof(uint64_t)) {
		uint64_t word;
		if (!peek_word(tid, addr + i, &word))
			return CAVE_OTHER;
		memcpy(code + i, &word, sizeof(word));
	}
	return !memcmp(code, nothing, sizeof(code)) ? CAVE_FREE :
	       arch_is_thunk(code)		    ? CAVE_THUNK :
						      CAVE_OTHER;
}

/**
 * Finds a place for a thunk. Returns 0 when there is none.
 *
 * A thunk that was left may still be needed: by a thread that a signal interrupted in it, and whose
 * handler has not come back yet. So it is only replaced when there is no room elsewhere.
 */
static uint64_t find_place(pid_t tid, uint64_t end)
{
	enum cave last = CAVE_OTHER;
	for (uint64_t i = 1; i <= THUNK_PLACES; i++) {
		enum cave found = look_into(tid, end - i * ARCH_THUNK_BYTES);
		if (found == CAVE_FREE)
			return end - i * ARCH_THUNK_BYTES;
		if (found == CAVE_OTHER)
			break;
		last = found;
	}
	return last == CAVE_THUNK ? end - ARCH_THUNK_BYTES : 0;
}

/// struct ptrace_rseq_configuration, which glibc 2.36 does not declare.
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};

/// struct ptrace_sud_config.
struct sud_config {
	uint64_t mode, selector, offset, len;
};

/// Is the thread, stopped outside of a system call, in the middle of a restartable sequence?
static bool in_rseq(pid_t tid, uint64_t pc)
{
	struct rseq_configuration conf;
	if (ptrace((enum __ptrace_request)PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(conf),
		   &conf) < 0)
		return errno != EIO; // EIO: a kernel without; it has none to ask about
	uint64_t descriptor, start, length;
	if (!conf.pointer)
		return false;
	// struct rseq has the address of a struct rseq_cs at 8, which has start_ip at 8 and
	// post_commit_offset at 16 (include/uapi/linux/rseq.h).
	if (!peek_word(tid, conf.pointer + 8, &descriptor))
		return true;
	if (!descriptor)
		return false;
	if (!peek_word(tid, descriptor + 8, &start) || !peek_word(tid, descriptor + 16, &length))
		return true;
	return pc - start < length;
}

/// Do its seccomp filters let it make the calls of a thunk?
static int ask_filters(const struct thunk *thunk)
{
	// Of what is closed the number is not known; of nothing, when it was refused.
	const struct arch_call closing[] = { { .nr = arch_nr_close },
					     { .nr = arch_nr_close, .arg = (uint32_t)-EPERM } };
	const struct arch_call ending = { .nr = arch_nr_exit_group,
					  .arg = ARCH_THUNK_FORK_STATUS };
	const struct arch_call *calls[3] = { thunk->call };
	size_t n = 1;
	if (thunk->call->kind == ARCH_THUNK_OPEN) {
		calls[n++] = &closing[0];
		calls[n++] = &closing[1];
	} else if (thunk->call->kind == ARCH_THUNK_FORK) {
		calls[n++] = &ending;
	}
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct seccomp_data data;
		arch_seccomp_data(&thunk->home, thunk->cave, calls[i], &data);
		r = seccomp_ask(thunk->tracee->tid, &data);
	}
	return r;
}

/// Is it still the program it was? The vector has addresses that are random for each execve().
static bool same_program(int procfd, pid_t tid, const struct snapshot *snap)
{
	_cleanup_free_ char *auxv = NULL;
	char path[32];
	(void)snprintf(path, sizeof(path), "task/%d/auxv", tid); // the leader may have ended
	ssize_t n = snap_read_file_at(procfd, path, AUXV_MAX, &auxv);
	return n > 0 && (size_t)n == snap->process.auxv_size &&
	       !memcmp(auxv, snap->process.auxv, (size_t)n);
}

bool thunk_suits(struct thunk *thunk, int procfd, const struct snapshot *snap, bool filtered)
{
	struct tracee *t = thunk->tracee;
	struct sud_config sud;
	if (t->stop != THUNK_EVENT_STOP || t->signal) {
		thunk->why = thunk_signal_due;
		return false;
	}
	// From here on the thread has what it will go on with, should we end at any moment.
	tracee_rewind(t);
	if (!t->regs_known || arch_get_regs(t->tid, &thunk->home) < 0) {
		thunk->why = "its registers cannot be read";
		return false;
	}
	if (!arch_can_inject(&thunk->home)) {
		thunk->why = "it runs 32-bit code";
		return false;
	}
	if (!arch_in_syscall(&thunk->home) && in_rseq(t->tid, arch_pc(&thunk->home))) {
		thunk->why = "it is in a restartable sequence";
		return false;
	}
	if (ptrace((enum __ptrace_request)PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, t->tid,
		   sizeof(sud), &sud) == 0 &&
	    sud.mode) {
		thunk->why = "it dispatches its system calls itself";
		return false;
	}
	if (!same_program(procfd, t->tid, snap)) {
		thunk->why = "it is another program by now";
		return false;
	}
	thunk->cave = find_place(t->tid, thunk->room);
	if (!thunk->cave) {
		thunk->why = "its vDSO has no room";
		return false;
	}
	if (filtered && ask_filters(thunk) < 0) {
		thunk->why = "a seccomp filter might kill it for that call";
		return false;
	}
	return true;
}

bool thunk_begin(struct thunk *thunk)
{
	struct tracee *t = thunk->tracee;
	uint8_t code[ARCH_THUNK_BYTES];
	struct arch_regs regs;
	arch_thunk(&thunk->home, thunk->cave, thunk->call, code, &regs);
	if (!thunk_poke(t->tid, thunk->cave, code, sizeof(code))) {
		thunk->why = "its vDSO cannot be written to";
		(void)thunk_erase(t->tid, thunk->cave);
		return false;
	}
	thunk->why = "it was interrupted";
	if (arch_set_regs(t->tid, &regs) < 0)
		return false;
	thunk->left = true;
	if (thunk_run_to(thunk, PTRACE_SYSCALL, THUNK_SYSCALL_STOP))
		return true;
	// It has done nothing yet, and gets its signal as if we had not been there.
	if (t->state == TRACEE_STOPPED && arch_set_regs(t->tid, &thunk->home) == 0)
		thunk->left = !thunk_erase(t->tid, thunk->cave);
	return false;
}

bool thunk_do(struct thunk *thunk, int64_t *ret_result)
{
	struct arch_regs regs;
	if (!thunk_run_to(thunk, PTRACE_SYSCALL, THUNK_SYSCALL_STOP) ||
	    arch_get_regs(thunk->tracee->tid, &regs) < 0)
		return false;
	*ret_result = arch_result(&regs);
	return true;
}

bool thunk_finish(struct thunk *thunk)
{
	struct tracee *t = thunk->tracee;
	// With the interrupt the thread stops once more on its way out, where the kernel looks
	// whether a system call is to be made again.
	if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0 ||
	    !thunk_run_to(thunk, PTRACE_CONT, THUNK_EVENT_STOP))
		return false;
	if (arch_set_regs(t->tid, &thunk->home) < 0)
		return false;
	thunk->left = !thunk_erase(t->tid, thunk->cave);
	return true;
}
