/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cfi.h"
#include "image.h"

/**
 * DOC: Stacks of native code
 *
 * Walks frames of C and of all else that compilers have made tables for (cfi.h), in programs, in
 * libraries and in the vDSO. Where there is no table, saved frame pointers are followed if what
 * they lead to looks like a frame in every respect: above the last one and near it, below the next,
 * with a return address behind a call. Such a frame is marked, since functions before it may be
 * missing.
 *
 * Files are opened when a stack leads there, and not before. Not for several threads.
 */
struct native;

enum {
	// An 8 MiB stack of the smallest frames would have more; what they repeat is told by less.
	NATIVE_FRAMES_MAX = 4096,
	// Handlers that interrupt handlers. Each may be on a stack of its own, so that nothing else
	// would end a circle.
	NATIVE_SIGNALS_MAX = 16,
	// Frames that are larger are not believed without a table.
	NATIVE_FRAME_BYTES_MAX = 1 << 20,
};

/// All that differs between machines for native code, beside the numbers of registers.
struct native_machine {
	struct cfi_machine cfi;
	uint16_t elf_machine;
	uint8_t trampoline_bytes;
	uint8_t trampoline[16]; ///< the code that a signal handler returns to
	/// Takes them from NT_PRSTATUS; false when it is too short.
	bool (*thread_regs)(struct span regs, struct cfi_regs *ret);
	/// Takes those that a signal interrupted; @sp is what the trampoline finds.
	bool (*signal_regs)(struct memory *mem, uint64_t sp, struct cfi_regs *ret);
	/// Is @pc right behind a call?
	bool (*after_call)(struct memory *mem, uint64_t pc);
};

extern const struct native_machine native_x86_64, native_aarch64;

/// A place in a stack, and how it goes on from there.
struct native_walk {
	struct cfi_regs regs;
	bool exact; ///< the pc was interrupted; else it is a return address
	bool guessed; ///< by frame pointer
	unsigned int signals;
};

enum native_result {
	NATIVE_CALLER, ///< the walk stands in the caller now
	NATIVE_TOP, ///< the thread began here
	NATIVE_NO_TABLE, ///< nothing says how to go on
	NATIVE_UNREADABLE, ///< the stack is not in the core
	NATIVE_BROKEN, ///< what is there is no stack
};

/// What is at a pc. Borrowed.
struct native_place {
	const char *name; ///< of the function; NULL when unknown
	const char *object; ///< of the file, "[vdso]"; NULL when none is mapped there
	uint64_t start; ///< of the function; 0 when unknown
};

/// All three arguments are borrowed and must live as long. NULL when out of memory.
struct native *native_create(struct core *core, struct images *images,
			     const struct image_opener *opener);
void native_destroy(struct native *native);
DEFINE_CLEANUP(struct native *, native_destroy);

/// Goes to the caller. The walk is changed only if there is one.
enum native_result native_step(struct native *native, struct native_walk *walk);
/// @exact as in the walk.
struct native_place native_place(struct native *native, uint64_t pc, bool exact);
