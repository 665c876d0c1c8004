// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "arch.h"
#include "common/fd.h"
#include "common/str.h"
#include "denial.h"
#include "procfs.h"

enum {
	AUXV_MAX = 65536, // the kernel's saved_auxv has some 60 words
	CMDLINE_MAX = 1 << 22, // at most a quarter of the stack limit in fact; only 80 are used
};

/// About 800 bytes a mapping in smaps; vm.max_map_count of some hosts is above a million.
static const size_t smaps_max = (size_t)4 << 30;

static void read_psargs(int piddir, struct snap_process *proc)
{
	_cleanup_close_ int fd = openat(piddir, "cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : snap_pread_full(fd, proc->psargs, sizeof(proc->psargs) - 1, 0);
	if (n < 0)
		n = 0;
	while (n && !proc->psargs[n - 1])
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (!proc->psargs[i])
			proc->psargs[i] = ' ';
	proc->psargs[n] = '\0';
}

static struct snap_error *read_identity(pid_t pid, int procfd, int piddir, struct snapshot *snap)
{
	struct snap_process *proc = &snap->process;
	struct procfs_stat stat;
	struct procfs_status status;
	int r = procfs_read_stat(procfd, "stat", &stat);
	if (r == 0)
		r = procfs_read_status(procfd, "status", &status);
	if (r < 0)
		return denial_from_errno(pid, procfd, -r, "read the state of");
	proc->pid = pid;
	proc->ns_pid = status.ns_pid ? status.ns_pid : pid;
	proc->ppid = stat.ppid;
	proc->pgrp = stat.pgrp;
	proc->sid = stat.sid;
	proc->uid = status.uid;
	proc->gid = status.gid;
	proc->nice = stat.nice;
	proc->task_flags = stat.flags;
	proc->cutime_usec = procfs_ticks_to_usec(stat.cutime);
	proc->cstime_usec = procfs_ticks_to_usec(stat.cstime);
	if (!proc->state)
		proc->state = stat.state;
	memcpy(proc->comm, stat.comm, sizeof(proc->comm));

	proc->coredump_filter = 0x33; // the kernel's default
	_cleanup_free_ char *text = NULL;
	if (snap_read_file_at(piddir, "coredump_filter", 64, &text) > 0) {
		char hex[32];
		uint64_t filter;
		(void)snprintf(hex, sizeof(hex), "0x%.16s", text);
		if (snap_parse_u64(hex, &filter) == 0)
			proc->coredump_filter = (uint32_t)filter;
	}
	free(proc->exe);
	proc->exe = NULL;
	(void)snap_readlink_at(piddir, "exe", &proc->exe); // stays NULL for a hidden one
	read_psargs(piddir, proc);
	return NULL;
}

static struct snap_error *read_auxv(pid_t pid, int procfd, int piddir, struct snap_process *proc)
{
	char *auxv;
	ssize_t n = snap_read_file_at(piddir, "auxv", AUXV_MAX, &auxv);
	if (n < 0)
		return denial_from_errno(pid, procfd, (int)-n, "read the auxiliary vector of");
	free(proc->auxv);
	proc->auxv = auxv;
	proc->auxv_size = (size_t)n;
	return NULL;
}

/**
 * Marks shared mappings of files without a name, as the kernel does with i_nlink.
 *
 * The parser has guessed from " (deleted)" in the name, which a file may be called as well; where
 * we may look at the file itself, that is better.
 */
static void find_unlinked(int piddir, struct snap_mapping *map)
{
	char path[64];
	struct stat st;
	(void)snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	if (fstatat(piddir, path, &st, 0) < 0)
		return;
	map->flags &= ~(uint32_t)SNAP_MAP_UNLINKED;
	if (!st.st_nlink)
		map->flags |= SNAP_MAP_UNLINKED;
}

static struct snap_error *read_mappings(pid_t pid, int procfd, int piddir, struct strbuf *scratch,
					struct snapshot *snap)
{
	_cleanup_close_ int fd = openat(piddir, "smaps", O_RDONLY | O_CLOEXEC);
	bool detailed = fd >= 0;
	if (fd < 0 && errno == ENOENT) // a kernel without CONFIG_PROC_PAGE_MONITOR
		fd = openat(piddir, "maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return denial_from_errno(pid, procfd, errno, "read the mappings of");
	int r = strbuf_read_fd(scratch, fd, smaps_max);
	if (r < 0)
		return denial_from_errno(pid, procfd, -r, "read the mappings of");

	struct procfs_maps walk = { .next = scratch->data };
	size_t size = snap->n_mappings;
	snap->names.len = 0;
	snap->n_mappings = 0;
	for (;;) {
		struct snap_mapping map;
		r = procfs_maps_next(&walk, &snap->names, &map);
		if (r <= 0)
			break;
		if (!detailed && !(map.flags & SNAP_MAP_SHARED) && map.flags & SNAP_MAP_WRITE)
			map.anon_bytes = map.end - map.start; // unknown: rather too much
		if (map.flags & SNAP_MAP_SHARED && map.inode)
			find_unlinked(piddir, &map);
		if (snap->n_mappings >= size) {
			size = MAX(size * 2, (size_t)256);
			struct snap_mapping *bigger =
				reallocarray(snap->mappings, size, sizeof(map));
			if (!bigger)
				return snap_error_oom();
			snap->mappings = bigger;
		}
		snap->mappings[snap->n_mappings++] = map;
	}
	if (r == -ENOMEM)
		return snap_error_oom();
	if (r < 0)
		return snap_error_new(SNAP_FAILED,
				      "cannot understand the mappings of process %d as the kernel "
				      "lists them",
				      pid);
	if (!snap->n_mappings)
		return snap_error_new(SNAP_NO_PROCESS,
				      "process %d has no memory: it is a kernel thread or a zombie",
				      pid);
	return NULL;
}

/// 32-bit when every thread is, and nothing lies above 4 GiB.
static bool process_is_compat(const struct snapshot *snap)
{
	for (size_t i = 0; i < snap->n_mappings; i++)
		if (snap->mappings[i].end > 1ULL << 32 &&
		    !(snap->mappings[i].flags & SNAP_MAP_SPECIAL))
			return false;
	for (size_t i = 0; i < snap->n_threads; i++) {
		struct arch_regs regs = { .size = snap->threads[i].regsets[0].size };
		if (!arch_regs_compat(&regs))
			return false;
	}
	return true;
}

static struct snap_error *find_machine(struct snapshot *snap)
{
	bool compat = process_is_compat(snap);
	struct snap_thread none = { 0 };
	snap->process.machine = arch_machine(compat, snap->n_threads ? &snap->threads[0] : &none);
	for (size_t i = 0; !compat && i < snap->n_threads; i++)
		if (arch_widen_regset(&snap->threads[i]) < 0)
			return snap_error_oom();
	return NULL;
}

struct snap_error *process_read(pid_t pid, int procfd, int piddir, struct strbuf *scratch,
				struct snapshot *snap)
{
	struct snap_error *err = read_identity(pid, procfd, piddir, snap);
	if (!err)
		err = read_mappings(pid, procfd, piddir, scratch, snap);
	if (!err)
		err = read_auxv(pid, procfd, piddir, &snap->process);
	return err ? err : find_machine(snap);
}
