/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unwind.h"

/**
 * DOC: All goroutines
 *
 * One pass over the runtime's list: who there is, what each waits for, and its stack. Stacks are
 * kept once, however many goroutines stand there, so a million goroutines need about 100 MB.
 */

enum go_status { // src/runtime/runtime2.go
	GO_IDLE = 0,
	GO_RUNNABLE = 1,
	GO_RUNNING = 2,
	GO_SYSCALL = 3,
	GO_WAITING = 4,
	GO_DEAD = 6,
	GO_COPYSTACK = 8,
	GO_PREEMPTED = 9,
	GO_LEAKED = 10, ///< ≥ 1.26
	GO_DEADEXTRA = 11, ///< ≥ 1.26: of a thread that C made, while it is in C
};

enum go_goroutine_flags {
	GO_G_SYSTEM = 1U << 0, ///< the runtime's own
	GO_G_SCAN = 1U << 1, ///< the garbage collector was looking at its stack
	GO_G_LOCKED = 1U << 2, ///< to its thread
};

struct go_goroutine {
	uint64_t addr, id;
	uint64_t wait_since; ///< runtime clock, 0: blocked since the last garbage collection
	uint64_t object; ///< what it is blocked on, 0 when unknown or several
	uint64_t labels; ///< address of its profiler labels, or 0
	uint32_t stack; ///< index into stacks
	uint8_t status, reason, flags;
};

/// A stack that some goroutines have in common.
struct go_stack_class {
	uint64_t first; ///< index of its first pc in pcs, which are those of the first goroutine
	uint32_t n; ///< pcs
	uint32_t count; ///< goroutines
	uint64_t created_at; ///< pc of the go statement of the first one
	enum go_stop stop;
};

/// A thread of the runtime (an M).
struct go_thread {
	uint64_t addr;
	int64_t id;
	int32_t procid; ///< as gettid() says in the process
	int32_t tid; ///< in the core; 0 when it has no such thread
	uint64_t curg, p, lockedg; ///< addresses, 0 for none
	struct go_regs regs;
	bool has_regs, in_cgo;
};

/// How many goroutines stand in the two queues of a channel.
struct go_queues {
	uint32_t receivers, senders;
};

struct go_goroutines {
	struct go_runtime *rt; ///< borrowed
	struct go_goroutine *list;
	size_t n, max;
	struct go_stack_class *stacks;
	size_t n_stacks, max_stacks;
	uint64_t *pcs; ///< of all stacks, one after the other, see go_tagged_pc
	size_t n_pcs, max_pcs;
	struct go_thread *threads;
	size_t n_threads;
	struct map semaphore_of; ///< by address of a goroutine: index into semaphores, ≤ 1.25
	uint64_t *semaphores; ///< addresses
	size_t n_semaphores;
	struct map channel_at; ///< by address: index into channels
	struct go_queues *channels; ///< what is known of channels' queues
	size_t n_channels;
	const char *reasons[256]; ///< texts that were looked up; NULL: not yet
	uint64_t now; ///< of the runtime's clock at the snapshot; 0 when unknown
	bool now_exact; ///< told by the core, not estimated
	uint64_t damaged; ///< entries of the list that are no goroutines
	uint64_t unread; ///< entries that are not in the core
	uint64_t dropped; ///< entries beyond the limit
};

/// A frame in eight bytes: a pc with bits above it. Linux gives no process addresses of more than
/// 56 bits (Documentation/arch/x86/x86_64/5level-paging.rst).
enum go_tagged_pc {
	GO_PC_BITS = 57,
	GO_PC_GUESSED = 57, ///< GO_FRAME_GUESSED
	GO_PC_GAP = 58, ///< enum go_gap, three bits
	GO_PC_SIGNAL = 61, ///< GO_FRAME_SIGNAL of a native frame
	GO_PC_NATIVE = 62, ///< GO_FRAME_NATIVE
	GO_PC_TRAP = 63, ///< GO_FRAME_TRAP
};

/// A frame as far as a stack's pcs tell. Its func is NULL when there is none.
struct go_frame go_frame_of_pc(struct go_goroutines *gs, uint64_t tagged);

/// Reads them all.
struct snap_error *go_goroutines_read(struct go_runtime *rt,
				      struct go_goroutines *ret) _must_check_;
void go_goroutines_deinit(struct go_goroutines *gs);

/// Walks the stack of one again, for its frames' addresses. -ENOMEM.
int go_goroutine_walk(struct go_goroutines *gs, const struct go_goroutine *g,
		      struct go_stack *stack);
/// The text of its status, or of what it waits for, as the runtime prints it. Borrowed.
const char *go_goroutine_state(struct go_goroutines *gs, const struct go_goroutine *g);
/// The status alone: "waiting".
const char *go_status_name(uint8_t status);
/// How long it has been blocked at least, in ns; -1 when the runtime does not know.
int64_t go_goroutine_wait_ns(const struct go_goroutines *gs, const struct go_goroutine *g);
/// The thread that runs goroutine @addr; NULL for none.
const struct go_thread *go_thread_of(const struct go_goroutines *gs, uint64_t m);
