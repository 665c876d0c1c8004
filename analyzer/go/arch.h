/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "analyzer/native.h"

/**
 * DOC: Machines
 *
 * All that differs between amd64 and arm64 for a reader of Go programs: where registers are in a
 * core, how calls leave return addresses, how code names global variables, what a signal leaves on
 * the stack. One file each; nothing else of Go knows machines.
 */

/// The registers that matter for walking a stack.
struct go_regs {
	uint64_t pc, sp, lr, fp; ///< lr is 0 where there is no such register
	struct cfi_regs all; ///< for native code
};

/// A signal as siginfo_t has it.
struct go_signal {
	uint32_t number; ///< 0: none
	int32_t code;
	uint64_t addr; ///< of the fault
	uint64_t pc; ///< that was interrupted
};

/// How code uses a word of 4 bytes.
enum go_access_kind {
	GO_ACCESS_LOAD, ///< reads it into a register
	GO_ACCESS_OR, ///< reads it and adds its bits to a register
	GO_ACCESS_STORE, ///< stores into it as Go's atomic.Store does
};

struct go_access {
	enum go_access_kind kind;
	uint64_t pc, addr; ///< of the instruction; of the word
};

struct go_arch {
	uint16_t elf_machine;
	uint8_t quantum; ///< bytes that pcs advance by
	bool link_register; ///< calls leave the return address in a register
	uint8_t cache_line_bytes; ///< what the runtime pads its tables to (internal/cpu)
	uint8_t min_frame_bytes; ///< between a frame's end and the arguments of its caller
	uint8_t callback_saved_sp; ///< where runtime.cgocallback keeps g0.sched.sp, from its own sp
	const struct native_machine *native;

	/// False when the core has too few registers for the thread.
	bool (*thread_regs)(const struct core_thread *thread, struct go_regs *ret);
	/// The address of the g in a register or thread-local storage; 0 when unknown.
	uint64_t (*thread_g)(const struct core_thread *thread, struct memory *mem);
	/// Registers that a signal interrupted, when @sp is what the handler's trampoline returns
	/// to.
	bool (*signal_regs)(struct memory *mem, uint64_t sp, struct go_regs *ret);
	/// Where its siginfo_t is then.
	uint64_t (*signal_info)(uint64_t sp);
	/// C's registers as they were when it called Go: crosscall2 has kept them in its frame from
	/// @sp to @fp. @minor: the version.
	bool (*crosscall_regs)(struct memory *mem, uint64_t sp, uint64_t fp, int minor,
			       struct cfi_regs *ret);
	/**
	 * Lists global addresses that the @len bytes of code at @pc name, into @ret, at most @max.
	 *
	 * Returns how many. They come in the order of the code, with repetitions.
	 */
	size_t (*operands)(const uint8_t *code, size_t len, uint64_t pc, uint64_t *ret, size_t max);
	/**
	 * Lists what the @len bytes of code at @pc, which begin with an instruction, do with words
	 * of 4 bytes in the order of the code; @ret_n of them, at most @max.
	 *
	 * Unlike operands() it finds nothing that is not so: false when an instruction is not known
	 * or there are more. NULL where nobody has written it.
	 */
	bool (*accesses)(const uint8_t *code, size_t len, uint64_t pc, struct go_access *ret,
			 size_t max, size_t *ret_n);
};

extern const struct go_arch go_arch_x86_64, go_arch_aarch64;
/// Reads what interrupted a thread, from where its handler's trampoline returns to.
bool go_signal_read(const struct go_arch *arch, struct memory *mem, uint64_t sp,
		    struct go_signal *ret);
/// The machine of a core; NULL for others.
const struct go_arch *go_arch_of(uint16_t elf_machine);
