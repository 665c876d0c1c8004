/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"
#include "strbuf.h"

/**
 * DOC: The snapshot, the contract between capture and core
 *
 * A snapshot says what a process was at one instant: who it is, its threads with their registers,
 * and its mappings. It holds no memory contents; those come from a memsource (memsource.h) that was
 * made together with it. It is filled by one producer (ptrace/ for live processes) and immutable
 * afterwards, so any thread may read it without a lock.
 *
 * Everything is in the terms of the process that took the snapshot: pids are the ones it sees,
 * addresses are uint64_t also for 32-bit processes, ranges are half-open [start, end). What begins
 * with ns_ is in the terms of the target's own pid namespace, for the core.
 */

/// Enough for x86 (PRSTATUS, FPREGSET, XSTATE, SHSTK or TLS, PRXFPREG) and arm64's list.
enum { SNAP_REGSETS_MAX = 8 };

/// One register set as PTRACE_GETREGSET returns it.
struct snap_regset {
	uint32_t type; ///< NT_PRSTATUS, NT_FPREGSET, NT_X86_XSTATE, ...
	uint32_t size; ///< bytes
	uint32_t stored; ///< of them in data; the rest are zeros (unused AMX tiles are 8 KiB)
	const void *data; ///< inside the block that the first regset of the thread points to
};

enum snap_thread_flags {
	/// Registers were not readable (D state, vfork); what /proc/TID/syscall tells is filled in.
	SNAP_THREAD_PARTIAL = 1U << 0,
	/// In the middle of a system call that the kernel or we will restart.
	SNAP_THREAD_SYSCALL = 1U << 1,
};

struct snap_thread {
	pid_t tid;
	pid_t ns_tid; ///< what gettid() returns in it
	uint32_t flags; ///< enum snap_thread_flags
	char state; ///< letter of /proc/TID/stat before the freeze
	uint64_t sigpend; ///< private pending signals, bit N-1 for signal N
	uint64_t sighold; ///< blocked signals
	uint64_t utime_usec, stime_usec;
	unsigned int n_regsets;
	struct snap_regset regsets[SNAP_REGSETS_MAX]; ///< NT_PRSTATUS first
};

enum snap_mapping_flags {
	SNAP_MAP_READ = 1U << 0,
	SNAP_MAP_WRITE = 1U << 1,
	SNAP_MAP_EXEC = 1U << 2,
	SNAP_MAP_SHARED = 1U << 3,
	// From the VmFlags line of smaps; fs/proc/task_mmu.c show_smap_vma_flags().
	SNAP_MAP_DONTDUMP = 1U << 4, ///< dd
	SNAP_MAP_IO = 1U << 5, ///< io
	SNAP_MAP_PFN = 1U << 6, ///< pf
	SNAP_MAP_HUGETLB = 1U << 7, ///< ht
	SNAP_MAP_DONTFORK = 1U << 8, ///< dc
	SNAP_MAP_WIPEONFORK = 1U << 9, ///< wf
	SNAP_MAP_SHADOWSTACK = 1U << 10, ///< ss
	SNAP_MAP_COUNTED = 1U << 11, ///< ac: all of it is promised memory, also where there is none
	// Found out otherwise.
	SNAP_MAP_SPECIAL = 1U << 12, ///< vdso, vsyscall and the like, made by the kernel
	SNAP_MAP_UNLINKED = 1U << 13, ///< backed by a file without a name (shmem, memfd, deleted)
	SNAP_MAP_ANON_HUGETLB = 1U << 14, ///< private; its file is never written to
	SNAP_MAP_YOUNG = 1U << 15, ///< made after the look at the running process: no VmFlags
};

struct snap_mapping {
	uint64_t start, end;
	uint64_t offset; ///< into the file, bytes
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	uint32_t flags; ///< enum snap_mapping_flags
	uint32_t name; ///< offset into snapshot.names; 0 is the empty name
	uint64_t rss_bytes; ///< resident
	uint64_t anon_bytes; ///< resident anonymous, copied-on-write file pages included
	uint64_t huge_bytes; ///< of that, in huge pages
	uint64_t swap_bytes; ///< swapped out
	uint64_t file_bytes; ///< of the file behind it, when that was looked at: allocated to it
};

/// What kind of machine the core is for; ELF header fields.
struct snap_machine {
	uint16_t elf_machine; ///< EM_X86_64, EM_386
	uint8_t elf_class; ///< ELFCLASS64 or ELFCLASS32
	uint64_t xfeatures; ///< x86: XCR0 as the kernel reports it in the XSAVE area, or 0
};

struct snap_process {
	pid_t pid;
	pid_t ns_pid, ns_ppid, ns_pgrp, ns_sid; ///< 0: not visible in the target's namespace
	uid_t uid;
	gid_t gid;
	char state; ///< letter of /proc/PID/stat before the freeze
	int nice;
	uint64_t task_flags; ///< PF_* of the leader
	uint64_t cutime_usec, cstime_usec;
	uint32_t coredump_filter;
	char comm[64]; ///< as the kernel has it, unescaped; longer than 15 only for kernel threads
	char psargs[81]; ///< start of the command line, arguments separated by spaces
	char *exe; ///< target of /proc/PID/exe, or NULL
	void *auxv; ///< as /proc/PID/auxv has it, in the width of the process
	size_t auxv_size;
	struct snap_machine machine;
};

struct snapshot {
	struct snap_process process;
	struct snap_thread *threads; ///< the first one is the one debuggers select
	size_t n_threads;
	struct snap_mapping *mappings; ///< ascending, not overlapping
	size_t n_mappings;
	struct strbuf names; ///< NUL-terminated mapping names one after the other
	/// The notes as the kernel made them, of a crash; borrowed. NULL: they are made of what is
	/// here. Else the registers of the threads, general ones only, are in them.
	const void *notes;
	size_t notes_size;
	char *mode; ///< how the memory was frozen: "copy", "crash"
	uint64_t realtime_ns, monotonic_ns; ///< when all threads had stopped
	char **warnings; ///< things to tell the user that are no gaps
	size_t n_warnings;
};

/// The name of a mapping as in /proc/PID/maps, "" when it has none. Borrowed from the snapshot.
static inline const char *snap_mapping_name(const struct snapshot *snap,
					    const struct snap_mapping *map)
{
	return snap->names.len ? snap->names.data + map->name : "";
}

/// The index of the first mapping that ends behind @addr; n_mappings: there is none.
size_t snapshot_find(const struct snapshot *snap, uint64_t addr);
/// The mapping that @addr lies in, or NULL. Borrowed from the snapshot.
struct snap_mapping *snapshot_mapping_at(const struct snapshot *snap, uint64_t addr);

/// Adds a warning line; out of memory drops it, since a warning must not fail a dump.
void snapshot_warn(struct snapshot *snap, const char *fmt, ...) _printf_(2, 3);
/// Frees what the snapshot holds and empties it; a zeroed one is fine.
void snapshot_deinit(struct snapshot *snap);
