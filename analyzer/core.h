/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/snapnote.h"
#include "elf.h"
#include "memory.h"

/**
 * DOC: A core file
 *
 * Reads cores of the kernel, of gdb, delve, qemu, systemd and of our own: notes become threads and
 * mapped files, segments become memory. What is damaged is left out and counted in warnings; only a
 * file that is no core at all is an error. Text in it (names, arguments) is as the core has it:
 * whoever shows it escapes it.
 */

enum {
	// Limits to what a hostile core can make us allocate: 50 times the threads and 15 times the
	// mapped files of the largest programs that are known.
	CORE_MAX_THREADS = 1 << 20,
	CORE_MAX_FILES = 1 << 20,
};

struct core_thread {
	int32_t tid; ///< as procsnap saw it; in cores of others the same as ns_tid
	int32_t ns_tid; ///< in the process's own pid namespace, as NT_PRSTATUS has it
	struct span regs; ///< pr_reg: general purpose registers in the order of the kernel
	struct span tls; ///< NT_ARM_TLS; empty elsewhere
	struct span siginfo; ///< NT_SIGINFO
	uint16_t cursig;
	bool partial; ///< registers were not readable
};

/// One line of NT_FILE.
struct core_mapped {
	uint64_t start, end, offset;
	const char *name;
};

struct core {
	struct elf_file elf;
	struct memory memory;
	uint16_t machine; ///< EM_X86_64 or EM_AARCH64
	uint8_t **note_blocks; ///< what the spans below point into
	size_t n_note_blocks;
	struct core_thread *threads; ///< the one that a signal ended is the first
	size_t n_threads;
	struct core_mapped *mapped;
	size_t n_mapped;
	struct span auxv, prpsinfo;
	struct snapnote note; ///< version 0 when it is not our core
	struct snapnote_gap *gaps; ///< but those of which the core has the memory
	size_t n_gaps;
	uint64_t later_bytes; ///< of memory that is from after the instant (GAP_LATER)
	struct span attached; ///< the summary that was attached to it; empty for none
	bool truncated; ///< the file ends before its last segment does
};

/// @memory is that of the process itself, when the core has headers and notes only; else NULL. Both
/// stay the caller's and must outlive the core.
struct snap_error *core_open(struct source *source, struct source *memory,
			     struct core **ret) _must_check_;
void core_close(struct core *core);
DEFINE_CLEANUP(struct core *, core_close);

/// The value of an entry of the auxiliary vector; false when it has none.
bool core_auxv(const struct core *core, uint64_t type, uint64_t *ret);
/// The process ID, as procsnap saw it where the core tells; 0 when it has none.
int32_t core_pid(const struct core *core);
